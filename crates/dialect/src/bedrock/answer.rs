//! Whole answers of Converse, to and from the canonical form.

use crate::{
    Answer, Call, Choice, Dialect, Fault, StopReason,
    bedrock::{parts, usage},
    canonical::{Part, PartBody},
    fault::broken,
    json::{Object, as_object, object},
    names::{ANSWER_TOOL, Restore},
};

/// Reads a body: the answer to this call. It tells neither an id nor a model.
pub(crate) fn decode(body: &[u8], call: &Call) -> Result<Answer, Fault> {
    read(body, call).map_err(|fault| broken(&fault))
}

fn read(body: &[u8], call: &Call) -> Result<Answer, Fault> {
    let mut answer = Object::parse(body)?;
    let Some(mut output) = answer.take_object("output")? else {
        return Err(answer.wrong("output", "an object"));
    };
    let Some(mut message) = output.take_object("message")? else {
        return Err(output.wrong("message", "an object"));
    };
    let mut parts = parts::content(&mut message, "content")?;
    let word = answer.take_string("stopReason")?;
    let (mut stop, native_stop) = match &word {
        Some(word) => StopReason::decode(Dialect::Bedrock, word),
        None => (StopReason::End, None),
    };
    if restore(&mut parts, call) && stop == StopReason::ToolUse {
        stop = StopReason::End;
    }
    let fields = answer.take_object("additionalModelResponseFields")?;
    let sequence = fields.and_then(|mut fields| fields.take_string("stop_sequence").ok().flatten());
    let tier = answer.take_object("serviceTier")?.map(|mut tier| tier.take_string("type")).transpose()?;
    Ok(Answer {
        id: String::new(),
        model: String::new(),
        created: None,
        choices: vec![Choice { parts, stop, native_stop, stop_sequence: sequence, logprobs: None }],
        usage: answer.take("usage").and_then(|report| usage::decode(report.get().as_bytes())),
        service_tier: tier.flatten(),
        extra: answer.rest(),
    })
}

/// Gives tools the caller's names, and turns the answer that was given as a call of a tool into text. True when no
/// call of the caller's tools is left.
fn restore(parts: &mut [Part], call: &Call) -> bool {
    let mut names = None;
    let (mut answered, mut calls) = (false, false);
    for part in parts {
        let PartBody::ToolCall { name, arguments, .. } = &mut part.body else { continue };
        if name == ANSWER_TOOL && call.dialect != Dialect::Bedrock {
            answered = true;
            part.body = PartBody::Text(std::mem::take(arguments));
        } else {
            calls = true;
            let names = names.get_or_insert_with(|| Restore::new(call, Dialect::Bedrock));
            *name = names.name(std::mem::take(name));
        }
    }
    answered && !calls
}

/// Writes a body.
pub(crate) fn encode(answer: &Answer) -> Vec<u8> {
    let first = answer.first();
    let said = first.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let calls_tools = said.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    let refuses = said.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let stop = first.map_or(StopReason::End, |choice| choice.stop);
    let stop = stop.with_tools(calls_tools).with_refusal(refuses);
    object(|w| {
        w.object("output", |w| {
            w.object("message", |w| {
                w.string("role", "assistant");
                w.array("content", |array| {
                    said.iter().filter_map(shown).for_each(|part| parts::write(array, &part));
                });
            });
        });
        w.string("stopReason", stop.encode(Dialect::Bedrock));
        w.object("usage", |w| usage::write(&answer.usage.unwrap_or_default(), w));
        w.object("metrics", |w| w.number("latencyMs", 0));
        if let Some(sequence) = first.and_then(|choice| choice.stop_sequence.as_ref()) {
            w.object("additionalModelResponseFields", |w| w.string("stop_sequence", sequence));
        }
    })
}

/// A piece as it is shown: seals of others say whose they are, and nothing is empty.
fn shown(part: &Part) -> Option<Part> {
    let body = match &part.body {
        PartBody::Text(text) if text.is_empty() => return None,
        PartBody::Opaque { .. } => return None,
        PartBody::Thinking { text, signature } => {
            let signature = signature.as_ref().map(super::carried);
            PartBody::Thinking { text: text.clone(), signature }
        }
        PartBody::RedactedThinking { data } => PartBody::RedactedThinking { data: super::carried(data) },
        PartBody::ToolCall { id, name, arguments } => {
            let arguments = as_object(arguments);
            PartBody::ToolCall { id: id.clone(), name: name.clone(), arguments }
        }
        body => body.clone(),
    };
    Some(Part { citations: part.citations.clone(), ..Part::from(body) })
}

#[cfg(test)]
mod tests;
