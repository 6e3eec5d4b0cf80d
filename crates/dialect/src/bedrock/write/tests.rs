#![expect(clippy::needless_pass_by_value, reason = "builders of bodies read best with literals")]

use serde_json::{Value, json};

use crate::{Call, Dialect, Fault, OnUnsupported, Operation, Outbound, Signature, TargetShape, encode_call};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OLD_CLAUDE: &str = "anthropic.claude-3-7-sonnet-20250219-v1:0";
const NOVA: &str = "us.amazon.nova-lite-v1:0";

fn encode(from: Dialect, body: &Value, target: TargetShape<'_>) -> Result<(Value, Outbound), Fault> {
    let mut body = body.clone();
    body["model"] = json!("m");
    if from == Dialect::Anthropic && body.get("max_tokens").is_none() {
        body["max_tokens"] = json!(9_000);
    }
    let call = Call::decode((from, Operation::Chat), body.to_string().into()).unwrap();
    let outbound = encode_call(&call, &target)?;
    Ok((serde_json::from_slice(&outbound.body).unwrap(), outbound))
}

fn send(from: Dialect, body: Value, model: &str) -> Value {
    encode(from, &body, TargetShape::new(Dialect::Bedrock, model)).unwrap().0
}

fn refused(from: Dialect, body: Value, model: &str) -> String {
    encode(from, &body, TargetShape::new(Dialect::Bedrock, model)).unwrap_err().param.unwrap()
}

fn bent(from: Dialect, body: Value, model: &str) -> (Value, Outbound) {
    let target =
        TargetShape { on_unsupported: OnUnsupported::Drop, ..TargetShape::new(Dialect::Bedrock, model) };
    encode(from, &body, target).unwrap()
}

fn hello() -> Value {
    json!([{"role": "user", "content": "Hello"}])
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn chat() -> Value {
    json!({"messages": hello()})
}

fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

/// A conversation with a call of a tool and its result, as OpenAI has it.
fn tooled() -> Value {
    json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c 1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        {"role": "tool", "tool_call_id": "c 1", "content": "done"},
    ])
}

#[test]
fn an_openai_call_becomes_converse() {
    let body = json!({
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}}]},
        ],
        "max_completion_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "stream": true,
        "metadata": {"team": "a"}, "service_tier": "flex",
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}], "tool_choice": "required",
    });
    assert_eq!(
        send(Dialect::OpenAi, body, CLAUDE),
        json!({
            "messages": [{"role": "user", "content": [{"text": "What is it?"}, {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}]}],
            "system": [{"text": "Be brief."}],
            "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
            "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"any": {}}},
            "requestMetadata": {"team": "a"},
            "serviceTier": {"type": "flex"},
            "additionalModelResponseFieldPaths": ["/stop_sequence"],
        })
    );
}

#[test]
fn each_choice_of_tool_has_its_word() {
    for (choice, expected) in [
        (json!("auto"), json!({"auto": {}})),
        (json!("required"), json!({"any": {}})),
        (json!({"type": "function", "function": {"name": "f"}}), json!({"tool": {"name": "f"}})),
    ] {
        let body = json!({"messages": hello(), "tools": [function("f")], "tool_choice": choice});
        assert_eq!(send(Dialect::OpenAi, body, CLAUDE)["toolConfig"]["toolChoice"], expected);
    }
}

#[test]
fn no_tools_are_sent_when_none_may_be_called() {
    let body = json!({"messages": hello(), "tools": [function("f")], "tool_choice": "none"});
    assert_eq!(send(Dialect::OpenAi, body, CLAUDE).get("toolConfig"), None);
}

#[test]
fn none_beside_a_history_of_tools_is_refused_or_becomes_an_instruction() {
    let body = json!({"messages": tooled(), "tools": [function("f")], "tool_choice": "none"});
    assert_eq!(refused(Dialect::OpenAi, body.clone(), CLAUDE), "tool_choice");
    let (sent, outbound) = bent(Dialect::OpenAi, body, CLAUDE);
    assert_eq!(sent["toolConfig"].get("toolChoice"), None);
    assert!(sent["system"][0]["text"].as_str().unwrap().contains("without calling any"));
    assert_eq!(outbound.defaulted[0].0, "tool_choice");
}

#[test]
fn a_history_of_tools_has_definitions_even_when_none_is_offered_any_more() {
    let sent = send(Dialect::OpenAi, json!({"messages": tooled()}), CLAUDE);
    assert_eq!(sent["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
    assert_eq!(sent["toolConfig"].get("toolChoice"), None);
}

#[test]
fn calls_and_results_stand_in_turns_that_alternate() {
    let sent = send(Dialect::OpenAi, json!({"messages": tooled(), "tools": [function("f")]}), CLAUDE);
    let messages = sent["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    // Empty text says nothing and is refused there.
    assert_eq!(messages[1]["content"].as_array().unwrap().len(), 1);
    let (call, result) = (&messages[1]["content"][0]["toolUse"], &messages[2]["content"][0]["toolResult"]);
    assert_eq!(call["input"], json!({"a": 1}));
    assert_eq!(call["toolUseId"], result["toolUseId"]);
    let id = call["toolUseId"].as_str().unwrap();
    assert!(id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c)), "{id}");
}

#[test]
fn neighbouring_turns_of_one_speaker_become_one_with_results_first() {
    let body = json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {"role": "user", "content": "c"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": true, "content": [{"type": "text", "text": "no"}]}]},
    ]});
    let sent = send(Dialect::Anthropic, body, CLAUDE);
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3);
    assert_eq!(sent["messages"][0]["content"], json!([{"text": "a"}, {"text": "b"}]));
    let last = &sent["messages"][2]["content"];
    assert_eq!(last[0]["toolResult"]["status"], "error");
    assert_eq!(last[1]["text"], "c");
}

#[test]
fn arguments_that_are_no_object_are_refused_by_name() {
    let mut body = json!({"messages": tooled()});
    body["messages"][1]["tool_calls"][0]["function"]["arguments"] = json!("[1]");
    assert_eq!(refused(Dialect::OpenAi, body.clone(), CLAUDE), "messages[1].tool_calls.function.arguments");
    body["messages"][1]["tool_calls"][0]["function"]["arguments"] = json!("");
    assert_eq!(
        send(Dialect::OpenAi, body, CLAUDE)["messages"][1]["content"][0]["toolUse"]["input"],
        json!({})
    );
}

#[test]
fn a_mark_for_the_cache_is_a_block_of_its_own_after_what_it_marks() {
    let mark = json!({"type": "ephemeral"});
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    let body = json!({
        "system": [{"type": "text", "text": "s", "cache_control": hour}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": mark}, {"name": "g", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}]}],
    });
    let sent = send(Dialect::Anthropic, body.clone(), CLAUDE);
    let point = json!({"cachePoint": {"type": "default"}});
    assert_eq!(sent["system"], json!([{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]));
    assert_eq!(sent["messages"][0]["content"], json!([{"text": "a"}, point, {"text": "b"}]));
    assert_eq!(sent["toolConfig"]["tools"][1], point);
    // Nova keeps marks of words but not of tools; others have none. Both are told.
    let (sent, outbound) = bent(Dialect::Anthropic, body.clone(), NOVA);
    assert_eq!(sent["toolConfig"]["tools"].as_array().unwrap().len(), 2);
    assert_eq!(sent["system"].as_array().unwrap().len(), 2);
    assert_eq!(outbound.dropped, ["tools[].cache_control"]);
    let (_, outbound) = bent(Dialect::Anthropic, body, "meta.llama3-3-70b-instruct-v1:0");
    assert_eq!(outbound.dropped, ["tools[].cache_control", "messages[].content[].cache_control"]);
}

#[test]
fn more_marks_than_the_cache_takes_are_refused() {
    let part = json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}});
    let body = json!({"messages": [{"role": "user", "content": [part, part, part, part, part]}]});
    assert_eq!(refused(Dialect::Anthropic, body, CLAUDE), "cache_control");
}

#[test]
fn documents_have_unique_plain_names_are_five_at_most_and_stand_beside_text() {
    let document = |name: &str| json!({"type": "document", "title": name, "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}});
    let content = json!([document("a_b.pdf"), document("a/b.pdf"), document("")]);
    let sent = send(Dialect::Anthropic, json!({"messages": [{"role": "user", "content": content}]}), CLAUDE);
    let blocks = sent["messages"][0]["content"].as_array().unwrap();
    let names: Vec<_> = blocks.iter().filter_map(|block| block["document"]["name"].as_str()).collect();
    assert_eq!(names, ["a b pdf", "a b pdf (2)", "Document 3"]);
    assert_eq!(blocks[0]["document"]["format"], "pdf");
    assert!(blocks[3]["text"].is_string());
    let six: Vec<_> = (0..6).map(|_| document("x")).collect();
    assert_eq!(
        refused(Dialect::Anthropic, json!({"messages": [{"role": "user", "content": six}]}), CLAUDE),
        "messages"
    );
}

#[test]
fn what_it_cannot_fetch_or_read_is_refused_by_name() {
    let image = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
    assert_eq!(refused(Dialect::OpenAi, image("https://x/y.png"), CLAUDE), "messages[0].content[0]");
    assert_eq!(
        refused(Dialect::OpenAi, image("data:image/tiff;base64,AA"), CLAUDE),
        "messages[0].content[0]"
    );
    let sent = send(Dialect::OpenAi, image("s3://bucket/y.png"), CLAUDE);
    assert_eq!(
        sent["messages"][0]["content"][0]["image"]["source"],
        json!({"s3Location": {"uri": "s3://bucket/y.png"}})
    );
}

#[test]
fn what_there_is_no_word_for_is_refused_by_name() {
    for (field, value) in [
        ("seed", json!(1)),
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("frequency_penalty", json!(0.5)),
        ("response_format", json!({"type": "json_object"})),
        ("temperature", json!(1.5)),
        ("logit_bias", json!({"1": 2})),
    ] {
        assert_eq!(refused(Dialect::OpenAi, with(chat(), field, value), CLAUDE), field);
    }
    let started =
        json!({"messages": [{"role": "assistant", "content": "I"}, {"role": "user", "content": "x"}]});
    assert_eq!(refused(Dialect::OpenAi, started, CLAUDE), "messages");
}

#[test]
fn hints_without_a_word_are_left_out_and_told() {
    let body = json!({"messages": hello(), "user": "u", "metadata": {"k": "ü"}, "service_tier": "scale"});
    let (sent, outbound) =
        encode(Dialect::OpenAi, &body, TargetShape::new(Dialect::Bedrock, CLAUDE)).unwrap();
    assert_eq!(sent.as_object().unwrap().len(), 1);
    assert_eq!(outbound.dropped, ["user", "metadata", "service_tier"]);
}

#[test]
fn thinking_goes_to_claude_in_its_own_words_and_never_forces_a_tool() {
    let thinking = json!({"type": "enabled", "budget_tokens": 2048});
    for choice in [json!(null), json!({"type": "auto"})] {
        let body = json!({"messages": hello(), "thinking": thinking, "tool_choice": choice,
            "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
        let sent = send(Dialect::Anthropic, body, CLAUDE);
        assert_eq!(sent["additionalModelRequestFields"], json!({"thinking": thinking}));
        let choice = &sent["toolConfig"]["toolChoice"];
        assert!(choice.is_null() || choice["auto"].is_object(), "{choice}");
    }
}

#[test]
fn an_effort_becomes_what_the_model_takes() {
    let effort = |word: &str| with(chat(), "reasoning_effort", json!(word));
    let fields = |model: &str| send(Dialect::OpenAi, effort("high"), model);
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 4_095}});
    assert_eq!(fields(OLD_CLAUDE)["additionalModelRequestFields"], thinking);
    let adaptive = fields("anthropic.claude-opus-4-7-v1:0");
    assert_eq!(adaptive["additionalModelRequestFields"], json!({"thinking": {"type": "adaptive"}}));
    assert_eq!(adaptive["outputConfig"], json!({"effort": "high"}));
    assert_eq!(
        fields("us.amazon.nova-2-lite-v1:0")["additionalModelRequestFields"],
        json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}})
    );
    assert_eq!(
        fields("openai.gpt-oss-120b-1:0")["additionalModelRequestFields"],
        json!({"reasoning_effort": "high"})
    );
    assert_eq!(
        fields("qwen.qwen3-32b-v1:0")["additionalModelRequestFields"],
        json!({"reasoning_config": "high"})
    );
    let (sent, outbound) = bent(Dialect::OpenAi, effort("low"), NOVA);
    assert_eq!(
        (sent.get("additionalModelRequestFields"), outbound.dropped),
        (None, vec!["reasoning_effort".to_owned()])
    );
    assert_eq!(send(Dialect::OpenAi, effort("none"), CLAUDE).get("additionalModelRequestFields"), None);
    let mut cold = effort("high");
    cold["temperature"] = json!(0.2);
    assert_eq!(refused(Dialect::OpenAi, cold, OLD_CLAUDE), "temperature");
}

#[test]
fn the_k_likeliest_are_named_as_each_family_names_them() {
    let body = || json!({"messages": hello(), "top_k": 5});
    let fields =
        |model: &str| send(Dialect::Anthropic, body(), model)["additionalModelRequestFields"].clone();
    assert_eq!(fields(CLAUDE), json!({"top_k": 5}));
    assert_eq!(fields(NOVA), json!({"inferenceConfig": {"topK": 5}}));
    assert_eq!(refused(Dialect::Anthropic, body(), "meta.llama3"), "top_k");
}

#[test]
fn one_call_at_a_time_is_asked_of_claude_and_refused_elsewhere() {
    let body = || json!({"messages": hello(), "tools": [function("f")], "parallel_tool_calls": false});
    let sent = send(Dialect::OpenAi, body(), CLAUDE);
    let expected = json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}});
    assert_eq!(sent["additionalModelRequestFields"], expected);
    assert_eq!(refused(Dialect::OpenAi, body(), NOVA), "parallel_tool_calls");
}

#[test]
fn a_schema_is_kept_by_the_model_or_by_a_forced_call_of_a_tool() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false});
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": schema}});
    let body = || with(chat(), "response_format", format.clone());
    let sent = send(Dialect::OpenAi, body(), CLAUDE);
    let sent = &sent["outputConfig"]["textFormat"];
    let definition = &sent["structure"]["jsonSchema"];
    assert_eq!(
        (&sent["type"], &definition["name"], &definition["description"]),
        (&json!("json_schema"), &json!("n"), &json!("d"))
    );
    // There a schema is a text.
    assert_eq!(serde_json::from_str::<Value>(definition["schema"].as_str().unwrap()).unwrap(), schema);
    let config = &send(Dialect::OpenAi, body(), NOVA)["toolConfig"];
    assert_eq!(config["tools"][0]["toolSpec"]["inputSchema"], json!({"json": schema}));
    assert_eq!(config["toolChoice"]["tool"], json!({"name": "answer_in_this_form"}));
    let config = &send(Dialect::OpenAi, with(body(), "tools", json!([function("f")])), NOVA)["toolConfig"];
    assert_eq!((config["tools"].as_array().unwrap().len(), &config["toolChoice"]), (2, &json!({"any": {}})));
    let reasons = with(body(), "reasoning_effort", json!("low"));
    assert_eq!(refused(Dialect::OpenAi, reasons, OLD_CLAUDE), "response_format");
}

#[test]
fn reasoning_goes_back_to_whoever_sealed_it_and_claude_s_seals_to_any_claude() {
    let said = |signature: &str| {
        json!({"messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": signature}, {"type": "text", "text": "y"}]},
            {"role": "user", "content": "z"},
        ]})
    };
    let kept = |signature: &str, model: &str| {
        let (sent, _) = bent(Dialect::Anthropic, said(signature), model);
        sent["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]["signature"]
            .as_str()
            .map(str::to_owned)
    };
    let ours = Signature::new(Dialect::Bedrock, "B").carry(Dialect::Anthropic);
    assert_eq!(kept(&ours, NOVA).as_deref(), Some("B"));
    assert_eq!(kept("A", CLAUDE).as_deref(), Some("A"));
    assert_eq!(kept("A", NOVA), None);
    assert_eq!(kept("gemini#G", CLAUDE), None);
    let (_, outbound) = bent(Dialect::Anthropic, said("A"), NOVA);
    assert_eq!(outbound.dropped, ["messages[].content[].reasoning_content"]);
}

#[test]
fn hidden_reasoning_of_claude_is_wrapped_once_more() {
    let body = json!({"messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "Eu8E"}, {"type": "text", "text": "y"}]},
        {"role": "user", "content": "z"},
    ]});
    let sent = send(Dialect::Anthropic, body, CLAUDE);
    assert_eq!(
        sent["messages"][1]["content"][0],
        json!({"reasoningContent": {"redactedContent": "RXU4RQ=="}})
    );
}

#[test]
fn citations_of_documents_are_asked_for_in_the_same_words() {
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}, "citations": {"enabled": true}, "context": "c"},
        {"type": "text", "text": "x"},
    ]}]});
    let sent = send(Dialect::Anthropic, body, CLAUDE);
    assert_eq!(
        sent["messages"][0]["content"][0]["document"],
        json!({"name": "Document 1", "format": "txt", "source": {"bytes": "aGk="}, "citations": {"enabled": true}, "context": "c"})
    );
}
