//! Promises of reading Anthropic requests.

use serde_json::{Value, json};

use super::decode;
use crate::{
    Fault, Request,
    canonical::{PartBody, Role, Source, ToolBody, ToolChoice},
};

fn read(fields: &Value) -> Result<Request, Fault> {
    let mut call = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    call.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    decode(call.to_string().as_bytes())
}

#[test]
fn a_field_of_the_wrong_shape_is_named() {
    let content = |block: Value| json!({"messages": [{"role": "user", "content": [block]}]});
    for (fields, param) in [
        (json!({"system": 7}), "system"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].role"),
        (content(json!({"type": "text"})), "messages[0].content[0].text"),
        (content(json!({"type": "image"})), "messages[0].content[0].source"),
        (content(json!({"type": "tool_result"})), "messages[0].content[0].tool_use_id"),
        (
            content(json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]})),
            "messages[0].content[0].content[0].text",
        ),
        (json!({"tools": [{"input_schema": {}}]}), "tools[0].name"),
        (json!({"tool_choice": {"type": "tool"}}), "tool_choice.name"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": "x"}}), "thinking.budget_tokens"),
        (json!({"metadata": {"user_id": 7}}), "metadata.user_id"),
        (json!({"stop_sequences": "x"}), "stop_sequences"),
    ] {
        let fault = read(&fields).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some(param), "{fault}");
    }
}

#[test]
fn blocks_that_only_anthropic_knows_are_kept_whole() {
    let request = read(&json!({
        "messages": [{"role": "assistant", "content": [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
            {"type": "image", "source": {"type": "brand_new", "x": 1}}]}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}, {"type": "custom", "name": "f", "input_schema": {}}]
    }))
    .unwrap();
    let kinds: Vec<&str> = request.messages[0]
        .parts
        .iter()
        .map(|part| match &part.body {
            PartBody::Opaque { kind, .. } => kind.as_str(),
            _ => "known",
        })
        .collect();
    assert_eq!(kinds, ["server_tool_use", "image"]);
    assert!(matches!(request.tools[0].body, ToolBody::Opaque { .. }));
    assert!(matches!(request.tools[1].body, ToolBody::Function { .. }));
}

#[test]
fn results_of_tools_come_first_in_their_turn() {
    let request = read(&json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "and"},
        {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "t2"}]}]}))
    .unwrap();
    let first = &request.messages[0].parts;
    assert!(matches!(&first[0].body, PartBody::ToolResult { id, .. } if id == "t1"));
    assert!(
        matches!(&first[1].body, PartBody::ToolResult { id, content, .. } if id == "t2" && content.is_empty())
    );
    assert!(matches!(&first[2].body, PartBody::Text(_)));
}

#[test]
fn the_system_prompt_and_the_choice_of_tools_are_read() {
    let request = read(&json!({
        "system": "be kind",
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "messages": [{"role": "user", "content": [{"type": "document", "title": "t",
            "source": {"type": "text", "media_type": "text/plain", "data": "d"}}]}]
    }))
    .unwrap();
    assert_eq!(request.messages[0].role, Role::System);
    assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(ToolChoice::Required), Some(false)));
    assert_eq!(
        request.messages[1].parts[0].body,
        PartBody::Document { source: Source::Text("d".into()), name: Some("t".into()) }
    );
}

#[test]
fn reasoning_without_a_signature_is_known_as_such() {
    let request = read(&json!({"messages": [{"role": "assistant", "content": [
        {"type": "thinking", "thinking": "a", "signature": ""},
        {"type": "thinking", "thinking": "b", "signature": "s"}]}]}))
    .unwrap();
    let signatures: Vec<bool> = request.messages[0]
        .parts
        .iter()
        .map(|part| matches!(&part.body, PartBody::Thinking { signature: Some(_), .. }))
        .collect();
    assert_eq!(signatures, [false, true]);
}
