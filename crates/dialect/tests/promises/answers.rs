//! Whole answers of every provider, as every caller must read them.

use frontdoor_dialect::{
    Dialect::{self, Anthropic, Bedrock, Cohere, Gemini, OpenAi, Responses},
    StopReason, Usage,
};
use serde_json::{Value, json};

use crate::{answered, others};

/// An answer of a dialect that ended for a reason, in the dialect's word.
fn ended(provider: Dialect, word: &str) -> Value {
    match provider {
        OpenAi => json!({"id": "i", "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": word}]}),
        Responses => {
            let status = if word == "completed" || word == "failed" { word } else { "incomplete" };
            json!({"id": "i", "object": "response", "model": "m", "status": status,
                "incomplete_details": (status == "incomplete").then(|| json!({"reason": word})),
                "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "hi", "annotations": []}]}]})
        }
        Anthropic => json!({"id": "i", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "hi"}], "stop_reason": word, "usage": {"input_tokens": 1, "output_tokens": 1}}),
        Gemini => json!({"responseId": "i", "modelVersion": "m", "candidates": [
            {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": word}]}),
        Bedrock => {
            json!({"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": word,
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}})
        }
        Cohere => json!({"id": "i", "finish_reason": word,
            "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}}),
    }
}

/// The word for the end in an answer that a caller got.
fn word(caller: Dialect, body: &Value) -> String {
    let word = match caller {
        OpenAi => &body["choices"][0]["finish_reason"],
        Responses if body["status"] == "incomplete" => &body["incomplete_details"]["reason"],
        Responses => &body["status"],
        Anthropic => &body["stop_reason"],
        Gemini => &body["candidates"][0]["finishReason"],
        Bedrock => &body["stopReason"],
        Cohere => &body["finish_reason"],
    };
    word.as_str().unwrap_or_else(|| panic!("{caller}: {body}")).to_owned()
}

const BLOCKS: &[(Dialect, &[&str])] = &[
    (OpenAi, &["content_filter"]),
    (Responses, &["content_filter"]),
    (Anthropic, &["refusal"]),
    (
        Gemini,
        &[
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "ESCALATION",
            "IMAGE_SAFETY",
        ],
    ),
    (Bedrock, &["content_filtered", "guardrail_intervened"]),
    (Cohere, &["ERROR_TOXIC"]),
];

#[test]
fn a_block_of_any_provider_is_a_block_for_every_caller() {
    for (provider, words) in BLOCKS {
        for native in *words {
            for caller in others(*provider) {
                let (body, summary) = answered(caller, *provider, &ended(*provider, native)).unwrap();
                let expected = match caller {
                    OpenAi | Responses => "content_filter",
                    Anthropic => "refusal",
                    Gemini => "SAFETY",
                    Bedrock => "content_filtered",
                    Cohere => "ERROR_TOXIC",
                };
                assert_eq!(word(caller, &body), expected, "{provider} {native} to {caller}");
                assert_eq!(summary.stop, Some(StopReason::Refusal));
            }
        }
    }
}

#[test]
fn a_failure_that_claims_to_be_an_end_is_an_error_for_every_caller() {
    for (provider, words) in [
        (OpenAi, &["error", "timeout"][..]),
        (Responses, &["failed"]),
        (
            Gemini,
            &[
                "MALFORMED_FUNCTION_CALL",
                "MISSING_THOUGHT_SIGNATURE",
                "MALFORMED_RESPONSE",
                "OTHER",
                "UNEXPECTED_TOOL_CALL",
            ],
        ),
        (Bedrock, &["malformed_tool_use", "malformed_model_output"]),
        (Cohere, &["ERROR", "TIMEOUT"]),
    ] {
        for native in words {
            for caller in Dialect::ALL {
                let answer = answered(caller, provider, &ended(provider, native));
                assert!(answer.is_err(), "{provider} {native} to {caller}: {answer:?}");
            }
        }
    }
}

#[test]
fn a_full_context_is_a_length_and_a_pause_is_an_end_where_there_is_no_own_word() {
    for provider in [Anthropic, Bedrock] {
        for (caller, expected) in [
            (OpenAi, "length"),
            (Responses, "max_output_tokens"),
            (Gemini, "MAX_TOKENS"),
            (Cohere, "MAX_TOKENS"),
        ] {
            let body = ended(provider, "model_context_window_exceeded");
            assert_eq!(word(caller, &answered(caller, provider, &body).unwrap().0), expected, "{provider}");
        }
    }
    let (body, _) = answered(Anthropic, Bedrock, &ended(Bedrock, "model_context_window_exceeded")).unwrap();
    assert_eq!(word(Anthropic, &body), "model_context_window_exceeded");
    assert_eq!(
        word(OpenAi, &answered(OpenAi, Anthropic, &ended(Anthropic, "pause_turn")).unwrap().0),
        "stop"
    );
}

#[test]
fn no_unknown_reason_fails_a_finished_answer_and_each_is_kept() {
    for (provider, native) in [
        (OpenAi, "tired"),
        (Responses, "tired"),
        (Anthropic, "tired"),
        (Gemini, "TIRED"),
        (Bedrock, "tired"),
        (Cohere, "TIRED"),
    ] {
        for caller in Dialect::ALL {
            let (body, summary) = answered(caller, provider, &ended(provider, native)).unwrap();
            assert!(summary.stop.is_some(), "{provider} to {caller}");
            // Converse and Cohere have no place for a word of others; nobody calls in them.
            if !matches!(caller, Bedrock | Cohere) {
                assert!(body.to_string().contains(native), "{provider} to {caller}: {body}");
            }
        }
    }
}

#[test]
fn calls_of_tools_wait_for_results_whatever_the_provider_says_of_the_end() {
    let openai = json!({"id": "i", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message":
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}}]});
    let gemini = json!({"responseId": "i", "modelVersion": "m", "candidates": [{"finishReason": "STOP",
        "content": {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}}]});
    for (provider, body) in [(OpenAi, openai), (Gemini, gemini)] {
        for (caller, expected) in
            [(OpenAi, "tool_calls"), (Anthropic, "tool_use"), (Bedrock, "tool_use"), (Cohere, "TOOL_CALL")]
        {
            if caller == provider {
                continue;
            }
            let (body, summary) = answered(caller, provider, &body).unwrap();
            assert_eq!(word(caller, &body), expected, "{provider}");
            assert_eq!(summary.stop, Some(StopReason::ToolUse));
            let arguments = match caller {
                OpenAi => &body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
                Cohere => &body["message"]["tool_calls"][0]["function"]["arguments"],
                Anthropic => &body["content"][0]["input"],
                _ => &body["output"]["message"]["content"][0]["toolUse"]["input"],
            };
            assert!(*arguments == json!("{}") || *arguments == json!({}), "{caller}: {body}");
        }
    }
}

/// An answer that used 100 of input beside 40 read from and 20 written to a cache, and 30 of output, 10 of them reasoning, as
/// far as the dialect can tell these apart.
fn used(provider: Dialect) -> Value {
    let mut body = match provider {
        OpenAi => ended(OpenAi, "stop"),
        Responses => ended(Responses, "completed"),
        Anthropic => ended(Anthropic, "end_turn"),
        Gemini => ended(Gemini, "STOP"),
        Bedrock => ended(Bedrock, "end_turn"),
        Cohere => ended(Cohere, "COMPLETE"),
    };
    let (field, usage) = match provider {
        OpenAi => (
            "usage",
            json!({"prompt_tokens": 160, "completion_tokens": 30, "total_tokens": 190,
            "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20},
            "completion_tokens_details": {"reasoning_tokens": 10}}),
        ),
        Responses => (
            "usage",
            json!({"input_tokens": 160, "output_tokens": 30, "total_tokens": 190,
            "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20},
            "output_tokens_details": {"reasoning_tokens": 10}}),
        ),
        Anthropic => (
            "usage",
            json!({"input_tokens": 100, "cache_read_input_tokens": 40,
            "cache_creation_input_tokens": 20, "output_tokens": 30, "output_tokens_details": {"thinking_tokens": 10}}),
        ),
        Gemini => (
            "usageMetadata",
            json!({"promptTokenCount": 110, "toolUsePromptTokenCount": 50,
            "cachedContentTokenCount": 40, "candidatesTokenCount": 20, "thoughtsTokenCount": 10, "totalTokenCount": 190}),
        ),
        Bedrock => (
            "usage",
            json!({"inputTokens": 100, "outputTokens": 30, "totalTokens": 190,
            "cacheReadInputTokens": 40, "cacheWriteInputTokens": 20}),
        ),
        Cohere => (
            "usage",
            json!({"tokens": {"input_tokens": 160, "output_tokens": 30}, "cached_tokens": 40,
            "billed_units": {"input_tokens": 1, "output_tokens": 1}}),
        ),
    };
    body[field] = usage;
    body
}

#[test]
fn the_same_use_is_told_to_every_caller_in_its_own_convention() {
    for provider in Dialect::ALL {
        for caller in Dialect::ALL {
            let (body, summary) = answered(caller, provider, &used(provider)).unwrap();
            let Usage { input, cache_read, cache_write, output, .. } = summary.usage.unwrap();
            let what = format!("{provider} to {caller}: {body}");
            assert_eq!((input + cache_read + cache_write, cache_read, output), (160, 40, 30), "{what}");
            let number = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
            if caller == provider {
                continue;
            }
            match caller {
                OpenAi => {
                    assert_eq!(number("/usage/prompt_tokens"), Some(160), "{what}");
                    assert_eq!(number("/usage/total_tokens"), Some(190), "{what}");
                }
                Responses => {
                    assert_eq!(number("/usage/input_tokens"), Some(160), "{what}");
                    assert_eq!(number("/usage/total_tokens"), Some(190), "{what}");
                }
                Anthropic => {
                    assert_eq!(number("/usage/input_tokens"), Some(input), "{what}");
                    assert_eq!(number("/usage/cache_read_input_tokens"), Some(40), "{what}");
                    assert_eq!(number("/usage/cache_creation_input_tokens"), Some(cache_write), "{what}");
                }
                Gemini => {
                    assert_eq!(number("/usageMetadata/promptTokenCount"), Some(160), "{what}");
                    assert_eq!(number("/usageMetadata/totalTokenCount"), Some(190), "{what}");
                }
                Bedrock => {
                    assert_eq!(number("/usage/inputTokens"), Some(input), "{what}");
                    assert_eq!(number("/usage/totalTokens"), Some(190), "{what}");
                }
                Cohere => assert_eq!(number("/usage/tokens/input_tokens"), Some(160), "{what}"),
            }
        }
    }
}

#[test]
fn the_tier_that_bears_on_the_price_is_learned_on_every_road() {
    for (provider, path, word) in [
        (OpenAi, "/service_tier", "flex"),
        (Responses, "/service_tier", "priority"),
        (Anthropic, "/usage/service_tier", "batch"),
        (Gemini, "/usageMetadata/serviceTier", "FLEX"),
        (Bedrock, "/serviceTier", "reserved"),
    ] {
        let mut body = used(provider);
        match path.rsplit_once('/').unwrap() {
            ("", field) if provider == Bedrock => body[field] = json!({"type": word}),
            ("", field) => body[field] = json!(word),
            (outer, field) => body.pointer_mut(outer).unwrap()[field] = json!(word),
        }
        for caller in Dialect::ALL {
            let (_, summary) = answered(caller, provider, &body).unwrap();
            assert_eq!(summary.service_tier.as_deref(), Some(word), "{provider} to {caller}");
        }
    }
}

#[test]
fn an_answer_with_nothing_in_it_is_the_providers_fault_for_every_caller() {
    for (provider, body) in [
        (OpenAi, json!({"id": "i", "choices": []})),
        (OpenAi, json!({})),
        (Responses, json!({"id": "i", "object": "response"})),
        (Anthropic, json!({"id": "i", "type": "message"})),
        (Gemini, json!({"candidates": []})),
        (
            Bedrock,
            json!({"stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}),
        ),
        (Cohere, json!({"id": "i", "finish_reason": "COMPLETE"})),
    ] {
        for caller in Dialect::ALL {
            let answer = answered(caller, provider, &body);
            assert!(answer.is_err(), "{provider} to {caller}: {answer:?}");
        }
    }
}

#[test]
fn an_error_that_is_null_is_none() {
    for (provider, end) in
        [(OpenAi, "stop"), (Responses, "completed"), (Anthropic, "end_turn"), (Gemini, "STOP")]
    {
        let mut body = ended(provider, end);
        body["error"] = Value::Null;
        for caller in Dialect::ALL {
            let (body, _) = answered(caller, provider, &body).unwrap();
            // The SDKs raise on anything but null.
            assert!(body.get("error").is_none_or(Value::is_null), "{provider} to {caller}: {body}");
        }
    }
}

#[test]
fn an_empty_list_of_calls_beside_text_is_nothing() {
    let mut body = ended(OpenAi, "stop");
    body["choices"][0]["message"]["tool_calls"] = json!([]);
    for caller in others(OpenAi) {
        let (body, summary) = answered(caller, OpenAi, &body).unwrap();
        assert_eq!(summary.stop, Some(StopReason::End), "{caller}: {body}");
    }
}

#[test]
fn arguments_that_are_not_json_reach_the_caller_who_asked_for_the_tool() {
    let body = json!({"id": "i", "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls", "message":
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": oops"}}]}}]});
    for caller in others(OpenAi) {
        // As text where there is text, inside an object where there must be one, or a clear fault: never another meaning.
        match answered(caller, OpenAi, &body) {
            Ok((body, _)) => assert!(body.to_string().contains("oops"), "{caller}: {body}"),
            Err(fault) => assert_eq!(fault.code, "invalid_answer", "{caller}"),
        }
    }
}
