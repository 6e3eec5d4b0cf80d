//! Frontdoor as it is measured: control plane and proxy as two processes, the proxy on the measured core, with a policy that
//! gives every room something to do. It is set up the way an operator does it, through the admin API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::child::{Cores, Place, Program, Running, free_port};
use crate::load::{self, Load, Pace};
use crate::scenario::Scenario;

/// How long the policy may take to reach the proxy.
const POLICY_LIMIT: Duration = Duration::from_secs(20);

/// How often to try whether it has.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Any token of the right form; the control plane is gone with the measurement.
const ADMIN_TOKEN: &str = "fda_benchbenchbenchbenchbenchbenchbenchbenchben";

/// A running Frontdoor with a key for it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) control_plane: Running,
    pub(crate) proxy: Running,
    pub(crate) addr: SocketAddr,
    pub(crate) key: String,
}

/// Starts both planes, applies the policy, makes a key and waits until a call goes through.
pub(crate) fn start(upstream: SocketAddr, cores: &Cores, folder: &Path) -> anyhow::Result<Started> {
    let (admin, grpc, addr, ops) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let control_plane = start_control_plane(admin, grpc, cores, folder)?;
    let change = json!({"message": "bench", "documents": policy(upstream)});
    post(admin, "/v1/changes", &change).context("the bench's policy was not taken")?;
    let made = post(admin, "/v1/keys", &json!({"consumer": "bench"})).context("no key was made")?;
    let key = made.get("key").and_then(Value::as_str).context("the answer holds no key")?.to_owned();

    let proxy_data = folder.join("proxy");
    let program = Program::frontdoor([
        "proxy",
        "--listen",
        &addr.to_string(),
        "--ops-listen",
        &ops.to_string(),
        "--control-plane",
        &format!("http://{grpc}"),
        "--data",
        text(&proxy_data)?,
    ])?;
    let program = program.with("FRONTDOOR_BENCH_UPSTREAM_KEY", "sk-bench");
    let mut proxy = Running::start("proxy", &program, (cores, Place::Measured), folder)?;
    proxy.wait_for(addr)?;
    wait_for_policy(addr, &key, &proxy)?;
    Ok(Started { control_plane, proxy, addr, key })
}

fn start_control_plane(
    admin: SocketAddr,
    grpc: SocketAddr,
    cores: &Cores,
    folder: &Path,
) -> anyhow::Result<Running> {
    let data = folder.join("control-plane");
    let program = Program::frontdoor([
        "control-plane",
        "--admin-listen",
        &admin.to_string(),
        "--grpc-listen",
        &grpc.to_string(),
        "--store",
        "memory:",
        "--data",
        text(&data)?,
        "--admin-token",
        ADMIN_TOKEN,
    ])?;
    let mut control_plane = Running::start("control-plane", &program, (cores, Place::Rest), folder)?;
    control_plane.wait_for(admin)?;
    Ok(control_plane)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the temporary folder's name is not UTF-8")
}

/// Every scenario has its model; a rule with a condition that has to be evaluated and does not hold; limits that are counted and never reached.
fn policy(upstream: SocketAddr) -> Vec<Value> {
    let credential = "env:FRONTDOOR_BENCH_UPSTREAM_KEY";
    let provider = |name: &str, dialect: &str, base_url: String| json!({"kind": "Provider", "name": name, "spec": {"dialect": dialect, "base_url": base_url, "credential": credential}});
    let model = |name: &str, provider: &str, upstream_name: &str| {
        let prices = json!({"input": 1.25, "output": 10});
        let target = json!({"provider": provider, "model": upstream_name, "prices": prices});
        json!({"kind": "Model", "name": name, "spec": {"targets": [target], "context_window": 128_000, "max_output_tokens": 4_096}})
    };
    let rules = json!([
        {"name": "never", "when": "caller.team == 'nobody' && tokens > uint(1)", "targets": [{"model": "paced"}]},
        {"name": "always", "strategy": "priority"},
    ]);
    let limits = json!({"requests_per_minute": 100_000_000, "tokens_per_minute": 4_000_000_000_u64, "concurrency": 100_000});
    vec![
        provider("bench-openai", "openai", format!("http://{upstream}/v1")),
        provider("bench-anthropic", "anthropic", format!("http://{upstream}")),
        model("plain", "bench-openai", "plain"),
        model("paced", "bench-openai", "paced"),
        model("plain-translated", "bench-anthropic", "plain"),
        model("paced-translated", "bench-anthropic", "paced"),
        json!({"kind": "Route", "name": "bench", "spec": {"rules": rules}}),
        json!({"kind": "Consumer", "name": "bench", "spec": {"organisation": "acme", "team": "bench", "models": ["*"]}}),
        json!({"kind": "Quota", "name": "bench", "spec": {"per": ["key", "model"], "limits": limits}}),
    ]
}

/// Sends single calls until one is answered.
fn wait_for_policy(addr: SocketAddr, key: &str, proxy: &Running) -> anyhow::Result<()> {
    let call = Scenario::Whole.frontdoor_call(key);
    let load =
        Load { pace: Pace::Open { per_second: 1 }, connections: 1, duration: Duration::from_millis(1) };
    let mut waited = Duration::ZERO;
    loop {
        let measured = load::run(addr, &call, load)?;
        let Some(failure) = measured.first_failure else { return Ok(()) };
        if waited > POLICY_LIMIT {
            bail!(
                "the proxy answers no call after {POLICY_LIMIT:?}: {failure}; it says: {}",
                proxy.last_words()
            );
        }
        std::thread::sleep(TRY_EVERY);
        waited += TRY_EVERY;
    }
}

/// One request to the admin API on a connection of its own.
fn post(admin: SocketAddr, path: &str, body: &Value) -> anyhow::Result<Value> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(admin)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {admin}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, content) = answer.split_once("\r\n\r\n").context("no complete answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("status {status}: {content}");
    }
    serde_json::from_str(content).with_context(|| format!("not JSON: {content}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_policy_of_the_bench_compiles_without_a_warning() {
        let documents = policy(SocketAddr::from(([127, 0, 0, 1], 9100)));
        let resources: Vec<_> = documents
            .iter()
            .map(|document| Arc::new(policy::parse_resource(document.to_string().as_bytes()).unwrap()))
            .collect();
        let compiled = policy::compile(&"default".parse().unwrap(), 1, &resources).unwrap();
        assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
    }
}
