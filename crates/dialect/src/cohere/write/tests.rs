#![expect(clippy::needless_pass_by_value, reason = "builders of bodies read best with literals")]

use serde_json::{Value, json};

use crate::{Call, Dialect, Fault, OnUnsupported, Operation, Outbound, TargetShape, encode_call};

fn encode(from: Dialect, body: &Value, target: TargetShape<'_>) -> Result<(Value, Outbound), Fault> {
    let mut body = body.clone();
    body["model"] = json!("m");
    if from == Dialect::Anthropic {
        body["max_tokens"] = json!(9);
    }
    let call = Call::decode((from, Operation::Chat), body.to_string().into()).unwrap();
    let outbound = encode_call(&call, &target)?;
    Ok((serde_json::from_slice(&outbound.body).unwrap(), outbound))
}

fn send(from: Dialect, body: Value) -> Value {
    encode(from, &body, TargetShape::new(Dialect::Cohere, "there")).unwrap().0
}

fn refused(from: Dialect, body: Value) -> String {
    encode(from, &body, TargetShape::new(Dialect::Cohere, "there")).unwrap_err().param.unwrap()
}

fn with(field: &str, value: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "Hello"}]});
    body[field] = value;
    body
}

fn function(name: &str, strict: bool) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}, "strict": strict}})
}

#[test]
fn an_openai_call_becomes_cohere_s() {
    let body = json!({
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "assistant", "content": "Let me.", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "1", "content": "done"},
        ],
        "max_tokens": 5, "stop": ["a", "b"], "temperature": 0.5, "top_p": 1, "seed": 7, "presence_penalty": 0.5,
        "tools": [function("f", true)], "tool_choice": "required",
    });
    assert_eq!(
        send(Dialect::OpenAi, body),
        json!({
            "model": "there",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
                {"role": "assistant", "content": "Let me.", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "done"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "strict_tools": true, "tool_choice": "REQUIRED",
            "max_tokens": 5, "stop_sequences": ["a", "b"], "temperature": 0.5, "seed": 7, "presence_penalty": 0.5, "stream": false,
        })
    );
}

#[test]
fn one_tool_among_several_is_the_only_one_and_required() {
    let mut body = with("tools", json!([function("f", true), function("g", false)]));
    body["tool_choice"] = json!({"type": "function", "function": {"name": "g"}});
    let (sent, outbound) = encode(Dialect::OpenAi, &body, TargetShape::new(Dialect::Cohere, "x")).unwrap();
    assert_eq!((sent["tools"].as_array().unwrap().len(), &sent["tool_choice"]), (1, &json!("REQUIRED")));
    assert_eq!(outbound.defaulted[0].0, "tools");
    assert_eq!(outbound.dropped, ["tools[].strict"]);
    body["tool_choice"] = json!({"type": "function", "function": {"name": "gone"}});
    assert_eq!(refused(Dialect::OpenAi, body), "tool_choice");
}

#[test]
fn an_answer_of_a_form_is_asked_for_but_not_beside_tools() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    let sent = send(Dialect::OpenAi, with("response_format", format.clone()));
    assert_eq!(sent["response_format"], json!({"type": "json_object", "json_schema": {"type": "object"}}));
    let sent = send(Dialect::OpenAi, with("response_format", json!({"type": "json_object"})));
    assert_eq!(sent["response_format"], json!({"type": "json_object"}));
    let mut body = with("response_format", format);
    body["tools"] = json!([function("f", false)]);
    assert_eq!(refused(Dialect::OpenAi, body), "response_format");
}

#[test]
fn reasoning_is_asked_of_models_made_for_it() {
    let body = || with("reasoning_effort", json!("medium"));
    let (sent, outbound) =
        encode(Dialect::OpenAi, &body(), TargetShape::new(Dialect::Cohere, "command-r")).unwrap();
    assert_eq!((sent.get("thinking"), outbound.dropped), (None, vec!["reasoning_effort".to_owned()]));
    let target = || TargetShape::new(Dialect::Cohere, "command-a-reasoning-08-2025");
    let (sent, _) = encode(Dialect::OpenAi, &body(), target()).unwrap();
    assert_eq!(sent["thinking"], json!({"type": "enabled", "token_budget": 2048}));
    let off = with("reasoning_effort", json!("none"));
    assert_eq!(encode(Dialect::OpenAi, &off, target()).unwrap().0["thinking"], json!({"type": "disabled"}));
    let anthropic = with("thinking", json!({"type": "enabled", "budget_tokens": 1500}));
    let (sent, _) = encode(Dialect::Anthropic, &anthropic, target()).unwrap();
    assert_eq!(sent["thinking"], json!({"type": "enabled", "token_budget": 1500}));
}

#[test]
fn what_there_is_no_word_for_is_refused_by_name() {
    for (field, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("frequency_penalty", json!(-0.5)),
        ("presence_penalty", json!(1.5)),
        ("top_p", json!(0.995)),
        ("stop", json!(["1", "2", "3", "4", "5", "6"])),
        ("logit_bias", json!({"1": 2})),
    ] {
        // OpenAI takes four stop sequences itself; other servers take more.
        assert_eq!(refused(Dialect::OpenAi, with(field, value)), field);
    }
    let mut serial = with("tools", json!([function("f", false)]));
    serial["parallel_tool_calls"] = json!(false);
    assert_eq!(refused(Dialect::OpenAi, serial), "parallel_tool_calls");
    let pdf = json!({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}}]}]});
    assert_eq!(refused(Dialect::Anthropic, pdf), "messages[0].content[0]");
}

#[test]
fn hints_and_marks_are_left_out_and_told() {
    let body = json!({"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}], "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": "x"}]});
    let (sent, outbound) = encode(Dialect::Anthropic, &body, TargetShape::new(Dialect::Cohere, "x")).unwrap();
    assert_eq!(sent["messages"][0], json!({"role": "system", "content": "s"}));
    assert_eq!(outbound.dropped, ["user", "messages[].content[].cache_control"]);
}

#[test]
fn a_share_out_of_bounds_may_be_bent() {
    let target =
        TargetShape { on_unsupported: OnUnsupported::Drop, ..TargetShape::new(Dialect::Cohere, "x") };
    let (sent, outbound) = encode(Dialect::OpenAi, &with("top_p", json!(0.999)), target).unwrap();
    assert_eq!((&sent["p"], outbound.defaulted[0].0.as_str()), (&json!(0.99), "top_p"));
}
