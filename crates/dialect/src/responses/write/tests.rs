use base64::Engine;
use serde_json::{Value, json};

use crate::{Asked, Call, Dialect, Fault, Operation, Outbound, TargetShape, encode_call};

fn send(dialect: Dialect, body: &Value, reasoning: Option<bool>) -> Result<Outbound, Fault> {
    let call = Call::decode((dialect, Operation::Chat), body.to_string().into()).unwrap();
    encode_call(&call, &TargetShape { reasoning, ..TargetShape::new(Dialect::Responses, "gpt") })
}

fn sent(dialect: Dialect, body: &Value) -> Value {
    serde_json::from_slice(&send(dialect, body, None).unwrap().body).unwrap()
}

#[test]
fn a_chat_call_becomes_items_and_keeps_what_both_have() {
    let body = json!({"model":"m","messages":[
            {"role":"system","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"See:"},
                {"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]},
            {"role":"assistant","content":"Looking.","tool_calls":[
                {"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"call_1","content":"sun"}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
        "tool_choice":{"type":"function","function":{"name":"f"}},
        "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}},
        "max_completion_tokens":9,"temperature":0.5,"logprobs":true,"top_logprobs":2,"reasoning_effort":"low",
        "verbosity":"low","prompt_cache_key":"k","safety_identifier":"s","service_tier":"flex","store":true,
        "metadata":{"a":"b"},"user":"u","stream":true,"stream_options":{"include_usage":true}});
    assert_eq!(
        sent(Dialect::OpenAi, &body),
        json!({"model":"gpt","instructions":"Be brief.","input":[
                {"role":"user","content":[{"type":"input_text","text":"See:"},
                    {"type":"input_image","image_url":"https://x.example/a.png","detail":"auto"}]},
                {"type":"message","role":"assistant","content":"Looking."},
                {"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},
                {"type":"function_call_output","call_id":"call_1","output":"sun"}],
            "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],
            "tool_choice":{"type":"function","name":"f"},
            "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"},
            "max_output_tokens":9,"temperature":0.5,"top_logprobs":2,"reasoning":{"effort":"low"},
            "include":["message.output_text.logprobs","reasoning.encrypted_content"],
            "prompt_cache_key":"k","safety_identifier":"s","service_tier":"flex","store":true,
            "metadata":{"a":"b"},"user":"u","stream":true})
    );
}

#[test]
fn nothing_is_kept_unless_the_caller_says_so() {
    let body = json!({"model":"m","messages":[{"role":"user","content":"Hello"}]});
    assert_eq!(sent(Dialect::OpenAi, &body)["store"], false);
    let body = json!({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]});
    assert_eq!(sent(Dialect::Anthropic, &body)["store"], false);
}

#[test]
fn a_tool_that_is_lax_elsewhere_is_said_to_be_lax_here() {
    let body = json!({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}],
        "tools":[{"name":"f","input_schema":{"type":"object"}}]});
    assert_eq!(sent(Dialect::Anthropic, &body)["tools"][0]["strict"], false);
}

#[test]
fn what_a_response_has_no_word_for_is_refused_by_name() {
    for (name, value) in [
        ("stop", json!(["x"])),
        ("seed", json!(1)),
        ("n", json!(2)),
        ("frequency_penalty", json!(0.5)),
        ("logit_bias", json!({"1":1})),
    ] {
        let body = json!({"model":"m","messages":[{"role":"user","content":"Hello"}],name:value});
        assert_eq!(send(Dialect::OpenAi, &body, None).unwrap_err().param.as_deref(), Some(name));
    }
    let body = json!({"model":"m","max_tokens":9,"top_k":5,"messages":[{"role":"user","content":"Hello"}]});
    assert_eq!(send(Dialect::Anthropic, &body, None).unwrap_err().param.as_deref(), Some("top_k"));
}

#[test]
fn reasoning_comes_back_to_its_maker_with_its_id() {
    let body = json!({"model":"m","max_tokens":9,"messages":[
        {"role":"user","content":"Hello"},
        {"role":"assistant","content":[
            {"type":"thinking","thinking":"Hm.","signature":"responses#rs_1:gAAA="},
            {"type":"redacted_thinking","data":"responses#rs_2:gBBB="},
            {"type":"thinking","thinking":"Mine.","signature":"EqQB"},
            {"type":"text","text":"Hi."}]},
        {"role":"user","content":"Bye"}]});
    let outbound = send(Dialect::Anthropic, &body, None).unwrap();
    let written: Value = serde_json::from_slice(&outbound.body).unwrap();
    assert_eq!(
        written["input"],
        json!([{"role":"user","content":"Hello"},
            {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"gAAA="},
            {"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"gBBB="},
            {"type":"message","role":"assistant","content":"Hi."},
            {"role":"user","content":"Bye"}])
    );
    assert_eq!(written["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(outbound.dropped, ["messages[].content[].thinking"]);
}

#[test]
fn thinking_that_is_asked_for_is_shown_and_can_be_sent_back() {
    let body = json!({"model":"m","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":4096},
        "messages":[{"role":"user","content":"Hello"}]});
    let written = sent(Dialect::Anthropic, &body);
    assert_eq!(written["reasoning"], json!({"effort":"high","summary":"auto"}));
    assert_eq!(written["include"], json!(["reasoning.encrypted_content"]));
    for (thinking, expected) in [
        (json!({"type":"adaptive"}), json!({"summary":"auto"})),
        (json!({"type":"adaptive","display":"omitted"}), Value::Null),
        (json!({"type":"disabled"}), Value::Null),
    ] {
        let mut body = body.clone();
        body["thinking"] = thinking;
        assert_eq!(sent(Dialect::Anthropic, &body)["reasoning"], expected);
    }
    // A model that does not reason is not asked to.
    let outbound = send(Dialect::Anthropic, &body, Some(false)).unwrap();
    let written: Value = serde_json::from_slice(&outbound.body).unwrap();
    assert!(written.get("reasoning").is_none() && written.get("include").is_none());
    assert_eq!(outbound.dropped, ["thinking"]);
}

#[test]
fn several_system_prompts_stay_where_they_are() {
    let body = json!({"model":"m","max_tokens":9,"system":[{"type":"text","text":"One."},{"type":"text","text":"Two."}],
        "messages":[{"role":"user","content":"Hello"}]});
    let written = sent(Dialect::Anthropic, &body);
    assert!(written.get("instructions").is_none());
    assert_eq!(
        written["input"][0],
        json!({"role":"system","content":[{"type":"input_text","text":"One."},{"type":"input_text","text":"Two."}]})
    );
}

#[test]
fn documents_go_by_url_and_with_their_bytes() {
    let body = json!({"model":"m","max_tokens":9,"messages":[{"role":"user","content":[
        {"type":"document","source":{"type":"url","url":"https://x.example/a.pdf"}},
        {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AA=="},"title":"a.pdf"},
        {"type":"document","source":{"type":"text","media_type":"text/plain","data":"Words."}}]}]});
    assert_eq!(
        sent(Dialect::Anthropic, &body)["input"][0]["content"],
        json!([{"type":"input_file","file_url":"https://x.example/a.pdf"},
            {"type":"input_file","file_data":"data:application/pdf;base64,AA==","filename":"a.pdf"},
            {"type":"input_text","text":"Words."}])
    );
}

#[test]
fn thoughts_that_gemini_s_caller_wants_to_see_are_asked_for() {
    let send = |thinking: Value| {
        let body = json!({"contents":[{"role":"user","parts":[{"text":"Hello"}]}],
            "generationConfig":{"thinkingConfig":thinking}});
        let asked = Asked { model: Some("g".to_owned()), ..(Dialect::Gemini, Operation::Chat).into() };
        let call = Call::decode(asked, body.to_string().into()).unwrap();
        let outbound = encode_call(&call, &TargetShape::new(Dialect::Responses, "gpt")).unwrap();
        assert!(outbound.dropped.is_empty(), "{:?}", outbound.dropped);
        serde_json::from_slice::<Value>(&outbound.body).unwrap()
    };
    let written = send(json!({"includeThoughts":true}));
    assert_eq!(written["reasoning"], json!({"summary":"auto"}));
    assert_eq!(written["include"], json!(["reasoning.encrypted_content"]));
    let written = send(json!({"includeThoughts":true,"thinkingLevel":"LOW"}));
    assert_eq!(written["reasoning"], json!({"effort":"low","summary":"auto"}));
    assert_eq!(send(json!({"thinkingLevel":"LOW"}))["reasoning"], json!({"effort":"low"}));
}

#[test]
fn a_seal_that_comes_with_a_call_goes_before_it_once() {
    let call = |parts: Value| {
        let body = json!({"contents":[{"role":"user","parts":[{"text":"Hello"}]},{"role":"model","parts":parts},
            {"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"sun"}}}]}],
            "tools":[{"functionDeclarations":[{"name":"f"}]}]});
        let asked = Asked { model: Some("g".to_owned()), ..(Dialect::Gemini, Operation::Chat).into() };
        let call = Call::decode(asked, body.to_string().into()).unwrap();
        let outbound = encode_call(&call, &TargetShape::new(Dialect::Responses, "gpt")).unwrap();
        let written: Value = serde_json::from_slice(&outbound.body).unwrap();
        let items = written["input"].as_array().unwrap().clone();
        items.iter().filter(|item| item["type"] == "reasoning").cloned().collect::<Vec<_>>()
    };
    // Gemini's SDKs take seals for bytes.
    let seal = base64::engine::general_purpose::URL_SAFE.encode("responses#rs_1:gAAA=");
    let called = json!({"functionCall":{"name":"f","args":{}},"thoughtSignature":seal});
    let reasoning = json!({"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA="});
    assert_eq!(call(json!([called])), [reasoning]);
    let thought = json!({"text":"Hm.","thought":true,"thoughtSignature":seal});
    let written = call(json!([thought, called]));
    assert_eq!(written.len(), 1);
    assert_eq!(written[0]["summary"][0]["text"], "Hm.");
}
