//! A whole message, and the parts of it that the stream has in common.

use serde_json::{Value, json};

use crate::answer::Facts;
use crate::anthropic::messages::{SIGNATURE, Shown};
use crate::behaviour::Behaviour;
use crate::ledger::Billed;
use crate::reply::{Finish, Reply, SOURCE};

/// The stop reason, unless one is scripted, and the sequence that stopped it.
pub(crate) fn stop(finish: &Finish, behaviour: &Behaviour) -> (String, Value) {
    let reason = match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Refused => "refusal",
    };
    let sequence = match finish {
        Finish::StopSequence(sequence) => Value::from(sequence.as_str()),
        Finish::Stop | Finish::Length | Finish::ToolCalls | Finish::Refused => Value::Null,
    };
    (behaviour.stop_reason.clone().unwrap_or_else(|| reason.to_owned()), sequence)
}

/// The usage object. Anthropic's input tokens leave out what the cache counts name.
pub(crate) fn usage(billed: &Billed, output: u64) -> Value {
    json!({
        "input_tokens": billed.input - billed.cached - billed.cache_write,
        "cache_creation_input_tokens": billed.cache_write,
        "cache_read_input_tokens": billed.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": billed.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    })
}

/// The citation of a text.
pub(crate) fn citation() -> Value {
    json!({
        "type": "char_location", "cited_text": SOURCE.text, "document_index": 0, "document_title": SOURCE.title,
        "start_char_index": 0, "end_char_index": SOURCE.text.chars().count(), "file_id": null,
    })
}

/// A block that nobody knows.
pub(crate) fn unknown_block() -> Value {
    json!({"type": "simulated_unknown", "payload": {"a": 1}})
}

/// The answer to a call that is not streamed.
pub(crate) fn whole(shown: Shown, reply: &Reply, facts: &Facts<'_>) -> Value {
    let mut content = Vec::new();
    if reply.thought.is_some() {
        content.push(json!({"type": "thinking", "thinking": shown.thought(), "signature": SIGNATURE}));
    }
    if reply.has_unknown {
        content.push(unknown_block());
    }
    if !reply.text.is_empty() {
        let mut block = json!({"type": "text", "text": reply.text});
        if let (true, Some(members)) = (reply.cites, block.as_object_mut()) {
            members.insert("citations".to_owned(), json!([citation()]));
        }
        content.push(block);
    }
    for (position, call) in reply.calls.iter().enumerate() {
        let id = facts.part_id("toolu_", position);
        content.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments}));
    }
    let (reason, sequence) = stop(&reply.finish, facts.behaviour);
    let mut answer = json!({
        "id": facts.id("msg_"), "type": "message", "role": "assistant", "model": facts.model, "content": content,
        "stop_reason": reason, "stop_sequence": sequence,
    });
    if let (true, Some(members)) = (facts.reports_usage(), answer.as_object_mut()) {
        members.insert("usage".to_owned(), usage(&reply.billed, reply.billed.output));
    }
    answer
}
