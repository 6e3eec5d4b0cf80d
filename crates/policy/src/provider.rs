//! The kind `Provider`: where models are served, in which dialect and with which credential.

mod address;
mod auth;
mod fetch;
mod platform;
mod preset;
mod quirks;
mod resolve;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

pub use auth::{Auth, AuthSpec, AwsAuth, AwsSource, EntraAuth, EntraSource, GoogleAuth, GoogleSource};
pub use fetch::{Fetch, HostPattern};
pub use platform::{AwsSpec, AzureSpec, Platform, VertexSpec};
pub use preset::preset_names;
pub use quirks::{Clamp, ModelQuirks, OperationName, Quirks, ResponsesVia, StreamUsage};
pub(crate) use resolve::Resolved;

use crate::{SecretRef, Span, diagnostic::Report, limits};

/// What an operator writes about a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// A vendor about which the rest is known. What is written beside it counts instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = preset_names().collect::<Vec<_>>()))]
    pub preset: Option<String>,
    /// How the provider speaks. Needed unless a preset knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// What the official SDK of that dialect takes as its base URL. Plain `http://` only to loopback. Needed unless a preset knows
    /// or a cloud has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Where the credential, a plain key, is found. Omitted: the provider needs none, or `auth` says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<SecretRef>,
    /// That the models are at Azure OpenAI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureSpec>,
    /// That the models are at Google Vertex AI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertex: Option<VertexSpec>,
    /// That the models are at AWS Bedrock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsSpec>,
    /// How to sign in where a plain key will not do. Not together with `credential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// How it differs from what its dialect says.
    #[serde(default, skip_serializing_if = "Quirks::is_empty")]
    pub quirks: Quirks,
    /// What happens to a call that asks for what the target cannot do. Omitted: `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unsupported: Option<OnUnsupported>,
    /// Leave for the proxy to fetch images and documents for it. Omitted: none are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Fetch>,
    /// Headers added to every request. Never for credentials.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How long to wait for what.
    #[serde(default, skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// Whether to speak HTTP/2 to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub http2: bool,
    /// The field in which an OpenAI-compatible provider takes the limit of output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens_field: Option<MaxTokensField>,
}

/// How a provider speaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI chat completions, embeddings and the rest of that API, and all that is compatible with them.
    OpenAi,
    /// OpenAI's Responses API alone.
    Responses,
    /// Anthropic messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
    /// AWS Bedrock's `Converse`.
    Bedrock,
    /// Cohere's chat, embed and rerank of version 2.
    Cohere,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Dialect::OpenAi => "openai",
            Dialect::Responses => "responses",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
            Dialect::Bedrock => "bedrock",
            Dialect::Cohere => "cohere",
        })
    }
}

/// What happens to a call that asks for what a target cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnsupported {
    /// It is refused, and the field named.
    #[default]
    Refuse,
    /// It is sent without the field, and a header of the answer names it.
    Drop,
}

/// The name of the field that limits output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_tokens`, which most OpenAI-compatible servers understand.
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's newer models insist on.
    MaxCompletionTokens,
}

/// How long to wait for what. What is omitted comes from the next wider place: rule, then provider, then [`Timeouts::DEFAULT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    /// From the request until the first byte of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Span>,
    /// Between two pieces of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// From the request until the end of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Span>,
}

impl Timeouts {
    /// What holds where nothing is authored. The first byte is not in it: that of a whole answer comes only when all of it has
    /// been written, so whoever waits has to know what for.
    pub const DEFAULT: Timeouts = Timeouts {
        connect: Some(Span::from_millis(5_000)),
        first_byte: None,
        idle: Some(Span::from_millis(60_000)),
        total: Some(Span::from_millis(600_000)),
    };

    /// These timeouts, completed by `wider` where nothing is said.
    pub fn or(self, wider: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.or(wider.connect),
            first_byte: self.first_byte.or(wider.first_byte),
            idle: self.idle.or(wider.idle),
            total: self.total.or(wider.total),
        }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Timeouts::default()
    }

    pub(crate) fn check(&self, path: &str, report: &mut Report) {
        let parts = [("connect", self.connect), ("first_byte", self.first_byte), ("idle", self.idle)];
        for (name, part) in parts {
            if let (Some(part), Some(total)) = (part, self.total)
                && part > total
            {
                let message = format!("{part} can never pass, because `total` ends the call after {total}");
                report.error(format_args!("{path}.{name}"), "invalid_value", message);
            }
        }
    }
}

impl ProviderSpec {
    pub(crate) fn check(&self, report: &mut Report) {
        let resolved = self.resolve(report);
        self.timeouts.check("spec.timeouts", report);
        let is_elsewhere = resolved.is_some_and(|resolved| resolved.dialect != Dialect::OpenAi);
        if self.max_tokens_field.is_some() && is_elsewhere {
            let message = "only a provider of the dialect `openai` has a choice here; remove the field";
            report.error("spec.max_tokens_field", "invalid_value", message);
        }
        if let Some(fetch) = &self.fetch {
            fetch.check(report);
        }
        if self.headers.len() > limits::HEADERS {
            report.error("spec.headers", "too_large", format!("at most {} headers", limits::HEADERS));
        }
        for (name, value) in &self.headers {
            let path = crate::path::Path(vec![
                crate::path::Step::Key("spec".into()),
                crate::path::Step::Key("headers".into()),
                crate::path::Step::Key(name.clone()),
            ]);
            if let Err(message) = check_header(name, value) {
                report.error(path, "invalid_value", message);
            }
        }
    }
}

impl ProviderSpec {
    /// Whether a field that a preset may need is written.
    fn has(&self, field: &str) -> bool {
        match field {
            "base_url" => self.base_url.is_some(),
            "vertex" => self.vertex.is_some(),
            "aws" => self.aws.is_some(),
            "azure" => self.azure.is_some(),
            _ => false,
        }
    }
}

/// Headers that carry credentials or belong to the connection, so that policy must not set them.
const RESERVED_HEADERS: [&str; 17] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "cookie",
    "proxy-authorization",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "expect",
];

/// Never repeats the value: it could be a credential in the wrong place.
fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("this is not a header's name".to_owned());
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("header names are written in lower case: `{}`", name.to_ascii_lowercase()));
    }
    if RESERVED_HEADERS.contains(&name) {
        return Err(format!("`{name}` is set by the proxy; a credential is written as `spec.credential`"));
    }
    if value.len() > limits::HEADER_VALUE_BYTES || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(format!(
            "a header's value is printable ASCII of at most {} bytes",
            limits::HEADER_VALUE_BYTES
        ));
    }
    Ok(())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

/// For fields that are omitted where they say nothing.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
