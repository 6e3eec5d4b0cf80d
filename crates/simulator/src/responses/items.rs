//! Items of a conversation, as they come in and as they are kept.

use serde_json::{Value, json};

use crate::reply::tokens_of;

/// What an image or a file costs, whatever its size.
const IMAGE_TOKENS: u64 = 85;

/// What every item costs beside its text.
pub(crate) const ITEM_TOKENS: u64 = 4;

/// What kind of item it is. A message need not say so.
pub(crate) fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or("message")
}

/// A member's text, empty when there is none.
pub(crate) fn text_of<'a>(item: &'a Value, key: &str) -> &'a str {
    item.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// All text in a message, or in a tool's output.
pub(crate) fn said(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(|part| text_of(part, "text")).collect(),
        _ => String::new(),
    }
}

/// What an item costs to read.
pub(crate) fn tokens(item: &Value) -> u64 {
    let content = item.get("content").or_else(|| item.get("output")).unwrap_or(&Value::Null);
    let media = content
        .as_array()
        .into_iter()
        .flatten()
        .filter(|part| matches!(text_of(part, "type"), "input_image" | "input_file"));
    let media = u64::try_from(media.count()).unwrap_or(u64::MAX);
    ITEM_TOKENS + media * IMAGE_TOKENS + tokens_of(&said(content)) + tokens_of(text_of(item, "arguments"))
}

/// The input as items with ids, as the API lists them.
pub(crate) fn listed(input: &[Value], id: &dyn Fn(&str, usize) -> String) -> Vec<Value> {
    let list = |(position, item): (usize, &Value)| {
        let mut item = item.clone();
        let kind = kind(&item).to_owned();
        let prefix = match kind.as_str() {
            "message" => "msg_",
            "function_call" => "fc_",
            "function_call_output" => "fco_",
            "reasoning" => "rs_",
            _ => "item_",
        };
        let Some(members) = item.as_object_mut() else { return item };
        members.entry("type").or_insert_with(|| Value::from(kind.as_str()));
        members.entry("id").or_insert_with(|| Value::from(id(prefix, position)));
        if let (Some(Value::String(text)), "message") = (members.get("content"), kind.as_str()) {
            let is_assistant = members.get("role").and_then(Value::as_str) == Some("assistant");
            let part = json!({"type": if is_assistant { "output_text" } else { "input_text" }, "text": text});
            members.insert("content".to_owned(), json!([part]));
        }
        item
    };
    input.iter().enumerate().map(list).collect()
}
