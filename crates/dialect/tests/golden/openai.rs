//! OpenAI chat, read without the crate under test.

use frontdoor_dialect::Usage;
use serde_json::{Value, json};

use crate::exchange::{Calls, Said, text};

/// A call that could have led to any answer.
pub(crate) fn call(stream: bool) -> Value {
    json!({"model":"m","messages":[],"stream":stream,"stream_options":{"include_usage":true}})
}

/// What a report of usage means.
pub(crate) fn usage(count: &dyn Fn(&str) -> u64) -> Usage {
    let cache_read = count("/prompt_tokens_details/cached_tokens").max(count("/num_cached_tokens"));
    let cache_write = count("/prompt_tokens_details/cache_write_tokens");
    Usage {
        input: count("/prompt_tokens") - cache_read - cache_write,
        cache_read,
        cache_write,
        output: count("/completion_tokens"),
        reasoning: count("/completion_tokens_details/reasoning_tokens").min(count("/completion_tokens")),
    }
}

/// Adds what a record says.
pub(crate) fn said(record: &Value, said: &mut Said, calls: &mut Calls) {
    let choice = &record["choices"][0];
    let message = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
    said.text += &(text(&message["content"]) + &text(&message["refusal"]));
    said.reasoning +=
        message["reasoning_content"].as_str().or_else(|| message["reasoning"].as_str()).unwrap_or_default();
    for (place, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let index = call["index"].as_u64().unwrap_or(place as u64);
        if !calls.iter().any(|known| known.0 == index) {
            calls.push((index, text(&call["id"]), text(&call["function"]["name"]), String::new()));
        }
        let known = calls.iter_mut().find(|known| known.0 == index).unwrap();
        known.3 += call["function"]["arguments"].as_str().unwrap_or_default();
    }
}
