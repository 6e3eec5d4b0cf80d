//! How callers and providers speak: OpenAI and Anthropic, each to and from one canonical form.
//!
//! A call comes in as bytes ([`Call`]), goes out as bytes ([`encode_call`]), and its answer comes back through
//! [`relay_answer`] or, streamed, through [`Relay`]. When both sides speak the same dialect the bytes pass
//! unchanged except for the few spliced fields; otherwise everything goes through the canonical form
//! ([`Request`], [`Answer`], [`Event`], [`Usage`], [`StopReason`], [`Fault`]), never from dialect to dialect.
//!
//! Deliberately absent: I/O, clocks, randomness, tokenizers, and any knowledge of policy or of who calls.

mod anthropic;
mod call;
mod canonical;
mod civil;
mod envelope;
mod fault;
mod json;
mod limits;
mod losses;
mod models;
mod openai;
mod outbound;
mod relay;
mod scan;
mod sse;
mod stop;
mod usage;
mod whole;

pub use call::{Call, MaxTokensField, OnUnsupported, Outbound, TargetShape};
pub use canonical::{
    Answer, Event, Extra, Json, Message, OutputFormat, Part, PartBody, Reasoning, Request, Role, Source,
    Tool, ToolBody, ToolChoice,
};
pub use envelope::Envelope;
pub use fault::{ErrorShape, Fault, FaultClass, decode_fault, encode_error};
pub use limits::{Limit, LimitState, limit_headers};
pub use models::{ModelEntry, encode_model, encode_models};
pub use outbound::{encode_call, encode_request};
pub use relay::Relay;
pub use stop::StopReason;
pub use usage::{Usage, estimate_tokens};
pub use whole::{Summary, relay_answer};

/// A way of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI chat completions, embeddings and models, and everything compatible with them.
    OpenAi,
    /// Anthropic messages and models.
    Anthropic,
}

impl Dialect {
    /// The stable name, as it is authored in policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `/v1/chat/completions` or `/v1/messages`.
    Chat,
    /// `/v1/embeddings`.
    Embeddings,
}

/// Where an operation lives below a provider's base URL.
///
/// Anthropic has no embeddings; [`encode_call`] refuses them before the path matters.
#[must_use]
pub fn path(dialect: Dialect, operation: Operation) -> &'static str {
    match (dialect, operation) {
        (Dialect::OpenAi, Operation::Chat) => "/chat/completions",
        (Dialect::OpenAi, Operation::Embeddings) => "/embeddings",
        (Dialect::Anthropic, Operation::Chat) => "/v1/messages",
        (Dialect::Anthropic, Operation::Embeddings) => "/v1/embeddings",
    }
}

/// The header that carries a provider's credential, and what stands before it.
#[must_use]
pub fn credential_header(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::OpenAi => ("authorization", "Bearer "),
        Dialect::Anthropic => ("x-api-key", ""),
    }
}

/// Headers every call of this dialect needs unless the caller already brought them.
#[must_use]
pub fn fixed_headers(dialect: Dialect) -> &'static [(&'static str, &'static str)] {
    match dialect {
        Dialect::OpenAi => &[],
        Dialect::Anthropic => &[("anthropic-version", "2023-06-01")],
    }
}

/// The caller's headers that go on to a provider of the same dialect.
#[must_use]
pub fn forwarded_headers(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenAi => &["openai-beta"],
        Dialect::Anthropic => &["anthropic-beta", "anthropic-version"],
    }
}
