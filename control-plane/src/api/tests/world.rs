//! A control plane of one's own on free ports and the memory store, and an HTTP client for it.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use lifecycle::Clock;

use crate::app::{self, Running};
use crate::settings::Settings;

/// One running control plane.
pub(super) struct World {
    pub(super) token: String,
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    running: Running,
    _data: tempfile::TempDir,
}

/// A call that is being written.
pub(super) struct Call<'a> {
    world: &'a World,
    request: http::request::Builder,
    body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl World {
    pub(super) async fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let running = app::start(Settings::ephemeral(data.path().to_path_buf()), Clock::system()).await;
        let running = running.expect("a control plane starts");
        let token = running.admin_token.clone().expect("the first start makes a token");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { token, base: format!("http://{}", running.admin_addr), client, running, _data: data }
    }

    /// With a provider `sim`, the models `small` and `large`, and the application `chat`.
    pub(super) async fn with_policy() -> Self {
        let world = Self::start().await;
        let documents = [provider("sim"), model("small", "sim"), model("large", "sim"), consumer("chat")];
        world.change(&documents).await.expect_status(200);
        world
    }

    /// A call with the admin token.
    pub(super) fn call(&self, method: Method, path: &str) -> Call<'_> {
        self.anonymous(method, path).header("authorization", &format!("Bearer {}", self.token))
    }

    /// A call without a token.
    pub(super) fn anonymous(&self, method: Method, path: &str) -> Call<'_> {
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        Call { world: self, request, body: Bytes::new() }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path).send().await
    }

    pub(super) async fn change(&self, documents: &[Value]) -> Reply {
        self.call(Method::POST, "/v1/changes").json(&json!({"documents": documents})).send().await
    }

    pub(super) async fn put(&self, document: &Value) -> Reply {
        self.call(Method::PUT, &path_of(document)).json(document).send().await
    }

    pub(super) async fn stop(self) {
        self.running.shutdown().await;
    }
}

impl Call<'_> {
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(super) fn body(mut self, media: &str, body: impl Into<Bytes>) -> Self {
        self.request = self.request.header("content-type", media);
        self.body = body.into();
        self
    }

    pub(super) async fn send(self) -> Reply {
        let request = self.request.body(Full::new(self.body)).expect("a request");
        let response = self.world.client.request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole answer").to_bytes();
        Reply { status: head.status, headers: head.headers, bytes }
    }
}

impl Reply {
    #[track_caller]
    pub(super) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    /// A problem document with this status and code.
    #[track_caller]
    pub(super) fn expect_problem(self, status: u16, code: &str) -> Value {
        let reply = self.expect_status(status);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:frontdoor:problem:{code}"));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }

    /// Refused policy whose diagnostics have this code and mention all of these words together in one of them.
    #[track_caller]
    pub(super) fn expect_refused(self, words: &[&str]) -> Value {
        let problem = self.expect_problem(422, "invalid_policy");
        let diagnostics = problem["diagnostics"].as_array().expect("diagnostics").clone();
        let says = |diagnostic: &Value| words.iter().all(|word| diagnostic.to_string().contains(word));
        assert!(diagnostics.iter().any(says), "{words:?} in {problem:#}");
        problem
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }

    pub(super) fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
    }
}

pub(super) fn path_of(document: &Value) -> String {
    let (kind, name) = (document["kind"].as_str().unwrap(), document["name"].as_str().unwrap());
    format!("/v1/resources/{kind}/{name}")
}

pub(super) fn provider(name: &str) -> Value {
    json!({"kind": "Provider", "name": name, "spec": {"dialect": "openai", "base_url": "http://127.0.0.1:9100/v1"}})
}

pub(super) fn model(name: &str, provider: &str) -> Value {
    json!({"kind": "Model", "name": name, "spec": {"targets": [{"provider": provider}]}})
}

pub(super) fn consumer(name: &str) -> Value {
    json!({"kind": "Consumer", "name": name, "spec": {"organisation": "acme", "team": "support", "models": ["*"]}})
}

pub(super) fn route(name: &str, when: &str) -> Value {
    json!({"kind": "Route", "name": name, "spec": {"rules": [{"when": when, "targets": [{"model": "small"}]}]}})
}
