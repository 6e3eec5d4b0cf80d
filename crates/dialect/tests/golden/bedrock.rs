//! Bedrock's Converse, read without the crate under test.

use frontdoor_dialect::Usage;
use serde_json::{Value, json};

use crate::exchange::{Calls, Said, text};

/// A call that could have led to any answer; the rest stands in the path.
pub(crate) fn call() -> Value {
    json!({"messages": []})
}

/// How many tools a call offers.
pub(crate) fn tools(request: &Value) -> usize {
    let tools = request["toolConfig"]["tools"].as_array().into_iter().flatten();
    tools.filter(|tool| tool.get("cachePoint").is_none()).count()
}

/// What a report of usage means.
pub(crate) fn usage(count: &dyn Fn(&str) -> u64) -> Usage {
    Usage {
        input: count("/inputTokens"),
        cache_read: count("/cacheReadInputTokens"),
        cache_write: count("/cacheWriteInputTokens"),
        output: count("/outputTokens"),
        reasoning: 0,
    }
}

/// The payloads of a binary event stream, each with the name of its event.
pub(crate) fn records(mut stream: &[u8]) -> Vec<Value> {
    let mut records = Vec::new();
    while stream.len() > 16 {
        let number = |at: usize| u32::from_be_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (number(0), number(4));
        let mut payload: Value = serde_json::from_slice(&stream[12 + headers..total - 4]).unwrap();
        payload["event"] = json!(name(&stream[12..12 + headers]));
        records.push(payload);
        stream = &stream[total..];
    }
    records
}

/// The name of an event: all headers are texts.
fn name(mut headers: &[u8]) -> String {
    loop {
        let (length, rest) = (headers[0] as usize, &headers[1..]);
        let (key, rest) = rest.split_at(length);
        let (length, rest) = (u16::from_be_bytes([rest[1], rest[2]]) as usize, &rest[3..]);
        let (value, rest) = rest.split_at(length);
        if key == b":event-type" {
            return String::from_utf8(value.to_vec()).unwrap();
        }
        headers = rest;
    }
}

/// Adds what a record says.
pub(crate) fn said(record: &Value, said: &mut Said, calls: &mut Calls) {
    let blocks = record.pointer("/output/message/content").and_then(Value::as_array);
    for (place, block) in blocks.into_iter().flatten().enumerate() {
        let tool = &block["toolUse"];
        if tool.is_object() && tool["type"] != "server_tool_use" {
            let call =
                (place as u64, text(&tool["toolUseId"]), text(&tool["name"]), tool["input"].to_string());
            calls.push(call);
        }
        said.text += &text(&block["text"]);
        said.reasoning += &text(&block["reasoningContent"]["reasoningText"]["text"]);
        for cited in block["citationsContent"]["content"].as_array().into_iter().flatten() {
            said.text += &text(&cited["text"]);
        }
    }
    let index = record["contentBlockIndex"].as_u64();
    let tool = &record["start"]["toolUse"];
    if tool.is_object() {
        calls.push((index.unwrap(), text(&tool["toolUseId"]), text(&tool["name"]), String::new()));
    }
    let delta = &record["delta"];
    said.text += &text(&delta["text"]);
    said.reasoning += &text(&delta["reasoningContent"]["text"]);
    if let Some(call) = calls.iter_mut().find(|call| Some(call.0) == index) {
        call.3 += &text(&delta["toolUse"]["input"]);
    }
}
