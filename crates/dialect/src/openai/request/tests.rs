//! Promises of reading OpenAI requests.

use serde_json::{Value, json};

use super::decode;
use crate::{
    Fault, Json, Request,
    canonical::{PartBody, Role, ToolChoice},
};

fn read(fields: &Value) -> Result<Request, Fault> {
    let mut call = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    call.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    decode(call.to_string().as_bytes())
}

#[test]
fn a_field_of_the_wrong_shape_is_named() {
    for (fields, param) in [
        (json!({"messages": 7}), "messages"),
        (json!({"messages": [7]}), "messages[0]"),
        (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
            "messages[0].content[0].text",
        ),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].tool_call_id"),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]}),
            "messages[0].tool_calls[0].function.name",
        ),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png,raw"}}]}]}),
            "messages[0].content[0].image_url.url",
        ),
        (json!({"tools": [{"type": "function", "function": {}}]}), "tools[0].function.name"),
        (json!({"tool_choice": "sometimes"}), "tool_choice"),
        (json!({"temperature": "warm"}), "temperature"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"stop": {"a": 1}}), "stop"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
    ] {
        let fault = read(&fields).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some(param), "{fault}");
        assert!(fault.message.contains(param), "{fault}");
    }
}

#[test]
fn results_of_one_round_are_one_turn_and_ids_are_kept_exactly() {
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": id});
    let messages = json!([result("call:1/ü"), result("2"), {"role": "user", "content": "x"}, result("3")]);
    let request = read(&json!({"messages": messages})).unwrap();
    let ids = |at: usize| -> Vec<String> {
        let result = |part: &crate::Part| match &part.body {
            PartBody::ToolResult { id, .. } => Some(id.clone()),
            _ => None,
        };
        request.messages[at].parts.iter().filter_map(result).collect()
    };
    assert_eq!(request.messages.len(), 3);
    assert_eq!((ids(0), ids(1), ids(2)), (vec!["call:1/ü".into(), "2".into()], vec![], vec!["3".into()]));
}

#[test]
fn what_has_no_word_is_kept_as_it_was_written() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"x","name":"n"}],"zeta":{"b":1.0,"a":[]},"gone":null}"#;
    let request = decode(body).unwrap();
    assert_eq!(request.extra.len(), 1);
    assert_eq!((request.extra[0].0.as_str(), request.extra[0].1.text()), ("zeta", r#"{"b":1.0,"a":[]}"#));
    assert_eq!(request.messages[0].extra, [("name".to_owned(), Json::parse("\"n\"").unwrap())]);
}

#[test]
fn words_of_other_servers_are_understood() {
    let request = read(&json!({
        "tool_choice": "any",
        "messages": [
            {"role": "developer", "content": "d"},
            {"role": "assistant", "reasoning": "hm", "content": [{"type": "text", "text": "t"}],
                "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}]
    }))
    .unwrap();
    assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    assert_eq!(request.messages[0].role, Role::Developer);
    let bodies: Vec<&PartBody> = request.messages[1].parts.iter().map(|part| &part.body).collect();
    assert_eq!(
        bodies,
        [
            &PartBody::Thinking { text: "hm".into(), signature: None },
            &PartBody::Text("t".into()),
            &PartBody::ToolCall { id: "call_0".into(), name: "f".into(), arguments: "{\"a\":1}".into() },
        ]
    );
}

#[test]
fn a_field_given_twice_is_refused() {
    let fault = decode(br#"{"model":"m","messages":[],"seed":1,"seed":2}"#).unwrap_err();
    assert!(fault.message.contains("duplicate field `seed`"), "{fault}");
}
