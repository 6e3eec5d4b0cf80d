//! The HTTP side: accept, read a request, find its endpoint and behaviour, let the dialect answer, send it as scripted.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use lifecycle::{Clock, TaskKind, Tasks};
use tokio::net::{TcpListener, TcpStream};

use crate::answer::{Content, Facts, Made, Refusal};
use crate::anthropic;
use crate::anthropic::messages::MessagesRequest;
use crate::behaviour::{Behaviour, split_model};
use crate::body::AnswerBody;
use crate::control;
use crate::ledger::{Ledger, Tab};
use crate::openai;
use crate::openai::chat::ChatRequest;
use crate::openai::embeddings::EmbeddingsRequest;
use crate::script::{ScriptInForce, without_version};
use crate::seen::{Seen, api_key};

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
    let endpoint =
        Endpoint::of(&parts.method, parts.uri.path(), parts.headers.contains_key("anthropic-version"));
    let number = simulator.calls.fetch_add(1, Ordering::Relaxed);
    let body = match Limited::new(incoming, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let refusal = Refusal::new(413, format!("the request body could not be read: {error}"));
            return Ok(refused(&refusal, endpoint.surface(), "req_unread", &Behaviour::default()));
        }
    };
    if let Endpoint::Control = endpoint {
        return Ok(control::answer(&simulator, &parts, &body));
    }
    let call = Call { simulator: &simulator, parts: &parts, body: &body, endpoint: &endpoint, number };
    let outcome = call.outcome();
    simulator.seen.keep(parts, body);
    if !outcome.latency.is_zero() {
        tokio::time::sleep(outcome.latency).await;
    }
    outcome.response
}

/// What a path is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Chat,
    Embeddings,
    Messages,
    CountTokens,
    Models(Surface),
    Model(Surface, String),
    Control,
    Unknown(Surface),
}

/// Whose shapes are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surface {
    OpenAi,
    Anthropic,
}

impl Endpoint {
    fn of(method: &Method, path: &str, has_anthropic_version: bool) -> Self {
        let surface = if has_anthropic_version { Surface::Anthropic } else { Surface::OpenAi };
        let path = without_version(path);
        match (method.as_str(), path) {
            ("POST", "/chat/completions") => Self::Chat,
            ("POST", "/embeddings") => Self::Embeddings,
            ("POST", "/messages") => Self::Messages,
            ("POST", "/messages/count_tokens") => Self::CountTokens,
            ("GET", "/models") => Self::Models(surface),
            ("GET", path) if path.starts_with("/models/") => {
                Self::Model(surface, path.trim_start_matches("/models/").to_owned())
            }
            (_, path) if path == "/__simulator" || path.starts_with("/__simulator/") => Self::Control,
            _ => Self::Unknown(surface),
        }
    }

    fn surface(&self) -> Surface {
        match self {
            Self::Chat | Self::Embeddings | Self::Control => Surface::OpenAi,
            Self::Messages | Self::CountTokens => Surface::Anthropic,
            Self::Models(surface) | Self::Model(surface, _) | Self::Unknown(surface) => *surface,
        }
    }

    /// The name in the ledger.
    fn path(&self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::Models(_) | Self::Model(..) => "/v1/models",
            Self::Control => "/__simulator",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// One call, read but not yet answered.
struct Call<'a> {
    simulator: &'a Simulator,
    parts: &'a Parts,
    body: &'a Bytes,
    endpoint: &'a Endpoint,
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

impl Call<'_> {
    fn outcome(&self) -> Outcome {
        match self.endpoint {
            Endpoint::Chat => {
                self.run(ChatRequest::parse, |chat| &chat.model, |chat, facts| chat.answer(facts))
            }
            Endpoint::Embeddings => self.run(
                EmbeddingsRequest::parse,
                |request| &request.model,
                |request, facts| request.answer(facts),
            ),
            Endpoint::Messages if !self.parts.headers.contains_key("anthropic-version") => {
                self.refuse_unread(&Refusal::invalid("anthropic-version", "header is required"))
            }
            Endpoint::Messages => self.run(
                MessagesRequest::parse,
                |request| &request.model,
                |request, facts| request.answer(facts),
            ),
            Endpoint::CountTokens => self.run(
                MessagesRequest::parse_for_count,
                |request| &request.model,
                |request, facts| request.count(facts),
            ),
            Endpoint::Models(Surface::OpenAi) => {
                Outcome::now(json_response(StatusCode::OK, openai::models()))
            }
            Endpoint::Models(Surface::Anthropic) => {
                Outcome::now(json_response(StatusCode::OK, anthropic::models()))
            }
            Endpoint::Model(surface, id) => {
                let page = match surface {
                    Surface::OpenAi => openai::model_page(id),
                    Surface::Anthropic => anthropic::model_page(id),
                };
                page.map_or_else(
                    |refusal| self.refuse_unread(&refusal),
                    |page| Outcome::now(json_response(StatusCode::OK, page)),
                )
            }
            Endpoint::Control | Endpoint::Unknown(_) => {
                let target = format!("{} {}", self.parts.method, self.parts.uri.path());
                let refusal = Refusal {
                    code: Some("unknown_url".to_owned()),
                    ..Refusal::new(404, format!("Unknown request URL: {target}"))
                };
                self.refuse_unread(&refusal)
            }
        }
    }

    /// Reads the request, finds the behaviour for its model, and answers.
    fn run<R>(
        &self,
        parse: fn(&[u8]) -> Result<R, Refusal>,
        model_of: fn(&R) -> &String,
        answer: fn(&R, &Facts<'_>) -> Made,
    ) -> Outcome {
        let request = match parse(self.body) {
            Ok(request) => request,
            Err(refusal) => return self.refuse_unread(&refusal),
        };
        let (model, suffix) = split_model(model_of(&request));
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
        };
        self.obey(&facts, || answer(&request, &facts))
    }

    /// The script's behaviour, overridden by the model's suffix, overridden by the header.
    fn behaviour(&self, model: &str, suffix: Option<&str>) -> Result<Behaviour, Refusal> {
        let mut behaviour =
            self.simulator.script.take(self.endpoint.path(), model, api_key(&self.parts.headers));
        let header =
            self.parts.headers.get("x-simulate").map(|value| String::from_utf8_lossy(value.as_bytes()));
        for text in [suffix, header.as_deref()].into_iter().flatten() {
            let over = Behaviour::parse(text).map_err(|error| Refusal::new(400, error.to_string()))?;
            behaviour = behaviour.overridden_by(over);
        }
        Ok(behaviour)
    }

    /// Carries the behaviour out.
    fn obey(&self, facts: &Facts<'_>, answer: impl FnOnce() -> Made) -> Outcome {
        let behaviour = facts.behaviour;
        let mut latency = Duration::from_millis(behaviour.latency_ms.unwrap_or(0));
        let refuse = || self.simulator.ledger.refuse(self.endpoint.path(), facts.model);
        if Behaviour::is_on(behaviour.close) {
            refuse();
            return Outcome { latency, response: Err(Closed) };
        }
        if let Some(status) = behaviour.status {
            refuse();
            let refusal = Refusal::scripted(status, behaviour);
            return Outcome {
                latency,
                response: Ok(refused(&refusal, self.endpoint.surface(), &facts.id("req_"), behaviour)),
            };
        }
        let Made { content, billed } = answer();
        if Behaviour::is_on(behaviour.error_in_200) {
            refuse();
            return Outcome { latency, response: Ok(self.error_in_200(facts, content)) };
        }
        let mut tab = Tab {
            ledger: Arc::clone(&self.simulator.ledger),
            path: self.endpoint.path(),
            model: facts.model.to_owned(),
            billed,
            is_settled: false,
        };
        let (body, content_type) = match content {
            Content::Whole(bytes) => {
                latency += behaviour.tokens_per_second.map_or(Duration::ZERO, |rate| {
                    (Duration::from_secs(1) / rate.get())
                        .saturating_mul(u32::try_from(billed.output).unwrap_or(u32::MAX))
                });
                let bytes = if Behaviour::is_on(behaviour.malformed) { broken(&bytes) } else { bytes };
                (AnswerBody::whole(bytes, behaviour, tab), "application/json")
            }
            Content::Stream(events, odd) => {
                tab.billed.output = 0;
                (AnswerBody::stream(events, behaviour, odd, tab), "text/event-stream; charset=utf-8")
            }
        };
        Outcome { latency, response: Ok(self.response(facts, body, content_type)) }
    }

    fn error_in_200(&self, facts: &Facts<'_>, content: Content) -> Response<AnswerBody> {
        match content {
            Content::Stream(_, odd) => {
                self.response(facts, AnswerBody::plain(odd.error), "text/event-stream; charset=utf-8")
            }
            Content::Whole(_) => {
                let error = match self.endpoint.surface() {
                    Surface::OpenAi => openai::error(&Refusal::scripted(500, facts.behaviour)),
                    Surface::Anthropic => {
                        anthropic::error(&Refusal::scripted(529, facts.behaviour), &facts.id("req_"))
                    }
                };
                self.response(facts, AnswerBody::plain(error), "application/json")
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
            response.headers_mut().insert(request_id_header(self.endpoint.surface()), id);
        }
        response
    }

    /// Refuses a request that never got as far as a model.
    fn refuse_unread(&self, refusal: &Refusal) -> Outcome {
        self.simulator.ledger.refuse(self.endpoint.path(), "");
        let id = format!("req_{:016x}{:08x}", self.seed(), self.number);
        Outcome::now(refused(refusal, self.endpoint.surface(), &id, &Behaviour::default()))
    }

    fn seed(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.body);
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
    }
}

fn refused(refusal: &Refusal, surface: Surface, id: &str, behaviour: &Behaviour) -> Response<AnswerBody> {
    let body = match surface {
        Surface::OpenAi => openai::error(refusal),
        Surface::Anthropic => anthropic::error(refusal, id),
    };
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, body);
    let seconds = behaviour.retry_after.or_else(|| Some(behaviour.retry_after_ms?.div_ceil(1_000)));
    let pairs = [
        (request_id_header(surface), Some(id.to_owned())),
        ("retry-after", seconds.map(|seconds| seconds.to_string())),
        ("retry-after-ms", behaviour.retry_after_ms.map(|ms| ms.to_string())),
    ];
    for (name, value) in pairs {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A small JSON page.
pub(crate) fn json_response(status: StatusCode, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::plain(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
