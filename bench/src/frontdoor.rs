//! Frontdoor as it is measured: control plane and proxy as two processes, the proxy on the measured core, with a policy that
//! gives every room something to do. It is set up the way an operator does it, through the admin API.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::admin::{self, ADMIN_TOKEN, Admin};
use crate::child::{Cores, Place, Program, Running, free_port};
use crate::load::{self, Load, Pace};
use crate::scenario::Scenario;

/// How long the policy may take to reach the proxy.
const POLICY_LIMIT: Duration = Duration::from_secs(20);

/// How often to try whether it has.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// A running Frontdoor with a key for it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) control_plane: Running,
    pub(crate) proxy: Running,
    pub(crate) addr: SocketAddr,
    /// Where the proxy shows its metrics.
    pub(crate) ops: SocketAddr,
    pub(crate) admin: Admin,
    pub(crate) key: String,
}

/// What arrived of what was sent off: records in the ledger, versions in the proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Calls in the ledger.
    pub(crate) calls: u64,
    /// The policy version that the proxy enforces.
    pub(crate) version: u64,
    /// Records that the proxy lost.
    pub(crate) dropped: u64,
}

/// What Frontdoor is started with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) policy: Vec<Value>,
    /// Keeps history and usage on disk. Otherwise the control plane holds them in memory, which grows with each call.
    pub(crate) is_durable: bool,
}

impl Started {
    pub(crate) fn calls_in_ledger(&self) -> anyhow::Result<u64> {
        let answer = self.admin.get("/v1/usage")?;
        let rows = answer.get("rows").and_then(Value::as_array).context("usage without rows")?;
        Ok(rows.iter().filter_map(|row| row.get("calls").and_then(Value::as_u64)).sum())
    }

    /// Waits until the ledger holds as many calls, less those that were lost, and the proxy enforces `version`, or long enough.
    pub(crate) fn wait_for_arrival(
        &self,
        calls: u64,
        version: u64,
        limit: Duration,
    ) -> anyhow::Result<Arrived> {
        let mut waited = Duration::ZERO;
        loop {
            let arrived = self.arrived()?;
            let is_there = arrived.calls + arrived.dropped >= calls && arrived.version >= version;
            if is_there || waited >= limit {
                return Ok(arrived);
            }
            std::thread::sleep(TRY_EVERY);
            waited += TRY_EVERY;
        }
    }

    fn arrived(&self) -> anyhow::Result<Arrived> {
        let metrics = admin::page(self.ops, "/metrics")?;
        Ok(Arrived {
            calls: self.calls_in_ledger()?,
            version: gauge(&metrics, "frontdoor_policy_version")?,
            dropped: gauge(&metrics, "frontdoor_records_dropped")?,
        })
    }
}

/// One number of a Prometheus page.
fn gauge(metrics: &str, name: &str) -> anyhow::Result<u64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("the proxy's metrics lack `{name}`"))?;
    value.trim().parse().with_context(|| format!("`{name}` is `{value}`"))
}

/// Starts both planes, applies the policy, makes a key and waits until a call goes through.
pub(crate) fn start(setup: &Setup, cores: &Cores, folder: &Path) -> anyhow::Result<Started> {
    let (admin, grpc, addr, ops) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let control_plane = start_control_plane((admin, grpc), setup.is_durable, cores, folder)?;
    let admin = Admin { addr: admin };
    let change = json!({"message": "bench", "documents": setup.policy});
    admin.post("/v1/changes", &change).context("the bench's policy was not taken")?;
    let key = admin.make_key("bench")?;

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
    Ok(Started { control_plane, proxy, addr, ops, admin, key })
}

fn start_control_plane(
    (admin, grpc): (SocketAddr, SocketAddr),
    is_durable: bool,
    cores: &Cores,
    folder: &Path,
) -> anyhow::Result<Running> {
    let data = folder.join("control-plane");
    std::fs::create_dir_all(&data)?;
    let store = if is_durable {
        format!("sqlite:{}", text(&data.join("store.sqlite"))?)
    } else {
        "memory:".to_owned()
    };
    let program = Program::frontdoor([
        "control-plane",
        "--admin-listen",
        &admin.to_string(),
        "--grpc-listen",
        &grpc.to_string(),
        "--store",
        &store,
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
pub(crate) fn policy(upstream: SocketAddr) -> Vec<Value> {
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

    #[test]
    fn a_number_is_found_by_its_whole_name() {
        let page = "# HELP a b\nfrontdoor_policy_version_seen 9\nfrontdoor_policy_version 4\n";
        assert_eq!(gauge(page, "frontdoor_policy_version").unwrap(), 4);
        assert!(gauge(page, "frontdoor_records_dropped").is_err());
    }
}
