//! What went wrong: faults of providers and of calls, read from either dialect and written in the caller's own.
//!
//! A fault's message is safe to show: nothing that looks like a credential survives. Which target is tried next is
//! not decided here.

mod classify;
mod exception;
mod google;

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;

use crate::{Dialect, anthropic, bedrock, cohere, gemini, openai, scan::ScanError};

pub use classify::decode_fault;
pub(crate) use classify::{decode_exception, decode_in_band, sanitise};

/// What kind of thing went wrong, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// May go away by itself.
    Transient,
    /// Too many calls or tokens for now.
    RateLimited,
    /// The account has nothing left.
    QuotaExhausted,
    /// The provider refused our credential.
    Credential,
    /// The provider does not know the model (or the path).
    NotFound,
    /// The call does not fit the model or the provider.
    TooLarge,
    /// The call is wrong.
    Invalid,
    /// A filter of the provider blocked the call.
    Filtered,
    /// The target has no word for something in the call.
    Unsupported,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// What can be done about it.
    pub class: FaultClass,
    /// A stable, low-cardinality word: ours, or the provider's own when it is a plain identifier.
    pub code: Cow<'static, str>,
    /// Safe to show to the caller.
    pub message: String,
    /// The field it is about.
    pub param: Option<String>,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// What the provider said with `x-should-retry`.
    pub should_retry: Option<bool>,
}

impl Fault {
    /// A fault with nothing but a class, a code and a message.
    #[must_use]
    pub fn new(class: FaultClass, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { class, code, message, param: None, retry_after: None, should_retry: None }
    }

    /// The call is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Invalid, "invalid_request", message)
    }

    /// The target has no word for something in the call.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Unsupported, "unsupported", message)
    }

    /// The provider's answer makes no sense, or ended before it was complete.
    #[must_use]
    pub fn bad_answer(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(FaultClass::Transient, code, message)
    }

    /// The target has no word for a field.
    pub(crate) fn no_word(dialect: Dialect, place: &str, why: &str) -> Self {
        Self::unsupported(format!("`{place}` cannot be sent to a target that speaks {dialect}: {why}"))
            .at(place)
    }

    /// Names the field it is about.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }
}

/// The fault of an answer that is not JSON.
pub(crate) fn garbage(error: ScanError) -> Fault {
    let message = format!("the provider's answer is not valid JSON at byte {}: {}", error.at, error.what);
    Fault::bad_answer("invalid_answer", message)
}

/// What is wrong with an answer is the provider's fault, not the caller's.
pub(crate) fn broken(fault: &Fault) -> Fault {
    Fault::bad_answer("invalid_answer", format!("the provider's answer is not understood: {}", fault.message))
}

/// An error of ours, to be told to a caller.
#[derive(Debug, Clone, Copy)]
pub struct ErrorShape<'a> {
    /// The HTTP status it has (or would have, in band).
    pub status: u16,
    /// The stable code.
    pub code: &'a str,
    /// What to tell.
    pub message: &'a str,
    /// The field it is about.
    pub param: Option<&'a str>,
    /// Our id of the call.
    pub request_id: &'a str,
}

/// The body of an error in the caller's dialect.
#[must_use]
pub fn encode_error(dialect: Dialect, error: &ErrorShape<'_>) -> Bytes {
    match dialect {
        Dialect::OpenAi | Dialect::Responses => openai::error::encode(error),
        Dialect::Anthropic => anthropic::error::encode(error),
        Dialect::Gemini => gemini::error::encode(error),
        Dialect::Bedrock => bedrock::error::encode(error),
        Dialect::Cohere => cohere::error::encode(error),
    }
    .into()
}

#[cfg(test)]
mod tests;
