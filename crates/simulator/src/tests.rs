//! The simulator over real connections: what a caller's client sees.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod misbehaviour;
mod openai;
mod raw;
mod responses;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::*;

const START_MS: u64 = 1_770_000_000_000;

/// A simulator with a client of its own.
struct World {
    running: Running,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A whole response.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl World {
    async fn new() -> Self {
        let running = start_at(Settings::ephemeral(), Clock::manual(START_MS), &Tasks::new()).await.unwrap();
        Self { running, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> http::Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.running.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.request(request.body(Full::from(body)).unwrap()).await.unwrap()
    }

    /// A form: fields without, files with a name of their own.
    async fn form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, Option<&str>, &str)],
    ) -> Answer {
        let mut body = String::new();
        for (name, filename, content) in fields {
            let filename = filename.map_or_else(String::new, |filename| format!("; filename=\"{filename}\""));
            body += &format!(
                "--edge\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n{content}\r\n"
            );
        }
        body += "--edge--\r\n";
        let mut request = Request::post(format!("{}{path}", self.running.url()))
            .header("content-type", "multipart/form-data; boundary=edge");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(self.client.request(request.body(Full::from(body)).unwrap()).await.unwrap()).await
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        Answer::read(self.send(method, path, headers, body).await).await
    }

    async fn chat(&self, body: &Value) -> Answer {
        self.call("POST", "/v1/chat/completions", &[("authorization", "Bearer sk-secret-1234")], body).await
    }

    async fn messages(&self, body: &Value) -> Answer {
        let headers = [("x-api-key", "sk-ant-5678"), ("anthropic-version", "2023-06-01")];
        self.call("POST", "/v1/messages", &headers, body).await
    }
}

impl Answer {
    async fn read(response: http::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The data of every server-sent event, `[DONE]` as a string.
    fn events(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data))).collect()
    }
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

#[tokio::test]
async fn the_ledger_counts_what_the_answers_reported() {
    let world = World::new().await;
    let mut expected = (0, 0);
    for body in [
        json!({"model": "sim-gpt@tokens=7,cached_tokens=3", "messages": user("hello there")}),
        json!({"model": "sim-gpt", "messages": user("hi")}),
    ] {
        let usage = world.chat(&body).await.json()["usage"].clone();
        expected.0 += usage["prompt_tokens"].as_u64().unwrap();
        expected.1 += usage["completion_tokens"].as_u64().unwrap();
    }
    world.chat(&json!({"model": "sim-gpt@status=500", "messages": user("hi")})).await;

    let rows = world.running.ledger();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.path.as_str(), row.model.as_str()), ("/v1/chat/completions", "sim-gpt"));
    assert_eq!((row.calls, row.refused, row.cached_tokens), (3, 1, 3));
    assert_eq!((row.input_tokens, row.output_tokens), expected);
    let page = world.call("GET", "/__simulator/ledger", &[], &Value::Null).await.json();
    assert_eq!(page["rows"], json!(rows));
}

#[tokio::test]
async fn requests_are_shown_with_their_body_and_without_their_key() {
    let world = World::new().await;
    let body = json!({"model": "sim-gpt", "messages": user("hi"), "unknown": {"kept": true}});
    world.chat(&body).await;

    let seen = world.running.requests();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(seen[0].body, body);
    let key = SeenKey { header: "authorization".into(), scheme: Some("Bearer".into()), last4: "1234".into() };
    assert_eq!(seen[0].auth, [key]);
    let page = world.call("GET", "/__simulator/requests", &[], &Value::Null).await;
    assert!(!page.text.contains("sk-secret"));
    assert_eq!(page.json()["requests"][0]["body"], body);
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    let body = json!({"model": "sim-gpt", "messages": user("hi"), "stream": true});
    let first = World::new().await.chat(&body).await.text;
    let second = World::new().await.chat(&body).await.text;
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_stopped_simulator_refuses_connections() {
    let world = World::new().await;
    world.running.stop().await.unwrap();
    assert!(tokio::net::TcpStream::connect(world.running.addr).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let world = World::new().await;
    let settings = Settings { listen: world.running.addr, ..Settings::ephemeral() };
    let error = start(settings, &Tasks::new()).await.unwrap_err();
    assert!(error.to_string().contains(&world.running.addr.to_string()), "{error}");
}

#[tokio::test]
async fn an_unknown_path_is_refused_in_the_shape_of_the_caller() {
    let world = World::new().await;
    let answer = world.call("POST", "/v1/assistants", &[], &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"]["code"].clone()), (404, json!("unknown_url")));
    let answer = world.call("POST", "/v1/complete", &[("anthropic-version", "2023-06-01")], &json!({})).await;
    assert_eq!(answer.json()["error"]["type"], "not_found_error");
}
