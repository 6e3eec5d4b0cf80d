//! Whole answers of Cohere, to and from the canonical form.

use crate::{
    Answer, Choice, Dialect, Fault, StopReason,
    canonical::{Extra, Part, PartBody},
    cohere::{parts, usage},
    fault::{broken, sanitise},
    json::{Object, object},
};

/// Reads a body. It tells no model.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Fault> {
    read(body).map_err(|fault| broken(&fault))
}

fn read(body: &[u8]) -> Result<Answer, Fault> {
    let mut answer = Object::parse(body)?;
    let Some(mut message) = answer.take_object("message")? else {
        return Err(answer.wrong("message", "an object"));
    };
    let word = answer.take_string("finish_reason")?;
    let (stop, native_stop) = match &word {
        Some(word) => StopReason::decode(Dialect::Cohere, word),
        None => (StopReason::End, None),
    };
    Ok(Answer {
        id: answer.take_string("id")?.unwrap_or_default(),
        model: String::new(),
        created: None,
        choices: vec![Choice {
            parts: parts::assistant(&mut message)?,
            stop,
            native_stop: native_stop.map(|word| sanitise(&word)),
            stop_sequence: None,
            logprobs: None,
        }],
        usage: answer.take("usage").and_then(|report| usage::decode(report.get().as_bytes())),
        service_tier: None,
        extra: Extra::new(),
    })
}

/// Writes a body.
pub(crate) fn encode(answer: &Answer) -> Vec<u8> {
    let first = answer.first();
    let said = first.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let said: Vec<Part> = said.iter().filter_map(shown).collect();
    let calls_tools = said.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    let refuses = said.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let stop = first.map_or(StopReason::End, |choice| choice.stop);
    let stop = stop.with_tools(calls_tools).with_refusal(refuses);
    object(|w| {
        w.string("id", &answer.id);
        w.string("finish_reason", stop.encode(Dialect::Cohere));
        w.object("message", |w| {
            w.string("role", "assistant");
            parts::write_assistant(w, &said);
        });
        w.object("usage", |w| usage::write(&answer.usage.unwrap_or_default(), w));
    })
}

/// A piece as it is shown: there is no word for seals.
fn shown(part: &Part) -> Option<Part> {
    let body = match &part.body {
        PartBody::Text(text) | PartBody::Thinking { text, .. } if text.is_empty() => return None,
        PartBody::Opaque { .. } | PartBody::RedactedThinking { .. } => return None,
        body => body.clone(),
    };
    Some(Part { citations: part.citations.clone(), ..Part::from(body) })
}
