//! Whole answers: passed on unchanged on the same dialect, through the canonical form otherwise.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    Call, Dialect, Fault, Operation, StopReason, Usage, anthropic,
    fault::{decode_in_band, garbage},
    openai,
    relay::failed,
};

/// What is known of an answer, whole or so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// What was used, as far as the provider told.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub stop: Option<StopReason>,
    /// The length of everything written, in UTF-8 bytes, for estimates.
    pub output_chars: u64,
    /// The model that answered, in the provider's words.
    pub upstream_model: Option<String>,
    /// Whether the answer came to its proper end.
    pub complete: bool,
}

/// Passes a whole answer on.
///
/// # Errors
/// The answer is an error hidden in a success, or no answer at all.
pub fn relay_answer(call: &Call, upstream: Dialect, body: Bytes) -> Result<(Bytes, Summary), Fault> {
    let summary = match upstream {
        Dialect::OpenAi => openai_summary(call, &body)?,
        Dialect::Anthropic => anthropic_summary(&body)?,
    };
    if call.dialect == upstream {
        return Ok((body, summary));
    }
    let answer = match upstream {
        Dialect::OpenAi => openai::answer::decode(&body)?,
        Dialect::Anthropic => anthropic::answer::decode(&body)?,
    };
    let body = match call.dialect {
        Dialect::OpenAi => openai::answer::encode(&answer, call.created),
        Dialect::Anthropic => anthropic::answer::encode(&answer),
    };
    Ok((body.into(), summary))
}

fn openai_summary(call: &Call, body: &[u8]) -> Result<Summary, Fault> {
    let probe = openai::probe::probe(body).map_err(garbage)?;
    if probe.is_error {
        return Err(decode_in_band(body));
    }
    let is_answer = match call.operation {
        Operation::Chat => probe.choices.is_some_and(|choices| choices > 0),
        Operation::Embeddings => probe.has_data,
    };
    if !is_answer {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    Ok(Summary {
        usage: probe.usage,
        stop: stop(Dialect::OpenAi, probe.finish.as_deref())?,
        output_chars: probe.chars,
        upstream_model: probe.model.map(Cow::into_owned),
        complete: true,
    })
}

fn anthropic_summary(body: &[u8]) -> Result<Summary, Fault> {
    let probe = anthropic::probe::probe(body, None).map_err(garbage)?;
    if probe.is_error || probe.kind == "error" {
        return Err(decode_in_band(body));
    }
    if !probe.has_content {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    Ok(Summary {
        usage: probe.usage,
        stop: stop(Dialect::Anthropic, probe.stop.as_deref())?,
        output_chars: probe.chars,
        upstream_model: probe.model.map(Cow::into_owned),
        complete: true,
    })
}

fn stop(dialect: Dialect, word: Option<&str>) -> Result<Option<StopReason>, Fault> {
    let Some(word) = word else { return Ok(None) };
    match StopReason::decode(dialect, word).0 {
        StopReason::Failed => Err(failed(word)),
        reason => Ok(Some(reason)),
    }
}

#[cfg(test)]
mod tests;
