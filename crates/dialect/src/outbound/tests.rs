use bytes::Bytes;
use serde_json::{Value, json};

use super::encode_call;
use crate::{
    Call, Dialect, Fault, FaultClass, MaxTokensField, OnUnsupported, Operation, Outbound, TargetShape,
};

fn openai(body: &str) -> Call {
    Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn spliced(body: &str, model: &str) -> String {
    let out = encode_call(&openai(body), &TargetShape::new(Dialect::OpenAi, model)).unwrap();
    String::from_utf8(out.body.to_vec()).unwrap()
}

/// An OpenAI call with these fields, written for Anthropic.
fn to_anthropic(fields: Value) -> Result<(Value, Outbound), Fault> {
    translate(Dialect::OpenAi, fields, &TargetShape::new(Dialect::Anthropic, "claude"))
}

fn to_openai(fields: Value) -> Result<(Value, Outbound), Fault> {
    translate(Dialect::Anthropic, fields, &TargetShape::new(Dialect::OpenAi, "gpt"))
}

fn translate(from: Dialect, mut fields: Value, target: &TargetShape<'_>) -> Result<(Value, Outbound), Fault> {
    let call = fields.as_object_mut().unwrap();
    call.entry("model").or_insert(json!("m"));
    call.entry("messages").or_insert(json!([{"role": "user", "content": "hi"}]));
    let call = Call::decode((from, Operation::Chat), Bytes::from(fields.to_string()))?;
    let out = encode_call(&call, target)?;
    Ok((serde_json::from_slice(&out.body).unwrap(), out))
}

fn dropping(dialect: Dialect) -> TargetShape<'static> {
    TargetShape { on_unsupported: OnUnsupported::Drop, ..TargetShape::new(dialect, "other") }
}

#[test]
fn only_the_model_is_replaced_and_every_other_byte_stays() {
    assert_eq!(
        spliced(r#"{ "zeta":1e2,"model" : "a" ,"messages":[ ], "new": {"x":[1,  2]}}"#, "b\"c"),
        r#"{ "zeta":1e2,"model" : "b\"c" ,"messages":[ ], "new": {"x":[1,  2]}}"#
    );
}

#[test]
fn a_body_that_needs_no_change_is_not_copied() {
    let call = openai(r#"{"model":"a","messages":[]}"#);
    let out = encode_call(&call, &TargetShape::new(Dialect::OpenAi, "a")).unwrap();
    assert_eq!(out.body.as_ptr(), call.body.as_ptr());
}

#[test]
fn usage_is_asked_for_at_the_end_of_a_stream_whatever_the_caller_wrote() {
    for (options, expected) in [
        ("", r#"{"model":"b","stream_options":{"include_usage":true},"messages":[],"stream":true}"#),
        (
            r#","stream_options":null"#,
            r#"{"model":"b","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#","stream_options":{ }"#,
            r#"{"model":"b","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#","stream_options":{"x":1}"#,
            r#"{"model":"b","messages":[],"stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
        ),
        (
            r#","stream_options":{"include_usage": false,"x":1}"#,
            r#"{"model":"b","messages":[],"stream":true,"stream_options":{"include_usage": true,"x":1}}"#,
        ),
        (
            r#","stream_options":{"include_usage":true}"#,
            r#"{"model":"b","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        let body = format!(r#"{{"model":"a","messages":[],"stream":true{options}}}"#);
        assert_eq!(spliced(&body, "b"), expected);
    }
    let whole = r#"{"model":"a","messages":[],"stream":false}"#;
    assert_eq!(spliced(whole, "a"), whole);
}

#[test]
fn the_cap_on_output_gets_the_name_the_provider_knows() {
    let renamed = |body: &str, field| {
        let target = TargetShape { max_tokens_field: Some(field), ..TargetShape::new(Dialect::OpenAi, "a") };
        String::from_utf8(encode_call(&openai(body), &target).unwrap().body.to_vec()).unwrap()
    };
    let (old, new) = (
        r#"{"model":"a","max_tokens":5,"messages":[]}"#,
        r#"{"model":"a","max_completion_tokens":5,"messages":[]}"#,
    );
    assert_eq!(renamed(old, MaxTokensField::MaxCompletionTokens), new);
    assert_eq!(renamed(new, MaxTokensField::MaxTokens), old);
    assert_eq!(renamed(old, MaxTokensField::MaxTokens), old);
    assert_eq!(spliced(old, "a"), old);
}

#[test]
fn embeddings_go_only_to_providers_that_have_them() {
    let body = Bytes::from_static(br#"{"model":"e","input":"x","dimensions":3}"#);
    let call = Call::decode((Dialect::OpenAi, Operation::Embeddings), body).unwrap();
    let out = encode_call(&call, &TargetShape::new(Dialect::OpenAi, "f")).unwrap();
    assert_eq!(out.body, r#"{"model":"f","input":"x","dimensions":3}"#);
    let fault = encode_call(&call, &TargetShape::new(Dialect::Anthropic, "f")).unwrap_err();
    assert_eq!(fault.class, FaultClass::Unsupported);
}

#[test]
fn a_whole_openai_conversation_becomes_an_anthropic_one() {
    let (body, out) = to_anthropic(json!({
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
                {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGkh"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"b\":1,\"a\":2}"}},
                {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "go on"}
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
            "parameters": {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}}},
            {"type": "function", "function": {"name": "g"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false, "max_completion_tokens": 77, "stop": "END", "temperature": 0.5,
        "user": "u1", "stream": true
    }))
    .unwrap();
    assert_eq!(
        body,
        json!({
            "model": "claude", "max_tokens": 77,
            "system": [{"type": "text", "text": "be kind"}, {"type": "text", "text": "be brief"}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                    {"type": "document", "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}},
                    {"type": "document", "title": "a.txt",
                        "source": {"type": "text", "media_type": "text/plain", "data": "hi!"}}]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "call_1", "name": "f", "input": {"b": 1, "a": 2}},
                    {"type": "tool_use", "id": "call_2", "name": "g", "input": {}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "two"},
                    {"type": "text", "text": "go on"}]}
            ],
            "tools": [
                {"name": "f", "description": "d", "strict": true,
                    "input_schema": {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}, "additionalProperties": false}},
                {"name": "g", "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
            "stop_sequences": ["END"], "temperature": 0.5, "metadata": {"user_id": "u1"}, "stream": true
        })
    );
    assert_eq!(out.dropped, ["messages[].content[].image_url.detail"]);
    assert!(out.defaulted.is_empty());
}

#[test]
fn a_whole_anthropic_conversation_becomes_an_openai_one() {
    let (body, out) = to_openai(json!({
        "max_tokens": 50, "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BB"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "let me"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": 2}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "and then"},
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [
                    {"type": "text", "text": "seen"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]}]}
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "stop_sequences": ["A", "B"], "temperature": 1, "metadata": {"user_id": "u"}, "stream": true
    }))
    .unwrap();
    assert_eq!(
        body,
        json!({
            "model": "gpt",
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,BB"}}]},
                {"role": "assistant", "content": "let me", "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":2,\"b\":1}"}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "seen"},
                {"role": "user", "content": [
                    {"type": "text", "text": "Shown by the tool call t1:"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                    {"type": "text", "text": "and then"}]}
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "tool_choice": "required", "parallel_tool_calls": false, "max_completion_tokens": 50,
            "stop": ["A", "B"], "temperature": 1.0, "user": "u", "stream": true,
            "stream_options": {"include_usage": true}
        })
    );
    assert_eq!(
        out.dropped,
        [
            "messages[].content[].cache_control",
            "messages[].content[].thinking",
            "messages[].content[].is_error"
        ]
    );
}

#[test]
fn tool_choices_mean_the_same_in_both_dialects() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (ours, theirs) in [
        (json!("auto"), json!({"type": "auto"})),
        (json!("none"), json!({"type": "none"})),
        (json!("required"), json!({"type": "any"})),
        (json!({"type": "function", "function": {"name": "f"}}), json!({"type": "tool", "name": "f"})),
    ] {
        let (body, _) = to_anthropic(json!({"tools": tools, "tool_choice": ours})).unwrap();
        assert_eq!(body["tool_choice"], theirs);
        let tools = json!([{"name": "f", "input_schema": {}}]);
        let (body, _) = to_openai(json!({"max_tokens": 1, "tools": tools, "tool_choice": theirs})).unwrap();
        assert_eq!(body["tool_choice"], ours);
    }
    let (body, _) = to_anthropic(json!({"tools": tools, "parallel_tool_calls": false})).unwrap();
    assert_eq!(body["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
}

#[test]
fn the_cap_anthropic_needs_comes_from_the_model_and_is_told() {
    let target =
        TargetShape { max_output_tokens: Some(9_000), ..TargetShape::new(Dialect::Anthropic, "claude") };
    let (body, out) = translate(Dialect::OpenAi, json!({}), &target).unwrap();
    assert_eq!(body["max_tokens"], 9_000);
    assert_eq!(out.defaulted, [("max_tokens".to_owned(), "9000".to_owned())]);
    let (body, out) = to_anthropic(json!({})).unwrap();
    assert_eq!((body["max_tokens"].as_u64(), out.defaulted.len()), (Some(4_096), 1));
}

#[test]
fn what_the_other_dialect_has_no_word_for_is_refused_by_name() {
    for (fields, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"seed": 7}), "seed"),
        (json!({"presence_penalty": 0.5}), "presence_penalty"),
        (json!({"logit_bias": {"5": 1}}), "logit_bias"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"stop": ["\n"]}), "stop"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "x"}}]}), "tools[0]"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"format": "mp3", "data": "AA"}}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}),
            "messages[0].content[0]",
        ),
        (json!({"messages": [{"role": "system", "content": "alone"}]}), "messages"),
        (json!({"messages": [{"role": "function", "name": "f", "content": "x"}]}), "messages[0].role"),
    ] {
        let fault = to_anthropic(fields).unwrap_err();
        assert_eq!((fault.class, fault.param.as_deref()), (FaultClass::Unsupported, Some(param)), "{fault}");
        assert!(fault.message.contains(param), "{fault}");
    }
    for (fields, param) in [
        (json!({"top_k": 5}), "top_k"),
        (json!({"mcp_servers": [{}]}), "mcp_servers"),
        (json!({"inference_geo": "eu"}), "inference_geo"),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "tools[0]"),
        (json!({"stop_sequences": ["1", "2", "3", "4", "5"]}), "stop_sequences"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "u"}}]}]}),
            "messages[0].content[0]",
        ),
    ] {
        let fault = to_openai(fields).unwrap_err();
        assert_eq!((fault.class, fault.param.as_deref()), (FaultClass::Unsupported, Some(param)), "{fault}");
    }
}

#[test]
fn where_dropping_is_allowed_it_is_told() {
    let fields = json!({"seed": 7, "logprobs": true, "temperature": 1.5, "stop": ["\n", "x"], "n": 3});
    let (body, out) = translate(Dialect::OpenAi, fields, &dropping(Dialect::Anthropic)).unwrap();
    assert_eq!((&body["temperature"], &body["stop_sequences"]), (&json!(1.0), &json!(["x"])));
    let mut dropped = out.dropped.clone();
    dropped.sort();
    assert_eq!(dropped, ["logprobs", "n", "seed", "stop"]);
    assert!(out.defaulted.contains(&("temperature".to_owned(), "1".to_owned())));
}

#[test]
fn promises_are_never_dropped() {
    let fault = translate(Dialect::Anthropic, json!({"inference_geo": "eu"}), &dropping(Dialect::OpenAi))
        .unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("inference_geo"));
    let json_object = json!({"response_format": {"type": "json_object"}});
    let fault = translate(Dialect::OpenAi, json_object, &dropping(Dialect::Anthropic)).unwrap_err();
    assert!(fault.message.contains("json_schema"), "{fault}");
}

#[test]
fn values_that_say_nothing_are_no_reason_to_refuse() {
    let (_, out) = to_anthropic(json!({
        "n": 1, "logprobs": false, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "seed": null,
        "response_format": {"type": "text"}, "modalities": ["text"], "top_p": 1, "stream_options": {"include_usage": true},
        "stream": true, "max_tokens": 5
    }))
    .unwrap();
    assert!(out.dropped.is_empty() && out.defaulted.is_empty(), "{out:?}");
}

#[test]
fn hints_are_left_out_and_told() {
    let fields =
        json!({"store": true, "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k"});
    let (_, out) = to_anthropic(fields).unwrap();
    assert_eq!(out.dropped.len(), 4, "{:?}", out.dropped);
    let (_, out) =
        to_openai(json!({"service_tier": "auto", "cache_control": {"type": "ephemeral"}})).unwrap();
    assert_eq!(out.dropped, ["service_tier", "cache_control"]);
}

#[test]
fn effort_becomes_a_budget_below_the_cap() {
    for (effort, cap, budget) in [
        ("minimal", 8_000, Some(1_024)),
        ("low", 8_000, Some(1_024)),
        ("medium", 8_000, Some(2_048)),
        ("high", 8_000, Some(4_096)),
        ("xhigh", 8_000, Some(7_999)),
        ("max", 50_000, Some(16_384)),
        ("high", 1_000, None),
        ("none", 8_000, None),
    ] {
        let (body, out) = to_anthropic(json!({"reasoning_effort": effort, "max_tokens": cap})).unwrap();
        assert_eq!(body["thinking"]["budget_tokens"].as_u64(), budget, "{effort} {cap}");
        assert_eq!(out.dropped.len(), usize::from(budget.is_none() && effort != "none"), "{effort} {cap}");
    }
    for (budget, effort) in [(1_024, "low"), (2_048, "medium"), (4_096, "high"), (30_000, "high")] {
        let thinking = json!({"type": "enabled", "budget_tokens": budget});
        let (body, _) = to_openai(json!({"thinking": thinking, "max_tokens": 40_000})).unwrap();
        assert_eq!(body["reasoning_effort"], effort);
    }
    let (body, _) =
        to_openai(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}})).unwrap();
    assert_eq!(body["reasoning_effort"], "low");
}

#[test]
fn reasoning_is_kept_from_models_and_histories_that_cannot_have_it() {
    let target = TargetShape { reasoning: Some(false), ..TargetShape::new(Dialect::Anthropic, "claude") };
    let (body, out) =
        translate(Dialect::OpenAi, json!({"reasoning_effort": "low", "max_tokens": 9_000}), &target).unwrap();
    assert_eq!(
        (body.get("thinking"), out.dropped.as_slice()),
        (None, ["reasoning_effort".to_owned()].as_slice())
    );
    let history = |details: Value| {
        json!({"reasoning_effort": "low", "max_tokens": 9_000, "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": null, "reasoning_details": details,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}]})
    };
    let (body, _) = to_anthropic(history(json!(null))).unwrap();
    assert_eq!(body.get("thinking"), None);
    let signed =
        json!([{"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1"}]);
    let (body, _) = to_anthropic(history(signed)).unwrap();
    assert_eq!(body["thinking"]["type"], "enabled");
    let first = &body["messages"][1]["content"][0];
    assert_eq!(first, &json!({"type": "thinking", "thinking": "hm", "signature": "s"}));
}

#[test]
fn reasoning_excludes_what_anthropic_says_it_excludes() {
    let with = |fields: Value| {
        let mut call = json!({"reasoning_effort": "low", "max_tokens": 9_000});
        call.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        call
    };
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (fields, param) in [
        (json!({"temperature": 0.2}), "temperature"),
        (json!({"top_p": 0.5}), "top_p"),
        (json!({"top_k": 5}), "top_k"),
        (json!({"tools": tools, "tool_choice": "required"}), "reasoning_effort"),
    ] {
        assert_eq!(to_anthropic(with(fields)).unwrap_err().param.as_deref(), Some(param));
    }
    for choice in ["auto", "none"] {
        let (body, _) = to_anthropic(with(json!({"tools": tools, "tool_choice": choice}))).unwrap();
        assert_eq!(body["tool_choice"]["type"], choice);
    }
}

#[test]
fn a_schema_for_the_answer_is_kept_in_order() {
    let schema = json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}},
        "required": ["a", "b"], "additionalProperties": false});
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
    let (body, out) = to_anthropic(json!({"response_format": format})).unwrap();
    assert_eq!(body["output_config"], json!({"format": {"type": "json_schema", "schema": schema}}));
    assert!(out.dropped.is_empty());
    let config = json!({"format": {"type": "json_schema", "schema": schema}});
    let (body, _) = to_openai(json!({"output_config": config})).unwrap();
    assert_eq!(body["response_format"]["json_schema"]["schema"], schema);
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
}

#[test]
fn a_cache_mark_is_kept_among_those_who_know_it() {
    let mark = json!({"type": "ephemeral"});
    let (body, _) = to_anthropic(json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "long", "cache_control": mark}]}]}))
    .unwrap();
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], mark);
}

#[test]
fn a_system_prompt_between_turns_goes_above_them_and_that_is_told() {
    let (body, out) = to_anthropic(json!({"max_tokens": 5, "messages": [
        {"role": "user", "content": "a"}, {"role": "system", "content": "late"}, {"role": "user", "content": "b"}]}))
    .unwrap();
    assert_eq!(body["system"], "late");
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
    assert_eq!(out.defaulted, [("messages[1]".to_owned(), "moved into the system prompt".to_owned())]);
}

#[test]
fn reasoning_without_a_signature_never_reaches_anthropic_again() {
    let call = br#"{"model":"m","max_tokens":5,"x_new":{"b":1,"a":2},"messages":[{"role":"user","content":"q"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"t"}]},
        {"role":"user","content":"r"}]}"#;
    let call = Call::decode((Dialect::Anthropic, Operation::Chat), Bytes::from_static(call)).unwrap();
    let out = encode_call(&call, &TargetShape::new(Dialect::Anthropic, "claude")).unwrap();
    let body = String::from_utf8(out.body.to_vec()).unwrap();
    assert!(!body.contains("thinking"), "{body}");
    assert!(body.contains(r#""x_new":{"b":1,"a":2}"#), "{body}");
    assert_eq!(out.dropped, ["messages[].content[].thinking"]);
}

#[test]
fn arguments_that_are_no_object_are_refused_before_the_provider_refuses_them() {
    let fault = to_anthropic(json!({"messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{\"cut"}}]}]}))
    .unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("messages[1].tool_calls.function.arguments"));
}

#[test]
fn ids_of_tool_calls_fit_the_target_and_stay_pairs() {
    let long = "x".repeat(80);
    let ids = ["functions.look:0", "functions.look.0", "call_1", long.as_str()];
    let calls: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}))
        .collect();
    let mut messages =
        vec![json!({"role": "user", "content": "hi"}), json!({"role": "assistant", "tool_calls": calls})];
    messages.extend(ids.iter().map(|id| json!({"role": "tool", "tool_call_id": id, "content": "r"})));
    let (body, _) = to_anthropic(json!({ "messages": messages })).unwrap();
    let sent = |message: usize, field: &str| -> Vec<String> {
        let parts = body["messages"][message]["content"].as_array().unwrap();
        parts.iter().map(|part| part[field].as_str().unwrap().to_owned()).collect()
    };
    let called = sent(1, "id");
    assert_eq!(called, sent(2, "tool_use_id"));
    assert_eq!(called[2], "call_1");
    let fits = |id: &String| {
        id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    assert!(called.iter().all(fits), "{called:?}");
    let distinct: std::collections::HashSet<&String> = called.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn thinking_that_openai_has_no_word_for_is_told() {
    let (body, out) = to_openai(json!({"thinking": {"type": "adaptive"}})).unwrap();
    assert_eq!(
        (body.get("reasoning_effort"), out.dropped.as_slice()),
        (None, ["thinking".to_owned()].as_slice())
    );
    let (_, out) = to_openai(json!({"thinking": {"type": "disabled"}})).unwrap();
    assert!(out.dropped.is_empty());
    let effort = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}});
    let (body, out) = to_openai(effort).unwrap();
    assert_eq!((body["reasoning_effort"].as_str(), out.dropped.len()), (Some("low"), 0));
}

#[test]
fn the_order_of_keys_survives_since_models_write_in_that_order() {
    let body = Bytes::from_static(
        br#"{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[
        {"id":"c","function":{"name":"f","arguments":"{\"z\":1,\"a\":2}"}}]}],
        "tools":[{"function":{"name":"f","parameters":{"z":{},"a":{}}}}]}"#,
    );
    let call = Call::decode((Dialect::OpenAi, Operation::Chat), body).unwrap();
    let out = encode_call(&call, &TargetShape::new(Dialect::Anthropic, "claude")).unwrap();
    let body = String::from_utf8(out.body.to_vec()).unwrap();
    assert!(body.contains(r#""input_schema":{"z":{},"a":{}}"#), "{body}");
    assert!(body.contains(r#""input":{"z":1,"a":2}"#), "{body}");
}

#[test]
fn a_seal_in_an_id_goes_to_its_maker_alone() {
    let seal = crate::Signature::new(Dialect::Gemini, "CiQx".repeat(20));
    let id = crate::signature::seal_id("call_1", Some(&seal));
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": id, "content": "ok"}]});
    let call = Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::from(body.to_string())).unwrap();
    for target in [Dialect::OpenAi, Dialect::Anthropic] {
        let body = encode_call(&call, &TargetShape::new(target, "m")).unwrap().body;
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("__sig_"), "{text}");
        assert_eq!(text.matches("\"call_1\"").count(), 2, "{text}");
    }
}

fn anthropic_body(body: &Value, model: &str) -> Value {
    let call = Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::from(body.to_string())).unwrap();
    let out = encode_call(&call, &TargetShape::new(Dialect::Anthropic, model)).unwrap();
    serde_json::from_slice(&out.body).unwrap()
}

#[test]
fn newer_claude_models_get_an_effort_and_older_ones_a_budget() {
    let call = json!({"model": "m", "reasoning_effort": "high", "max_tokens": 9000,
        "messages": [{"role": "user", "content": "hi"}]});
    let newer = anthropic_body(&call, "claude-opus-4-8");
    assert_eq!(newer["thinking"], json!({"type": "adaptive"}));
    assert_eq!(newer["output_config"], json!({"effort": "high"}));
    let older = anthropic_body(&call, "claude-sonnet-4-5");
    assert_eq!(older["thinking"], json!({"type": "enabled", "budget_tokens": 4096}));
    assert!(older.get("output_config").is_none());
}

#[test]
fn reasoning_sealed_by_another_provider_stays_away_from_anthropic() {
    let thinking = |signature: &str| json!({"type": "thinking", "thinking": "hm", "signature": signature});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thinking("gemini#abc"), thinking("own"), {"type": "text", "text": "yes"}]},
        {"role": "user", "content": "go on"}]});
    let call = Call::decode((Dialect::Anthropic, Operation::Chat), Bytes::from(body.to_string())).unwrap();
    let out = encode_call(&call, &TargetShape::new(Dialect::Anthropic, "m")).unwrap();
    let sent: Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!(sent["messages"][1]["content"], json!([thinking("own"), {"type": "text", "text": "yes"}]));
    assert_eq!(out.dropped, ["messages[].content[].thinking"]);
}

#[test]
fn a_model_that_the_caller_named_in_the_path_stands_in_the_body_where_the_target_wants_it_there() {
    let asked = crate::Asked {
        model: Some("deployment".to_owned()),
        ..crate::Asked::from((Dialect::OpenAi, Operation::Chat))
    };
    let body = r#"{"stream":true,"messages":[]}"#;
    let call = Call::decode(asked, body.into()).unwrap();
    let out = encode_call(&call, &TargetShape::new(Dialect::OpenAi, "up")).unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!(sent["model"], "up");
    assert_eq!(sent["stream_options"]["include_usage"], true);
    assert!(out.body.ends_with(br#""stream":true,"messages":[]}"#));
}
