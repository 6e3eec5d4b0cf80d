#![expect(clippy::needless_pass_by_value, reason = "fields of calls read best as literals")]

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Call, Dialect, Fault, OnUnsupported, Operation, Outbound, Platform, Signature, TargetShape, encode_call,
    signature::seal_id,
};

const VERTEX: Platform<'_> = Platform::Vertex { project: "p", location: "l" };

fn send(dialect: Dialect, fields: Value, shape: TargetShape<'_>) -> Result<Outbound, Fault> {
    let mut body =
        json!({"model": "m", "max_tokens": 9_000, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let call = Call::decode((dialect, Operation::Chat), Bytes::from(body.to_string())).unwrap();
    encode_call(&call, &shape)
}

fn target(model: &str) -> TargetShape<'_> {
    TargetShape::new(Dialect::Gemini, model)
}

fn read(outbound: &Outbound) -> Value {
    serde_json::from_slice(&outbound.body).unwrap()
}

fn openai(fields: Value, model: &str) -> Value {
    read(&send(Dialect::OpenAi, fields, target(model)).unwrap())
}

fn refused(fields: Value) -> Option<String> {
    send(Dialect::OpenAi, fields, target("gemini-2.5-flash")).unwrap_err().param
}

fn called(id: &str, name: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

fn conversation(results: &[Value]) -> Value {
    let mut messages = vec![
        json!({"role": "system", "content": "be kind"}),
        json!({"role": "user", "content": "q"}),
        json!({"role": "user", "content": "now"}),
        json!({"role": "assistant", "content": "", "tool_calls": [called("a", "f"), called("b", "g")]}),
    ];
    messages.extend(results.iter().cloned());
    messages.push(json!({"role": "user", "content": "go on"}));
    json!({"messages": messages})
}

#[test]
fn results_stand_alone_in_the_order_of_their_calls_and_turns_alternate() {
    let body = openai(conversation(&[result("b", "2"), result("a", "1")]), "gemini-2.5-flash");
    assert!(body.get("model").is_none() && body.get("stream").is_none());
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "be kind"}]}));
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "q"}, {"text": "now"}]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "a", "name": "f", "args": {}}}, {"functionCall": {"id": "b", "name": "g", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"output": "1"}}},
                {"functionResponse": {"id": "b", "name": "g", "response": {"output": "2"}}}]},
            {"role": "user", "parts": [{"text": "go on"}]},
        ])
    );
}

#[test]
fn vertex_gets_no_ids() {
    let shape = TargetShape { platform: VERTEX, ..target("gemini-2.5-flash") };
    let sent =
        send(Dialect::OpenAi, conversation(&[result("a", "1"), result("b", "{\"n\":1}")]), shape).unwrap();
    assert!(!String::from_utf8_lossy(&sent.body).contains("\"id\""));
    assert_eq!(read(&sent)["contents"][2]["parts"][1]["functionResponse"]["response"], json!({"n": 1}));
}

#[test]
fn a_round_of_results_that_is_not_whole_is_refused() {
    assert_eq!(refused(conversation(&[result("a", "1")])).as_deref(), Some("messages"));
    assert_eq!(refused(conversation(&[result("a", "1"), result("x", "2")])).as_deref(), Some("messages"));
}

#[test]
fn a_seal_goes_back_to_gemini_from_the_id_that_carried_it() {
    let seal = Signature::new(Dialect::Gemini, "c2VhbA+/==");
    let carrier = seal_id("call_1", Some(&seal));
    let messages = json!({"messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [called(&carrier, "f"), called("b", "g")]},
        result("b", "2"), result(&carrier, "1")]});
    let sent = send(Dialect::OpenAi, messages.clone(), target("gemini-3-pro-preview")).unwrap();
    let body = read(&sent);
    assert_eq!(
        body["contents"][1]["parts"],
        json!([{"functionCall": {"id": "call_1", "name": "f", "args": {}}, "thoughtSignature": "c2VhbA+/=="},
            {"functionCall": {"id": "b", "name": "g", "args": {}}}])
    );
    assert_eq!(body["contents"][2]["parts"][0]["functionResponse"]["id"], "call_1");
    assert!(sent.defaulted.is_empty());
    // Nobody else gets it.
    let other = send(Dialect::OpenAi, messages, TargetShape::new(Dialect::Anthropic, "c")).unwrap();
    let other = String::from_utf8_lossy(&other.body).into_owned();
    assert!(!other.contains("c2VhbA") && !other.contains("__sig_"));
}

#[test]
fn newer_models_get_googles_word_for_calls_of_other_models() {
    let history = conversation(&[result("a", "1"), result("b", "2")]);
    let sent = send(Dialect::OpenAi, history.clone(), target("gemini-3-flash-preview")).unwrap();
    let parts = read(&sent)["contents"][1]["parts"].clone();
    assert_eq!(parts[0]["thoughtSignature"], "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=");
    // Of parallel calls only the first carries one.
    assert!(parts[1].get("thoughtSignature").is_none());
    assert_eq!(sent.defaulted[0].0, "thoughtSignature");
    assert!(!openai(history, "gemini-2.5-flash").to_string().contains("thoughtSignature"));
}

#[test]
fn an_effort_is_a_level_for_newer_models_and_a_budget_for_older_ones() {
    let config = |effort: &str, model: &str| {
        openai(json!({"reasoning_effort": effort}), model)["generationConfig"]["thinkingConfig"].clone()
    };
    for (effort, model, expected) in [
        ("minimal", "gemini-3-flash-preview", json!({"thinkingLevel": "MINIMAL", "includeThoughts": true})),
        ("minimal", "gemini-3-pro-preview", json!({"thinkingLevel": "LOW", "includeThoughts": true})),
        ("medium", "gemini-3-pro-preview", json!({"thinkingLevel": "HIGH", "includeThoughts": true})),
        ("xhigh", "gemini-3-flash-preview", json!({"thinkingLevel": "HIGH", "includeThoughts": true})),
        ("xhigh", "gemini-3.6-flash", json!({"thinkingLevel": "XHIGH", "includeThoughts": true})),
        ("low", "gemini-2.5-flash", json!({"thinkingBudget": 1024, "includeThoughts": true})),
        ("medium", "gemini-2.5-pro", json!({"thinkingBudget": 8192, "includeThoughts": true})),
        ("max", "gemini-2.5-pro", json!({"thinkingBudget": 32768, "includeThoughts": true})),
        ("none", "gemini-2.5-flash", json!({"thinkingBudget": 0})),
        ("none", "gemini-2.5-pro", json!({"thinkingBudget": 128, "includeThoughts": true})),
        ("high", "gemini-2.0-flash", Value::Null),
        ("high", "my-own-deployment", Value::Null),
    ] {
        assert_eq!(config(effort, model), expected, "{effort} at {model}");
    }
    assert_eq!(refused(json!({"reasoning_effort": "much"})).as_deref(), Some("reasoning_effort"));
    let dropped =
        send(Dialect::OpenAi, json!({"reasoning_effort": "low"}), target("gemini-2.0-flash")).unwrap();
    assert_eq!(dropped.dropped, ["reasoning_effort"]);
    let never = TargetShape { reasoning: Some(false), ..target("gemini-2.5-pro") };
    let sent = send(Dialect::OpenAi, json!({"reasoning_effort": "low"}), never).unwrap();
    assert!(read(&sent)["generationConfig"].get("thinkingConfig").is_none());
}

#[test]
fn thinking_of_anthropic_is_a_budget_or_a_level() {
    let config = |thinking: Value, model: &str| {
        let sent = send(Dialect::Anthropic, json!({"thinking": thinking}), target(model)).unwrap();
        read(&sent)["generationConfig"]["thinkingConfig"].clone()
    };
    let enabled = json!({"type": "enabled", "budget_tokens": 5_000});
    assert_eq!(
        config(enabled.clone(), "gemini-2.5-pro"),
        json!({"thinkingBudget": 5000, "includeThoughts": true})
    );
    assert_eq!(
        config(enabled, "gemini-3-flash-preview"),
        json!({"thinkingLevel": "MEDIUM", "includeThoughts": true})
    );
    assert_eq!(config(json!({"type": "adaptive"}), "gemini-3-pro-preview"), json!({"includeThoughts": true}));
    assert_eq!(config(json!({"type": "disabled"}), "gemini-2.5-flash"), json!({"thinkingBudget": 0}));
}

#[test]
fn settings_have_their_places() {
    let body = openai(
        json!({"stop": ["a"], "temperature": 1.5, "top_p": 0.5, "top_k": 3, "seed": 7, "n": 2, "presence_penalty": 0.5,
            "frequency_penalty": 0.25, "logprobs": true, "top_logprobs": 4, "response_format": {"type": "json_object"},
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        "gemini-2.5-flash",
    );
    assert_eq!(
        body["generationConfig"],
        json!({"maxOutputTokens": 9000, "stopSequences": ["a"], "temperature": 1.5, "topP": 0.5, "topK": 3, "seed": 7,
            "candidateCount": 2, "presencePenalty": 0.5, "frequencyPenalty": 0.25, "responseLogprobs": true, "logprobs": 4,
            "responseMimeType": "application/json"})
    );
    let schema = json!({"type": "object", "properties": {"x": {"type": "string"}}});
    assert_eq!(
        body["tools"],
        json!([{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}])
    );
    assert_eq!(
        body["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}})
    );
}

#[test]
fn choices_of_tools_are_modes_and_strict_tools_are_validated() {
    let mode = |choice: Value, strict: bool| {
        let tool = json!({"type": "function", "function": {"name": "f", "strict": strict}});
        let body = openai(json!({"tools": [tool], "tool_choice": choice}), "gemini-2.5-flash");
        body["toolConfig"]["functionCallingConfig"]["mode"].clone()
    };
    for (choice, strict, expected) in [
        (json!("auto"), false, json!("AUTO")),
        (json!("none"), false, json!("NONE")),
        (json!("required"), true, json!("ANY")),
        (json!("auto"), true, json!("VALIDATED")),
        (Value::Null, true, json!("VALIDATED")),
        (Value::Null, false, Value::Null),
    ] {
        assert_eq!(mode(choice.clone(), strict), expected, "{choice} {strict}");
    }
    assert!(openai(json!({"tool_choice": "required"}), "gemini-2.5-flash").get("toolConfig").is_none());
}

#[test]
fn what_gemini_cannot_do_is_refused_by_name_or_dropped_and_told() {
    let image = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": url}}]}]});
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (fields, param) in [
        (json!({"logit_bias": {"5": 1}}), "logit_bias"),
        (json!({"seed": 3_000_000_000_u64}), "seed"),
        (json!({"stop": ["a", "b", "c", "d", "e", "f"]}), "stop"),
        (json!({"parallel_tool_calls": false, "tools": tools}), "parallel_tool_calls"),
        (image("https://x/y.png"), "messages[0].content[1]"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "c"}}]}), "tools[0]"),
        (json!({"messages": [{"role": "system", "content": "only"}]}), "messages"),
    ] {
        assert_eq!(refused(fields.clone()).as_deref(), Some(param), "{fields}");
    }
    let drop = TargetShape { on_unsupported: OnUnsupported::Drop, ..target("gemini-2.5-flash") };
    let sent = send(Dialect::OpenAi, json!({"logit_bias": {"5": 1}, "user": "u"}), drop).unwrap();
    assert_eq!(sent.dropped, ["logit_bias", "user"]);
}

#[test]
fn images_go_as_bytes_and_vertex_fetches_what_tells_its_type() {
    let image = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
    let body = openai(image("data:image/png;base64,AAAA"), "gemini-2.5-flash");
    assert_eq!(
        body["contents"][0]["parts"],
        json!([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}])
    );
    let vertex = TargetShape { platform: VERTEX, ..target("gemini-2.5-flash") };
    let sent = send(Dialect::OpenAi, image("https://x/y.webp?z=1"), vertex).unwrap();
    let file = json!([{"fileData": {"mimeType": "image/webp", "fileUri": "https://x/y.webp?z=1"}}]);
    assert_eq!(read(&sent)["contents"][0]["parts"], file);
    assert!(send(Dialect::OpenAi, image("https://x/y"), vertex).is_err());
}

#[test]
fn what_a_tool_shows_stands_inside_its_result_where_it_is_seen() {
    let block = json!({"type": "tool_result", "tool_use_id": "a", "is_error": false, "content": [
        {"type": "text", "text": "see"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]});
    let history = json!({"messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [block]}]});
    let newer = read(&send(Dialect::Anthropic, history.clone(), target("gemini-3-flash-preview")).unwrap());
    let response = &newer["contents"][2]["parts"][0]["functionResponse"];
    assert_eq!(response["response"], json!({"output": "see"}));
    assert_eq!(response["parts"], json!([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]));
    let older = read(&send(Dialect::Anthropic, history, target("gemini-2.5-flash")).unwrap());
    assert_eq!(older["contents"][2]["parts"].as_array().unwrap().len(), 1);
    assert_eq!(older["contents"][3]["parts"][1]["inlineData"]["data"], "AAAA");
}

#[test]
fn reasoning_of_others_is_left_out_and_told() {
    let history = json!({"messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "text", "text": "a"}]},
        {"role": "user", "content": "b"}]});
    let sent = send(Dialect::Anthropic, history, target("gemini-3-flash-preview")).unwrap();
    assert_eq!(read(&sent)["contents"][1], json!({"role": "model", "parts": [{"text": "a"}]}));
    assert_eq!(sent.dropped, ["messages[].content[].thinking"]);
}

#[test]
fn a_gemini_call_with_a_seal_of_another_dialect_does_not_pass_as_it_is() {
    let seal = crate::gemini::parts::carry_seal(&Signature::new(Dialect::Anthropic, "c2ln"));
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": [{"text": "hm", "thought": true, "thoughtSignature": seal}, {"text": "a"}]}]});
    let asked = crate::Asked {
        model: Some("m".to_owned()),
        ..crate::Asked::from((Dialect::Gemini, Operation::Chat))
    };
    let call = Call::decode(asked, Bytes::from(body.to_string())).unwrap();
    let sent = encode_call(&call, &target("gemini-2.5-flash")).unwrap();
    assert_eq!(read(&sent)["contents"][1]["parts"], json!([{"text": "a"}]));
    assert_eq!(sent.dropped, ["contents[].parts[].thought"]);
}

#[test]
fn a_count_has_the_form_that_each_cloud_wants() {
    let count = |body: Value, shape: TargetShape<'_>| {
        let asked = crate::Asked {
            model: Some("m".to_owned()),
            ..crate::Asked::from((Dialect::Gemini, Operation::CountTokens))
        };
        let call = Call::decode(asked, Bytes::from(body.to_string())).unwrap();
        read(&encode_call(&call, &shape).unwrap())
    };
    let contents = json!([{"role": "user", "parts": [{"text": "q"}]}]);
    let (direct, vertex) = (target("up"), TargetShape { platform: VERTEX, ..target("up") });
    let plain = json!({"contents": contents});
    assert_eq!(count(plain.clone(), direct), plain);
    assert_eq!(count(plain.clone(), vertex), plain);
    let beside = json!({"contents": contents, "systemInstruction": {"parts": [{"text": "s"}]}});
    assert_eq!(count(beside.clone(), vertex), beside);
    let mut inner = beside.clone();
    inner["model"] = json!("models/up");
    let wrapped = json!({"generateContentRequest": inner});
    assert_eq!(count(beside.clone(), direct), wrapped);
    assert_eq!(count(wrapped.clone(), direct), wrapped);
    let unwrapped = count(wrapped, vertex);
    assert_eq!(
        (&unwrapped["contents"], &unwrapped["systemInstruction"]),
        (&contents, &beside["systemInstruction"])
    );
    assert!(unwrapped.get("generateContentRequest").is_none() && unwrapped.get("model").is_none());
}
