//! Whole Anthropic answers, to and from the canonical form.

use crate::{
    Answer, Dialect, Fault, StopReason,
    anthropic::{parts, usage},
    canonical::{Part, PartBody},
    fault::broken,
    json::{Object, object},
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
    Ok(Answer {
        id: message.take_string("id")?.unwrap_or_default(),
        model: message.take_string("model")?.unwrap_or_default(),
        created: None,
        parts: parts::content(&mut message, "content")?,
        stop,
        native_stop,
        stop_sequence: message.take_string("stop_sequence")?,
        usage: message.take("usage").and_then(|report| usage::correct(None, report.get().as_bytes())),
    })
}

/// Writes a body.
pub(crate) fn encode(answer: &Answer) -> Vec<u8> {
    let calls_tools = answer.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    let refuses = answer.parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let stop = answer.stop.with_tools(calls_tools).with_refusal(refuses);
    object(|w| {
        w.string("id", &answer.id);
        w.string("type", "message");
        w.string("role", "assistant");
        w.string("model", &answer.model);
        w.array("content", |array| {
            for part in &answer.parts {
                if let Some(part) = shown(part) {
                    parts::write(array, &part, false);
                }
            }
        });
        w.string("stop_reason", stop.encode(Dialect::Anthropic));
        w.opt_string("stop_sequence", answer.stop_sequence.as_deref());
        if let Some(native) = &answer.native_stop {
            w.string("native_stop_reason", native);
        }
        w.object("usage", |w| usage::write(&answer.usage.unwrap_or_default(), w));
    })
}

/// A piece as an Anthropic caller gets it. Reasoning without a signature has an empty one, which is left out when the
/// caller sends it back; arguments that are not an object are shown to the tool's own check instead of failing the answer.
fn shown(part: &Part) -> Option<Part> {
    let body = match &part.body {
        PartBody::Text(text) if text.is_empty() => return None,
        PartBody::Opaque { .. } => return None,
        PartBody::Thinking { text, signature } => {
            let signature = Some(signature.clone().unwrap_or_default());
            PartBody::Thinking { text: text.clone(), signature }
        }
        PartBody::ToolCall { id, name, arguments } => {
            let arguments = as_object(arguments);
            PartBody::ToolCall { id: id.clone(), name: name.clone(), arguments }
        }
        body => body.clone(),
    };
    Some(body.into())
}

fn as_object(arguments: &str) -> String {
    if arguments.trim().is_empty() {
        return "{}".to_owned();
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments) {
        Ok(_) => arguments.to_owned(),
        Err(_) => serde_json::json!({ "invalid_arguments": arguments }).to_string(),
    }
}
