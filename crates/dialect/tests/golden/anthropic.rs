//! Anthropic messages, read without the crate under test.

use frontdoor_dialect::Usage;
use serde_json::{Value, json};

use crate::exchange::{Calls, Said, text};

/// A call that could have led to any answer.
pub(crate) fn call(stream: bool) -> Value {
    json!({"model":"m","max_tokens":9,"messages":[],"stream":stream})
}

/// What a report of usage means.
pub(crate) fn usage(count: &dyn Fn(&str) -> u64) -> Usage {
    Usage {
        input: count("/input_tokens"),
        cache_read: count("/cache_read_input_tokens"),
        cache_write: count("/cache_creation_input_tokens"),
        output: count("/output_tokens"),
        reasoning: count("/output_tokens_details/thinking_tokens"),
    }
}

/// Adds what a record says.
pub(crate) fn said(record: &Value, said: &mut Said, calls: &mut Calls) {
    let blocks = record["content"].as_array().into_iter().flatten().chain(record.get("content_block"));
    for (place, block) in blocks.enumerate() {
        match block["type"].as_str().unwrap() {
            "text" => said.text += &text(&block["text"]),
            "thinking" => said.reasoning += &text(&block["thinking"]),
            "tool_use" => {
                let index = record["index"].as_u64().unwrap_or(place as u64);
                let input = block["input"].to_string();
                let input = if input == "{}" { String::new() } else { input };
                calls.push((index, text(&block["id"]), text(&block["name"]), input));
            }
            _ => {}
        }
    }
    let delta = &record["delta"];
    said.text += &text(&delta["text"]);
    said.reasoning += &text(&delta["thinking"]);
    if let Some(call) = calls.iter_mut().find(|call| Some(call.0) == record["index"].as_u64()) {
        call.3 += &text(&delta["partial_json"]);
    }
}
