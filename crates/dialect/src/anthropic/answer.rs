//! Whole Anthropic answers, to and from the canonical form.

use crate::{
    Answer, Choice, Dialect, Fault, Signature, StopReason,
    anthropic::{citation, parts, usage},
    canonical::{Extra, Part, PartBody},
    fault::broken,
    json::{Object, as_object, object},
    signature::seal_id,
};

/// Reads a body that is known to be an answer.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Fault> {
    read(body).map_err(|fault| broken(&fault))
}

fn read(body: &[u8]) -> Result<Answer, Fault> {
    let mut message = Object::parse(body)?;
    let word = message.take_string("stop_reason")?;
    let (stop, native_stop) = match &word {
        Some(word) => StopReason::decode(Dialect::Anthropic, word),
        None => (StopReason::End, None),
    };
    let report = message.take("usage");
    Ok(Answer {
        id: message.take_string("id")?.unwrap_or_default(),
        model: message.take_string("model")?.unwrap_or_default(),
        created: None,
        choices: vec![Choice {
            parts: said(&mut message)?,
            stop,
            native_stop,
            stop_sequence: message.take_string("stop_sequence")?,
            logprobs: None,
        }],
        service_tier: report.and_then(|report| usage::tier(report.get().as_bytes())),
        usage: report.and_then(|report| usage::correct(None, report.get().as_bytes())),
        extra: Extra::new(),
    })
}

/// The blocks of an answer with what they rest on.
fn said(message: &mut Object<'_>) -> Result<Vec<Part>, Fault> {
    let mut parts = parts::content(message, "content")?;
    for part in &mut parts {
        part.citations = citation::take(&mut part.extra)?;
    }
    Ok(parts)
}

/// Writes a body.
pub(crate) fn encode(answer: &Answer) -> Vec<u8> {
    let first = answer.first();
    let said = first.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let calls_tools = said.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    let refuses = said.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let stop =
        first.map_or(StopReason::End, |choice| choice.stop).with_tools(calls_tools).with_refusal(refuses);
    object(|w| {
        w.string("id", &answer.id);
        w.string("type", "message");
        w.string("role", "assistant");
        w.string("model", &answer.model);
        w.array("content", |array| {
            for part in said {
                if let Some(part) = shown(part) {
                    parts::write(array, &part, false);
                }
            }
        });
        w.string("stop_reason", stop.encode(Dialect::Anthropic));
        w.opt_string("stop_sequence", first.and_then(|choice| choice.stop_sequence.as_deref()));
        if let Some(native) = first.and_then(|choice| choice.native_stop.as_ref()) {
            w.string("native_stop_reason", native);
        }
        w.object("usage", |w| {
            usage::write(&answer.usage.unwrap_or_default(), w);
            // The SDK's type knows three tiers; others stay with whoever served the call.
            let tier = answer.service_tier.as_deref();
            if let Some(tier) = tier.filter(|tier| matches!(*tier, "standard" | "priority" | "batch")) {
                w.string("service_tier", tier);
            }
        });
    })
}

/// A piece as an Anthropic caller gets it. Reasoning without a signature has an empty one, which is left out when the
/// caller sends it back; arguments that are not an object are shown to the tool's own check instead of failing the answer.
fn shown(part: &Part) -> Option<Part> {
    let body = match &part.body {
        PartBody::Text(text) if text.is_empty() => return None,
        PartBody::Opaque { .. } => return None,
        PartBody::Thinking { text, signature } => {
            let unsigned = || Signature::new(Dialect::Anthropic, "");
            let signature = Some(signature.clone().unwrap_or_else(unsigned));
            PartBody::Thinking { text: text.clone(), signature }
        }
        PartBody::ToolCall { id, name, arguments } => {
            let arguments = as_object(arguments);
            PartBody::ToolCall { id: seal_id(id, part.signature.as_ref()), name: name.clone(), arguments }
        }
        body => body.clone(),
    };
    let citations = part.citations.iter().filter(|citation| citation::is_known(citation)).cloned();
    Some(Part { citations: citations.collect(), ..body.into() })
}
