#![expect(clippy::needless_pass_by_value, reason = "builders of records read best with literals")]

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Call, Dialect, FaultClass, Operation, StopReason, Summary, relay_answer};

fn call(dialect: Dialect, more: Value) -> Call {
    let mut body = match dialect {
        Dialect::Responses => json!({"model":"m","input":"Hello"}),
        _ => json!({"model":"m","max_tokens":5,"messages":[]}),
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Call::decode((dialect, Operation::Chat), body.to_string().into()).unwrap().accepted_at(7)
}

fn relay(caller: Dialect, upstream: Dialect, body: &Value) -> (Value, Summary) {
    let (answer, summary) =
        relay_answer(&call(caller, json!({})), upstream, Bytes::from(body.to_string())).unwrap();
    (serde_json::from_slice(&answer).unwrap(), summary)
}

fn response(output: Value) -> Value {
    json!({"id":"resp_1","object":"response","created_at":9.0,"status":"completed","error":null,"model":"gpt",
        "incomplete_details":null,"output":output,"service_tier":"flex","usage":{"input_tokens":10,
        "input_tokens_details":{"cached_tokens":4,"cache_write_tokens":1},"output_tokens":5,
        "output_tokens_details":{"reasoning_tokens":2},"total_tokens":15}})
}

fn everything() -> Value {
    response(json!([
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"gA"},
        {"type":"web_search_call","id":"ws_1","status":"completed"},
        {"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[
            {"type":"output_text","text":"Yes.","annotations":[{"type":"url_citation","url":"https://x.example",
                "title":"X","start_index":0,"end_index":4}],
                "logprobs":[{"token":"Yes.","logprob":-0.5,"bytes":[1],"top_logprobs":[]}]}]},
        {"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1}"}]))
}

#[test]
fn a_response_becomes_an_anthropic_message() {
    let (message, summary) = relay(Dialect::Anthropic, Dialect::Responses, &everything());
    assert_eq!(
        message["content"][0],
        json!({"type":"thinking","thinking":"Hm.","signature":"responses#rs_1:gA"})
    );
    assert_eq!(message["content"][1]["text"], "Yes.");
    assert_eq!(message["content"][2]["input"], json!({"a":1}));
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(message["usage"]["input_tokens"], 5);
    assert_eq!(message["usage"]["cache_read_input_tokens"], 4);
    assert_eq!(summary.stop, Some(StopReason::ToolUse));
    assert_eq!(summary.service_tier.as_deref(), Some("flex"));
}

#[test]
fn a_response_becomes_a_chat_completion() {
    let (completion, summary) = relay(Dialect::OpenAi, Dialect::Responses, &everything());
    let choice = &completion["choices"][0];
    assert_eq!(choice["message"]["content"], "Yes.");
    assert_eq!(choice["message"]["reasoning_content"], "Hm.");
    assert_eq!(choice["message"]["tool_calls"][0]["id"], "call_1");
    assert_eq!(choice["message"]["annotations"][0]["url_citation"]["url"], "https://x.example");
    assert_eq!(choice["logprobs"]["content"][0]["token"], "Yes.");
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(completion["created"], 9);
    assert_eq!(completion["usage"]["prompt_tokens"], 10);
    assert_eq!(summary.object_id.as_deref(), Some("resp_1"));
}

#[test]
fn a_chat_completion_becomes_a_response() {
    let (answer, _) = relay(
        Dialect::Responses,
        Dialect::OpenAi,
        &json!({"id":"chatcmpl-1","object":"chat.completion","created":9,"model":"gpt","choices":[{"index":0,
            "message":{"role":"assistant","content":"Yes.","reasoning_content":"Hm.","tool_calls":[
                {"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]},
            "logprobs":{"content":[{"token":"Yes.","logprob":-0.5,"bytes":[1],"top_logprobs":[]}],"refusal":null},
            "finish_reason":"tool_calls"}],
            "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}),
    );
    assert_eq!(answer["id"], "chatcmpl-1");
    assert_eq!(answer["status"], "completed");
    let output = answer["output"].as_array().unwrap();
    let kinds: Vec<&str> = output.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(output[1]["content"][0]["logprobs"][0]["token"], "Yes.");
    assert_eq!(output[2]["arguments"], "{}");
    assert_eq!(answer["usage"]["input_tokens"], 10);
    assert_eq!(answer["usage"]["total_tokens"], 15);
}

#[test]
fn a_cut_answer_is_incomplete_and_a_block_stays_a_block() {
    for (word, status, reason) in [
        ("stop", "completed", Value::Null),
        ("length", "incomplete", json!("max_output_tokens")),
        ("content_filter", "incomplete", json!("content_filter")),
    ] {
        let body = json!({"id":"c","model":"m","choices":[{"index":0,"message":{"content":"x"},"finish_reason":word}]});
        let (answer, _) = relay(Dialect::Responses, Dialect::OpenAi, &body);
        assert_eq!((&answer["status"], &answer["incomplete_details"]["reason"]), (&json!(status), &reason));
        let (back, summary) = relay(Dialect::OpenAi, Dialect::Responses, &answer);
        assert_eq!(back["choices"][0]["finish_reason"], word);
        assert_eq!(summary.stop.map(|stop| stop.encode(Dialect::OpenAi)), Some(word));
    }
}

#[test]
fn a_refusal_in_words_is_a_refusal_on_every_surface() {
    let body = response(
        json!([{"type":"message","id":"m","role":"assistant","content":[{"type":"refusal","refusal":"No."}]}]),
    );
    let (completion, summary) = relay(Dialect::OpenAi, Dialect::Responses, &body);
    assert_eq!(completion["choices"][0]["message"]["refusal"], "No.");
    assert_eq!(summary.stop, Some(StopReason::Refusal));
    let (message, _) = relay(Dialect::Anthropic, Dialect::Responses, &body);
    assert_eq!(message["stop_reason"], "refusal");
    let (again, _) = relay(Dialect::Responses, Dialect::OpenAi, &completion);
    assert_eq!(again["output"][0]["content"][0], json!({"type":"refusal","refusal":"No."}));
}

#[test]
fn a_failed_response_in_a_success_is_a_fault() {
    for (error, class) in [
        (json!({"code":"server_error","message":"Oops."}), FaultClass::Transient),
        (json!({"code":"rate_limit_exceeded","message":"Slow down."}), FaultClass::RateLimited),
        (json!({"code":"invalid_prompt","message":"No."}), FaultClass::Invalid),
        (json!({"code":"image_content_policy_violation","message":"No."}), FaultClass::Filtered),
        (json!({"code":"image_file_too_large","message":"No."}), FaultClass::TooLarge),
        (json!({"code":"something_new","message":"Hm."}), FaultClass::Transient),
    ] {
        let body = json!({"id":"r","status":"failed","output":[],"error":error}).to_string();
        for caller in [Dialect::Responses, Dialect::OpenAi, Dialect::Anthropic] {
            let call = call(caller, json!({}));
            let fault = relay_answer(&call, Dialect::Responses, Bytes::from(body.clone())).unwrap_err();
            assert_eq!(fault.class, class, "{fault}");
        }
    }
}

#[test]
fn a_response_at_work_in_the_background_passes_without_an_end() {
    let body =
        json!({"id":"resp_1","status":"queued","background":true,"error":null,"output":[],"usage":null});
    let (answer, summary) = relay(Dialect::Responses, Dialect::Responses, &body);
    assert_eq!(answer, body);
    assert_eq!((summary.stop, summary.complete), (None, true));
    assert_eq!(summary.object_id.as_deref(), Some("resp_1"));
}

#[test]
fn an_answer_that_is_no_response_is_a_fault() {
    for body in ["{}", "[]", "<html></html>", r#"{"id":"r","output":null}"#, r#"{"output":7}"#] {
        for caller in [Dialect::Responses, Dialect::OpenAi] {
            let fault = relay_answer(&call(caller, json!({})), Dialect::Responses, body.into()).unwrap_err();
            assert_eq!(fault.code, "invalid_answer", "{body}");
        }
    }
}

#[test]
fn a_caller_that_wants_nothing_kept_has_no_id_to_come_back_to() {
    let body = Bytes::from(everything().to_string());
    let unkept = call(Dialect::Responses, json!({"store":false}));
    assert_eq!(relay_answer(&unkept, Dialect::Responses, body.clone()).unwrap().1.object_id, None);
    let kept = call(Dialect::Responses, json!({"store":true}));
    assert_eq!(relay_answer(&kept, Dialect::Responses, body).unwrap().1.object_id.as_deref(), Some("resp_1"));
}
