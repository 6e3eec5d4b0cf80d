//! Whole answers, to and from the canonical form.

use crate::{
    Answer, Call, Choice, Dialect, Fault, Signature, StopReason,
    canonical::{Extra, Json, Part, PartBody},
    fault::broken,
    json::{Object, object},
    openai,
    responses::{
        echo::{self, Echo},
        error,
        items::Turns,
        output, seal, usage,
    },
};

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Fault> {
    let mut response = Object::parse(body).map_err(|fault| broken(&fault))?;
    if response.take("error").is_some() {
        return Err(error::read(body));
    }
    if !response.has("output") {
        return Err(Fault::bad_answer("invalid_answer", "the provider's answer has no content"));
    }
    read(response).map_err(|fault| broken(&fault))
}

fn read(mut response: Object<'_>) -> Result<Answer, Fault> {
    let status = response.take_string("status")?.unwrap_or_else(|| "completed".to_owned());
    if matches!(status.as_str(), "queued" | "in_progress") {
        return Err(response.wrong("status", "that of a response that has ended"));
    }
    let details = response.take_object("incomplete_details")?;
    let reason = details.map(|mut details| details.take_string("reason")).transpose()?.flatten();
    let mut turns = Turns::default();
    for (index, item) in response.take_array("output")?.into_iter().enumerate() {
        turns.item(item, crate::json::nth("output", index))?;
    }
    let mut parts: Vec<Part> = turns.messages.into_iter().flat_map(|message| message.parts).collect();
    let logprobs = logprobs(&parts);
    parts.iter_mut().for_each(leave);
    let calls_tools = parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    let refuses = parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let (stop, native_stop) = stop(&status, reason.as_deref());
    let created: Option<f64> = response.take_as("created_at", "a number")?;
    Ok(Answer {
        id: response.take_string("id")?.unwrap_or_default(),
        model: response.take_string("model")?.unwrap_or_default(),
        created: created.and_then(|seconds| crate::scan::count(&format!("{seconds:.0}"))),
        choices: vec![Choice {
            parts,
            stop: stop.with_tools(calls_tools).with_refusal(refuses),
            native_stop,
            stop_sequence: None,
            logprobs,
        }],
        usage: response.take("usage").and_then(|report| usage::decode(report.get().as_bytes())),
        service_tier: response.take_string("service_tier")?,
        extra: Extra::new(),
    })
}

/// Why a response ended: its status, or what it says is missing.
pub(crate) fn stop(status: &str, reason: Option<&str>) -> (StopReason, Option<String>) {
    match (status, reason) {
        ("incomplete", Some(reason)) => StopReason::decode(Dialect::Responses, reason),
        ("incomplete", None) => (StopReason::Length, Some(status.to_owned())),
        (status, _) => StopReason::decode(Dialect::Responses, status),
    }
}

/// A piece as it leaves this dialect: the id of reasoning goes with its seal.
fn leave(part: &mut Part) {
    let id = part.extra.iter().find(|(name, _)| name == "id");
    let id = id.and_then(|(_, id)| serde_json::from_str::<String>(id.text()).ok()).unwrap_or_default();
    match &mut part.body {
        PartBody::Thinking { signature: Some(seal), .. } | PartBody::RedactedThinking { data: seal }
            if seal.by == Dialect::Responses =>
        {
            *seal = seal::join(&id, &seal.data);
        }
        _ => {}
    }
    part.extra.clear();
}

/// The odds of the tokens of all texts, as OpenAI chat tells them: an object with all of them.
fn logprobs(parts: &[Part]) -> Option<Json> {
    let lists = parts.iter().flat_map(|part| &part.extra).filter(|(name, _)| name == "logprobs");
    let inner = |(_, list): &(String, Json)| {
        let list = list.text().trim().trim_start_matches('[').trim_end_matches(']').trim().to_owned();
        (!list.is_empty()).then_some(list)
    };
    let tokens: Vec<String> = lists.filter_map(inner).collect();
    if tokens.is_empty() {
        return None;
    }
    Json::parse(&format!(r#"{{"content":[{}],"refusal":null}}"#, tokens.join(","))).ok()
}

/// The odds of tokens as a list.
fn tokens(logprobs: &Json) -> Option<Json> {
    let mut object: Object<'_> = serde_json::from_str(logprobs.text()).ok()?;
    object.take("content").map(Json::new)
}

/// Writes a body for the caller of `call`.
pub(crate) fn encode(answer: &Answer, call: &Call) -> Result<Vec<u8>, Fault> {
    let echo = Echo::of(call);
    let parts = answer.first().map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let stop = answer.first().map_or(StopReason::End, |choice| choice.stop);
    let native = answer.first().and_then(|choice| choice.native_stop.as_deref());
    let refuses = parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let odds = answer.first().and_then(|choice| choice.logprobs.as_ref()).and_then(tokens);
    let items = output::items(&answer.id, parts, odds.as_ref());
    let head = echo::Head {
        id: &answer.id,
        model: &answer.model,
        created: answer.created.unwrap_or(call.created),
        ending: echo::Ending::Done { stop, native, refuses },
        service_tier: answer.service_tier.as_deref().and_then(openai::usage::tier),
        usage: Some(answer.usage.unwrap_or_default()),
    };
    Ok(object(|w| head.write(w, &items, &echo)))
}

/// The seal of reasoning as a caller of this dialect gets it.
pub(crate) fn carried(seal: &Signature) -> String {
    match seal.by {
        Dialect::Responses => seal::split(&seal.data).1.to_owned(),
        _ => seal.carry(Dialect::Responses),
    }
}

#[cfg(test)]
mod tests;
