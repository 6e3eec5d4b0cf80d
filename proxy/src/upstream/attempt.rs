//! One attempt at one target: send, wait for the first byte, tell an answer from an error, and read as much as commits to it.
//! It must not know of other attempts.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dialect::{Call, Fault, Framing, Meter, Operation, Summary, Wire};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use lifecycle::Clock;
use policy::Timeouts;
use tokio::time::Instant;

use crate::upstream::auth::Used;
use crate::upstream::encoding::Decoding;
use crate::upstream::native::passed_back;
use crate::upstream::provider::{Health, Upstream};
use crate::upstream::pull::{Pull, PullError};
use crate::upstream::raw::RawAnswer;
use crate::upstream::stream::{AnswerStream, Origin};
use crate::upstream::trouble::Trouble;

/// The largest whole answer that is taken. Embeddings of a large batch come near a tenth of it.
const LARGEST_ANSWER: usize = 128 << 20;
/// The largest error that is read; the rest says nothing more.
const LARGEST_ERROR: usize = 64 << 10;

/// The provider's headers that a caller of the same dialect may see: they help to report a problem to it.
const PASSED_ON: [HeaderName; 3] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("openai-processing-ms"),
];

/// Everything one attempt needs.
pub(super) struct Try<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) health: &'a Arc<Health>,
    pub(super) call: &'a Call,
    pub(super) wire: Wire,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) body: &'a Bytes,
    pub(super) headers: &'a HeaderMap,
    /// Whether a refused credential may be renewed and the request sent once more.
    pub(super) renews: bool,
    /// Whether no other target could be asked for what this one does not know.
    pub(super) is_last: bool,
    pub(super) lane: usize,
    pub(super) request_id: &'a str,
    pub(super) clock: &'a Clock,
    pub(super) timeouts: Timeouts,
    pub(super) deadline: Instant,
}

/// An answer that can be committed to.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) opened: Opened,
}

/// The answer's body.
#[derive(Debug)]
pub(super) enum Opened {
    Whole { bytes: Bytes, summary: Summary },
    Stream(Box<AnswerStream>),
    Raw(Box<RawAnswer>),
}

/// How long a stream may take to begin where policy says nothing.
const STREAM_FIRST_BYTE: Duration = Duration::from_secs(60);

/// How long to wait for the first byte. A whole answer begins when all of it has been written: unless policy says otherwise it
/// may take as long as the call.
fn first_byte_patience(timeouts: &policy::Timeouts, is_stream: bool) -> Option<Duration> {
    timeouts.first_byte.map(Duration::from).or(is_stream.then_some(STREAM_FIRST_BYTE))
}

/// Sends the call and reads until the answer can be committed to.
pub(super) async fn attempt(one: Try<'_>) -> Result<Success, Trouble> {
    let name = one.upstream.name();
    let in_flight = one.health.latency.begin();
    let began = one.clock.now();
    let patience = first_byte_patience(&one.timeouts, one.call.envelope.stream);
    let due = patience.map_or(one.deadline, |patience| (began + patience).min(one.deadline));
    let response = answered(&one, due).await?;
    let status = response.status();
    let headers = passed_on(&one, response.headers());
    let idle = one.timeouts.idle.map_or(Duration::from_secs(60), Duration::from);
    let (head, body) = response.into_parts();
    let decoding =
        Decoding::of(&head.headers).map_err(|error| Trouble::unreadable(name, status.as_u16(), &error))?;
    let mut pull = Pull::new((body, decoding), one.clock.clone(), idle, one.deadline);
    // AWS explains a refused signature with all that was signed, and that is nobody's business.
    let is_quoted = status == StatusCode::FORBIDDEN && one.upstream.authorizer.signs();
    let goes_on = one.call.operation == Operation::Native && goes_on(status, one.is_last) && !is_quoted;
    if !status.is_success() && !goes_on {
        return Err(refusal(&one, status, &head.headers, &mut pull).await);
    }
    let origin = Origin {
        provider: name.to_owned(),
        request_id: one.request_id.to_owned(),
        status: status.as_u16(),
        health: Arc::clone(one.health),
        clock: one.clock.clone(),
        in_flight,
    };
    if one.call.operation.is_raw() {
        let raw = pass(&one, (status, &head.headers), pull, origin, due).await?;
        return Ok(Success { status: status.as_u16(), headers, opened: Opened::Raw(Box::new(raw)) });
    }
    if !one.call.envelope.stream {
        let body = collect(name, status, &mut pull).await?;
        let (bytes, summary) = dialect::relay_answer(one.call, one.wire, body.clone()).map_err(|fault| {
            Trouble::fault(name, status.as_u16(), page(&head.headers, &body).unwrap_or(fault))
        })?;
        return Ok(Success { status: status.as_u16(), headers, opened: Opened::Whole { bytes, summary } });
    }
    if !is_stream(&head.headers, one.wire.framing) {
        return Err(not_a_stream(&one, status, &head.headers, &mut pull).await);
    }
    let relay = dialect::Relay::new(one.call, one.wire);
    let stream = AnswerStream::open(relay, pull, origin, due).await?;
    Ok(Success { status: status.as_u16(), headers, opened: Opened::Stream(Box::new(stream)) })
}

/// Begins to pass an answer on. Not passed on as answers are web pages and errors behind a good status; native callers get even those.
async fn pass(
    one: &Try<'_>,
    (status, headers): (StatusCode, &HeaderMap),
    pull: Pull,
    origin: Origin,
    due: Instant,
) -> Result<RawAnswer, Trouble> {
    let (name, operation) = (one.upstream.name(), one.call.operation);
    let kind = content_type(headers);
    let is_page = kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    if is_page && operation != Operation::Native {
        let fault = Fault::bad_answer("web_page", "a web page came in place of an answer");
        return Err(Trouble::fault(name, status.as_u16(), fault));
    }
    let meter = Meter::new(one.wire.dialect, kind);
    let raw = RawAnswer::open((status, operation), meter, pull, origin, due).await?;
    match raw.hidden_error().filter(|_| operation != Operation::Native) {
        None => Ok(raw),
        Some(error) => {
            // The status says nothing, so the words of the error have to.
            let fault = dialect::decode_fault(one.wire.dialect, 500, &|_name| None, error);
            Err(Trouble::fault(name, status.as_u16(), fault))
        }
    }
}

/// Whether a native caller gets a status as it is: not when another provider may know what this one does not, and not when it is our
/// credential that is refused.
fn goes_on(status: StatusCode, is_last: bool) -> bool {
    match status {
        StatusCode::UNAUTHORIZED => false,
        StatusCode::NOT_FOUND => is_last,
        _ => true,
    }
}

/// Until the answer's head is there; once more with another credential when the provider refuses the first.
async fn answered(one: &Try<'_>, due: Instant) -> Result<Response<Incoming>, Trouble> {
    let (response, used) = send(one, due).await?;
    let is_refused = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if is_refused && one.upstream.authorizer.rejected(used, one.clock) && one.renews {
        drop(response);
        return Ok(send(one, due).await?.0);
    }
    Ok(response)
}

/// Until the answer's head is there.
async fn send(one: &Try<'_>, due: Instant) -> Result<(Response<Incoming>, Used), Trouble> {
    let name = one.upstream.name();
    let Some(client) = one.upstream.client(one.lane) else {
        return Err(Trouble::internal(name, "there is no lane to send on"));
    };
    let mut request = Request::new(Full::new(one.body.clone()));
    *request.method_mut() = one.method.clone();
    *request.uri_mut() = one.uri.clone();
    *request.headers_mut() = one.headers.clone();
    let authorising = one.upstream.authorizer.authorize(&mut request, one.body, one.clock);
    let used = match tokio::time::timeout_at(due, authorising).await {
        Ok(authorised) => authorised.map_err(|error| Trouble::no_credential(name, &error))?,
        Err(_elapsed) => {
            return Err(Trouble::overdue(name, 0, "its credential did not come in time".to_owned()));
        }
    };
    // The provider's own limit is the connector's; a rule can only shorten it, because connections are shared by all rules.
    let connect =
        one.timeouts.connect.map(Duration::from).filter(|connect| *connect < one.upstream.connect_limit());
    let answer = match connect {
        None => tokio::time::timeout_at(due, client.request(request)).await,
        Some(connect) => {
            let captured = capture_connection(&mut request);
            let sending = tokio::time::timeout_at(due, client.request(request));
            tokio::select! {
                biased;
                answer = sending => answer,
                () = unconnected(captured, one.clock.now() + connect) => {
                    return Err(Trouble::unconnected(name, connect));
                }
            }
        }
    };
    match answer {
        Ok(Ok(response)) => Ok((response, used)),
        Ok(Err(error)) => Err(Trouble::transport(name, &error)),
        Err(_elapsed) => Err(Trouble::overdue(name, 0, "no answer began in time".to_owned())),
    }
}

/// Ready when there is no connection by `due`; never, when there is one.
async fn unconnected(captured: CaptureConnection, due: Instant) {
    tokio::time::sleep_until(due).await;
    if captured.connection_metadata().is_some() {
        std::future::pending::<()>().await;
    }
}

/// The fault in an answer that is an error.
async fn refusal(one: &Try<'_>, status: StatusCode, headers: &HeaderMap, pull: &mut Pull) -> Trouble {
    // Half an error is enough to judge by, and so is none.
    let body = read(pull, LARGEST_ERROR).await.0;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let fault = dialect::decode_fault(one.wire.dialect, status.as_u16(), &header, &body);
    Trouble::fault(one.upstream.name(), status.as_u16(), fault)
}

/// A stream was asked for and something else came: an error in a success, most likely.
async fn not_a_stream(one: &Try<'_>, status: StatusCode, headers: &HeaderMap, pull: &mut Pull) -> Trouble {
    let name = one.upstream.name();
    let body = match collect(name, status, pull).await {
        Ok(body) => body,
        Err(trouble) => return trouble,
    };
    let fault = match dialect::relay_answer(one.call, one.wire, body.clone()) {
        Err(fault) => page(headers, &body).unwrap_or(fault),
        Ok(_) => Fault::bad_answer("not_a_stream", "a stream was asked for and a whole answer came"),
    };
    Trouble::fault(name, status.as_u16(), fault)
}

async fn collect(name: &str, status: StatusCode, pull: &mut Pull) -> Result<Bytes, Trouble> {
    let status = status.as_u16();
    match read(pull, LARGEST_ANSWER).await {
        (body, ReadEnd::Whole) => Ok(body),
        (_, ReadEnd::TooLong) => Err(Trouble::oversized_answer(name, status, LARGEST_ANSWER)),
        (_, ReadEnd::Failed(error)) => Err(pull_trouble(name, status, &error)),
    }
}

/// What a failed read means.
pub(super) fn pull_trouble(name: &str, status: u16, error: &PullError) -> Trouble {
    match error {
        PullError::Idle(limit) => {
            let message = format!("the answer stopped for {} ms", limit.as_millis());
            Trouble::overdue(name, status, message)
        }
        PullError::Deadline => Trouble::overdue(name, status, "the call's time was over".to_owned()),
        PullError::Broken(error) => Trouble::cut(name, status, error),
        PullError::Encoding(error) => Trouble::unreadable(name, status, error),
    }
}

enum ReadEnd {
    Whole,
    TooLong,
    Failed(PullError),
}

/// Reads a body up to a bound; what was read comes back whatever the end. One piece is passed on as it is.
async fn read(pull: &mut Pull, most: usize) -> (Bytes, ReadEnd) {
    let announced = pull.announced().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > most {
        return (Bytes::new(), ReadEnd::TooLong);
    }
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    let end = loop {
        let piece = match poll_fn(|cx| pull.poll_piece(cx)).await {
            None => break ReadEnd::Whole,
            Some(Err(error)) => break ReadEnd::Failed(error),
            Some(Ok(piece)) => piece,
        };
        let so_far = first.as_ref().map_or(0, Bytes::len) + joined.len();
        if so_far + piece.len() > most {
            break ReadEnd::TooLong;
        }
        match first.take() {
            None if joined.is_empty() => first = Some(piece),
            None => joined.extend_from_slice(&piece),
            Some(earlier) => {
                joined.reserve(announced.max(earlier.len() + piece.len()));
                joined.extend_from_slice(&earlier);
                joined.extend_from_slice(&piece);
            }
        }
    };
    (first.unwrap_or_else(|| joined.freeze()), end)
}

/// Whether the head of an answer promises a stream. Servers of OpenAI's kind are careless with the media type, so that only what
/// cannot be one is told apart; AWS's is binary, and what is not called so is not one.
fn is_stream(headers: &HeaderMap, framing: Framing) -> bool {
    let Some(value) = content_type(headers) else { return true };
    let value = value.trim_start().to_ascii_lowercase();
    match framing {
        Framing::Sse => {
            !["application/json", "application/problem+json", "text/html", "application/xml", "image/"]
                .iter()
                .any(|other| value.starts_with(other))
        }
        Framing::AwsEvents | Framing::AwsChunks => value.starts_with("application/vnd.amazon.eventstream"),
    }
}

/// What is wrong with an answer that is a web page: the provider did not write it.
fn page(headers: &HeaderMap, body: &[u8]) -> Option<Fault> {
    let is_named = content_type(headers).is_some_and(|value| value.to_ascii_lowercase().contains("html"));
    let is_shaped = body.trim_ascii_start().first() == Some(&b'<');
    let message = "a web page came instead of an answer; something stands between the proxy and the provider";
    (is_named || is_shaped).then(|| Fault::bad_answer("web_page", message))
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

fn passed_on(one: &Try<'_>, from: &HeaderMap) -> HeaderMap {
    if one.call.operation == Operation::Native {
        return passed_back(from);
    }
    let mut headers = HeaderMap::new();
    let mut pass = |name: &HeaderName| {
        if let Some(value) = from.get(name) {
            headers.insert(name.clone(), value.clone());
        }
    };
    if one.call.dialect == one.wire.dialect {
        PASSED_ON.iter().for_each(&mut pass);
    }
    if one.call.operation.is_raw() {
        [CONTENT_TYPE, CONTENT_DISPOSITION].iter().for_each(&mut pass);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_may_take_as_long_as_the_call_but_a_stream_has_to_begin() {
        let silent = policy::Timeouts::DEFAULT;
        assert_eq!(first_byte_patience(&silent, false), None);
        assert_eq!(first_byte_patience(&silent, true), Some(STREAM_FIRST_BYTE));
        let authored = policy::Timeouts { first_byte: Some(policy::Span::from_millis(10)), ..silent };
        assert_eq!(first_byte_patience(&authored, false), Some(Duration::from_millis(10)));
        assert_eq!(first_byte_patience(&authored, true), Some(Duration::from_millis(10)));
    }
}
