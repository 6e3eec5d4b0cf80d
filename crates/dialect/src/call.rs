//! A call as it came in, and what is asked of its translation.
//!
//! The body stays untouched; only its envelope is read. How it goes out is `outbound`'s matter.

use bytes::Bytes;

use crate::{
    Dialect, Envelope, Fault, Framing, Operation, Quirks, Request, Wire, anthropic, bedrock, cohere, count,
    gemini, openai, responses,
};

/// The longest name of a model that a native call is believed.
const LONGEST_MODEL: usize = 256;

/// What is asked before the body is read: what the path and the headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What the caller speaks.
    pub dialect: Dialect,
    /// What is asked.
    pub operation: Operation,
    /// The model, where it stands in the path.
    pub model: Option<String>,
    /// Whether the path asks for a stream.
    pub stream: bool,
    /// The media type of the body, for forms.
    pub content_type: Option<String>,
}

impl From<(Dialect, Operation)> for Asked {
    fn from((dialect, operation): (Dialect, Operation)) -> Self {
        Self { dialect, operation, model: None, stream: false, content_type: None }
    }
}

/// A call as it came in.
#[derive(Debug, Clone)]
pub struct Call {
    /// What the caller speaks.
    pub dialect: Dialect,
    /// What is asked.
    pub operation: Operation,
    /// What routing and accounting need to know.
    pub envelope: Envelope,
    /// The body, untouched.
    pub body: Bytes,
    pub(crate) created: u64,
}

impl Call {
    /// Reads the envelope of a body in one pass.
    ///
    /// # Errors
    /// The body is not one JSON object in UTF-8, is nested deeper than 128 levels, or lacks what every call has.
    /// The fault names the place.
    pub fn decode(asked: impl Into<Asked>, body: Bytes) -> Result<Self, Fault> {
        let asked = asked.into();
        let envelope = Envelope::scan(&asked, &body)?;
        let (dialect, operation) = (asked.dialect, asked.operation);
        Ok(Self { dialect, operation, envelope, body, created: 0 })
    }

    /// A call to a provider's own API: whatever it is, it passes through as it is. What it says of itself is read as far as it
    /// is understood.
    #[must_use]
    pub fn native(asked: impl Into<Asked>, body: Bytes) -> Self {
        let asked = Asked { operation: Operation::Native, ..asked.into() };
        let mut envelope = Envelope::scan(&asked, &body).unwrap_or_else(|_not_ours_to_judge| Envelope {
            model: asked.model.clone().unwrap_or_default(),
            n: 1,
            ..Envelope::default()
        });
        if envelope.model.len() > LONGEST_MODEL {
            // Whatever it is, it is no name, and it would be kept.
            envelope.model = envelope.model.chars().take(LONGEST_MODEL / 4).collect();
        }
        Self { dialect: asked.dialect, operation: Operation::Native, envelope, body, created: 0 }
    }

    /// Tells when the call was accepted, in Unix seconds: an OpenAI answer carries a creation time, and an Anthropic
    /// provider does not give one.
    #[must_use]
    pub fn accepted_at(mut self, unix_seconds: u64) -> Self {
        self.created = unix_seconds;
        self
    }

    /// Reads the whole call into the canonical form; needed only on translation.
    ///
    /// # Errors
    /// A field has the wrong shape (named in `param`), or the operation has no canonical form.
    pub fn request(&self) -> Result<Request, Fault> {
        if !matches!(self.operation, Operation::Chat | Operation::CountTokens) {
            return Err(Fault::unsupported("this operation passes through to its own dialect only"));
        }
        let inside = match self.operation {
            Operation::CountTokens => count::inner(self.dialect, &self.body)?,
            _ => self.body.clone(),
        };
        let body = &inside;
        match self.dialect {
            Dialect::OpenAi => openai::request::decode(body),
            Dialect::Responses => responses::request::decode(body),
            Dialect::Anthropic => anthropic::request::decode(body),
            Dialect::Gemini => gemini::request::decode(body, &self.envelope),
            Dialect::Bedrock => bedrock::request::decode(body, &self.envelope),
            Dialect::Cohere => cohere::request::decode(body),
        }
    }
}

/// What to do with a field that the target has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnsupported {
    /// Refuse the call, naming the field.
    #[default]
    Refuse,
    /// Leave the field out (or clamp it), and say so.
    Drop,
}

/// The name an OpenAI-style provider has for the cap on output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MaxTokensField {
    /// The old name, which most compatible servers know.
    MaxTokens,
    /// The name OpenAI asks for today; the default.
    MaxCompletionTokens,
}

impl MaxTokensField {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// Where a dialect is hosted, when that changes its paths or its wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Platform<'a> {
    /// At its own vendor, or at a server that does as the vendor does.
    #[default]
    Direct,
    /// Azure OpenAI: models are deployments, unless the version is `v1`.
    Azure {
        /// As in `api-version`.
        api_version: &'a str,
    },
    /// Vertex AI.
    Vertex {
        /// The Google Cloud project.
        project: &'a str,
        /// The region, or `global`.
        location: &'a str,
    },
    /// Bedrock's InvokeModel, for models that keep their own dialect there.
    Bedrock,
}

/// What is known about where the call goes.
#[derive(Debug, Clone, Copy)]
pub struct TargetShape<'a> {
    /// What the provider speaks.
    pub dialect: Dialect,
    /// The provider's name for the model.
    pub model: &'a str,
    /// The model's limit, used where the dialect needs one and the caller gave none.
    pub max_output_tokens: Option<u32>,
    /// The provider's name for the cap on output; `None` leaves the caller's own on the same dialect.
    pub max_tokens_field: Option<MaxTokensField>,
    /// Whether the model reasons; `Some(false)` keeps reasoning fields from it.
    pub reasoning: Option<bool>,
    /// What to do with a field that the target has no word for.
    pub on_unsupported: OnUnsupported,
    /// Where the dialect is hosted.
    pub platform: Platform<'a>,
    /// How the provider differs from its dialect.
    pub quirks: Option<&'a Quirks>,
    /// The beta features asked for with the header `anthropic-beta`; a platform that takes no such header gets them in the body.
    pub betas: Option<&'a str>,
}

impl<'a> TargetShape<'a> {
    /// A target of which nothing else is known.
    #[must_use]
    pub fn new(dialect: Dialect, model: &'a str) -> Self {
        Self {
            dialect,
            model,
            max_output_tokens: None,
            max_tokens_field: None,
            reasoning: None,
            on_unsupported: OnUnsupported::Refuse,
            platform: Platform::Direct,
            quirks: None,
            betas: None,
        }
    }

    /// How the answer will come.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let framing = match (self.dialect, self.platform) {
            (Dialect::Bedrock, _) => Framing::AwsEvents,
            (_, Platform::Bedrock) => Framing::AwsChunks,
            _ => Framing::Sse,
        };
        Wire { dialect: self.dialect, framing }
    }
}

/// A call as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The body.
    pub body: Bytes,
    /// Fields left out because the target has no word for them.
    pub dropped: Vec<String>,
    /// Fields given a value the caller did not choose: name and value.
    pub defaulted: Vec<(String, String)>,
}
