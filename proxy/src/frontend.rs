//! Where HTTP ends and calls begin: paths become surfaces, bodies become calls, answers and failures become responses in the
//! caller's own dialect. It must not know keys, limits, targets or providers.

mod intake;
pub mod passage;
mod render;
mod surface;
pub mod tags;

use bytes::Bytes;
use dialect::{Asked, Call, Dialect, Fault, FaultClass};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::Body;

use crate::affinity::Holder;
use crate::failure::{Failure, Source, code};

pub use passage::Passage;
pub use render::{
    Common, ResponseBody, render_answer, render_bytes, render_failure, render_misdirected, render_panic,
};
pub use surface::{Misdirected, Surface};
pub use tags::Tags;

/// A call as it came in: what the caller wrote, decoded no further than routing and accounting need.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The call in its own dialect.
    pub call: Call,
    /// The caller's headers.
    pub headers: HeaderMap,
    /// The caller's attribution.
    pub tags: Tags,
    /// Where it passes to a provider's own API.
    pub passage: Option<Passage>,
    /// Who holds what the call is about or mentions, where that is known.
    pub holder: Option<Holder>,
}

impl Inbound {
    /// A call to a model.
    pub fn new(call: Call, headers: HeaderMap, tags: Tags) -> Self {
        Self { call, headers, tags, passage: None, holder: None }
    }

    /// A call to a provider's own API, which is in that provider's dialect.
    pub fn passing(mut self, passage: Passage, dialect: Dialect) -> Self {
        self.call.dialect = dialect;
        Self { passage: Some(passage), ..self }
    }
}

/// Reads a call: its body under a cap, its envelope by its dialect. `now_ms` is wall time.
pub async fn read_call<B>(
    asked: Asked,
    headers: &HeaderMap,
    body: B,
    max_body: usize,
    now_ms: u64,
) -> Result<Call, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Source>,
{
    let body = intake::read(body, headers, max_body).await?;
    let asked = Asked { content_type: form_type(headers), ..asked };
    let call = Call::decode(asked, body).map_err(wrong_call)?;
    Ok(call.accepted_at(now_ms / 1_000))
}

/// Reads a call that passes to a provider's own API. What its body says is the provider's to judge.
pub async fn read_passage<B>(
    passage: &Passage,
    headers: &HeaderMap,
    body: B,
    max_body: usize,
) -> Result<Call, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Source>,
{
    let body = intake::read(body, headers, max_body).await?;
    let asked = Asked { model: passage.model(), content_type: form_type(headers), ..native(passage.dialect) };
    Ok(Call::native(asked, body))
}

fn native(dialect: Dialect) -> Asked {
    Asked::from((dialect, dialect::Operation::Native))
}

/// The media type of a form; anything else is taken for JSON, whatever it says.
fn form_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    kind.trim_start().get(..10).filter(|start| start.eq_ignore_ascii_case("multipart/"))?;
    Some(kind.to_owned())
}

/// A call that does not make sense in its own dialect is the caller's fault, whatever class it has.
fn wrong_call(fault: Fault) -> Failure {
    let (code, status) = match fault.class {
        FaultClass::TooLarge => (code::REQUEST_TOO_LARGE, 413),
        FaultClass::Unsupported => (code::UNSUPPORTED, 400),
        FaultClass::Transient
        | FaultClass::RateLimited
        | FaultClass::QuotaExhausted
        | FaultClass::Credential
        | FaultClass::NotFound
        | FaultClass::Invalid
        | FaultClass::Filtered => (code::INVALID_REQUEST, 400),
    };
    Failure { param: fault.param, ..Failure::caller(code, status, fault.message) }
}
