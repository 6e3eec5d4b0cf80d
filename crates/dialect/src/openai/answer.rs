//! Whole OpenAI answers, to and from the canonical form.

use serde_json::value::RawValue;

use crate::{
    Answer, Choice, Dialect, Fault, StopReason,
    canonical::{Extra, Part, PartBody},
    fault::broken,
    json::{Object, ObjectWriter, object},
    openai::{parts, usage},
};

/// Reads a body that is known to be an answer; of several choices the first counts.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Fault> {
    read(body).map_err(|fault| broken(&fault))
}

fn read(body: &[u8]) -> Result<Answer, Fault> {
    let mut completion = Object::parse(body)?;
    let choices: Vec<&RawValue> = completion.take_array("choices")?;
    let Some(choice) = choices.first() else {
        return Err(completion.wrong("choices", "an array with a choice"));
    };
    let mut choice = Object::read(choice, "choices[0]")?;
    let word = choice.take_string("finish_reason")?;
    let (stop, native_stop) = match &word {
        Some(word) => StopReason::decode(Dialect::OpenAi, word),
        None => (StopReason::End, None),
    };
    let Some(mut message) = choice.take_object("message")? else {
        return Err(choice.wrong("message", "an object"));
    };
    Ok(Answer {
        id: completion.take_string("id")?.unwrap_or_default(),
        model: completion.take_string("model")?.unwrap_or_default(),
        created: completion.take_as("created", "a number")?,
        choices: vec![Choice {
            parts: parts::assistant(&mut message)?,
            stop,
            native_stop,
            stop_sequence: None,
            logprobs: None,
        }],
        usage: completion.take("usage").and_then(|report| usage::decode(report.get().as_bytes())),
        service_tier: None,
        extra: Extra::new(),
    })
}

/// Writes a body; `created` stands in where the provider tells no time.
pub(crate) fn encode(answer: &Answer, created: u64) -> Vec<u8> {
    let first = answer.first();
    let said = first.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let calls_tools = said.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    let stop = first.map_or(StopReason::End, |choice| choice.stop).with_tools(calls_tools);
    object(|w| {
        w.string("id", &answer.id);
        w.string("object", "chat.completion");
        w.number("created", answer.created.unwrap_or(created));
        w.string("model", &answer.model);
        w.array("choices", |array| {
            array.object(|w| {
                w.number("index", 0);
                w.object("message", |w| write_message(w, said));
                w.null("logprobs");
                w.string("finish_reason", stop.encode(Dialect::OpenAi));
                if let Some(native) = first.and_then(|choice| choice.native_stop.as_ref()) {
                    w.string("native_finish_reason", native);
                }
            });
        });
        if let Some(usage) = &answer.usage {
            w.object("usage", |w| usage::write(usage, w));
        }
    })
}

fn write_message(w: &mut ObjectWriter<'_>, parts: &[Part]) {
    w.string("role", "assistant");
    parts::write_assistant(w, &one_text(parts), false);
    if !parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_))) {
        w.null("refusal");
    }
    parts::write_reasoning(w, parts);
}

/// The pieces with all text in one: an answer's content is one string.
fn one_text(parts: &[Part]) -> Vec<Part> {
    let mut one: Vec<Part> = Vec::with_capacity(parts.len());
    let mut place = None;
    for part in parts {
        let PartBody::Text(text) = &part.body else {
            one.push(part.clone());
            continue;
        };
        match place.and_then(|place: usize| one.get_mut(place)).map(|part| &mut part.body) {
            Some(PartBody::Text(all)) => all.push_str(text),
            _ => {
                place = Some(one.len());
                one.push(PartBody::Text(text.clone()).into());
            }
        }
    }
    one
}
