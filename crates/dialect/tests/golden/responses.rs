//! OpenAI responses, read without the crate under test.

use frontdoor_dialect::Usage;
use serde_json::{Value, json};

use crate::exchange::{Calls, Said, text};

/// A call that could have led to any answer.
pub(crate) fn call(stream: bool) -> Value {
    json!({"model":"m","input":[],"stream":stream})
}

/// What a report of usage means.
pub(crate) fn usage(count: &dyn Fn(&str) -> u64) -> Usage {
    let cache_read = count("/input_tokens_details/cached_tokens");
    let cache_write = count("/input_tokens_details/cache_write_tokens");
    Usage {
        input: count("/input_tokens") - cache_read - cache_write,
        cache_read,
        cache_write,
        output: count("/output_tokens"),
        reasoning: count("/output_tokens_details/reasoning_tokens"),
    }
}

/// Adds what a record says: of a stream its pieces, of a whole answer its items.
pub(crate) fn said(record: &Value, said: &mut Said, calls: &mut Calls) {
    let at = record["output_index"].as_u64().unwrap_or_default();
    let delta = text(&record["delta"]);
    match record["type"].as_str() {
        None => {
            for (place, item) in record["output"].as_array().into_iter().flatten().enumerate() {
                whole(place as u64, item, said, calls);
            }
        }
        Some("response.output_text.delta" | "response.refusal.delta") => said.text += &delta,
        Some("response.reasoning_summary_text.delta" | "response.reasoning_text.delta") => {
            said.reasoning += &delta;
        }
        Some("response.reasoning_summary_part.added") if record["summary_index"] != 0 => {
            said.reasoning += "\n\n";
        }
        Some("response.output_item.added") if record["item"]["type"] == "function_call" => {
            whole(at, &record["item"], said, calls);
        }
        Some("response.function_call_arguments.delta") => {
            let call = calls.iter_mut().find(|call| call.0 == at);
            call.unwrap().3 += &delta;
        }
        Some(_) => {}
    }
}

fn whole(at: u64, item: &Value, said: &mut Said, calls: &mut Calls) {
    let texts = |name: &str| -> Vec<String> {
        let parts = item[name].as_array().into_iter().flatten();
        parts.map(|part| text(&part["text"]) + &text(&part["refusal"])).collect()
    };
    match item["type"].as_str().unwrap() {
        "message" => said.text += &texts("content").concat(),
        "reasoning" => {
            let summary = texts("summary").join("\n\n");
            said.reasoning += &(if summary.is_empty() { texts("content").concat() } else { summary });
        }
        "function_call" => {
            calls.push((at, text(&item["call_id"]), text(&item["name"]), text(&item["arguments"])));
        }
        _ => {}
    }
}
