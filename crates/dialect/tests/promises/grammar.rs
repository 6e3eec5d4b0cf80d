//! The grammar of each caller's stream, whoever gives the answer.

use std::collections::BTreeMap;

use frontdoor_dialect::{
    Call,
    Dialect::{self, Anthropic, Bedrock, Cohere, Gemini, OpenAi, Responses},
    Operation,
};
use serde_json::{Value, json};

use crate::{hello, others, read, records, streamed};

/// Reasoning, text, reasoning, and two calls of which one has no arguments.
#[expect(clippy::too_many_lines, reason = "the records of six dialects, best read side by side")]
fn spoken(provider: Dialect) -> Vec<Value> {
    let chat = |delta: Value, end: Value| json!({"id": "i", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]});
    let opened = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let piece =
        |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let closed = |index: u64| json!({"type": "content_block_stop", "index": index});
    match provider {
        OpenAi => vec![
            chat(json!({"role": "assistant", "reasoning_content": "T1"}), Value::Null),
            chat(json!({"content": "S1"}), Value::Null),
            chat(json!({"reasoning_content": "T2"}), Value::Null),
            chat(
                json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\""}},
                {"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]}),
                Value::Null,
            ),
            chat(
                json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
                json!("tool_calls"),
            ),
        ],
        Anthropic => vec![
            json!({"type": "message_start", "message": {"id": "i", "model": "m", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}}),
            opened(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            piece(0, json!({"type": "thinking_delta", "thinking": "T1"})),
            piece(0, json!({"type": "signature_delta", "signature": "c2ln"})),
            closed(0),
            opened(1, json!({"type": "text", "text": ""})),
            piece(1, json!({"type": "text_delta", "text": "S1"})),
            closed(1),
            opened(2, json!({"type": "redacted_thinking", "data": "c2ln"})),
            closed(2),
            opened(3, json!({"type": "thinking", "thinking": "T2", "signature": "c2ln"})),
            closed(3),
            opened(4, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})),
            piece(4, json!({"type": "input_json_delta", "partial_json": "{\"x\":1}"})),
            closed(4),
            opened(5, json!({"type": "tool_use", "id": "b", "name": "g", "input": {}})),
            closed(5),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
            json!({"type": "message_stop"}),
        ],
        Gemini => vec![
            json!({"responseId": "i", "modelVersion": "m", "candidates": [{"content": {"role": "model", "parts": [
                {"text": "T1", "thought": true}, {"text": "S1"}, {"text": "T2", "thought": true}]}}]}),
            json!({"responseId": "i", "candidates": [{"finishReason": "STOP", "content": {"role": "model", "parts": [
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "b", "name": "g"}}]}}]}),
        ],
        Bedrock => {
            let piece = |index: u64, delta: Value| json!({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}});
            let closed = |index: u64| json!({"contentBlockStop": {"contentBlockIndex": index}});
            let tool = |index: u64, id: &str, name: &str| json!({"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}});
            vec![
                json!({"messageStart": {"role": "assistant"}}),
                piece(0, json!({"reasoningContent": {"text": "T1"}})),
                piece(0, json!({"reasoningContent": {"signature": "c2ln"}})),
                closed(0),
                piece(1, json!({"text": "S1"})),
                closed(1),
                piece(2, json!({"reasoningContent": {"text": "T2"}})),
                closed(2),
                tool(3, "a", "f"),
                piece(3, json!({"toolUse": {"input": "{\"x\":1}"}})),
                closed(3),
                tool(4, "b", "g"),
                closed(4),
                json!({"messageStop": {"stopReason": "tool_use"}}),
                json!({"metadata": {"usage": {"inputTokens": 1, "outputTokens": 4, "totalTokens": 5}}}),
            ]
        }
        Responses => {
            let added = |index: u64, item: Value| json!({"type": "response.output_item.added", "output_index": index, "item": item});
            let done = |index: u64, item: Value| json!({"type": "response.output_item.done", "output_index": index, "item": item});
            let reasoning = |id: &str, text: &str| json!({"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": text}]});
            let call = |id: &str, call: &str, name: &str, arguments: &str| json!({"type": "function_call", "id": id, "call_id": call, "name": name, "arguments": arguments});
            vec![
                json!({"type": "response.created", "response": {"id": "i", "model": "m", "status": "in_progress", "output": []}}),
                added(0, reasoning("rs_1", "")),
                done(0, reasoning("rs_1", "T1")),
                added(1, json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []})),
                json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "item_id": "msg_1", "delta": "S1"}),
                done(
                    1,
                    json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "S1", "annotations": []}]}),
                ),
                done(2, reasoning("rs_2", "T2")),
                added(3, call("fc_1", "a", "f", "")),
                added(4, call("fc_2", "b", "g", "")),
                json!({"type": "response.function_call_arguments.delta", "output_index": 3, "item_id": "fc_1", "delta": "{\"x\":1}"}),
                done(3, call("fc_1", "a", "f", "{\"x\":1}")),
                done(4, call("fc_2", "b", "g", "{}")),
                json!({"type": "response.completed", "response": {"id": "i", "model": "m", "status": "completed", "output": [], "usage": {"input_tokens": 1, "output_tokens": 4, "total_tokens": 5}}}),
            ]
        }
        Cohere => {
            let call = |kind: &str, index: u64, call: Value| json!({"type": kind, "index": index, "delta": {"message": {"tool_calls": call}}});
            vec![
                json!({"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant"}}}),
                json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "T1"}}}),
                call(
                    "tool-call-start",
                    0,
                    json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
                ),
                call("tool-call-delta", 0, json!({"function": {"arguments": "{\"x\":1}"}})),
                json!({"type": "tool-call-end", "index": 0}),
                call(
                    "tool-call-start",
                    1,
                    json!({"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}),
                ),
                json!({"type": "tool-call-end", "index": 1}),
                json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}),
            ]
        }
    }
}

/// What was said, and the calls with their arguments, as the caller's grammar has them.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thought: String,
    calls: Vec<(String, String, Value)>,
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("arguments are not JSON: {text}"))
}

/// Blocks open one after the other, each of one kind, and close once; the message starts once and ends once.
fn anthropic(stream: &[Value]) -> Said {
    let mut said = Said::default();
    let (mut open, mut next): (Option<(Value, String)>, u64) = (None, 0);
    assert_eq!(stream[0]["type"], "message_start");
    let count = |kind: &str| stream.iter().filter(|record| record["type"] == kind).count();
    assert_eq!((count("message_start"), count("message_delta"), count("message_stop")), (1, 1, 1));
    assert_eq!(stream.last().unwrap()["type"], "message_stop");
    for record in stream {
        match record["type"].as_str().unwrap() {
            "content_block_start" => {
                assert!(open.is_none() && record["index"] == next, "{record}");
                open = Some((record["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                let (block, written) = open.as_mut().unwrap();
                assert_eq!(record["index"], next);
                let delta = &record["delta"];
                let (kind, field) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text"),
                    "thinking_delta" => ("thinking", "thinking"),
                    "signature_delta" => ("thinking", "signature"),
                    "input_json_delta" => ("tool_use", "partial_json"),
                    other => panic!("{other}"),
                };
                assert_eq!(block["type"], kind, "{record}");
                if field != "signature" {
                    written.push_str(delta[field].as_str().unwrap());
                }
            }
            "content_block_stop" => {
                let (block, written) = open.take().unwrap();
                next += 1;
                match block["type"].as_str().unwrap() {
                    "text" => said.text += &written,
                    "thinking" => said.thought += &written,
                    "tool_use" => {
                        assert_eq!(block["input"], json!({}));
                        let input = if written.is_empty() { json!({}) } else { json_of(&written) };
                        let word = |name: &str| block[name].as_str().unwrap().to_owned();
                        said.calls.push((word("id"), word("name"), input));
                    }
                    _ => {}
                }
            }
            "message_delta" | "message_stop" => assert!(open.is_none()),
            _ => {}
        }
    }
    said
}

/// Ids and names come once for each call, at its beginning, and the end comes once for each choice.
fn openai(stream: &[Value]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
    assert_eq!(stream.last(), Some(&json!("[DONE]")));
    assert_eq!(stream[0]["choices"][0]["delta"]["role"], "assistant");
    let ends = stream.iter().filter(|record| record["choices"][0]["finish_reason"].is_string()).count();
    assert_eq!(ends, 1);
    for record in &stream[..stream.len() - 1] {
        assert_eq!(record["object"], "chat.completion.chunk");
        let delta = &record["choices"][0]["delta"];
        said.text += delta["content"].as_str().unwrap_or_default();
        said.thought += delta["reasoning_content"].as_str().unwrap_or_default();
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap();
            assert_eq!(calls.contains_key(&index), call["id"].is_null(), "{call}");
            assert_eq!(call["id"].is_null(), call["function"]["name"].is_null(), "{call}");
            let known = calls.entry(index).or_default();
            if let Some(id) = call["id"].as_str() {
                *known =
                    (id.to_owned(), call["function"]["name"].as_str().unwrap().to_owned(), String::new());
            }
            known.2 += call["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    said.calls = calls.into_values().map(|(id, name, arguments)| (id, name, json_of(&arguments))).collect();
    said
}

/// Events are numbered; each item is added and done once, at its place; there is one end, with everything in it.
fn responses(stream: &[Value]) -> Said {
    let mut said = Said::default();
    let (mut added, mut done) = (Vec::new(), Vec::new());
    for (number, record) in stream.iter().enumerate() {
        assert_eq!(record["sequence_number"], number, "{record}");
        match record["type"].as_str().unwrap() {
            "response.output_item.added" => added.push(record["output_index"].clone()),
            "response.output_item.done" => done.push(record["output_index"].clone()),
            "response.output_text.delta" => said.text += record["delta"].as_str().unwrap(),
            "response.reasoning_summary_text.delta" => said.thought += record["delta"].as_str().unwrap(),
            _ => {}
        }
    }
    assert_eq!(stream[0]["type"], "response.created");
    assert_eq!(added, (0..added.len()).map(|index| json!(index)).collect::<Vec<_>>());
    done.sort_by_key(Value::as_u64);
    assert_eq!(done, added);
    let last = stream.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    let output = last["response"]["output"].as_array().unwrap();
    assert_eq!(output.len(), added.len());
    for item in output.iter().filter(|item| item["type"] == "function_call") {
        let word = |name: &str| item[name].as_str().unwrap().to_owned();
        said.calls.push((word("call_id"), word("name"), json_of(&word("arguments"))));
    }
    said
}

/// Every record is an answer; a call comes whole; the reason to end comes once, at the end.
fn gemini(stream: &[Value]) -> Said {
    let mut said = Said::default();
    for record in stream {
        for part in record["candidates"][0]["content"]["parts"].as_array().into_iter().flatten() {
            let text = part["text"].as_str().unwrap_or_default();
            if part["thought"] == true {
                said.thought += text;
            } else {
                said.text += text;
            }
            if let Some(call) = part.get("functionCall") {
                let word = |name: &str| call[name].as_str().unwrap().to_owned();
                said.calls.push((word("id"), word("name"), call["args"].clone()));
            }
        }
    }
    let ends: Vec<_> =
        stream.iter().map(|record| record["candidates"][0]["finishReason"].is_string()).collect();
    assert_eq!(ends.iter().filter(|end| **end).count(), 1);
    assert_eq!(ends.last(), Some(&true));
    said
}

#[test]
fn every_stream_keeps_its_callers_grammar_and_says_the_same() {
    for provider in Dialect::ALL {
        let stream = records(provider, &spoken(provider));
        for caller in others(provider).filter(|caller| !matches!(caller, Bedrock | Cohere)) {
            let (out, _, fault) = streamed(&hello(caller, true), provider, &stream, 17);
            assert_eq!(fault, None, "{provider} to {caller}");
            let told = read(&out);
            let mut said = match caller {
                OpenAi => openai(&told),
                Responses => responses(&told),
                Anthropic => anthropic(&told),
                _ => gemini(&told),
            };
            for (id, ..) in &mut said.calls {
                // A seal of Gemini's may stand in it.
                *id = id.split("__sig_").next().unwrap().to_owned();
            }
            let calls = vec![
                ("a".to_owned(), "f".to_owned(), json!({"x": 1})),
                ("b".to_owned(), "g".to_owned(), json!({})),
            ];
            let (text, thought) = if provider == Cohere { ("", "T1") } else { ("S1", "T1T2") };
            assert_eq!(
                said,
                Said { text: text.to_owned(), thought: thought.to_owned(), calls },
                "{provider} to {caller}: {}",
                String::from_utf8_lossy(&out)
            );
        }
    }
}

#[test]
fn an_answer_of_no_words_is_well_formed_for_every_caller() {
    let told = [
        (
            OpenAi,
            vec![
                json!({"id": "i", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}]}),
            ],
        ),
        (
            Anthropic,
            vec![
                json!({"type": "message_start", "message": {"id": "i", "model": "m", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
                json!({"type": "message_stop"}),
            ],
        ),
        (
            Gemini,
            vec![
                json!({"responseId": "i", "modelVersion": "m", "candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]}),
            ],
        ),
    ];
    for (provider, told) in told {
        let stream = records(provider, &told);
        for caller in others(provider).filter(|caller| !matches!(caller, Bedrock | Cohere)) {
            let (out, summary, fault) = streamed(&hello(caller, true), provider, &stream, 400);
            assert_eq!(fault, None, "{provider} to {caller}");
            assert!(summary.complete);
            let told = read(&out);
            let said = match caller {
                OpenAi => openai(&told),
                Responses => responses(&told),
                Anthropic => anthropic(&told),
                _ => gemini(&told),
            };
            assert_eq!(said, Said::default(), "{provider} to {caller}");
        }
    }
}

#[test]
fn records_are_read_with_any_line_ends_comments_and_marks_of_the_byte_order() {
    for provider in [OpenAi, Gemini, Anthropic] {
        let plain = records(provider, &spoken(provider));
        let text = String::from_utf8(plain.clone()).unwrap();
        let variants = [
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
            text.replace("data: ", "data:"),
            format!("\u{feff}{text}"),
            text.replace("\n\n", "\n\n: still here\n\n"),
            text.replace("\n\n", "\nid: 7\nretry: 5\n\n"),
        ];
        for caller in others(provider).filter(|caller| !matches!(caller, Bedrock | Cohere)) {
            let call = hello(caller, true);
            let said = |stream: &[u8], size: usize| {
                let (out, _, fault) = streamed(&call, provider, stream, size);
                assert_eq!(fault, None, "{provider} to {caller}");
                let mut told = read(&out);
                told.retain(|record| record["type"] != "ping");
                told
            };
            let expected = said(&plain, 1_000);
            for variant in &variants {
                for size in [1, 5, 1_000] {
                    assert_eq!(
                        said(variant.as_bytes(), size),
                        expected,
                        "{provider} to {caller}: {variant:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_count_sees_everything_that_the_model_would_see() {
    let mark = json!({"type": "ephemeral"});
    let body = json!({"model": "m", "system": [{"type": "text", "text": "s", "cache_control": mark}],
        "messages": [{"role": "user", "content": "q"}], "thinking": {"type": "enabled", "budget_tokens": 2_048},
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": mark}],
        "tool_choice": {"type": "any"}});
    let call = Call::decode((Anthropic, Operation::CountTokens), body.to_string().into()).unwrap();
    let sent =
        frontdoor_dialect::encode_call(&call, &frontdoor_dialect::TargetShape::new(Anthropic, "m")).unwrap();
    assert_eq!(sent.body, call.body);
}
