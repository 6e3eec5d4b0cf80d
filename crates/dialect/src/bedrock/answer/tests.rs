use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Call, Dialect, Fault, Operation, StopReason, Summary, relay_answer};

fn call(dialect: Dialect) -> Call {
    let body = json!({"model": "asked", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "fs.read"}}]});
    Call::decode((dialect, Operation::Chat), body.to_string().into()).unwrap()
}

fn body(content: &Value, stop: &str) -> Value {
    json!({"metrics": {"latencyMs": 4}, "output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
        "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 9, "cacheReadInputTokens": 2}})
}

fn relay(dialect: Dialect, body: &Value) -> Result<(Value, Summary), Fault> {
    let (bytes, summary) = relay_answer(&call(dialect), Dialect::Bedrock, Bytes::from(body.to_string()))?;
    Ok((serde_json::from_slice(&bytes).unwrap(), summary))
}

#[test]
fn a_success_without_output_is_a_fault() {
    for body in [
        json!({"message": "x"}),
        json!({"output": null, "stopReason": "end_turn"}),
        json!({"output": {}}),
        json!([]),
    ] {
        assert_eq!(relay(Dialect::OpenAi, &body).unwrap_err().code, "invalid_answer", "{body}");
    }
}

#[test]
fn a_caller_gets_its_names_of_tools_and_of_the_model_back() {
    let content =
        json!([{"text": "Let me."}, {"toolUse": {"toolUseId": "t", "name": "fs_read", "input": {"a": 1}}}]);
    let (answer, summary) = relay(Dialect::OpenAi, &body(&content, "tool_use")).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"]["name"], "fs.read");
    assert_eq!(
        (&answer["model"], &answer["choices"][0]["finish_reason"]),
        (&json!("asked"), &json!("tool_calls"))
    );
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
    assert_eq!((summary.upstream_model, summary.usage.unwrap().cache_read), (None, 2));
}

#[test]
fn an_answer_given_as_a_call_of_the_answer_tool_is_text() {
    let content = json!([{"toolUse": {"toolUseId": "t", "name": "answer_in_this_form", "input": {"a": 1}}}]);
    let (answer, summary) = relay(Dialect::OpenAi, &body(&content, "tool_use")).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"a":1}"#);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(summary.stop, Some(StopReason::End));
}

#[test]
fn an_answer_the_provider_calls_malformed_is_a_fault() {
    for word in ["malformed_tool_use", "malformed_model_output"] {
        assert_eq!(
            relay(Dialect::OpenAi, &body(&json!([{"text": "x"}]), word)).unwrap_err().code,
            "provider_failed"
        );
    }
}

#[test]
fn a_full_window_and_the_stop_sequence_reach_an_anthropic_caller_in_its_words() {
    let (answer, _) =
        relay(Dialect::Anthropic, &body(&json!([{"text": "x"}]), "model_context_window_exceeded")).unwrap();
    assert_eq!(answer["stop_reason"], "model_context_window_exceeded");
    let mut stopped = body(&json!([{"text": "x"}]), "stop_sequence");
    stopped["additionalModelResponseFields"] = json!({"stop_sequence": "END"});
    let (answer, _) = relay(Dialect::Anthropic, &stopped).unwrap();
    assert_eq!((&answer["stop_reason"], &answer["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
    let (answer, _) =
        relay(Dialect::Anthropic, &body(&json!([{"text": "x"}]), "guardrail_intervened")).unwrap();
    assert_eq!(answer["stop_reason"], "refusal");
}

#[test]
fn reasoning_keeps_its_seal_for_the_way_back() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "SEAL"}}},
        {"reasoningContent": {"redactedContent": "RXU4RQ=="}}, {"text": "x"},
    ]);
    let (answer, _) = relay(Dialect::Anthropic, &body(&content, "end_turn")).unwrap();
    assert_eq!(
        answer["content"][0],
        json!({"type": "thinking", "thinking": "hm", "signature": "bedrock#SEAL"})
    );
    assert_eq!(answer["content"][1], json!({"type": "redacted_thinking", "data": "bedrock#RXU4RQ=="}));
}

#[test]
fn pages_that_are_cited_are_shown_to_openai_callers() {
    let content = json!([{"citationsContent": {"content": [{"text": "It is."}], "citations": [
        {"title": "T", "sourceContent": [{"text": "q"}], "location": {"web": {"url": "https://x", "domain": "x"}}}]}}]);
    let (answer, _) = relay(Dialect::OpenAi, &body(&content, "end_turn")).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "It is.");
    assert_eq!(message["annotations"][0]["url_citation"]["url"], "https://x");
}

#[test]
fn what_the_provider_ran_itself_is_skipped_and_counted() {
    let content = json!([
        {"toolUse": {"toolUseId": "t", "name": "code", "input": {}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "t", "content": [], "type": "code_result"}}, {"text": "x"},
    ]);
    let (answer, summary) = relay(Dialect::OpenAi, &body(&content, "end_turn")).unwrap();
    assert_eq!((answer["choices"][0]["message"].get("tool_calls"), summary.unknown), (None, 2));
}
