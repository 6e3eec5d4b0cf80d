//! A whole answer of Converse, and the parts of it that the stream has in common.

use serde_json::{Value, json};

use crate::answer::Facts;
use crate::anthropic::messages::SIGNATURE;
use crate::bedrock::converse::stop_sequence;
use crate::behaviour::Behaviour;
use crate::ledger::Billed;
use crate::reply::{Finish, Reply, SOURCE};

/// Whatever the machine, the answer took so long.
const LATENCY_MS: u64 = 42;

/// The answer to `Converse`.
pub(crate) fn whole(reply: &Reply, wants_sequence: bool, facts: &Facts<'_>) -> Value {
    let mut answer = json!({
        "metrics": metrics(),
        "output": {"message": {"role": "assistant", "content": content(reply, facts)}},
        "stopReason": stop_reason(&reply.finish, facts.behaviour),
    });
    let Some(members) = answer.as_object_mut() else { return answer };
    if reply.is_empty {
        members.remove("output");
    }
    if facts.reports_usage() {
        members.insert("usage".to_owned(), usage(&reply.billed));
    }
    if wants_sequence {
        members.insert(
            "additionalModelResponseFields".to_owned(),
            json!({"stop_sequence": stop_sequence(reply)}),
        );
    }
    answer
}

fn content(reply: &Reply, facts: &Facts<'_>) -> Vec<Value> {
    let mut content = Vec::new();
    if let Some(thought) = reply.thought {
        content
            .push(json!({"reasoningContent": {"reasoningText": {"text": thought, "signature": SIGNATURE}}}));
    }
    if reply.has_unknown {
        content.push(unknown_block());
    }
    if reply.cites {
        content.push(
            json!({"citationsContent": {"content": [{"text": reply.text}], "citations": [citation()]}}),
        );
    } else if !reply.text.is_empty() {
        content.push(json!({"text": reply.text}));
    }
    for (position, call) in reply.calls.iter().enumerate() {
        let id = facts.part_id("tooluse_", position);
        content.push(json!({"toolUse": {"toolUseId": id, "name": call.name, "input": call.arguments}}));
    }
    content
}

/// A block that nobody knows.
pub(crate) fn unknown_block() -> Value {
    json!({"simulatedUnknown": {"a": 1}})
}

/// The citation of a text.
pub(crate) fn citation() -> Value {
    json!({
        "title": SOURCE.title, "source": SOURCE.url, "sourceContent": [{"text": SOURCE.text}],
        "location": {"documentChar": {"documentIndex": 0, "start": 0, "end": SOURCE.text.chars().count()}},
    })
}

/// The stop reason, unless one is scripted.
pub(crate) fn stop_reason<'a>(finish: &Finish, behaviour: &'a Behaviour) -> &'a str {
    match (&behaviour.stop_reason, finish) {
        (Some(reason), _) => reason,
        (None, Finish::Stop) => "end_turn",
        (None, Finish::StopSequence(_)) => "stop_sequence",
        (None, Finish::Length) => "max_tokens",
        (None, Finish::ToolCalls) => "tool_use",
        (None, Finish::Refused) => "content_filtered",
    }
}

/// The usage object. Its input tokens leave out what the cache counts name; its total does not.
pub(crate) fn usage(billed: &Billed) -> Value {
    json!({
        "inputTokens": billed.input - billed.cached - billed.cache_write,
        "outputTokens": billed.output,
        "totalTokens": billed.input + billed.output,
        "cacheReadInputTokens": billed.cached,
        "cacheWriteInputTokens": billed.cache_write,
    })
}

pub(crate) fn metrics() -> Value {
    json!({"latencyMs": LATENCY_MS})
}
