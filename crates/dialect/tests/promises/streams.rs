//! Streams of every provider, as every caller must read them.

use frontdoor_dialect::{
    Dialect::{self, Anthropic, Bedrock, Cohere, Gemini, OpenAi, Responses},
    ErrorShape, FaultClass, Relay, StopReason,
};
use serde_json::{Value, json};

use crate::{hello, others, read, records, streamed};

const TEXT: &str = "naïve 🦀 日本";

/// Text, a call of a tool, an end and the use, as a provider streams them.
fn spoken(provider: Dialect) -> Vec<Value> {
    let chat = |delta: Value, finish: Value| json!({"id": "i", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    match provider {
        OpenAi => vec![
            // Azure's first record has no choices.
            json!({"id": "", "model": "", "choices": [], "prompt_filter_results": []}),
            chat(json!({"role": "assistant", "content": ""}), Value::Null),
            chat(json!({"content": TEXT, "tool_calls": []}), Value::Null),
            chat(
                json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
                Value::Null,
            ),
            chat(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"é\":"}}]}), Value::Null),
            chat(json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}), Value::Null),
            chat(json!({}), json!("tool_calls")),
            json!({"id": "i", "model": "m", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}),
        ],
        Responses => vec![
            json!({"type": "response.created", "sequence_number": 0, "response": {"id": "i", "object": "response", "model": "m", "status": "in_progress", "output": []}}),
            json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "message", "id": "msg_1", "role": "assistant", "content": [], "status": "in_progress"}}),
            json!({"type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0, "item_id": "msg_1", "part": {"type": "output_text", "text": "", "annotations": []}}),
            json!({"type": "response.output_text.delta", "sequence_number": 3, "output_index": 0, "content_index": 0, "item_id": "msg_1", "delta": TEXT}),
            json!({"type": "response.output_item.done", "sequence_number": 4, "output_index": 0, "item": {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": TEXT, "annotations": []}]}}),
            json!({"type": "response.output_item.added", "sequence_number": 5, "output_index": 1, "item": {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "", "status": "in_progress"}}),
            json!({"type": "response.function_call_arguments.delta", "sequence_number": 6, "output_index": 1, "item_id": "fc_1", "delta": "{\"é\":1}"}),
            json!({"type": "response.output_item.done", "sequence_number": 7, "output_index": 1, "item": {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{\"é\":1}", "status": "completed"}}),
            json!({"type": "response.completed", "sequence_number": 8, "response": {"id": "i", "object": "response", "model": "m", "status": "completed", "output": [],
                "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}}}),
        ],
        Anthropic => vec![
            json!({"type": "message_start", "message": {"id": "i", "type": "message", "role": "assistant", "model": "m", "content": [],
                "usage": {"input_tokens": 9, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "brand_new", "x": 1}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"é\":"}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
            // The block stays open; and there are two reports, the later of which holds.
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
            json!({"type": "message_stop"}),
        ],
        Gemini => vec![
            json!({"responseId": "i", "modelVersion": "m", "candidates": [{"content": {"role": "model", "parts": [{"text": TEXT}]}}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10}}),
            json!({"responseId": "i", "modelVersion": "m", "candidates": [{"content": {"role": "model", "parts": [
                {"functionCall": {"id": "a", "name": "f", "args": {"é": 1}}}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}}),
        ],
        Bedrock => vec![
            json!({"messageStart": {"role": "assistant"}}),
            json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": TEXT}}}),
            json!({"contentBlockStop": {"contentBlockIndex": 0}}),
            json!({"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "a", "name": "f"}}}}),
            json!({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"é\":1}"}}}}),
            json!({"contentBlockStop": {"contentBlockIndex": 1}}),
            json!({"messageStop": {"stopReason": "tool_use"}}),
            json!({"metadata": {"usage": {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13}}}),
        ],
        Cohere => vec![
            json!({"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant", "content": []}}}),
            json!({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
            json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": TEXT}}}}),
            json!({"type": "content-end", "index": 0}),
            json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}}}}),
            json!({"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": "{\"é\":1}"}}}}}),
            json!({"type": "tool-call-end", "index": 0}),
            json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 9, "output_tokens": 4}}}}),
        ],
    }
}

/// The callers whose streams are text.
fn callers(provider: Dialect) -> impl Iterator<Item = Dialect> {
    others(provider).filter(|caller| *caller != Bedrock)
}

#[test]
fn every_caller_of_every_provider_reads_the_same_however_the_bytes_are_cut() {
    for provider in Dialect::ALL {
        let stream = records(provider, &spoken(provider));
        for caller in callers(provider) {
            let call = hello(caller, true);
            let (whole, summary, fault) = streamed(&call, provider, &stream, stream.len());
            assert_eq!(fault, None, "{provider} to {caller}");
            assert_eq!(summary.stop, Some(StopReason::ToolUse), "{provider} to {caller}");
            let usage = summary.usage.unwrap();
            assert_eq!((usage.all_input(), usage.output), (9, 4), "{provider} to {caller}");
            let text = String::from_utf8(whole.clone()).unwrap();
            assert!(text.contains("日本"), "{provider} to {caller}: {text}");
            for size in [1, 2, 3, 7, 64] {
                assert_eq!(
                    streamed(&call, provider, &stream, size).0,
                    whole,
                    "{provider} to {caller} by {size}"
                );
            }
        }
    }
}

#[test]
fn the_use_is_told_once_to_a_caller_who_asked_and_never_to_one_who_did_not() {
    for provider in Dialect::ALL {
        let stream = records(provider, &spoken(provider));
        for caller in callers(provider) {
            let (out, ..) = streamed(&hello(caller, true), provider, &stream, 50);
            let told = read(&out)
                .into_iter()
                .filter(|record| match caller {
                    OpenAi => record.get("usage").is_some_and(|usage| !usage.is_null()),
                    Responses => !record["response"]["usage"].is_null(),
                    Anthropic => record["type"] == "message_delta",
                    Gemini => record.get("usageMetadata").is_some(),
                    _ => record["type"] == "message-end",
                })
                .count();
            // An OpenAI caller gets it only when it asks.
            assert_eq!(told, usize::from(caller != OpenAi), "{provider} to {caller}");
        }
    }
}

#[test]
fn a_call_of_a_tool_has_its_id_and_name_once_and_its_arguments_whole() {
    for provider in others(OpenAi) {
        let stream = records(provider, &spoken(provider));
        let (out, ..) = streamed(&hello(OpenAi, true), provider, &stream, 9);
        let (mut ids, mut names, mut arguments) = (Vec::new(), Vec::new(), String::new());
        for record in read(&out) {
            let Some(calls) = record["choices"][0]["delta"]["tool_calls"].as_array() else { continue };
            assert!(!calls.is_empty());
            for call in calls {
                assert_eq!(call["index"], 0);
                ids.extend(call["id"].as_str().map(str::to_owned));
                names.extend(call["function"]["name"].as_str().map(str::to_owned));
                arguments += call["function"]["arguments"].as_str().unwrap();
            }
        }
        assert_eq!((ids, names), (vec!["a".to_owned()], vec!["f".to_owned()]), "{provider}");
        assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"é": 1}), "{provider}");
        assert_eq!(read(&out).last(), Some(&json!("[DONE]")), "{provider}");
    }
}

#[test]
fn no_record_of_ours_has_an_error_unless_it_is_fatal() {
    for provider in Dialect::ALL {
        let mut told = spoken(provider);
        if provider == OpenAi {
            for record in &mut told {
                record["error"] = Value::Null;
            }
        }
        let stream = records(provider, &told);
        for caller in callers(provider) {
            let (out, _, fault) = streamed(&hello(caller, true), provider, &stream, 33);
            assert_eq!(fault, None);
            for record in read(&out) {
                assert!(record.get("error").is_none_or(Value::is_null), "{provider} to {caller}: {record}");
            }
        }
    }
}

/// What a provider says when it fails in the middle.
fn failing(provider: Dialect) -> Vec<u8> {
    match provider {
        OpenAi => b"data: {\"error\": {\"message\": \"busy\", \"type\": \"server_error\", \"code\": 503}}\n\n".to_vec(),
        Responses => b"event: response.failed\ndata: {\"type\": \"response.failed\", \"sequence_number\": 9, \"response\": {\"status\": \"failed\", \"error\": {\"code\": \"server_error\", \"message\": \"busy\"}}}\n\n".to_vec(),
        Anthropic => b"event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"busy\"}}\n\n".to_vec(),
        Gemini => b"data: {\"error\": {\"code\": 503, \"message\": \"busy\", \"status\": \"UNAVAILABLE\"}}\n\n".to_vec(),
        Bedrock => frontdoor_dialect::aws_exception("serviceUnavailableException", b"{\"message\": \"busy\"}"),
        Cohere => b"data: {\"type\": \"message-end\", \"delta\": {\"finish_reason\": \"ERROR\", \"error\": \"busy\"}}\n\n".to_vec(),
    }
}

#[test]
fn a_failure_in_the_middle_is_a_fault_and_ends_in_every_callers_grammar() {
    let error =
        ErrorShape { status: 502, code: "upstream_failed", message: "gone", param: None, request_id: "r1" };
    for provider in Dialect::ALL {
        let spoken = spoken(provider);
        let mut stream = records(provider, &spoken[..3.min(spoken.len() - 1)]);
        stream.extend(failing(provider));
        for caller in Dialect::ALL.into_iter().filter(|caller| *caller != Bedrock) {
            let call = hello(caller, true);
            let mut relay = Relay::new(&call, provider);
            let mut out = Vec::new();
            let fault = relay.push(stream.clone().into(), &mut out).unwrap_err();
            assert_eq!(fault.class, FaultClass::Transient, "{provider} to {caller}: {fault}");
            assert!(!String::from_utf8(out.concat()).unwrap().contains("busy"), "{provider} to {caller}");
            relay.abort(&error, &mut out);
            let out = out.concat();
            let text = String::from_utf8(out.clone()).unwrap();
            let last = read(&out).pop().unwrap();
            match caller {
                OpenAi => assert_eq!(last["error"]["message"], "gone"),
                Responses => {
                    assert!(text.contains("event: error\n"), "{text}");
                    assert_eq!((&last["type"], &last["message"]), (&json!("error"), &json!("gone")));
                    assert!(last["sequence_number"].is_u64());
                }
                Anthropic => {
                    assert!(text.contains("event: error\n"), "{text}");
                    assert_eq!((&last["type"], &last["error"]["message"]), (&json!("error"), &json!("gone")));
                }
                Gemini => assert_eq!(
                    (&last["error"]["code"], &last["error"]["status"]),
                    (&json!(502), &json!("INTERNAL"))
                ),
                _ => assert_eq!(last["message"], "gone"),
            }
            assert!(!text.contains("[DONE]") && !text.contains("message_stop"), "{provider} to {caller}");
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_never_taken_for_whole() {
    for provider in Dialect::ALL {
        let told = spoken(provider);
        // All but the record that ends it; OpenAI's end comes before its use, and so does Bedrock's.
        let kept = match provider {
            OpenAi | Bedrock => told.len() - 2,
            Anthropic | Responses | Gemini | Cohere => told.len() - 1,
        };
        let stream = records(provider, &told[..kept]);
        for caller in Dialect::ALL {
            for cut in [stream.len(), stream.len() - 3, stream.len() / 2, 1] {
                let (_, summary, fault) = streamed(&hello(caller, true), provider, &stream[..cut], 40);
                assert!(fault.is_some() && !summary.complete, "{provider} to {caller} at {cut}");
            }
        }
    }
}

#[test]
fn what_the_provider_calls_itself_is_learned_on_every_road() {
    for provider in [OpenAi, Responses, Anthropic, Gemini] {
        let stream = records(provider, &spoken(provider));
        for caller in Dialect::ALL {
            let (_, summary, _) = streamed(&hello(caller, true), provider, &stream, 100);
            assert_eq!(summary.upstream_model.as_deref(), Some("m"), "{provider} to {caller}");
            assert!(summary.object_id.as_deref() != Some("m"), "{provider} to {caller}");
        }
    }
}

#[test]
fn the_tier_that_bears_on_the_price_is_learned_from_streams_too() {
    for (provider, word) in
        [(OpenAi, "flex"), (Responses, "flex"), (Anthropic, "batch"), (Gemini, "FLEX"), (Bedrock, "reserved")]
    {
        let mut told = spoken(provider);
        let last = told.len() - 1;
        match provider {
            OpenAi => told[1]["service_tier"] = json!(word),
            Responses => told[last]["response"]["service_tier"] = json!(word),
            Anthropic => told[0]["message"]["usage"]["service_tier"] = json!(word),
            Gemini => told[last]["usageMetadata"]["serviceTier"] = json!(word),
            _ => told[last]["metadata"]["serviceTier"] = json!({"type": word}),
        }
        let stream = records(provider, &told);
        for caller in Dialect::ALL {
            let (_, summary, fault) = streamed(&hello(caller, true), provider, &stream, 100);
            assert_eq!(fault, None);
            assert_eq!(summary.service_tier.as_deref(), Some(word), "{provider} to {caller}");
        }
    }
}

#[test]
fn a_message_that_starts_twice_starts_once_for_its_caller() {
    let mut told = spoken(Anthropic);
    told.insert(3, told[0].clone());
    let stream = records(Anthropic, &told);
    for (caller, start) in [
        (OpenAi, "\"role\":\"assistant\""),
        (Responses, "event: response.created"),
        (Cohere, "\"type\":\"message-start\""),
    ] {
        let (out, _, fault) = streamed(&hello(caller, true), Anthropic, &stream, 100);
        assert_eq!(fault, None, "{caller}");
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.matches(start).count(), 1, "{caller}: {out}");
    }
}

#[test]
fn a_stream_without_its_start_is_well_formed_all_the_same() {
    let stream = records(Anthropic, &spoken(Anthropic)[1..]);
    for caller in callers(Anthropic) {
        let (out, summary, fault) = streamed(&hello(caller, true), Anthropic, &stream, 100);
        // Either it is refused, or what comes out begins as it must.
        if fault.is_none() {
            let first = read(&out).remove(0);
            let begins = match caller {
                OpenAi => first["choices"][0]["delta"]["role"] == "assistant",
                Responses => first["type"] == "response.created",
                Gemini => first["candidates"].is_array(),
                _ => first["type"] == "message-start",
            };
            assert!(begins, "{caller}: {first}");
            assert_eq!(summary.usage.unwrap().output, 4, "{caller}");
        }
    }
}

#[test]
fn a_field_that_is_null_is_as_one_that_is_missing() {
    let told = [
        json!({"id": "i", "model": "m", "choices": null, "usage": null, "service_tier": null}),
        json!({"id": "i", "model": "m", "service_tier": null, "usage": null, "choices": [{"index": 0, "logprobs": null, "finish_reason": null,
            "delta": {"role": null, "content": null, "refusal": null, "tool_calls": null, "reasoning_content": null, "function_call": null, "annotations": null}}]}),
        json!({"id": "i", "model": "m", "choices": [{"index": 0, "delta": {"content": "hi", "tool_calls": null}, "finish_reason": null}]}),
        json!({"id": "i", "model": "m", "choices": [{"index": 0, "delta": null, "finish_reason": "stop"}]}),
        json!({"id": "i", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": null, "completion_tokens_details": null}}),
    ];
    let stream = records(OpenAi, &told);
    for caller in Dialect::ALL {
        let (_, summary, fault) = streamed(&hello(caller, true), OpenAi, &stream, 60);
        assert_eq!(fault, None, "{caller}");
        assert_eq!(summary.stop, Some(StopReason::End), "{caller}");
        assert_eq!(summary.usage.unwrap().total(), 5, "{caller}");
    }
    let stopped = json!({"type": "message_delta", "delta": {"stop_reason": null, "stop_sequence": null}, "usage": null});
    let mut told = spoken(Anthropic);
    told.insert(9, stopped);
    let stream = records(Anthropic, &told);
    for caller in Dialect::ALL {
        let (_, summary, fault) = streamed(&hello(caller, true), Anthropic, &stream, 60);
        assert_eq!((fault, summary.stop), (None, Some(StopReason::ToolUse)), "{caller}");
    }
}
