use bytes::Bytes;
use serde_json::{Value, json};

use super::{Summary, relay_answer};
use crate::{Call, Dialect, Fault, FaultClass, Operation, StopReason, Usage};

fn call(dialect: Dialect) -> Call {
    let body = Bytes::from_static(br#"{"model":"m","messages":[],"max_tokens":5}"#);
    Call::decode((dialect, Operation::Chat), body).unwrap().accepted_at(1_700_000_000)
}

fn relay(caller: Dialect, upstream: Dialect, body: &Value) -> Result<(Value, Summary), Fault> {
    let (bytes, summary) = relay_answer(&call(caller), upstream, Bytes::from(body.to_string()))?;
    Ok((serde_json::from_slice(&bytes).unwrap(), summary))
}

#[test]
fn an_anthropic_answer_becomes_an_openai_one() {
    let (body, summary) = relay(
        Dialect::OpenAi,
        Dialect::Anthropic,
        &json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xx"},
                {"type": "text", "text": "one "},
                {"type": "text", "text": "two", "citations": [{}]},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5,
                "output_tokens": 6, "output_tokens_details": {"thinking_tokens": 2}}
        }),
    )
    .unwrap();
    assert_eq!(
        body,
        json!({
            "id": "msg_1", "object": "chat.completion", "created": 1_700_000_000_u64, "model": "claude-x",
            "choices": [{"index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": "one two", "refusal": null,
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                    {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}}],
                "reasoning_content": "hm",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
                    {"type": "reasoning.encrypted", "data": "xx", "format": "anthropic-claude-v1", "index": 1}]}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 2}}
        })
    );
    let usage = Usage { input: 3, cache_read: 4, cache_write: 5, output: 6, reasoning: 2 };
    assert_eq!((summary.usage, summary.stop), (Some(usage), Some(StopReason::ToolUse)));
    assert_eq!((summary.upstream_model.as_deref(), summary.complete), (Some("claude-x"), true));
}

#[test]
fn an_openai_answer_becomes_an_anthropic_one() {
    let (body, _) = relay(
        Dialect::Anthropic,
        Dialect::OpenAi,
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "gpt-x",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": "hello", "reasoning_content": "hm",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
                    {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{\"cut"}}]}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4}}
        }),
    )
    .unwrap();
    assert_eq!(
        body,
        json!({
            "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt-x",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "hello"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
                {"type": "tool_use", "id": "c2", "name": "f", "input": {"invalid_arguments": "{\"cut"}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 8, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 6}
        })
    );
}

#[test]
fn a_block_is_seen_as_a_block_in_every_dialect() {
    let choice = |finish: &str, refusal: Value| json!({"choices": [{"finish_reason": finish, "message": {"content": null, "refusal": refusal}}]});
    let (body, _) =
        relay(Dialect::Anthropic, Dialect::OpenAi, &choice("content_filter", json!(null))).unwrap();
    assert_eq!(body["stop_reason"], "refusal");
    let (body, _) = relay(Dialect::Anthropic, Dialect::OpenAi, &choice("stop", json!("I will not"))).unwrap();
    assert_eq!(
        (&body["stop_reason"], &body["content"][0]["text"]),
        (&json!("refusal"), &json!("I will not"))
    );
    let message = json!({"type": "message", "content": [], "stop_reason": "refusal"});
    let (body, _) = relay(Dialect::OpenAi, Dialect::Anthropic, &message).unwrap();
    assert_eq!(body["choices"][0]["finish_reason"], "content_filter");
}

#[test]
fn an_unknown_reason_is_kept_beside_the_safest_known_one() {
    let message = json!({"type": "message", "content": [], "stop_reason": "new_reason"});
    let (body, summary) = relay(Dialect::OpenAi, Dialect::Anthropic, &message).unwrap();
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["choices"][0]["native_finish_reason"], "new_reason");
    assert_eq!(summary.stop, Some(StopReason::End));
    let choice = json!({"choices": [{"finish_reason": "MODEL_ARMOR", "message": {"content": "x"}}]});
    let (body, _) = relay(Dialect::Anthropic, Dialect::OpenAi, &choice).unwrap();
    assert_eq!(
        (&body["stop_reason"], &body["native_stop_reason"]),
        (&json!("refusal"), &json!("MODEL_ARMOR"))
    );
}

#[test]
fn an_error_hidden_in_a_success_is_a_fault() {
    for caller in [Dialect::OpenAi, Dialect::Anthropic] {
        for (body, class) in [
            (json!({"error": {"code": 429, "message": "slow"}}), FaultClass::RateLimited),
            (json!({"error": "broken", "choices": []}), FaultClass::Transient),
            (
                json!({"choices": [{"error": {"code": 502, "message": "x"}, "finish_reason": "error"}]}),
                FaultClass::Transient,
            ),
            (
                json!({"choices": [{"message": {"content": "x"}, "finish_reason": "error"}]}),
                FaultClass::Transient,
            ),
            (json!({"choices": []}), FaultClass::Transient),
            (json!({"hello": 1}), FaultClass::Transient),
        ] {
            let fault = relay(caller, Dialect::OpenAi, &body).unwrap_err();
            assert_eq!(fault.class, class, "{body}");
        }
        let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
        let fault = relay(caller, Dialect::Anthropic, &error).unwrap_err();
        assert_eq!((fault.class, fault.code.as_ref()), (FaultClass::Transient, "overloaded_error"));
        let fault = relay_answer(&call(caller), Dialect::OpenAi, Bytes::from_static(b"<html>")).unwrap_err();
        assert_eq!((fault.class, fault.code.as_ref()), (FaultClass::Transient, "invalid_answer"));
    }
}

#[test]
fn an_answer_of_the_callers_own_dialect_keeps_every_byte() {
    let body = Bytes::from_static(
        br#"{ "choices":[{"message":{"content":"h\u00e9"},"finish_reason":"stop"}],"error":null,"new":1e1,"usage":{"prompt_tokens":2}}"#,
    );
    let (bytes, summary) = relay_answer(&call(Dialect::OpenAi), Dialect::OpenAi, body.clone()).unwrap();
    assert_eq!(bytes.as_ptr(), body.as_ptr());
    assert_eq!(summary.output_chars, 3);
    assert_eq!(summary.usage, Some(Usage { input: 2, ..Usage::default() }));
}

#[test]
fn embeddings_are_answers_without_choices() {
    let body = Bytes::from_static(br#"{"model":"e","input":"x"}"#);
    let call = Call::decode((Dialect::OpenAi, Operation::Embeddings), body).unwrap();
    let answer = br#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"model":"e1","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let (bytes, summary) = relay_answer(&call, Dialect::OpenAi, Bytes::from_static(answer)).unwrap();
    assert_eq!(bytes, Bytes::from_static(answer));
    assert_eq!(summary.usage, Some(Usage { input: 4, ..Usage::default() }));
    let fault = relay_answer(&call, Dialect::OpenAi, Bytes::from_static(br#"{"choices":[]}"#)).unwrap_err();
    assert_eq!(fault.code, "invalid_answer");
}

#[test]
fn an_answer_without_any_content_is_a_fault_on_every_road() {
    for caller in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses] {
        let body = json!({"promptTokensDetails": [], "totalTokens": 3});
        let fault = relay(caller, Dialect::Gemini, &body).unwrap_err();
        assert_eq!(fault.code, "invalid_answer", "{caller}");
    }
}
