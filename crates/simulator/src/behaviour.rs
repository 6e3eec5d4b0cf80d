//! How a scripted provider misbehaves (or behaves): the keys, and how they are written.
//!
//! The same keys are understood in a model name (`sim-gpt@status=503,latency_ms=20`), in the header
//! (`x-simulate: status=503;latency_ms=20`) and as JSON in a script rule. This module must not know HTTP.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What to do with a call. Every key is optional; a plain call is answered at once and in full.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Wait this long before the response head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Wait this long between the response head and the first byte of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// Length of the answer's text in tokens (one word each).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<NonZeroU32>,
    /// Pace of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<NonZeroU32>,
    /// Answer with this error status (400 to 599) in the dialect's own shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `retry-after` in seconds, with an error status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// `retry-after-ms` (and `retry-after`, rounded up), with an error status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Replaces the error's usual `code` (OpenAI).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Replaces the error's usual `type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// Status 200, but an error inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_in_200: Option<bool>,
    /// A stream reports an error in band after this many events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_after: Option<u32>,
    /// The stream stops moving after this many events, and never ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_after: Option<u32>,
    /// The connection is cut after this many events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<u32>,
    /// Invalid JSON instead of the answer, or in the middle of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed: Option<bool>,
    /// Reports this many input tokens, instead of counting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Of the input tokens, this many were read from the provider's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Of the input tokens, this many were written to the provider's cache (Anthropic).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Reports this many output tokens on top of the text as reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Cuts the bytes of the body into pieces of this size, wherever that falls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<NonZeroU32>,
    /// Leaves usage out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_usage: Option<bool>,
    /// Closes the connection before any byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close: Option<bool>,
    /// Answers with this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Reports this stop reason, in the dialect's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// Calls this tool, if the request offers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Calls this many tools at once: those offered, in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tools: Option<NonZeroU32>,
    /// Tool arguments that are not JSON (where the dialect wants an object: a text instead of one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_arguments: Option<bool>,
    /// Thinks aloud although nobody asked, or does not although somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// Cites a source for the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<bool>,
    /// Declines to answer, in the dialect's own way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<bool>,
    /// Log probabilities although nobody asked, or none although somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// An answer without a choice, a candidate or a block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_choices: Option<bool>,
    /// Content of a kind that nobody knows, before the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_blocks: Option<bool>,
    /// Events of a kind that nobody knows, after the first and before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_events: Option<bool>,
    /// The first four events of a stream in reverse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<bool>,
    /// A stream ends, properly closed, in the middle of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate_record: Option<bool>,
    /// The text is one word of so many bytes, in a single event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub huge_chunk: Option<NonZeroU32>,
    /// A binary event stream in which the checksum of the middle message is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_checksum: Option<bool>,
    /// Encodes the body so, whatever was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Says this content type, whatever the body is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// An error page in HTML, with status 502 or the one of `status`, which may then be 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<bool>,
}

/// What `encoding` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// `gzip`
    Gzip,
    /// `br`
    Br,
    /// `zstd`
    Zstd,
}

/// A behaviour that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot simulate `{text}`: {reason}")]
pub struct BehaviourError {
    text: String,
    reason: String,
}

/// Keys whose value stays text even when it looks like a number.
const TEXT_KEYS: [&str; 6] = ["error_code", "error_type", "text", "stop_reason", "tool", "content_type"];

/// Keys that may stand alone, meaning `true`.
const FLAGS: [&str; 16] = [
    "error_in_200",
    "malformed",
    "no_usage",
    "close",
    "bad_arguments",
    "thinking",
    "citations",
    "refusal",
    "logprobs",
    "empty_choices",
    "unknown_blocks",
    "unknown_events",
    "reorder",
    "truncate_record",
    "bad_checksum",
    "html",
];

impl Behaviour {
    /// Reads `key=value` pairs between commas or semicolons.
    pub fn parse(text: &str) -> Result<Self, BehaviourError> {
        let mut keys = Map::new();
        for pair in text.split([',', ';']).map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').map_or((pair, "true"), |(key, value)| (key.trim(), value.trim()));
            keys.insert(key.to_owned(), value_of(key, value));
        }
        let refused = |reason: String| BehaviourError { text: text.to_owned(), reason };
        let behaviour: Self =
            serde_json::from_value(Value::Object(keys)).map_err(|error| refused(error.to_string()))?;
        behaviour.check().map_err(refused)?;
        Ok(behaviour)
    }

    /// What types alone cannot say.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.status {
            Some(200) if Self::is_on(self.html) => Ok(()),
            Some(status) if !(400..=599).contains(&status) => {
                Err(format!("`status` is for errors, from 400 to 599, not {status}"))
            }
            _ => Ok(()),
        }
    }

    /// This behaviour with everything that `over` says instead.
    #[must_use]
    pub fn overridden_by(self, over: Self) -> Self {
        Self {
            latency_ms: over.latency_ms.or(self.latency_ms),
            first_byte_ms: over.first_byte_ms.or(self.first_byte_ms),
            tokens: over.tokens.or(self.tokens),
            tokens_per_second: over.tokens_per_second.or(self.tokens_per_second),
            status: over.status.or(self.status),
            retry_after: over.retry_after.or(self.retry_after),
            retry_after_ms: over.retry_after_ms.or(self.retry_after_ms),
            error_code: over.error_code.or(self.error_code),
            error_type: over.error_type.or(self.error_type),
            error_in_200: over.error_in_200.or(self.error_in_200),
            error_after: over.error_after.or(self.error_after),
            stall_after: over.stall_after.or(self.stall_after),
            cut_after: over.cut_after.or(self.cut_after),
            malformed: over.malformed.or(self.malformed),
            input_tokens: over.input_tokens.or(self.input_tokens),
            cached_tokens: over.cached_tokens.or(self.cached_tokens),
            cache_write_tokens: over.cache_write_tokens.or(self.cache_write_tokens),
            reasoning_tokens: over.reasoning_tokens.or(self.reasoning_tokens),
            chunk_bytes: over.chunk_bytes.or(self.chunk_bytes),
            no_usage: over.no_usage.or(self.no_usage),
            close: over.close.or(self.close),
            text: over.text.or(self.text),
            stop_reason: over.stop_reason.or(self.stop_reason),
            tool: over.tool.or(self.tool),
            parallel_tools: over.parallel_tools.or(self.parallel_tools),
            bad_arguments: over.bad_arguments.or(self.bad_arguments),
            thinking: over.thinking.or(self.thinking),
            citations: over.citations.or(self.citations),
            refusal: over.refusal.or(self.refusal),
            logprobs: over.logprobs.or(self.logprobs),
            empty_choices: over.empty_choices.or(self.empty_choices),
            unknown_blocks: over.unknown_blocks.or(self.unknown_blocks),
            unknown_events: over.unknown_events.or(self.unknown_events),
            reorder: over.reorder.or(self.reorder),
            truncate_record: over.truncate_record.or(self.truncate_record),
            huge_chunk: over.huge_chunk.or(self.huge_chunk),
            bad_checksum: over.bad_checksum.or(self.bad_checksum),
            encoding: over.encoding.or(self.encoding),
            content_type: over.content_type.or(self.content_type),
            html: over.html.or(self.html),
        }
    }

    pub(crate) fn is_on(flag: Option<bool>) -> bool {
        flag == Some(true)
    }
}

/// Splits `NAME@key=value,…`. What follows the `@` is a behaviour only when it looks like one, so that a version such as
/// `claude@20240229` stays part of the name.
pub(crate) fn split_model(model: &str) -> (&str, Option<&str>) {
    match model.split_once('@') {
        Some((name, script)) if is_script(script) => (name, Some(script)),
        _ => (model, None),
    }
}

fn is_script(text: &str) -> bool {
    text.contains('=')
        || (!text.is_empty() && text.split([',', ';']).all(|flag| FLAGS.contains(&flag.trim())))
}

fn value_of(key: &str, value: &str) -> Value {
    let as_text = || Value::String(value.to_owned());
    match value {
        _ if TEXT_KEYS.contains(&key) => as_text(),
        "1" if FLAGS.contains(&key) => Value::Bool(true),
        "0" if FLAGS.contains(&key) => Value::Bool(false),
        _ => serde_json::from_str(value).unwrap_or_else(|_| as_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_carries_a_behaviour_after_its_first_at_sign() {
        assert_eq!(
            split_model("sim-gpt@status=500,latency_ms=20"),
            ("sim-gpt", Some("status=500,latency_ms=20"))
        );
        assert_eq!(split_model("sim-gpt@close"), ("sim-gpt", Some("close")));
        assert_eq!(split_model("claude@20240229"), ("claude@20240229", None));
        assert_eq!(split_model("sim-gpt"), ("sim-gpt", None));
    }

    #[test]
    fn commas_semicolons_and_lone_flags_are_understood() {
        let behaviour = Behaviour::parse("status=429; retry_after=3, close").unwrap();
        assert_eq!(
            (behaviour.status, behaviour.retry_after, behaviour.close),
            (Some(429), Some(3), Some(true))
        );
        assert_eq!(Behaviour::parse("error_code=42").unwrap().error_code.as_deref(), Some("42"));
        assert_eq!(Behaviour::parse("").unwrap(), Behaviour::default());
    }

    #[test]
    fn what_cannot_be_simulated_is_refused_by_name() {
        for (text, reason) in [
            ("colour=red", "colour"),
            ("status=200", "400 to 599"),
            ("tokens=0", "nonzero"),
            ("latency_ms=soon", "soon"),
        ] {
            let error = Behaviour::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn an_override_replaces_only_what_it_says() {
        let base = Behaviour::parse("status=500,latency_ms=5").unwrap();
        let both = base.overridden_by(Behaviour::parse("status=429").unwrap());
        assert_eq!(both, Behaviour::parse("status=429,latency_ms=5").unwrap());
    }
}
