//! Gemini, read without the crate under test.

use frontdoor_dialect::Usage;
use serde_json::{Value, json};

use crate::exchange::{Calls, Said, text};

/// A call that could have led to any answer; the rest stands in the path.
pub(crate) fn call() -> Value {
    json!({"contents": []})
}

/// What a report of usage means.
pub(crate) fn usage(count: &dyn Fn(&str) -> u64) -> Usage {
    let cache_read = count("/cachedContentTokenCount");
    Usage {
        input: count("/promptTokenCount") + count("/toolUsePromptTokenCount") - cache_read,
        cache_read,
        cache_write: 0,
        output: count("/candidatesTokenCount") + count("/thoughtsTokenCount"),
        reasoning: count("/thoughtsTokenCount"),
    }
}

/// Adds what a record says.
pub(crate) fn said(record: &Value, said: &mut Said, calls: &mut Calls) {
    for part in record["candidates"][0]["content"]["parts"].as_array().into_iter().flatten() {
        let call = &part["functionCall"];
        if call.is_object() {
            let place = calls.len() as u64;
            calls.push((place, text(&call["id"]), text(&call["name"]), call["args"].to_string()));
        } else if part["thought"] == true {
            said.reasoning += &text(&part["text"]);
        } else {
            said.text += &text(&part["text"]);
        }
    }
    said.text += &text(&record["promptFeedback"]["blockReasonMessage"]);
}
