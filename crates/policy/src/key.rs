//! The kind `Key`: a virtual key of a consumer, known by its keyed hash alone. Made by the keys API; the name is the key's id.

use serde::{Deserialize, Serialize};

use crate::{Digest, Name, Patterns, Timestamp, diagnostic::Report, limits, provider::is_false};

/// What is kept about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// The `Consumer` that calls with it.
    pub consumer: Name,
    /// HMAC-SHA-256 of the key under the pepper, in hexadecimal digits.
    pub hash: Digest,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends. Omitted: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Narrows the consumer's models. Omitted: all of the consumer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Patterns>,
    /// Whether it was withdrawn.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoked: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl KeySpec {
    pub(crate) fn check(&self, report: &mut Report) {
        if let Some(expires) = self.expires
            && expires <= self.created
        {
            report.error("spec.expires", "invalid_value", format!("the key was made at {}", self.created));
        }
        if let Some(Err(message)) = self.models.as_ref().map(Patterns::check) {
            report.error("spec.models", "invalid_value", message);
        }
        if self.note.as_ref().is_some_and(|note| note.chars().count() > limits::NOTE_CHARS) {
            report.error("spec.note", "too_large", format!("at most {} characters", limits::NOTE_CHARS));
        }
    }
}
