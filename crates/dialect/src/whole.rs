//! Whole answers: passed on unchanged on the same dialect, through the canonical form otherwise.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    Answer, Call, Dialect, Fault, Operation, Part, PartBody, StopReason, Usage, Wire, anthropic, bedrock,
    cohere, count, embeddings,
    fault::{decode_in_band, garbage},
    gemini,
    names::Restore,
    openai,
    relay::failed,
    rerank, responses,
    unnamed::Unnamed,
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
    /// The tier that served it, in the provider's words.
    pub service_tier: Option<String>,
    /// Events and pieces that nobody here knew.
    pub unknown: u32,
    /// The id of the answer as the caller sees it, where a later call may name it.
    pub object_id: Option<String>,
    /// How many pieces of sealed reasoning the provider took out of the call, because another account or model made them.
    pub reasoning_removed: u32,
}

/// Passes a whole answer on.
///
/// # Errors
/// The answer is an error hidden in a success, or no answer at all.
pub fn relay_answer(call: &Call, upstream: impl Into<Wire>, body: Bytes) -> Result<(Bytes, Summary), Fault> {
    if call.operation == Operation::CountTokens {
        return count::relay(call, body);
    }
    let upstream = upstream.into().dialect;
    if call.operation == Operation::Rerank {
        return rerank::relay(call, upstream, body);
    }
    if call.operation == Operation::Embeddings && !embeddings::passes(call, upstream, &body) {
        return embeddings::relay(call, upstream, body);
    }
    let known = match upstream {
        Dialect::OpenAi => Some(openai_summary(call, &body)?),
        Dialect::Anthropic => Some(anthropic_summary(call, &body)?),
        Dialect::Responses if call.dialect == upstream => Some(responses_summary(call, &body)?),
        Dialect::Gemini => Some(gemini_summary(&body)?),
        Dialect::Responses | Dialect::Bedrock | Dialect::Cohere => None,
    };
    if let Some(summary) = known.clone()
        && call.dialect == upstream
    {
        return Ok((body, summary));
    }
    let mut answer = match upstream {
        Dialect::OpenAi => openai::answer::decode(&body)?,
        Dialect::Responses => responses::answer::decode(&body)?,
        Dialect::Anthropic => anthropic::answer::decode(&body)?,
        Dialect::Gemini => gemini::answer::decode(&body)?,
        Dialect::Bedrock => bedrock::answer::decode(&body, call)?,
        Dialect::Cohere => cohere::answer::decode(&body)?,
    };
    let summary = match known {
        Some(summary) => summary,
        None => told(call, &answer)?,
    };
    if call.dialect == upstream {
        return Ok((body, summary));
    }
    if answer.choices.is_empty() {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    if upstream != Dialect::Bedrock {
        restore_names(&mut answer, call, upstream);
    }
    Unnamed::new(call).fill(&mut answer.id, &mut answer.model, &body);
    let body = match call.dialect {
        Dialect::OpenAi => openai::answer::encode(&answer, call.created),
        Dialect::Responses => responses::answer::encode(&answer, call)?,
        Dialect::Anthropic => anthropic::answer::encode(&answer),
        Dialect::Gemini => gemini::answer::encode(&answer, call)?,
        Dialect::Bedrock => bedrock::answer::encode(&answer),
        Dialect::Cohere => cohere::answer::encode(&answer),
    };
    Ok((body.into(), summary))
}

/// Gives tools the caller's names.
fn restore_names(answer: &mut Answer, call: &Call, provider: Dialect) {
    let mut names = None;
    for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let PartBody::ToolCall { name, .. } = &mut part.body {
            let names = names.get_or_insert_with(|| Restore::new(call, provider));
            *name = names.name(std::mem::take(name));
        }
    }
}

/// What accounting needs of an answer that was read whole.
fn told(call: &Call, answer: &Answer) -> Result<Summary, Fault> {
    let Some(first) = answer.first() else {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    };
    if first.stop == StopReason::Failed {
        return Err(failed(first.native_stop.as_deref().unwrap_or("error")));
    }
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    let length = |part: &Part| match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) | PartBody::Thinking { text, .. } => text.len(),
        PartBody::ToolCall { name, arguments, .. } => name.len() + arguments.len(),
        _ => 0,
    };
    let is_unknown = |part: &&Part| matches!(part.body, PartBody::Opaque { .. });
    let calls_tools = first.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    Ok(Summary {
        usage: answer.usage,
        stop: Some(first.stop.with_tools(calls_tools)),
        output_chars: parts.clone().map(|part| u64::try_from(length(part)).unwrap_or(u64::MAX)).sum(),
        upstream_model: Some(answer.model.clone()).filter(|model| !model.is_empty()),
        complete: true,
        service_tier: answer.service_tier.clone(),
        unknown: u32::try_from(parts.filter(is_unknown).count()).unwrap_or(u32::MAX),
        object_id: object_id(call, Some(&answer.id)),
        ..Summary::default()
    })
}

/// The id by which a later call may name an answer; a response that is not kept cannot be named.
pub(crate) fn object_id(call: &Call, id: Option<&str>) -> Option<String> {
    let is_kept = call.dialect != Dialect::Responses || !call.envelope.places.unstored;
    id.filter(|id| is_kept && !id.is_empty()).map(str::to_owned)
}

fn openai_summary(call: &Call, body: &[u8]) -> Result<Summary, Fault> {
    let probe = openai::probe::probe(body).map_err(garbage)?;
    if probe.is_error {
        return Err(decode_in_band(body));
    }
    let is_answer = match call.operation {
        Operation::Chat => probe.choices.is_some_and(|choices| choices > 0),
        Operation::Embeddings => probe.has_data,
        _ => true,
    };
    if !is_answer {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    Ok(Summary {
        usage: probe.usage,
        stop: stop(Dialect::OpenAi, probe.finish.as_deref())?.map(|stop| stop.with_tools(probe.calls_tools)),
        output_chars: probe.chars,
        upstream_model: probe.model.map(Cow::into_owned),
        complete: true,
        service_tier: probe.tier.map(Cow::into_owned),
        object_id: object_id(call, probe.id.as_deref()),
        ..Summary::default()
    })
}

fn anthropic_summary(call: &Call, body: &[u8]) -> Result<Summary, Fault> {
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
        service_tier: probe.tier.map(Cow::into_owned),
        object_id: object_id(call, probe.id.as_deref()),
        ..Summary::default()
    })
}

/// A response that works in the background has no end yet.
fn responses_summary(call: &Call, body: &[u8]) -> Result<Summary, Fault> {
    let probe = responses::probe::whole(body).map_err(garbage)?;
    if probe.is_error {
        return Err(responses::error::read(body));
    }
    let response = probe.response;
    if !response.has_output {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    let is_open = matches!(response.status.as_deref(), Some("queued" | "in_progress"));
    let stop = match response.stop("completed") {
        _ if is_open => None,
        (StopReason::Failed, native) => return Err(failed(native.as_deref().unwrap_or("failed"))),
        (reason, _) => Some(reason),
    };
    Ok(Summary {
        usage: response.usage,
        stop,
        output_chars: response.chars,
        upstream_model: response.model.map(Cow::into_owned),
        complete: true,
        service_tier: response.service_tier.map(Cow::into_owned),
        object_id: response
            .id
            .filter(|_| response.stored != Some(false))
            .and_then(|id| object_id(call, Some(&id))),
        reasoning_removed: response.removed,
        ..Summary::default()
    })
}

fn gemini_summary(body: &[u8]) -> Result<Summary, Fault> {
    let probe = gemini::probe::probe(body).map_err(garbage)?;
    if probe.is_error {
        return Err(decode_in_band(body));
    }
    if probe.candidates == 0 && probe.blocked.is_none() && !probe.has_data {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    let reason = probe.finish.as_deref().map(|word| gemini::stop(word, probe.calls_tools).0);
    if reason == Some(StopReason::Failed) {
        return Err(failed(probe.finish.as_deref().unwrap_or_default()));
    }
    let blocked = probe.blocked.map(|_| StopReason::Refusal);
    Ok(Summary {
        usage: probe.usage,
        stop: blocked.or(reason),
        output_chars: probe.chars,
        upstream_model: probe.model.map(Cow::into_owned),
        complete: true,
        service_tier: probe.tier.map(Cow::into_owned),
        ..Summary::default()
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
