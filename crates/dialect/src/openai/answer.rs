//! Whole OpenAI answers, to and from the canonical form.

use serde_json::value::RawValue;

use crate::{
    Answer, Choice, Dialect, Fault, StopReason,
    canonical::{Extra, Json, Part, PartBody},
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
    if choices.is_empty() {
        return Err(completion.wrong("choices", "an array with a choice"));
    }
    let choices = choices.into_iter().enumerate();
    let choices = choices.map(|(index, choice)| read_choice(choice, crate::json::nth("choices", index)));
    Ok(Answer {
        choices: choices.collect::<Result<_, _>>()?,
        id: completion.take_string("id")?.unwrap_or_default(),
        model: completion.take_string("model")?.unwrap_or_default(),
        created: completion.take_as("created", "a number")?,
        usage: completion.take("usage").and_then(|report| usage::decode(report.get().as_bytes())),
        service_tier: completion.take_string("service_tier")?,
        extra: Extra::new(),
    })
}

fn read_choice(choice: &RawValue, place: String) -> Result<Choice, Fault> {
    let mut choice = Object::read(choice, place)?;
    let word = choice.take_string("finish_reason")?;
    let (stop, native_stop) = match &word {
        Some(word) => StopReason::decode(Dialect::OpenAi, word),
        None => (StopReason::End, None),
    };
    let Some(mut message) = choice.take_object("message")? else {
        return Err(choice.wrong("message", "an object"));
    };
    let mut parts = parts::assistant(&mut message)?;
    let citations = parts::annotations(&mut message)?;
    if let Some(text) = parts.iter_mut().find(|part| matches!(part.body, PartBody::Text(_))) {
        text.citations = citations;
    }
    let logprobs = choice.take("logprobs").map(Json::new);
    Ok(Choice { parts, stop, native_stop, stop_sequence: None, logprobs })
}

/// Writes a body; `created` stands in where the provider tells no time.
pub(crate) fn encode(answer: &Answer, created: u64) -> Vec<u8> {
    object(|w| {
        w.string("id", &answer.id);
        w.string("object", "chat.completion");
        w.number("created", answer.created.unwrap_or(created));
        w.string("model", &answer.model);
        w.array("choices", |array| {
            for (index, choice) in (0..).zip(&answer.choices) {
                array.object(|w| write_choice(w, index, choice));
            }
        });
        if let Some(usage) = &answer.usage {
            w.object("usage", |w| usage::write(usage, w));
        }
        if let Some(tier) = answer.service_tier.as_deref().and_then(usage::tier) {
            w.string("service_tier", tier);
        }
    })
}

fn write_choice(w: &mut ObjectWriter<'_>, index: u64, choice: &Choice) {
    let calls_tools = choice.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    w.number("index", index);
    w.object("message", |w| write_message(w, &choice.parts));
    match &choice.logprobs {
        Some(logprobs) => w.raw("logprobs", logprobs.text()),
        None => w.null("logprobs"),
    }
    w.string("finish_reason", choice.stop.with_tools(calls_tools).encode(Dialect::OpenAi));
    if let Some(native) = &choice.native_stop {
        w.string("native_finish_reason", native);
    }
}

fn write_message(w: &mut ObjectWriter<'_>, parts: &[Part]) {
    w.string("role", "assistant");
    parts::write_assistant(w, &one_text(parts), false);
    if !parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_))) {
        w.null("refusal");
    }
    parts::write_annotations(w, parts.iter().flat_map(|part| &part.citations));
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
