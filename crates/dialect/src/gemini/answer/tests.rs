use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Asked, Call, Dialect, Operation, StopReason, Summary, relay_answer};

fn call(dialect: Dialect) -> Call {
    let mut asked = Asked::from((dialect, Operation::Chat));
    let body = match dialect {
        Dialect::Gemini => {
            asked.model = Some("m".to_owned());
            json!({"contents": []})
        }
        _ => json!({"model": "m", "max_tokens": 5, "messages": [], "n": 2}),
    };
    Call::decode(asked, Bytes::from(body.to_string())).unwrap()
}

fn relay(caller: Dialect, upstream: Dialect, body: &Value) -> (Value, Summary) {
    let (body, summary) = relay_answer(&call(caller), upstream, Bytes::from(body.to_string())).unwrap();
    (serde_json::from_slice(&body).unwrap(), summary)
}

fn gemini() -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": [
            {"text": "hm", "thought": true}, {"text": "a"},
            {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"}]},
        "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "serviceTier": "flex"},
        "modelVersion": "gemini-x", "responseId": "r1"})
}

#[test]
fn a_gemini_answer_becomes_that_of_each_caller() {
    let (openai, summary) = relay(Dialect::OpenAi, Dialect::Gemini, &gemini());
    let message = &openai["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("a"), &json!("hm")));
    assert_eq!(message["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{\"x\":1}"}));
    assert_eq!(openai["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(openai["usage"]["completion_tokens"], 6);
    assert_eq!((summary.stop, summary.service_tier.as_deref()), (Some(StopReason::ToolUse), Some("flex")));
    let (anthropic, _) = relay(Dialect::Anthropic, Dialect::Gemini, &gemini());
    assert_eq!(anthropic["stop_reason"], "tool_use");
    assert_eq!(anthropic["content"][2]["input"], json!({"x": 1}));
    let (own, summary) = relay(Dialect::Gemini, Dialect::Gemini, &gemini());
    assert_eq!(own, gemini());
    assert_eq!(summary.stop, Some(StopReason::ToolUse));
}

#[test]
fn several_candidates_are_several_choices() {
    let mut two = gemini();
    let other = json!({"content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS", "index": 1});
    two["candidates"].as_array_mut().unwrap().push(other);
    let (openai, _) = relay(Dialect::OpenAi, Dialect::Gemini, &two);
    assert_eq!(openai["choices"][1]["message"]["content"], "b");
    assert_eq!(openai["choices"][1]["finish_reason"], "length");
}

#[test]
fn an_openai_answer_becomes_a_gemini_one() {
    let openai = json!({"id": "c1", "model": "gpt", "choices": [{"index": 0, "finish_reason": "tool_calls",
        "logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": null},
        "message": {"role": "assistant", "content": "a", "annotations": [{"type": "url_citation",
                "url_citation": {"start_index": 0, "end_index": 1, "url": "https://x", "title": "X"}}],
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "not json"}}]}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 6, "completion_tokens_details": {"reasoning_tokens": 2}}});
    let (gemini, _) = relay(Dialect::Gemini, Dialect::OpenAi, &openai);
    let candidate = &gemini["candidates"][0];
    assert_eq!(
        candidate["content"],
        json!({"role": "model", "parts": [{"text": "a"},
            {"functionCall": {"id": "t1", "name": "f", "args": {"invalid_arguments": "not json"}}}]})
    );
    assert_eq!(candidate["finishReason"], "STOP");
    assert_eq!(candidate["groundingMetadata"]["groundingChunks"][0]["web"]["uri"], "https://x");
    assert_eq!(candidate["groundingMetadata"]["groundingSupports"][0]["segment"]["text"], "a");
    assert_eq!(
        candidate["logprobsResult"]["chosenCandidates"],
        json!([{"token": "a", "logProbability": -0.5}])
    );
    assert_eq!(
        gemini["usageMetadata"],
        json!({"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 15, "thoughtsTokenCount": 2})
    );
    assert_eq!((&gemini["modelVersion"], &gemini["responseId"]), (&json!("gpt"), &json!("c1")));
}

#[test]
fn a_block_stays_a_block_and_a_refusal_is_one() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"trafficType": "ON_DEMAND"}});
    let (openai, summary) = relay(Dialect::OpenAi, Dialect::Gemini, &blocked);
    assert_eq!(openai["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(openai["choices"][0]["native_finish_reason"], "PROHIBITED_CONTENT");
    assert_eq!((summary.stop, summary.usage), (Some(StopReason::Refusal), None));
    let refusal = json!({"id": "c", "model": "m", "choices": [{"finish_reason": "stop",
        "message": {"role": "assistant", "content": null, "refusal": "no"}}]});
    let (gemini, _) = relay(Dialect::Gemini, Dialect::OpenAi, &refusal);
    assert_eq!(gemini["candidates"][0]["finishReason"], "SAFETY");
    assert_eq!(gemini["candidates"][0]["content"]["parts"], json!([{"text": "no"}]));
}

#[test]
fn an_answer_that_is_none_is_a_fault() {
    for body in [
        json!({"candidates": []}),
        json!({}),
        json!({"error": {"code": 500, "message": "oh", "status": "INTERNAL"}}),
        json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}),
    ] {
        for caller in [Dialect::OpenAi, Dialect::Gemini] {
            let body = Bytes::from(body.to_string());
            assert!(relay_answer(&call(caller), Dialect::Gemini, body.clone()).is_err(), "{body:?}");
        }
    }
}

#[test]
fn calls_without_ids_get_ones_that_no_other_answer_has() {
    let ids = |id: &str| {
        let mut body = gemini();
        body["responseId"] = json!(id);
        let (openai, _) = relay(Dialect::OpenAi, Dialect::Gemini, &body);
        openai["choices"][0]["message"]["tool_calls"][0]["id"].as_str().unwrap().to_owned()
    };
    assert_ne!(ids("r1"), ids("r2"));
    assert!(ids("r1").starts_with("call_r1_0__sig_"));
    assert!(ids("").starts_with("call_"));
}
