//! How callers and providers speak: OpenAI chat and responses, Anthropic, Gemini, Bedrock and Cohere, each to and from one
//! canonical form.
//!
//! A call comes in as bytes ([`Call`]), goes out as bytes ([`encode_call`]), and its answer comes back through
//! [`relay_answer`] or, streamed, through [`Relay`]. When both sides speak the same dialect the bytes pass
//! unchanged except for the few spliced fields; otherwise everything goes through the canonical form
//! ([`Request`], [`Answer`], [`Event`], [`Usage`], [`StopReason`], [`Fault`]), never from dialect to dialect.
//!
//! Deliberately absent: I/O, clocks, randomness, tokenizers, and any knowledge of policy or of who calls.

mod anthropic;
mod bedrock;
mod call;
mod canonical;
mod civil;
mod claude;
mod cohere;
mod count;
mod effort;
mod embeddings;
mod endpoint;
mod envelope;
mod eventstream;
mod fault;
mod gemini;
mod hosted;
mod json;
mod limits;
mod losses;
mod meter;
mod models;
mod multipart;
mod names;
mod openai;
mod outbound;
mod quirks;
mod relay;
mod remote;
mod rerank;
mod responses;
mod scan;
mod schema;
mod signature;
mod sse;
mod stop;
mod unnamed;
mod usage;
mod whole;
mod words;

pub use call::{Asked, Call, MaxTokensField, OnUnsupported, Outbound, Platform, TargetShape};
pub use canonical::{
    Answer, Choice, Citation, Event, Extra, Json, Logprobs, Message, OutputFormat, Part, PartBody, Reasoning,
    Request, Role, Source, Tool, ToolBody, ToolChoice,
};
pub use embeddings::{EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Purpose, Vector};
pub use endpoint::endpoint;
pub use envelope::Envelope;
pub use eventstream::{aws_event, aws_exception};
pub use fault::{ErrorShape, Fault, FaultClass, decode_fault, encode_error};
pub use limits::{Limit, LimitState, limit_headers};
pub use meter::Meter;
pub use models::{ModelEntry, encode_model, encode_models};
pub use outbound::{encode_call, encode_request};
pub use quirks::{Clamp, Quirks, StreamUsage};
pub use relay::{Framing, Relay, Wire};
pub use signature::Signature;
pub use stop::StopReason;
pub use usage::{Usage, estimate_tokens};
pub use whole::{Summary, relay_answer};

/// A way of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI chat completions, embeddings, images, audio and models, and everything compatible with them.
    OpenAi,
    /// OpenAI responses. Errors, headers and everything but the chat itself are as in [`Dialect::OpenAi`].
    Responses,
    /// Anthropic messages and models.
    Anthropic,
    /// Google's Gemini API, and Vertex AI's Gemini models.
    Gemini,
    /// AWS Bedrock's Converse.
    Bedrock,
    /// Cohere's chat, embed and rerank, version 2.
    Cohere,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::OpenAi, Self::Responses, Self::Anthropic, Self::Gemini, Self::Bedrock, Self::Cohere];

    /// The stable name, as it is authored in policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
        }
    }

    /// The dialect of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == name)
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
    /// A conversation.
    Chat,
    /// How many tokens a conversation has.
    CountTokens,
    /// Vectors for texts.
    Embeddings,
    /// Documents in the order of their relevance.
    Rerank,
    /// Pictures from words.
    ImageGeneration,
    /// Pictures from pictures.
    ImageEdit,
    /// Speech to text.
    Transcription,
    /// Speech to English text.
    AudioTranslation,
    /// Text to speech.
    Speech,
    /// Whether a text is harmful.
    Moderation,
    /// Anything else of a provider's, passed through.
    Native,
}

impl Operation {
    /// Whether the bytes pass through as they are, to a provider of the caller's dialect only.
    #[must_use]
    pub fn is_raw(self) -> bool {
        !matches!(self, Self::Chat | Self::CountTokens | Self::Embeddings | Self::Rerank)
    }
}

/// The header that carries a provider's credential, and what stands before it.
#[must_use]
pub fn credential_header(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock | Dialect::Cohere => {
            ("authorization", "Bearer ")
        }
        Dialect::Anthropic => ("x-api-key", ""),
        Dialect::Gemini => ("x-goog-api-key", ""),
    }
}

/// Headers every call of this dialect needs unless the caller already brought them.
#[must_use]
pub fn fixed_headers(dialect: Dialect) -> &'static [(&'static str, &'static str)] {
    match dialect {
        Dialect::Anthropic => &[("anthropic-version", "2023-06-01")],
        _ => &[],
    }
}

/// The caller's headers that go on to a provider of the same dialect.
#[must_use]
pub fn forwarded_headers(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenAi | Dialect::Responses => &["openai-beta"],
        Dialect::Anthropic => &["anthropic-beta", "anthropic-version"],
        Dialect::Gemini | Dialect::Bedrock | Dialect::Cohere => &[],
    }
}
