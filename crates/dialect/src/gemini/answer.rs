//! Whole Gemini answers, to and from the canonical form.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::value::RawValue;

use crate::{
    Answer, Call, Choice, Citation, Dialect, Fault, Signature, StopReason,
    canonical::{Extra, Part, PartBody},
    fault::broken,
    gemini::{
        cited, odds,
        parts::{self, Style, list, read, take_object},
        stop, usage,
    },
    json::{ArrayWriter, Object, ObjectWriter, as_object, object},
};

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Fault> {
    read_answer(body).map_err(|fault| broken(&fault))
}

fn read_answer(body: &[u8]) -> Result<Answer, Fault> {
    let mut answer = Object::parse(body)?.camel()?;
    let id = answer.take_string("responseId")?.unwrap_or_default();
    let mut choices = Vec::new();
    for (index, value) in list(&mut answer, "candidates")?.into_iter().enumerate() {
        choices.push(candidate(value, (&id, index))?);
    }
    if choices.is_empty() {
        choices.extend(blocked(&mut answer)?);
    }
    let report = answer.take("usageMetadata");
    Ok(Answer {
        id,
        model: answer.take_string("modelVersion")?.unwrap_or_default(),
        created: None,
        choices,
        usage: report.and_then(|report| usage::decode(report.get().as_bytes())),
        service_tier: report.map(tier).transpose()?.flatten(),
        extra: Extra::new(),
    })
}

/// The tier that served a call, which stands in the report of its usage.
pub(crate) fn tier(report: &RawValue) -> Result<Option<String>, Fault> {
    let mut report = read(report, "usageMetadata")?;
    Ok(report.take_string("serviceTier")?.or(report.take_string("trafficType")?))
}

fn candidate(value: &RawValue, (id, index): (&str, usize)) -> Result<Choice, Fault> {
    let mut candidate = read(value, crate::json::nth("candidates", index))?;
    let mut said = match take_object(&mut candidate, "content")? {
        Some(mut content) => parts::parts(&mut content)?,
        None => Vec::new(),
    };
    let calls = name_calls(&mut said, id);
    let text: String = said.iter().filter_map(text_of).collect();
    let citations = cited::take(&mut candidate, &text)?;
    if let Some(part) = said.iter_mut().find(|part| matches!(part.body, PartBody::Text(_))) {
        part.citations = citations;
    }
    let (stop, native_stop) = match candidate.take_string("finishReason")? {
        Some(word) => stop(&word, calls),
        None => (StopReason::End.with_tools(calls), None),
    };
    let tokens = candidate.take("logprobsResult").map(odds::read_tokens).transpose()?.flatten();
    Ok(Choice {
        parts: said,
        stop,
        native_stop,
        stop_sequence: None,
        logprobs: tokens.as_ref().and_then(odds::of_answer),
    })
}

fn text_of(part: &Part) -> Option<&str> {
    match &part.body {
        PartBody::Text(text) => Some(text),
        _ => None,
    }
}

/// Gives every call without an id one, and tells whether there are calls.
fn name_calls(parts: &mut [Part], answer: &str) -> bool {
    let mut count = 0;
    for part in parts {
        if let PartBody::ToolCall { id, name, arguments } = &mut part.body {
            if id.is_empty() {
                *id = call_id(answer, count, (name, arguments));
            }
            count += 1;
        }
    }
    count > 0
}

/// The id of a call that brought none: no other call of the conversation has it.
pub(crate) fn call_id(answer: &str, index: u32, call: (&str, &str)) -> String {
    if !answer.is_empty() {
        return format!("call_{answer}_{index}");
    }
    let mut hasher = DefaultHasher::new();
    call.hash(&mut hasher);
    format!("call_{:016x}_{index}", hasher.finish())
}

/// The answer to a call that was blocked before the model saw it.
fn blocked(answer: &mut Object<'_>) -> Result<Option<Choice>, Fault> {
    let Some(feedback) = take_object(answer, "promptFeedback")? else { return Ok(None) };
    let Some((native, message)) = block(feedback)? else { return Ok(None) };
    let parts = message.map(|message| PartBody::Refusal(message).into()).into_iter().collect();
    let stop = StopReason::Refusal;
    Ok(Some(Choice { parts, stop, native_stop: Some(native), stop_sequence: None, logprobs: None }))
}

/// Why a call was blocked, as a word and in words.
pub(crate) fn block(mut feedback: Object<'_>) -> Result<Option<(String, Option<String>)>, Fault> {
    let Some(reason) = feedback.take_string("blockReason")? else { return Ok(None) };
    let message = feedback.take_string("blockReasonMessage")?.filter(|message| !message.is_empty());
    Ok(Some((reason, message)))
}

/// Writes a body for the caller of `call`.
pub(crate) fn encode(answer: &Answer, _call: &Call) -> Result<Vec<u8>, Fault> {
    Ok(object(|w| {
        w.array("candidates", |array| {
            for (index, choice) in (0..).zip(&answer.choices) {
                write_choice(array, index, choice);
            }
        });
        if let Some(usage) = &answer.usage {
            w.object("usageMetadata", |w| usage::write(usage, answer.service_tier.as_deref(), w));
        }
        w.string("modelVersion", &answer.model);
        w.string("responseId", &answer.id);
    }))
}

fn write_choice(array: &mut ArrayWriter<'_>, index: u64, choice: &Choice) {
    let said = sealed(choice.parts.iter().filter_map(shown));
    let refuses = choice.parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let (citations, text) = cited_text(&choice.parts);
    array.object(|w| {
        w.object("content", |w| write_content(w, &said));
        w.string("finishReason", choice.stop.with_refusal(refuses).encode(Dialect::Gemini));
        if let Some(native) = &choice.native_stop {
            w.string("finishMessage", native);
        }
        w.number("index", index);
        cited::write(w, &citations, &text);
        if let Some(logprobs) = &choice.logprobs {
            odds::write(w, logprobs);
        }
    });
}

/// Moves the seal of reasoning onto the call of a tool that follows, where Gemini itself has it: many callers drop reasoning
/// that says no words, and its seal with it.
fn sealed(parts: impl Iterator<Item = Part>) -> Vec<Part> {
    let mut sealed: Vec<Part> = Vec::new();
    for mut part in parts {
        if matches!(part.body, PartBody::ToolCall { .. }) && part.signature.is_none() {
            part.signature = sealed.last_mut().and_then(|before| take_seal(&mut before.body));
            let is_empty =
                |part: &Part| matches!(&part.body, PartBody::Thinking { text, .. } if text.is_empty());
            sealed.pop_if(|before| part.signature.is_some() && is_empty(before));
        }
        sealed.push(part);
    }
    sealed
}

/// Takes the seal out of reasoning; what had no words is empty then.
fn take_seal(body: &mut PartBody) -> Option<Signature> {
    match body {
        PartBody::Thinking { signature, .. } => signature.take(),
        PartBody::RedactedThinking { data } => {
            let seal = parts::wordless(data);
            *body = PartBody::Thinking { text: String::new(), signature: None };
            Some(seal)
        }
        _ => None,
    }
}

/// All citations over all text: spans count from the first text on.
fn cited_text(parts: &[Part]) -> (Vec<Citation>, String) {
    let (mut citations, mut text, mut count) = (Vec::new(), String::new(), 0_u64);
    for part in parts {
        let PartBody::Text(words) = &part.body else { continue };
        for citation in &part.citations {
            let moved = citation.span.map(|(start, end)| (start + count, end + count));
            citations.push(Citation { span: moved, ..citation.clone() });
        }
        text.push_str(words);
        count += u64::try_from(words.chars().count()).unwrap_or(0);
    }
    (citations, text)
}

/// Writes a content of the model.
pub(crate) fn write_content(w: &mut ObjectWriter<'_>, said: &[Part]) {
    if !said.is_empty() {
        w.array("parts", |array| {
            for part in said {
                parts::write(array, part, None, Style { home: false, ids: true });
            }
        });
    }
    w.string("role", "model");
}

/// A piece as a Gemini caller gets it. Arguments that are not an object are shown to the tool's own check instead of failing
/// the answer.
pub(crate) fn shown(part: &Part) -> Option<Part> {
    match &part.body {
        PartBody::Opaque { .. } | PartBody::ToolResult { .. } => None,
        PartBody::Text(text) if text.is_empty() && part.signature.is_none() => None,
        PartBody::ToolCall { id, name, arguments } => {
            let arguments = as_object(arguments);
            let body = PartBody::ToolCall { id: id.clone(), name: name.clone(), arguments };
            Some(Part { body, ..part.clone() })
        }
        _ => Some(part.clone()),
    }
}

#[cfg(test)]
mod tests;
