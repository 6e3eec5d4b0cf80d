//! Answers and failures as responses, each in one function, with the headers that every answer carries.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dialect::{Dialect, ErrorShape};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use lifecycle::Clock;

use crate::exchange::{self, Exchange};
use crate::failure::{Failure, Origin, Retry, code};
use crate::frontend::Misdirected;
use crate::settle::{Answered, AnsweredBody, Head, Torn};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-frontdoor-request-id");
static POLICY_VERSION: HeaderName = HeaderName::from_static("x-frontdoor-policy-version");
static MODEL: HeaderName = HeaderName::from_static("x-frontdoor-model");
static PROVIDER: HeaderName = HeaderName::from_static("x-frontdoor-provider");
static COST: HeaderName = HeaderName::from_static("x-frontdoor-cost-usd");
static CACHE: HeaderName = HeaderName::from_static("x-frontdoor-cache");
static DROPPED: HeaderName = HeaderName::from_static("x-frontdoor-dropped");
static DEFAULTED: HeaderName = HeaderName::from_static("x-frontdoor-defaulted");
static SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
static RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const AWS_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");

/// A longer wait is never asked for: one SDK gives up at once, another sleeps for days.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The body of every response.
#[derive(Debug)]
pub enum ResponseBody {
    /// A few bytes of ours.
    Fixed(Option<Bytes>),
    /// An answer with its account.
    Answered(AnsweredBody),
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Fixed(Some(bytes))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Torn;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Torn>>> {
        match self.get_mut() {
            Self::Fixed(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Answered(answered) => Pin::new(answered).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Fixed(bytes) => bytes.is_none(),
            Self::Answered(answered) => answered.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Fixed(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Answered(answered) => answered.size_hint(),
        }
    }
}

/// Headers that are known before the outcome: they are read off the exchange while it is still at hand.
#[derive(Debug)]
pub struct Common(HeaderMap);

impl Common {
    /// For a request that is no call: it gets an id to ask about, and nothing else is known.
    pub fn bare(clock: &Clock) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        insert(&mut headers, &REQUEST_ID, &exchange::request_id(clock.unix_ms()));
        Self(headers)
    }

    /// What `exchange` says so far, in the family that callers of this dialect read.
    pub fn of(dialect: Dialect, exchange: &mut Exchange) -> Self {
        let mut headers = HeaderMap::with_capacity(24);
        insert(&mut headers, &REQUEST_ID, exchange.request_id());
        if let Some(version) =
            exchange.record().map(|record| record.policy_version).filter(|version| *version > 0)
        {
            headers.insert(&POLICY_VERSION, HeaderValue::from(version));
        }
        let now_ms = exchange.clock().unix_ms();
        for (name, value) in dialect::limit_headers(dialect, exchange.limit_state().state(), now_ms) {
            // The string becomes the value: it is not copied.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Self(headers)
    }
}

/// An answer from a provider, with what `cache` says of it.
pub fn render_answer(
    common: Common,
    dialect: Dialect,
    cache: &'static str,
    answered: Answered,
) -> Response<ResponseBody> {
    let Answered { head, body } = answered;
    let Head { status, served, cost, headers: passed_on, dropped, defaulted } = head;
    let mut headers = common.0;
    for (name, value) in &passed_on {
        headers.append(name, value.clone());
    }
    insert(&mut headers, &MODEL, &served.model);
    insert(&mut headers, &PROVIDER, &served.provider);
    headers.insert(&CACHE, HeaderValue::from_static(cache));
    if let Some(cost) = cost {
        insert(&mut headers, &COST, &cost.to_string());
    }
    if !dropped.is_empty() {
        insert(&mut headers, &DROPPED, &dropped.join(","));
    }
    if !defaulted.is_empty() {
        let pairs: Vec<String> = defaulted.iter().map(|(field, value)| format!("{field}={value}")).collect();
        insert(&mut headers, &DEFAULTED, &pairs.join(","));
    }
    match &body {
        AnsweredBody::Whole(_) => {
            headers.insert(CONTENT_TYPE, JSON);
        }
        // The provider's own bytes came with what they are.
        AnsweredBody::Stream(streaming) if streaming.is_raw() => {}
        AnsweredBody::Stream(_) => {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            let kind = if dialect == Dialect::Bedrock { AWS_STREAM } else { EVENT_STREAM };
            headers.insert(CONTENT_TYPE, kind);
        }
    }
    respond(status, headers, ResponseBody::Answered(body))
}

/// An answer of our own, such as the list of models.
pub fn render_bytes(common: Common, bytes: Bytes) -> Response<ResponseBody> {
    let mut headers = common.0;
    headers.insert(CONTENT_TYPE, JSON);
    respond(StatusCode::OK, headers, bytes.into())
}

/// Any failure, in the shape that callers of this dialect read.
pub fn render_failure(common: Common, dialect: Dialect, failure: &Failure) -> Response<ResponseBody> {
    let mut headers = common.0;
    headers.insert(CONTENT_TYPE, JSON);
    let wait = failure.retry_after.filter(|wait| *wait <= LONGEST_WAIT);
    if let Some(wait) = wait {
        let ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        headers.insert(&RETRY_AFTER_MS, HeaderValue::from(ms));
    }
    if !is_worth_a_retry(failure, wait) {
        headers.insert(&SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if failure.status == 401 {
        headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let request_id = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let shape = ErrorShape {
        status: failure.status,
        code: failure.code,
        message: &failure.message,
        param: failure.param.as_deref(),
        request_id,
    };
    let body = dialect::encode_error(dialect, &shape);
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, headers, body.into())
}

/// A request for nothing that we serve. It is no call and leaves no record.
pub fn render_misdirected(common: Common, misdirected: &Misdirected) -> Response<ResponseBody> {
    let (dialect, failure) = match misdirected {
        Misdirected::Path(dialect) => {
            let message = "no such path: there are /v1/chat/completions, /v1/responses, /v1/messages, \
                /v1beta/models/NAME:generateContent, /v1/embeddings, /v1/rerank, /v1/images, /v1/audio, /v1/moderations, \
                /v1/models, /v1/files, /v1/batches and /providers/NAME/";
            (*dialect, Failure::caller(code::UNKNOWN_PATH, 404, message))
        }
        Misdirected::Method(dialect, allowed) => {
            let message = format!("this path is for {allowed} alone");
            (*dialect, Failure::caller(code::METHOD_NOT_ALLOWED, 405, message))
        }
        Misdirected::Traversal(dialect) => {
            let message = "the path has steps such as `..`, which may lead out of what it names";
            (*dialect, Failure::caller(code::INVALID_REQUEST, 400, message))
        }
        Misdirected::NoEvents => {
            let message =
                "streams are served as server-sent events: ask for `:streamGenerateContent?alt=sse`";
            (Dialect::Gemini, Failure::caller(code::INVALID_REQUEST, 400, message).with_param("alt"))
        }
    };
    let mut response = render_failure(common, dialect, &failure);
    if let Misdirected::Method(_, allowed) = misdirected {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    response
}

/// The answer to a call on which the proxy stumbled so badly that nothing more is known of it.
pub fn render_panic(clock: &Clock) -> Response<ResponseBody> {
    tracing::error!("a call ended in a panic; it was answered with an internal failure");
    let failure = Failure::internal("the proxy failed on this call");
    render_failure(Common::bare(clock), Dialect::OpenAi, &failure)
}

/// Whether the caller's SDK may try again by itself. What we have tried already it must not multiply; what policy decided stays
/// decided; a short wait for a limit is what retries are for.
fn is_worth_a_retry(failure: &Failure, wait: Option<Duration>) -> bool {
    match failure.origin {
        Origin::Caller | Origin::Internal => true,
        Origin::Policy => wait.is_some(),
        Origin::Upstream => wait.is_some() && failure.retry != Retry::Never,
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Inserts a value of ours. One that cannot stand in a header (a name from elsewhere with odd characters) is left out.
fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
