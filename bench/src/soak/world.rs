//! What the soak runs against: simulated provider, control plane on its default store, proxy, each a process of its own. Nothing is
//! pinned, so the proxy serves with all its threads. It must not know the calls, only the policy that they need.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Cores, Running, free_port};
use crate::frontdoor::{self, Arrived, Setup, Started};

/// What the provider does with which model.
const SCRIPT: &str = r#"{"rules": [
    {"model": "paced", "behaviour": {"tokens": 32, "tokens_per_second": 1000}},
    {"model": "slow", "behaviour": {"latency_ms": 2000}},
    {"model": "broken", "behaviour": {"status": 503}}
]}"#;

/// The processes, and how to talk to them. All end with this value.
pub(super) struct World {
    upstream: Running,
    frontdoor: Started,
    narrow_key: String,
    upstream_addr: SocketAddr,
    head: u64,
    _folder: TempDir,
}

impl World {
    pub(super) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let upstream_addr = free_port()?;
        let upstream = Running::upstream(upstream_addr, SCRIPT, &Cores::Shared, folder.path())?;
        let setup = Setup { policy: policy(upstream_addr), is_durable: true };
        let frontdoor = frontdoor::start(&setup, &Cores::Shared, folder.path())?;
        let narrow_key = frontdoor.admin.make_key("narrow")?;
        let mut world = Self { upstream, frontdoor, narrow_key, upstream_addr, head: 0, _folder: folder };
        // The narrow key came last: once the change after it is enforced, so is the key.
        world.change_policy(0)?;
        let calls = world.calls_in_ledger()?;
        world.wait_for_arrival(calls, Duration::from_secs(10))?;
        Ok(world)
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.frontdoor.addr
    }

    /// A key that may use every model.
    pub(super) fn key(&self) -> &str {
        &self.frontdoor.key
    }

    /// A key that may use `plain` alone.
    pub(super) fn narrow_key(&self) -> &str {
        &self.narrow_key
    }

    /// The newest policy version.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    pub(super) fn processes(&self) -> [&Running; 3] {
        [&self.frontdoor.proxy, &self.frontdoor.control_plane, &self.upstream]
    }

    /// Changes what the calls are decided by, never whether they are served.
    pub(super) fn change_policy(&mut self, number: u64) -> anyhow::Result<()> {
        let (documents, delete) = change(number, self.upstream_addr);
        let message = format!("soak {number}");
        let change = json!({"message": message, "documents": documents, "delete": delete});
        let answer = self.frontdoor.admin.post("/v1/changes", &change)?;
        self.head = answer.get("version").and_then(Value::as_u64).context("a change without a version")?;
        Ok(())
    }

    pub(super) fn calls_in_ledger(&self) -> anyhow::Result<u64> {
        self.frontdoor.calls_in_ledger()
    }

    /// Waits until the ledger holds as many calls as were made and the proxy enforces the newest version, or long enough.
    pub(super) fn wait_for_arrival(&self, calls: u64, limit: Duration) -> anyhow::Result<Arrived> {
        self.frontdoor.wait_for_arrival(calls, self.head, limit)
    }
}

/// The bench's policy, and what only the soak calls.
fn policy(upstream: SocketAddr) -> Vec<Value> {
    let mut documents = frontdoor::policy(upstream);
    let target = |model: &str| json!({"provider": "bench-openai", "model": model});
    let model = |name: &str, targets: Vec<Value>| json!({"kind": "Model", "name": name, "spec": {"targets": targets}});
    documents.extend([
        model("slow", vec![target("slow")]),
        model("failing-over", vec![target("broken"), target("plain")]),
        model("limited", vec![target("plain")]),
        model("vectors", vec![target("vectors")]),
        json!({"kind": "Consumer", "name": "narrow", "spec": {"organisation": "acme", "team": "narrow", "models": ["plain"]}}),
        json!({"kind": "Quota", "name": "limited", "spec": {"models": ["limited"], "limits": {"requests_per_minute": 120}}}),
    ]);
    documents
}

/// Change `number`: what is put and what is deleted. In turn a price, a quota, a condition, a provider, and a model that comes and goes.
fn change(number: u64, upstream: SocketAddr) -> (Vec<Value>, Vec<Value>) {
    let none = Vec::new;
    match number % 6 {
        0 => {
            let prices = json!({"input": number % 7 + 1, "output": 10});
            let targets = json!([{"provider": "bench-openai", "model": "plain", "prices": prices}]);
            (vec![json!({"kind": "Model", "name": "limited", "spec": {"targets": targets}})], none())
        }
        1 => {
            let limits =
                json!({"requests_per_minute": 100_000_000 + number, "concurrency": 100_000 + number});
            let spec = json!({"per": ["key", "model"], "limits": limits});
            (vec![json!({"kind": "Quota", "name": "bench", "spec": spec})], none())
        }
        2 => {
            let when = format!("caller.team == 'nobody-{number}' && tokens > uint(1)");
            let rules = json!([
                {"name": "never", "when": when, "targets": [{"model": "paced"}]},
                {"name": "always", "strategy": "priority"},
            ]);
            (vec![json!({"kind": "Route", "name": "bench", "spec": {"rules": rules}})], none())
        }
        3 => {
            // A provider that changed gets new connections while calls on the old ones are under way.
            let spec = json!({
                "dialect": "anthropic", "base_url": format!("http://{upstream}"),
                "credential": "env:FRONTDOOR_BENCH_UPSTREAM_KEY", "headers": {"x-soak": number.to_string()},
            });
            (vec![json!({"kind": "Provider", "name": "bench-anthropic", "spec": spec})], none())
        }
        4 => {
            let targets = json!([{"provider": "bench-openai", "model": "plain"}]);
            (vec![json!({"kind": "Model", "name": "passing", "spec": {"targets": targets}})], none())
        }
        _ => (none(), vec![json!({"kind": "Model", "name": "passing"})]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use policy::{Catalog, Change, Resource, ResourceId};

    use super::*;

    fn resource(document: &Value) -> Arc<Resource> {
        Arc::new(policy::parse_resource(document.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn the_policy_compiles_after_each_of_its_changes() {
        let upstream = SocketAddr::from(([127, 0, 0, 1], 9100));
        let mut catalog: Catalog = policy(upstream).iter().map(resource).collect();
        for number in 0..12 {
            let (documents, delete) = change(number, upstream);
            let put = documents.iter().map(|document| Change::Put(resource(document)));
            let deleted = delete.into_iter().map(|id| serde_json::from_value::<ResourceId>(id).unwrap());
            let changes: Vec<_> = put.chain(deleted.map(Change::Delete)).collect();
            catalog = catalog.with(&changes);
            let group = "default".parse().unwrap();
            let compiled = policy::compile(&group, number + 1, &catalog.select(&group));
            assert!(compiled.is_ok(), "change {number}: {:?}", compiled.err());
        }
    }
}
