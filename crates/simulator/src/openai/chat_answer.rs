//! A whole chat completion, and the parts of it that the stream has in common.

use serde_json::{Value, json};

use crate::answer::Facts;
use crate::behaviour::Behaviour;
use crate::ledger::Billed;
use crate::openai::azure;
use crate::openai::chat::ChatRequest;
use crate::reply::{Finish, Reply, SOURCE, alternatives};

/// The finish reason, unless one is scripted.
pub(crate) fn finish_reason<'a>(finish: &Finish, behaviour: &'a Behaviour) -> &'a str {
    match (&behaviour.stop_reason, finish) {
        (Some(reason), _) => reason,
        (None, Finish::Stop | Finish::StopSequence(_) | Finish::Refused) => "stop",
        (None, Finish::Length) => "length",
        (None, Finish::ToolCalls) => "tool_calls",
    }
}

/// The usage object.
pub(crate) fn usage(billed: &Billed) -> Value {
    json!({
        "prompt_tokens": billed.input,
        "completion_tokens": billed.output,
        "total_tokens": billed.input + billed.output,
        "prompt_tokens_details": {
            "cached_tokens": billed.cached, "cache_write_tokens": billed.cache_write, "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": billed.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// The log probabilities of a text, null when there are none.
pub(crate) fn logprobs(text: &str, reply: &Reply) -> Value {
    let Some(count) = reply.logprobs else { return Value::Null };
    let entry =
        |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
    let tokens = alternatives(text, count).into_iter().map(|(token, top)| {
        let mut entry = entry(token, crate::reply::logprob(0));
        let top: Vec<Value> = top
            .into_iter()
            .map(|(token, logprob)| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()}))
            .collect();
        if let Some(members) = entry.as_object_mut() {
            members.insert("top_logprobs".to_owned(), Value::from(top));
        }
        entry
    });
    json!({"content": tokens.collect::<Vec<_>>(), "refusal": null})
}

/// The citations of a text.
pub(crate) fn annotations(reply: &Reply) -> Value {
    if !reply.cites {
        return json!([]);
    }
    let citation = json!({
        "start_index": 0, "end_index": reply.text.chars().count(), "title": SOURCE.title, "url": SOURCE.url,
    });
    json!([{"type": "url_citation", "url_citation": citation}])
}

/// The answer to a call that is not streamed.
pub(crate) fn whole(
    request: &ChatRequest,
    reply: &Reply,
    choices: u32,
    facts: &Facts<'_>,
    billed: &Billed,
) -> Value {
    let reason = finish_reason(&reply.finish, facts.behaviour);
    let choices = (0..choices).map(|index| {
        let mut choice = json!({
            "index": index, "message": message(reply, facts), "logprobs": logprobs(&reply.text, reply),
            "finish_reason": reason,
        });
        if request.is_azure {
            azure::add_filter(&mut choice);
        }
        choice
    });
    let mut answer = json!({
        "id": facts.id("chatcmpl-"),
        "object": "chat.completion",
        "created": facts.unix_seconds,
        "model": facts.model,
        "choices": choices.collect::<Vec<_>>(),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    });
    if let Some(members) = answer.as_object_mut() {
        if facts.reports_usage() {
            members.insert("usage".to_owned(), usage(billed));
        }
        if request.is_azure {
            members.insert("prompt_filter_results".to_owned(), azure::prompt_filter_results());
        }
    }
    answer
}

fn message(reply: &Reply, facts: &Facts<'_>) -> Value {
    let mut message = json!({"role": "assistant", "content": reply.text, "refusal": null, "annotations": annotations(reply)});
    let Some(members) = message.as_object_mut() else { return message };
    if reply.finish == Finish::Refused {
        members.insert("content".to_owned(), Value::Null);
        members.insert("refusal".to_owned(), Value::from(reply.text.as_str()));
    }
    if let Some(thought) = reply.thought {
        members.insert("reasoning_content".to_owned(), Value::from(thought));
    }
    if reply.has_unknown {
        members.insert("simulated_unknown".to_owned(), json!({"type": "simulated_unknown"}));
    }
    if !reply.calls.is_empty() {
        let calls = reply.calls.iter().enumerate().map(|(index, call)| {
            let function = json!({"name": call.name, "arguments": call.written()});
            json!({"id": facts.part_id("call_", index), "type": "function", "function": function})
        });
        members.insert("content".to_owned(), Value::Null);
        members.insert("tool_calls".to_owned(), Value::from(calls.collect::<Vec<_>>()));
    }
    message
}
