//! Where HTTP ends and calls begin: paths become surfaces, bodies become calls, answers and failures become responses in the
//! caller's own dialect. It must not know keys, limits, targets or providers.

mod intake;
mod render;
mod surface;
pub mod tags;

use bytes::Bytes;
use dialect::{Call, Dialect, Fault, FaultClass, Operation};
use http::HeaderMap;
use hyper::body::Body;

use crate::failure::{Failure, Source, code};

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
}

/// Reads a call: its body under a cap, its envelope by its dialect. `now_ms` is wall time.
pub async fn read_call<B>(
    (dialect, operation): (Dialect, Operation),
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
    let call = Call::decode((dialect, operation), body).map_err(wrong_call)?;
    Ok(call.accepted_at(now_ms / 1_000))
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
