//! Whole calls through all rooms, against a provider that does what a test tells it, over a real socket.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lifecycle::{TaskKind, Tasks};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::exchange::Record;
use crate::failure::code;
use crate::scene;

mod passages;
mod surfaces;

/// What the provider does with one call.
enum Script {
    Answer(u16, Value),
    /// Status, media type and bytes.
    Bytes(u16, &'static str, Bytes),
    /// Server-sent events as the test feeds them; the stream ends when the feed does.
    Feed(mpsc::Receiver<&'static str>),
    /// Never answers. Told when the proxy has gone.
    Silence(mpsc::Sender<()>),
}

type Scripts = Arc<Mutex<VecDeque<Script>>>;
type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;
/// Method, path and query, and the body as it came.
type Lines = Arc<Mutex<Vec<(String, Bytes)>>>;
type ProviderBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// A proxy's insides and a provider, with nothing else around.
struct World {
    door: Door,
    in_flight: InFlight,
    records: Arc<scene::Kept>,
    scripts: Scripts,
    seen: Seen,
    lines: Lines,
    _tasks: Tasks,
}

impl World {
    async fn start(more: &str) -> Self {
        let (scripts, seen, lines) = (Scripts::default(), Seen::default(), Lines::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let provider = serve_provider(
            listener,
            tasks.child(),
            Arc::clone(&scripts),
            (Arc::clone(&seen), Arc::clone(&lines)),
        );
        tasks.spawn("provider", TaskKind::Disposable, provider);
        let records = Arc::new(scene::Kept::default());
        let current = Current::default();
        current.swap(Arc::new(scene::runtime(policy(address, more), None)));
        let sink: Arc<dyn RecordSink> = Arc::<scene::Kept>::clone(&records);
        let in_flight = InFlight::new(1);
        let room = Room {
            current,
            clock: Clock::system(),
            sink,
            in_flight: in_flight.clone(),
            max_body: 10_000,
            lane: 0,
        };
        Self { door: Door::new(room), in_flight, records, scripts, seen, lines, _tasks: tasks }
    }

    fn script(&self, script: Script) {
        self.scripts.lock().push_back(script);
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<ResponseBody> {
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        self.door.0.answer(request).await
    }

    async fn chat(&self, body: &Value) -> Response<ResponseBody> {
        let headers = [("authorization", "Bearer fd_one")];
        self.send(Method::POST, "/v1/chat/completions", &headers, &body.to_string()).await
    }

    fn record(&self) -> Record {
        let mut records = self.records.0.lock();
        assert_eq!(records.len(), 1, "a call leaves exactly one record");
        records.pop().unwrap()
    }
}

fn policy(address: SocketAddr, more: &str) -> policy::Policy {
    let documents = format!(
        r#"---
kind: Provider
name: local
spec: {{dialect: openai, base_url: "http://{address}/v1"}}
---
kind: Model
name: live
spec: {{targets: [{{provider: local, model: upstream-live, prices: {{input: 1000, output: 2000}}}}]}}
---
kind: Model
name: free
spec: {{targets: [{{provider: local}}]}}
---
kind: Route
name: once
spec: {{rules: [{{retries: {{attempts: 1}}}}]}}
{more}"#
    );
    scene::policy(7, &documents.replace("ADDRESS", &address.to_string()))
}

async fn serve_provider(
    listener: tokio::net::TcpListener,
    tasks: Tasks,
    scripts: Scripts,
    seen: (Seen, Lines),
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (scripts, seen) = (Arc::clone(&scripts), seen.clone());
        tasks.spawn("provider connection", TaskKind::Disposable, async move {
            let service =
                hyper::service::service_fn(move |request| play(request, Arc::clone(&scripts), seen.clone()));
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ended = builder.serve_connection(TokioIo::new(stream), service).await.is_err();
        });
    }
}

async fn play(
    request: Request<Incoming>,
    scripts: Scripts,
    (seen, lines): (Seen, Lines),
) -> Result<Response<ProviderBody>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    lines.lock().push((format!("{} {}", head.method, head.uri), body.clone()));
    seen.lock().push((head.headers, serde_json::from_slice(&body).unwrap_or_default()));
    let script = scripts.lock().pop_front().expect("the test has a script for every call");
    Ok(match script {
        Script::Answer(status, body) => {
            let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            response
        }
        Script::Bytes(status, kind, body) => {
            let mut response = Response::new(Full::new(body).boxed());
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
            response.headers_mut().insert("set-cookie", HeaderValue::from_static("theirs=1"));
            response.headers_mut().insert("x-of-theirs", HeaderValue::from_static("kept"));
            response
        }
        Script::Feed(feed) => {
            let frames = futures_util::stream::unfold(feed, |mut feed| async move {
                let event = feed.recv().await?;
                Some((Ok(Frame::data(Bytes::from(format!("data: {event}\n\n")))), feed))
            });
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames.fuse())));
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
            response
        }
        Script::Silence(gone) => {
            let _told_when_dropped = gone;
            std::future::pending().await
        }
    })
}

fn completion() -> Value {
    json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "upstream-live-0613",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        "novelty": {"kept": true},
    })
}

fn question(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

async fn text(response: Response<ResponseBody>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn header<'a>(response: &'a Response<ResponseBody>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_whole_answer_comes_back_with_its_headers_and_leaves_its_record() {
    let world = World::start("").await;
    world.script(Script::Answer(200, completion()));
    let response = world.chat(&question("live")).await;

    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-frontdoor-policy-version"), Some("7"));
    assert_eq!(header(&response, "x-frontdoor-model"), Some("live"));
    assert_eq!(header(&response, "x-frontdoor-provider"), Some("local"));
    assert_eq!(header(&response, "x-frontdoor-cache"), Some("miss"));
    assert_eq!(header(&response, "x-frontdoor-cost-usd"), Some("0.12"));
    let request_id = header(&response, "x-frontdoor-request-id").unwrap().to_owned();
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["novelty"]["kept"], true, "what we do not know goes through");

    let (headers, sent) = world.seen.lock().pop().unwrap();
    assert_eq!(sent["model"], "upstream-live");
    assert!(!headers.contains_key("authorization"), "the caller's key stays here");

    let record = world.record();
    assert_eq!(record.request_id, request_id);
    assert_eq!((record.code, record.status, record.operation), (code::OK, 200, "chat"));
    assert_eq!((record.team.as_str(), record.key_id.as_str()), ("support", "k_one"));
    assert_eq!((record.tokens.input, record.tokens.output, record.estimated), (100, 10, false));
    assert_eq!((record.priced, record.cost_nano_usd), (true, 120_000_000));
    assert_eq!(
        (record.upstream_model.as_str(), record.response_model.as_str()),
        ("upstream-live", "upstream-live-0613")
    );
    assert_eq!(record.decision.attempts.len(), 1);
    assert!(record.first_byte_us > 0 && record.duration_us >= record.first_byte_us);
    assert_eq!(world.in_flight.count(), 0);
}

#[tokio::test]
async fn an_answer_whose_price_is_not_known_is_unpriced_and_not_free() {
    let world = World::start("").await;
    world.script(Script::Answer(200, completion()));
    let response = world.chat(&question("free")).await;
    assert_eq!(header(&response, "x-frontdoor-cost-usd"), None);
    drop(text(response).await);
    assert!(!world.record().priced);
}

const DELTA: &str = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"12345678"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":5,"total_tokens":55}}"#;

fn streamed_question() -> Value {
    json!({"model": "live", "stream": true, "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn a_stream_flows_and_is_settled_at_its_end() {
    let world = World::start("").await;
    let (feed, fed) = mpsc::channel(8);
    world.script(Script::Feed(fed));
    for event in [DELTA, STOP, USAGE, "[DONE]"] {
        feed.send(event).await.unwrap();
    }
    drop(feed);
    let response = world.chat(&streamed_question()).await;
    assert_eq!(header(&response, "content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(world.in_flight.count(), 1);
    let body = text(response).await;
    assert!(body.contains("12345678") && body.trim_end().ends_with("data: [DONE]"), "{body}");
    assert!(!body.contains("prompt_tokens"), "the caller did not ask for usage: {body}");

    let record = world.record();
    assert_eq!((record.code, record.streamed, record.estimated), (code::OK, true, false));
    assert_eq!((record.tokens.input, record.tokens.output), (50, 5));
    assert_eq!(record.cost_nano_usd, 60_000_000);
    assert_eq!(record.stop_reason, "end");
    assert_eq!(world.in_flight.count(), 0);
}

#[tokio::test]
async fn a_caller_who_leaves_a_stream_is_counted_by_what_was_streamed() {
    let quota = "---\nkind: Quota\nname: one\nspec: {limits: {concurrency: 1}}\n";
    let world = World::start(quota).await;
    let (feed, fed) = mpsc::channel(8);
    world.script(Script::Feed(fed));
    feed.send(DELTA).await.unwrap();
    let response = world.chat(&streamed_question()).await;
    let mut body = response.into_body();
    assert!(body.frame().await.is_some());
    drop(body);

    let record = world.record();
    assert_eq!((record.code, record.estimated, record.status), (code::CLIENT_GONE, true, 200));
    assert_eq!(record.tokens.output, 2);
    assert!(record.tokens.input > 0 && record.priced);
    // The provider is let go as well, and the caller's place is free again.
    feed.closed().await;
    world.script(Script::Answer(200, completion()));
    assert_eq!(world.chat(&question("live")).await.status(), 200);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_band_and_says_so_in_the_record() {
    let world = World::start("").await;
    let (feed, fed) = mpsc::channel(8);
    world.script(Script::Feed(fed));
    feed.send(DELTA).await.unwrap();
    drop(feed);
    let body = text(world.chat(&streamed_question()).await).await;
    assert!(body.contains(r#""error""#), "{body}");
    let record = world.record();
    assert_eq!((record.code, record.status), (code::UPSTREAM_FAILED, 200));
    assert!(record.estimated);
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_answer_cancels_the_call_to_the_provider() {
    let world = World::start("").await;
    let (gone, mut was_gone) = mpsc::channel(1);
    world.script(Script::Silence(gone));
    {
        let question = question("live");
        let mut waiting = std::pin::pin!(world.chat(&question));
        // Polled until the provider has the call, then dropped.
        while world.seen.lock().is_empty() {
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(was_gone.recv().await, None);
    let record = world.record();
    assert_eq!((record.code, record.status), (code::CLIENT_GONE, 499));
    assert_eq!(record.decision.attempts.len(), 1);
}

#[tokio::test]
async fn a_providers_failure_is_told_once_and_not_multiplied_by_the_sdk() {
    let world = World::start("").await;
    let secret =
        json!({"error": {"message": "boom sk-abcdefghijklmnopqrstuvwxyz0123456789", "type": "server_error"}});
    world.script(Script::Answer(500, secret));
    let response = world.chat(&question("live")).await;
    assert_eq!(response.status(), 502);
    assert_eq!(header(&response, "x-should-retry"), Some("false"));
    assert!(header(&response, "x-frontdoor-request-id").is_some());
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["error"]["code"], code::UPSTREAM_FAILED);
    assert!(!body.to_string().contains("sk-abcdef"));
    let record = world.record();
    assert_eq!((record.code, record.status), (code::UPSTREAM_FAILED, 502));
    assert_eq!(record.decision.refusal, "");
}

#[tokio::test]
async fn a_wrong_key_is_refused_on_every_surface_in_its_own_shape() {
    let world = World::start("").await;
    let key = [("x-api-key", "fd_wrong")];
    for (method, path) in [
        (Method::POST, "/v1/chat/completions"),
        (Method::POST, "/v1/embeddings"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/models/live"),
    ] {
        let response = world.send(method, path, &key, "{}").await;
        assert_eq!(response.status(), 401, "{path}");
        let body: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(body["error"]["code"], code::INVALID_KEY, "{path}");
        assert_eq!(world.record().code, code::INVALID_KEY);
    }
    let response = world.send(Method::POST, "/v1/messages", &key, "{}").await;
    assert_eq!(response.status(), 401);
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("authentication_error")));
}

#[tokio::test]
async fn a_refused_call_tells_the_limit_and_the_wait_in_the_family_of_its_sdk() {
    let quota = "---\nkind: Quota\nname: q\nspec: {limits: {requests_per_minute: 1}}\n";
    let world = World::start(quota).await;
    world.script(Script::Answer(200, completion()));
    let first = world.chat(&question("live")).await;
    assert_eq!(header(&first, "x-ratelimit-remaining-requests"), Some("0"));
    drop(text(first).await);
    drop(world.record());

    let refused = world.chat(&question("live")).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "x-ratelimit-limit-requests"), Some("1"));
    assert!(matches!(header(&refused, "retry-after"), Some("59" | "60")));
    assert!(header(&refused, "retry-after-ms").is_some());
    assert_eq!(header(&refused, "x-should-retry"), None);
    assert_eq!(world.record().decision.refusal, code::RATE_LIMITED);

    let headers = [("x-api-key", "fd_one")];
    let refused = world.send(Method::POST, "/v1/messages", &headers, &question("live").to_string()).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "anthropic-ratelimit-requests-remaining"), Some("0"));
}

#[tokio::test]
async fn models_are_listed_for_the_key_and_in_the_shape_of_the_sdk() {
    let world = World::start("").await;
    let openai = world.send(Method::GET, "/v1/models", &[("authorization", "Bearer fd_two")], "").await;
    let body: Value = serde_json::from_str(&text(openai).await).unwrap();
    let names: Vec<_> =
        body["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((names, &body["object"]), (vec!["small"], &json!("list")));
    assert_eq!((world.record().operation, world.record_count()), ("models", 0));

    let headers = [("x-api-key", "fd_one"), ("anthropic-version", "2023-06-01")];
    let anthropic = world.send(Method::GET, "/models", &headers, "").await;
    let body: Value = serde_json::from_str(&text(anthropic).await).unwrap();
    assert_eq!((&body["has_more"], body["data"].as_array().unwrap().len()), (&json!(false), 4));

    let one = world.send(Method::GET, "/v1/models/live", &[("authorization", "Bearer fd_one")], "").await;
    let body: Value = serde_json::from_str(&text(one).await).unwrap();
    assert_eq!(body["id"], "live");
    let hidden = world.send(Method::GET, "/v1/models/live", &[("authorization", "Bearer fd_two")], "").await;
    assert_eq!(hidden.status(), 403);
}

#[tokio::test]
async fn bad_input_is_refused_with_what_is_wrong_and_where() {
    let world = World::start("").await;
    let deep = format!(r#"{{"model":"live","messages":{}1{}}}"#, "[".repeat(300), "]".repeat(300));
    let headers = [("authorization", "Bearer fd_one")];
    for body in
        ["", "{", "[]", "{\"messages\":[]}", "{\"model\":5}", "{\"model\":\"live\",\"messages\":[}", &deep]
    {
        let response = world.send(Method::POST, "/v1/chat/completions", &headers, body).await;
        assert_eq!(response.status(), 400, "{body}");
        let answer: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(answer["error"]["code"], code::INVALID_REQUEST, "{body}");
        assert_eq!(world.record().code, code::INVALID_REQUEST);
    }
    let large = "x".repeat(10_001);
    let response = world.send(Method::POST, "/v1/chat/completions", &headers, &large).await;
    assert_eq!(response.status(), 413);
    assert_eq!(world.record().code, code::REQUEST_TOO_LARGE);

    let tagged = [("authorization", "Bearer fd_one"), ("x-frontdoor-tags", "nonsense")];
    let response =
        world.send(Method::POST, "/v1/chat/completions", &tagged, &question("live").to_string()).await;
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn what_is_no_call_is_refused_and_leaves_no_record() {
    let world = World::start("").await;
    let lost = world.send(Method::GET, "/v2/anything", &[], "").await;
    assert_eq!(lost.status(), 404);
    assert!(header(&lost, "x-frontdoor-request-id").is_some());
    let wrong = world.send(Method::DELETE, "/v1/chat/completions", &[], "").await;
    assert_eq!((wrong.status().as_u16(), header(&wrong, "allow")), (405, Some("POST")));
    assert_eq!(world.record_count(), 0);
}

#[tokio::test]
async fn without_a_policy_callers_are_asked_to_come_again() {
    let world = World::start("").await;
    let world = World {
        door: Door::new(Room { current: Current::default(), ..world.door.0.as_ref().clone() }),
        ..world
    };
    let response = world.chat(&question("live")).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, Some("1")));
    assert_eq!(world.record().code, code::POLICY_NOT_READY);
}

#[tokio::test]
async fn a_stalling_provider_is_given_up_in_time() {
    let hasty = r#"---
kind: Provider
name: hasty
spec: {dialect: openai, base_url: "http://ADDRESS/v1", timeouts: {first_byte: "100ms"}}
---
kind: Model
name: hasty
spec: {targets: [{provider: hasty}]}
"#;
    let world = World::start(hasty).await;
    let (gone, mut was_gone) = mpsc::channel(1);
    world.script(Script::Silence(gone));
    let response = world.chat(&question("hasty")).await;
    assert_eq!(response.status(), 504);
    assert_eq!(was_gone.recv().await, None);
    assert_eq!(world.record().code, code::UPSTREAM_TIMEOUT);
}

/// A body that blows up when it is read.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_panic_ends_one_call_with_an_answer_and_a_record() {
    let world = World::start("").await;
    let mut request = Request::post("/v1/chat/completions").body(Broken).unwrap();
    *request.headers_mut() = scene::headers("fd_one");
    let response = world.door.0.answer_soundly(request).await;
    assert_eq!(response.status(), 500);
    let record = world.record();
    assert_eq!((record.code, record.status), (code::INTERNAL, 500));
    assert_eq!(world.in_flight.count(), 0);
}

impl World {
    fn record_count(&self) -> usize {
        self.records.0.lock().len()
    }
}
