//! The HTTP side: accept, read a request, find its endpoint and behaviour, let the dialect answer, send it as scripted.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use lifecycle::{Clock, TaskKind, Tasks};
use tokio::net::{TcpListener, TcpStream};

use crate::answer::{Arrived, Content, Facts, JSON, Made, Question, Refusal};
use crate::behaviour::{Behaviour, split_model};
use crate::body::AnswerBody;
use crate::control;
use crate::ledger::{Ledger, Tab};
use crate::routes::{self, Route, Surface};
use crate::script::ScriptInForce;
use crate::seen::{Seen, api_key};
use crate::shelf::Shelf;
use crate::{anthropic, bedrock, cohere, gemini, openai};

/// No real provider takes more.
const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;

/// How long to wait when no connection can be accepted, for example because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everything that outlives a request.
#[derive(Debug)]
pub(crate) struct Simulator {
    pub(crate) clock: Clock,
    pub(crate) script: ScriptInForce,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) seen: Seen,
    pub(crate) shelf: Shelf,
    pub(crate) calls: AtomicU64,
}

/// The connection is closed without an answer, as scripted.
#[derive(Debug, thiserror::Error)]
#[error("closed as scripted")]
pub(crate) struct Closed;

/// Accepts until stopping begins.
pub(crate) async fn accept(listener: TcpListener, simulator: Arc<Simulator>, tasks: Tasks) {
    let mut stopping = std::pin::pin!(tasks.stopping());
    loop {
        let accepted = tokio::select! {
            () = &mut stopping => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve_connection(stream, Arc::clone(&simulator));
                tasks.spawn("simulator connection", TaskKind::Disposable, connection);
            }
            Err(error) => {
                tracing::warn!(%error, "the simulator cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, simulator: Arc<Simulator>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a simulator connection keeps Nagle's algorithm");
    }
    let service = service_fn(move |request| serve(Arc::clone(&simulator), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // Callers that hang up and connections cut as scripted both end here; neither is news.
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error, "a simulator connection ended early");
    }
}

async fn serve(
    simulator: Arc<Simulator>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Closed> {
    let (parts, incoming) = request.into_parts();
    let number = simulator.calls.fetch_add(1, Ordering::Relaxed);
    let found = routes::find(&parts);
    let body = match Limited::new(incoming, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let refusal = Refusal::new(413, format!("the request body could not be read: {error}"));
            let surface = found.map_or_else(|surface| surface, |found| found.route.surface);
            return Ok(refused(&refusal, surface, "req_unread", &Behaviour::default()));
        }
    };
    if control::is_for(parts.uri.path()) {
        return Ok(control::answer(&simulator, &parts, &body));
    }
    let outcome = match &found {
        Ok(found) => {
            let arrived = Arrived { parts: &parts, body: &body, name: &found.name };
            Call { simulator: &simulator, arrived, route: &found.route, number }.outcome()
        }
        Err(surface) => unknown(&simulator, *surface, &parts, number),
    };
    simulator.seen.keep(parts, body);
    if !outcome.latency.is_zero() {
        tokio::time::sleep(outcome.latency).await;
    }
    outcome.response
}

/// One call, read but not yet answered.
struct Call<'a> {
    simulator: &'a Simulator,
    arrived: Arrived<'a>,
    route: &'a Route,
    number: u64,
}

/// What will be sent, and when.
struct Outcome {
    latency: Duration,
    response: Result<Response<AnswerBody>, Closed>,
}

impl Outcome {
    fn now(response: Response<AnswerBody>) -> Self {
        Self { latency: Duration::ZERO, response: Ok(response) }
    }
}

fn unknown(simulator: &Simulator, surface: Surface, parts: &Parts, number: u64) -> Outcome {
    let refusal = Refusal {
        code: Some("unknown_url".to_owned()),
        ..Refusal::new(404, format!("Unknown request URL: {} {}", parts.method, parts.uri.path()))
    };
    simulator.ledger.refuse("unknown", "");
    let id = format!("req_{number:024x}");
    Outcome::now(refused(&refusal, surface, &id, &Behaviour::default()))
}

impl Call<'_> {
    /// Reads the request, finds the behaviour for its model, and answers.
    fn outcome(&self) -> Outcome {
        let question = match (self.route.read)(&self.arrived) {
            Ok(question) => question,
            Err(refusal) => return self.refuse_unread(&refusal),
        };
        let (model, suffix) = split_model(question.model());
        let behaviour = match self.behaviour(model, suffix) {
            Ok(behaviour) => behaviour,
            Err(refusal) => return self.refuse_unread(&refusal),
        };
        let facts = Facts {
            seed: self.seed(),
            number: self.number,
            unix_seconds: self.simulator.clock.unix_ms() / 1_000,
            model,
            behaviour: &behaviour,
            shelf: &self.simulator.shelf,
        };
        self.obey(&facts, question.as_ref())
    }

    /// The script's behaviour, overridden by the model's suffix, overridden by the header.
    fn behaviour(&self, model: &str, suffix: Option<&str>) -> Result<Behaviour, Refusal> {
        let paths = [self.route.path, self.arrived.parts.uri.path()];
        let key = api_key(&self.arrived.parts.headers, &self.arrived.parts.uri);
        let mut behaviour = self.simulator.script.take(paths, model, key);
        let header = self.arrived.header("x-simulate");
        for text in suffix.into_iter().chain(Some(header)) {
            let over = Behaviour::parse(text).map_err(|error| Refusal::new(400, error.to_string()))?;
            behaviour = behaviour.overridden_by(over);
        }
        Ok(behaviour)
    }

    /// Carries the behaviour out.
    fn obey(&self, facts: &Facts<'_>, question: &dyn Question) -> Outcome {
        let behaviour = facts.behaviour;
        let latency = Duration::from_millis(behaviour.latency_ms.unwrap_or(0));
        let refuse = || self.simulator.ledger.refuse(self.route.path, facts.model);
        let id = facts.id("req_");
        let surface = self.route.surface;
        if Behaviour::is_on(behaviour.close) {
            refuse();
            return Outcome { latency, response: Err(Closed) };
        }
        if Behaviour::is_on(behaviour.html) {
            refuse();
            return Outcome { latency, response: Ok(html_page(behaviour)) };
        }
        if let Some(status) = behaviour.status {
            refuse();
            let refusal = Refusal::scripted(status, behaviour);
            return Outcome { latency, response: Ok(refused(&refusal, surface, &id, behaviour)) };
        }
        let made = match question.answer(facts) {
            Ok(made) => made,
            Err(refusal) => {
                refuse();
                return Outcome { latency, response: Ok(refused(&refusal, surface, &id, behaviour)) };
            }
        };
        if Behaviour::is_on(behaviour.error_in_200) {
            refuse();
            return Outcome { latency, response: Ok(self.error_in_200(facts, made.content)) };
        }
        self.send(facts, made, latency)
    }

    fn send(&self, facts: &Facts<'_>, made: Made, mut latency: Duration) -> Outcome {
        let behaviour = facts.behaviour;
        let mut tab = Tab {
            ledger: Arc::clone(&self.simulator.ledger),
            path: self.route.path,
            model: facts.model.to_owned(),
            billed: made.billed,
            is_settled: false,
        };
        let (body, content_type) = match made.content {
            Content::Whole(bytes, content_type) => {
                latency += behaviour.tokens_per_second.map_or(Duration::ZERO, |rate| {
                    (Duration::from_secs(1) / rate.get())
                        .saturating_mul(u32::try_from(tab.billed.output).unwrap_or(u32::MAX))
                });
                let bytes = if Behaviour::is_on(behaviour.malformed) { broken(&bytes) } else { bytes };
                (AnswerBody::whole(bytes, behaviour, Some(tab)), content_type)
            }
            Content::Page(bytes, content_type) => {
                tab.is_settled = true;
                (AnswerBody::whole(bytes, behaviour, None), content_type)
            }
            Content::Stream(events, odd, content_type) => {
                tab.billed.output = 0;
                (AnswerBody::stream(events, behaviour, odd, tab), content_type)
            }
        };
        Outcome { latency, response: Ok(self.response(facts, body, content_type)) }
    }

    fn error_in_200(&self, facts: &Facts<'_>, content: Content) -> Response<AnswerBody> {
        match content {
            Content::Stream(_, odd, content_type) => {
                self.response(facts, AnswerBody::plain(odd.error), content_type)
            }
            Content::Whole(..) | Content::Page(..) => {
                let surface = self.route.surface;
                let status = if surface == Surface::Anthropic { 529 } else { 500 };
                let refusal = Refusal::scripted(status, facts.behaviour);
                let body = AnswerBody::plain(error_body(&refusal, surface, &facts.id("req_")));
                self.response(facts, body, JSON)
            }
        }
    }

    fn response(
        &self,
        facts: &Facts<'_>,
        body: AnswerBody,
        content_type: &'static str,
    ) -> Response<AnswerBody> {
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Ok(id) = HeaderValue::try_from(facts.id("req_")) {
            response.headers_mut().insert(request_id_header(self.route.surface), id);
        }
        let scripted = facts.behaviour.content_type.as_deref().map(HeaderValue::try_from);
        if let Some(Ok(content_type)) = scripted {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        if let Some(encoding) = facts.behaviour.encoding {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        response
    }

    /// Refuses a request that never got as far as a model.
    fn refuse_unread(&self, refusal: &Refusal) -> Outcome {
        self.simulator.ledger.refuse(self.route.path, "");
        let id = format!("req_{:016x}{:08x}", self.seed(), self.number);
        Outcome::now(refused(refusal, self.route.surface, &id, &Behaviour::default()))
    }

    fn seed(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.arrived.body);
        hasher.finish()
    }
}

/// The first half of a JSON document.
fn broken(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

fn request_id_header(surface: Surface) -> &'static str {
    match surface {
        Surface::OpenAi => "x-request-id",
        Surface::Anthropic => "request-id",
        Surface::Gemini => "x-goog-request-id",
        Surface::Bedrock => "x-amzn-requestid",
        Surface::Cohere => "x-debug-trace-id",
    }
}

/// An error in the surface's own shape.
fn error_body(refusal: &Refusal, surface: Surface, id: &str) -> Bytes {
    match surface {
        Surface::OpenAi => openai::error(refusal),
        Surface::Anthropic => anthropic::error(refusal, id),
        Surface::Gemini => gemini::error(refusal),
        Surface::Bedrock => bedrock::error(refusal),
        Surface::Cohere => cohere::error(refusal, id),
    }
}

fn refused(refusal: &Refusal, surface: Surface, id: &str, behaviour: &Behaviour) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, error_body(refusal, surface, id));
    let seconds = behaviour.retry_after.or_else(|| Some(behaviour.retry_after_ms?.div_ceil(1_000)));
    let kind = (surface == Surface::Bedrock).then(|| bedrock::error_type(refusal).to_owned());
    let pairs = [
        (request_id_header(surface), Some(id.to_owned())),
        ("retry-after", seconds.map(|seconds| seconds.to_string())),
        ("retry-after-ms", behaviour.retry_after_ms.map(|ms| ms.to_string())),
        ("x-amzn-errortype", kind),
        ("content-type", behaviour.content_type.clone()),
    ];
    for (name, value) in pairs {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What stands between a caller and a provider sometimes says.
fn html_page(behaviour: &Behaviour) -> Response<AnswerBody> {
    let status = behaviour.status.and_then(|status| StatusCode::from_u16(status).ok());
    let page = "<!DOCTYPE html>\n<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1><p>The proxy server received an invalid response.</p></body></html>\n";
    let mut response =
        json_response(status.unwrap_or(StatusCode::BAD_GATEWAY), Bytes::from_static(page.as_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A small JSON page.
pub(crate) fn json_response(status: StatusCode, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::plain(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}
