//! One world: the simulated providers, a control plane and its proxies in this process, on port 0, in a directory that goes
//! with it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use lifecycle::{Clock, Tasks};
use serde_json::{Value, json};

use crate::{
    eventually,
    http::{Http, Reply},
};

pub const ADMIN_TOKEN: &str = "fda_the-token-of-a-test-world";

/// The policy most promises begin with; `SIMULATOR` stands for the simulated provider's address.
pub const POLICY: &str = include_str!("../../examples/starter.yaml");

#[derive(Debug)]
pub struct World {
    pub http: Http,
    pub simulator: Option<simulator::Running>,
    pub control_plane: Option<control_plane::Running>,
    pub proxies: Vec<Option<proxy::Running>>,
    /// Proxies that are not expected to get in.
    pub strangers: Vec<proxy::Running>,
    pub directory: tempfile::TempDir,
    pub store: String,
    simulator_addr: SocketAddr,
    admin_addr: SocketAddr,
    grpc_addr: SocketAddr,
    tasks: Tasks,
}

impl World {
    /// The starter policy on the embedded store with one proxy.
    pub async fn open() -> Self {
        Self::with_policy(POLICY).await
    }

    pub async fn with_policy(policy: &str) -> Self {
        let world = Self::without_policy(None, 1).await;
        let version = world.apply(policy).await;
        world.enforced(version).await;
        world
    }

    /// `store` as `--store` takes it; none is SQLite in the world's directory.
    pub async fn without_policy(store: Option<String>, proxies: usize) -> Self {
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let store =
            store.unwrap_or_else(|| format!("sqlite:{}", directory.path().join("store.db").display()));
        let tasks = Tasks::new();
        let simulator = start_simulator(&tasks, any()).await;
        let control_plane =
            control_plane::start(plane_settings(&directory, &store, any(), any()), Clock::system())
                .await
                .unwrap_or_else(|error| panic!("{error:#}"));
        let mut world = Self {
            http: Http::default(),
            simulator_addr: simulator.addr,
            admin_addr: control_plane.admin_addr,
            grpc_addr: control_plane.grpc_addr,
            simulator: Some(simulator),
            control_plane: Some(control_plane),
            proxies: Vec::new(),
            strangers: Vec::new(),
            directory,
            store,
            tasks,
        };
        for index in 0..proxies {
            world.proxies.push(None);
            world.start_proxy(index).await;
        }
        world
    }

    pub async fn start_proxy(&mut self, index: usize) {
        let settings = proxy::Settings {
            listen: any(),
            ops_listen: any(),
            control_plane: format!("http://{}", self.grpc_addr),
            data: self.proxy_directory(index),
            ..proxy::Settings::default()
        };
        let running =
            proxy::start(settings, Clock::system()).await.unwrap_or_else(|error| panic!("{error:#}"));
        self.proxies[index] = Some(running);
    }

    pub async fn stop_proxy(&mut self, index: usize) {
        self.proxies[index].take().expect("it runs").shutdown().await;
    }

    pub fn proxy_directory(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("proxy-{index}"))
    }

    pub async fn stop_control_plane(&mut self) {
        self.control_plane.take().expect("it runs").shutdown().await;
    }

    /// On the ports and the store it had.
    pub async fn start_control_plane(&mut self) {
        let settings = plane_settings(&self.directory, &self.store, self.admin_addr, self.grpc_addr);
        let running =
            control_plane::start(settings, Clock::system()).await.unwrap_or_else(|error| panic!("{error:#}"));
        self.control_plane = Some(running);
    }

    /// Takes one that the test started by itself.
    pub fn use_control_plane(&mut self, running: control_plane::Running) {
        (self.admin_addr, self.grpc_addr) = (running.admin_addr, running.grpc_addr);
        self.control_plane = Some(running);
    }

    pub fn admin(&self) -> String {
        format!("http://{}", self.admin_addr)
    }

    pub fn grpc(&self) -> SocketAddr {
        self.grpc_addr
    }

    pub fn simulator_url(&self) -> String {
        format!("http://{}", self.simulator_addr)
    }

    pub fn url(&self) -> String {
        self.url_of(0)
    }

    pub fn url_of(&self, index: usize) -> String {
        format!("http://{}", self.proxies[index].as_ref().expect("it runs").data_addr)
    }

    pub fn ops(&self) -> String {
        format!("http://{}", self.proxies[0].as_ref().expect("it runs").ops_addr)
    }

    // ---- the admin API ----

    pub async fn admin_get(&self, path: &str) -> Reply {
        let token = format!("Bearer {ADMIN_TOKEN}");
        self.http.get(&format!("{}{path}", self.admin()), &[("authorization", &token)]).await
    }

    pub async fn admin_post(&self, path: &str, body: &Value) -> Reply {
        let token = format!("Bearer {ADMIN_TOKEN}");
        self.http.post(&format!("{}{path}", self.admin()), &[("authorization", &token)], body).await
    }

    pub async fn admin_delete(&self, path: &str) -> Reply {
        let token = format!("Bearer {ADMIN_TOKEN}");
        let url = format!("{}{path}", self.admin());
        self.http.send(http::Method::DELETE, &url, &[("authorization", &token)], bytes::Bytes::new()).await
    }

    /// The documents with the simulator's address filled in.
    pub fn documents(&self, policy: &str) -> Vec<policy::Resource> {
        let policy = policy.replace("127.0.0.1:9100", &self.simulator_addr.to_string());
        policy::parse_documents("test.yaml", &policy).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"))
    }

    /// Commits the documents and returns the version.
    pub async fn apply(&self, policy: &str) -> u64 {
        let reply = self.try_apply(policy).await.expect(200).json();
        reply["version"].as_u64().unwrap_or_else(|| panic!("no version in {reply}"))
    }

    pub async fn try_apply(&self, policy: &str) -> Reply {
        let body = json!({"message": "a test", "documents": self.documents(policy)});
        self.admin_post("/v1/changes", &body).await
    }

    /// A new key, once every proxy knows it.
    pub async fn key(&self, consumer: &str) -> String {
        self.key_with(json!({ "consumer": consumer })).await
    }

    pub async fn key_with(&self, body: Value) -> String {
        let reply = self.admin_post("/v1/keys", &body).await;
        assert!(reply.status < 300, "{}", reply.text());
        self.enforced(self.head().await).await;
        reply.json()["key"].as_str().expect("the key is shown").to_owned()
    }

    pub async fn head(&self) -> u64 {
        self.admin_get("/v1/fleet").await.expect(200).json()["head"].as_u64().expect("a head")
    }

    /// Waits until every running proxy enforces `version` or a newer one.
    pub async fn enforced(&self, version: u64) {
        for running in self.proxies.iter().flatten() {
            let url = format!("http://{}/policy", running.ops_addr);
            eventually(&format!("version {version} on a proxy"), || async {
                let reply = self.http.get(&url, &[]).await;
                let seen =
                    serde_json::from_slice::<Value>(&reply.body).unwrap_or_default()["version"].as_u64();
                if seen >= Some(version) { Ok(()) } else { Err(reply.text()) }
            })
            .await;
        }
    }

    /// Waits until the ledger has the record of this call.
    pub async fn explained(&self, request_id: &str) -> Value {
        eventually("the call's record", || async {
            let reply = self.admin_get(&format!("/v1/requests/{request_id}")).await;
            if reply.status == 200 { Ok(reply.json()) } else { Err(reply.text()) }
        })
        .await
    }

    /// The ledger's rows by `by`, once their calls add up to `calls`.
    pub async fn usage(&self, by: &str, calls: u64) -> Vec<Value> {
        eventually(&format!("{calls} calls in the ledger"), || async {
            let reply = self.admin_get(&format!("/v1/usage?by={by}")).await.expect(200).json();
            let rows = reply["rows"].as_array().cloned().unwrap_or_default();
            let seen: u64 = rows.iter().filter_map(|row| row["calls"].as_u64()).sum();
            if seen == calls { Ok(rows) } else { Err(reply.to_string()) }
        })
        .await
    }

    // ---- the data path ----

    /// One OpenAI-style chat call that says "Hello".
    pub async fn chat(&self, key: &str, model: &str) -> Reply {
        self.chat_with(key, json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]})).await
    }

    pub async fn chat_with(&self, key: &str, body: Value) -> Reply {
        let bearer = format!("Bearer {key}");
        self.http
            .post(&format!("{}/v1/chat/completions", self.url()), &[("authorization", &bearer)], &body)
            .await
    }

    /// One Anthropic-style call.
    pub async fn message(&self, key: &str, body: Value) -> Reply {
        let headers = [("x-api-key", key), ("anthropic-version", "2023-06-01")];
        self.http.post(&format!("{}/v1/messages", self.url()), &headers, &body).await
    }

    // ---- the simulated providers ----

    pub async fn stop_simulator(&mut self) {
        let running = self.simulator.take().expect("it runs");
        running.stop().await.expect("it stops");
    }

    pub async fn start_simulator(&mut self) {
        self.simulator = Some(start_simulator(&self.tasks, self.simulator_addr).await);
    }
}

async fn start_simulator(tasks: &Tasks, listen: SocketAddr) -> simulator::Running {
    let settings = simulator::Settings { listen, ..simulator::Settings::default() };
    simulator::start(settings, tasks).await.unwrap_or_else(|error| panic!("{error}"))
}

fn plane_settings(
    directory: &tempfile::TempDir,
    store: &str,
    admin_listen: SocketAddr,
    grpc_listen: SocketAddr,
) -> control_plane::Settings {
    control_plane::Settings {
        admin_listen,
        grpc_listen,
        store: Some(store.to_owned()),
        admin_token: Some(ADMIN_TOKEN.parse().unwrap()),
        ..control_plane::Settings::ephemeral(directory.path().join("control-plane"))
    }
}

/// Any free port on loopback.
pub fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Long enough for a whole test; a hang fails instead of blocking the suite.
pub const TEST_DEADLINE: Duration = Duration::from_secs(120);
