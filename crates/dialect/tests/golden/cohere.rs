//! Cohere, read without the crate under test.

use frontdoor_dialect::Usage;
use serde_json::{Value, json};

use crate::exchange::{Calls, Said, text};

/// A call that could have led to any answer.
pub(crate) fn call(stream: bool) -> Value {
    json!({"model": "m", "messages": [], "stream": stream})
}

/// What a report of usage means.
pub(crate) fn usage(count: &dyn Fn(&str) -> u64) -> Usage {
    let cache_read = count("/cached_tokens");
    Usage {
        input: count("/tokens/input_tokens") - cache_read,
        cache_read,
        output: count("/tokens/output_tokens"),
        ..Usage::default()
    }
}

/// Adds what a record says.
pub(crate) fn said(record: &Value, said: &mut Said, calls: &mut Calls) {
    let message = &record["message"];
    said.reasoning += &text(&message["tool_plan"]);
    for piece in message["content"].as_array().into_iter().flatten() {
        said.text += &text(&piece["text"]);
        said.reasoning += &text(&piece["thinking"]);
    }
    said.text += &text(&message["content"]);
    for (place, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let function = &call["function"];
        calls.push((place as u64, text(&call["id"]), text(&function["name"]), text(&function["arguments"])));
    }
    let delta = &record["delta"]["message"];
    said.reasoning += &text(&delta["tool_plan"]);
    said.reasoning += &text(&delta["content"]["thinking"]);
    said.text += &text(&delta["content"]["text"]);
    let call = &delta["tool_calls"];
    if record["type"] == "tool-call-start" {
        let index = record["index"].as_u64().unwrap();
        calls.push((index, text(&call["id"]), text(&call["function"]["name"]), String::new()));
    }
    if let Some(known) = calls.iter_mut().find(|known| Some(known.0) == record["index"].as_u64()) {
        known.3 += &text(&call["function"]["arguments"]);
    }
}
