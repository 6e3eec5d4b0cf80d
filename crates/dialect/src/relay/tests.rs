#![expect(clippy::needless_pass_by_value, reason = "builders of records read best with literals")]

use bytes::Bytes;
use serde_json::{Value, json};

use super::Relay;
use crate::{Call, Dialect, ErrorShape, Fault, FaultClass, Operation, StopReason, Summary, Usage};

mod aws;
mod choices;
mod gemini;
mod laws;
mod responses;

const DIALECTS: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];

fn call(dialect: Dialect, wants_usage: bool) -> Call {
    let body = json!({"model": "m", "messages": [], "max_tokens": 5, "stream": true,
        "stream_options": {"include_usage": wants_usage}});
    Call::decode((dialect, Operation::Chat), Bytes::from(body.to_string())).unwrap().accepted_at(7)
}

struct Run {
    out: String,
    summary: Summary,
    ending: Result<(), Fault>,
}

fn run(call: &Call, upstream: Dialect, stream: &[u8], size: usize) -> Run {
    let mut relay = Relay::new(call, upstream);
    let mut out = Vec::new();
    let pushed =
        stream.chunks(size).try_for_each(|chunk| relay.push(Bytes::copy_from_slice(chunk), &mut out));
    let ending = pushed.and_then(|()| relay.finish(&mut out));
    Run { out: String::from_utf8_lossy(&out.concat()).into_owned(), summary: relay.summary(), ending }
}

fn openai(records: &[Value]) -> String {
    let chunks = records.iter().map(|record| format!("data: {record}\n\n"));
    chunks.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn anthropic(records: &[Value]) -> String {
    records
        .iter()
        .map(|record| format!("event: {}\ndata: {record}\n\n", record["type"].as_str().unwrap()))
        .collect()
}

/// The records of a stream as JSON; `[DONE]` as a string.
fn read(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}

fn delta(delta: Value) -> Value {
    json!({"id": "c1", "model": "gpt-x", "created": 3, "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn usage() -> Value {
    json!({"id": "c1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 2}}})
}

fn tool(index: u64, id: Option<&str>, arguments: &str) -> Value {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if let Some(id) = id {
        call["id"] = json!(id);
        call["function"]["name"] = json!(format!("name_of_{id}"));
    }
    delta(json!({"tool_calls": [call]}))
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "m1", "model": "claude-x", "content": [],
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}}})
}

fn block(index: u64, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn piece(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u64) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 20, "cache_read_input_tokens": 5}}),
        json!({"type": "message_stop"}),
    ]
}

/// Checks the grammar of an Anthropic stream and returns its blocks with what was written into each.
fn blocks(stream: &str) -> Vec<(Value, String)> {
    let mut blocks: Vec<(Value, String)> = Vec::new();
    let (mut open, mut started, mut ending) = (false, false, 0);
    for (record, line) in read(stream).iter().zip(stream.lines().filter(|line| line.starts_with("event: "))) {
        assert_eq!(line.strip_prefix("event: "), record["type"].as_str());
        let index = record["index"].as_u64();
        match record["type"].as_str().unwrap() {
            "message_start" => assert!(!std::mem::replace(&mut started, true)),
            "content_block_start" => {
                assert!(started && !open && ending == 0);
                assert_eq!(index, Some(blocks.len() as u64));
                open = true;
                blocks.push((record["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                assert!(open);
                assert_eq!(index, Some(blocks.len() as u64 - 1));
                let texts = ["text", "thinking", "partial_json", "signature"]
                    .map(|name| record["delta"][name].as_str());
                blocks.last_mut().unwrap().1 += texts.into_iter().flatten().next().unwrap();
            }
            "content_block_stop" => {
                assert!(std::mem::replace(&mut open, false));
                assert_eq!(index, Some(blocks.len() as u64 - 1));
            }
            "message_delta" => {
                assert!(started && !open && ending == 0);
                ending = 1;
            }
            "message_stop" => {
                assert_eq!(ending, 1);
                ending = 2;
            }
            "ping" => assert!(started),
            other => panic!("unknown record {other}"),
        }
    }
    assert_eq!(ending, 2, "no proper end");
    blocks
}

#[test]
fn an_openai_stream_becomes_an_anthropic_one() {
    let stream = openai(&[
        delta(json!({"role": "assistant", "content": "", "tool_calls": []})),
        delta(json!({"reasoning_content": "hm"})),
        delta(json!({"content": "he"})),
        delta(json!({"content": "llo", "tool_calls": []})),
        tool(0, Some("a"), ""),
        tool(0, None, "{\"x\""),
        tool(0, None, ":1}"),
        tool(1, Some("b"), ""),
        finish("tool_calls"),
        usage(),
    ]);
    let run = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, stream.as_bytes(), 1_000);
    run.ending.unwrap();
    let blocks = blocks(&run.out);
    assert_eq!(
        blocks,
        [
            (json!({"type": "thinking", "thinking": "", "signature": ""}), "hm".to_owned()),
            (json!({"type": "text", "text": ""}), "hello".to_owned()),
            (
                json!({"type": "tool_use", "id": "a", "name": "name_of_a", "input": {}}),
                "{\"x\":1}".to_owned()
            ),
            (json!({"type": "tool_use", "id": "b", "name": "name_of_b", "input": {}}), "{}".to_owned()),
        ]
    );
    let records = read(&run.out);
    let last = &records[records.len() - 2];
    assert_eq!(last["delta"], json!({"stop_reason": "tool_use", "stop_sequence": null}));
    assert_eq!(
        last["usage"],
        json!({"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2, "output_tokens": 4})
    );
    assert_eq!(run.summary.usage, Some(Usage { input: 7, cache_read: 2, output: 4, ..Usage::default() }));
    assert_eq!(run.summary.upstream_model.as_deref(), Some("gpt-x"));
}

#[test]
fn an_anthropic_stream_becomes_an_openai_one() {
    let mut records = vec![
        start(),
        json!({"type": "ping"}),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        piece(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        piece(0, json!({"type": "signature_delta", "signature": "sig"})),
        stop(0),
        block(1, json!({"type": "text", "text": ""})),
        piece(1, json!({"type": "text_delta", "text": "hello"})),
        piece(1, json!({"type": "citations_delta", "citation": {}})),
        stop(1),
        block(2, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        piece(2, json!({"type": "input_json_delta", "partial_json": "{}"})),
        stop(2),
        block(3, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})),
        piece(3, json!({"type": "input_json_delta", "partial_json": ""})),
        piece(3, json!({"type": "input_json_delta", "partial_json": "{\"x\":1}"})),
        stop(3),
        block(4, json!({"type": "tool_use", "id": "b", "name": "g", "input": {}})),
        stop(4),
        json!({"type": "brand_new", "x": 1}),
    ];
    records.extend(end("tool_use"));
    let run = run(&call(Dialect::OpenAi, true), Dialect::Anthropic, anthropic(&records).as_bytes(), 1_000);
    run.ending.unwrap();
    let records = read(&run.out);
    let deltas: Vec<&Value> = records.iter().map(|record| &record["choices"][0]["delta"]).collect();
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "hm"}),
        json!({"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "sig",
            "format": "anthropic-claude-v1", "index": 0}]}),
        json!({"content": "hello"}),
        json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\":1}"}}]}),
        json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]}),
        json!({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}),
        json!({}),
    ];
    assert_eq!(deltas[..expected.len()], expected.iter().collect::<Vec<_>>());
    let tail = &records[expected.len() - 1..];
    assert_eq!(tail[0]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(tail[0]["created"], 7);
    assert_eq!((&tail[1]["choices"], &tail[1]["usage"]["prompt_tokens"]), (&json!([]), &json!(8)));
    assert_eq!(tail[1]["usage"]["completion_tokens"], 20);
    assert_eq!(tail[2], json!("[DONE]"));
    assert_eq!(tail.len(), 3);
    assert!(run.out.contains(": ping\n\n"));
}

#[test]
fn the_usage_chunk_comes_only_when_it_was_asked_for() {
    let mut records = vec![start()];
    records.extend(end("end_turn"));
    for wanted in [true, false] {
        let run = run(&call(Dialect::OpenAi, wanted), Dialect::Anthropic, anthropic(&records).as_bytes(), 99);
        assert_eq!(run.out.matches(r#""usage":{"#).count(), usize::from(wanted));
        assert_eq!(
            run.summary.usage,
            Some(Usage { input: 3, cache_read: 5, output: 20, ..Usage::default() })
        );
    }
}

#[test]
fn interleaved_tool_calls_become_blocks_one_after_the_other() {
    let stream = openai(&[
        tool(0, Some("a"), "{\"x\":"),
        tool(1, Some("b"), "{\"y\":"),
        tool(0, None, "1}"),
        tool(1, None, "2}"),
        finish("tool_calls"),
    ]);
    let run = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, stream.as_bytes(), 50);
    run.ending.unwrap();
    let written: Vec<String> = blocks(&run.out).into_iter().map(|(_, text)| text).collect();
    assert_eq!(written, ["{\"x\":1}", "{\"y\":2}"]);
}

#[test]
fn calls_without_an_index_or_with_the_same_one_are_told_apart_by_their_ids() {
    for index in [json!(null), json!(0)] {
        let part = |id: &str| {
            delta(json!({"tool_calls": [{"index": index, "id": id, "type": "function",
                "function": {"name": "f", "arguments": format!("{{\"id\":\"{id}\"}}")}}]}))
        };
        let stream = openai(&[part("a"), part("b"), finish("stop")]);
        let run = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, stream.as_bytes(), 50);
        run.ending.unwrap();
        let ids: Vec<Value> = blocks(&run.out).into_iter().map(|(block, _)| block["id"].clone()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(run.out.contains(r#""stop_reason":"tool_use""#));
    }
}

#[test]
fn only_whole_records_are_given_out() {
    let stream = openai(&[delta(json!({"content": "hello"})), finish("stop")]);
    let mut relay = Relay::new(&call(Dialect::OpenAi, true), Dialect::OpenAi);
    let mut out = Vec::new();
    relay.push(Bytes::copy_from_slice(&stream.as_bytes()[..30]), &mut out).unwrap();
    assert!(out.is_empty() && !relay.has_content());
    relay.push(Bytes::copy_from_slice(&stream.as_bytes()[30..]), &mut out).unwrap();
    assert!(relay.has_content());
    assert_eq!(out.concat(), stream.as_bytes());
}

#[test]
fn a_chunk_of_whole_records_goes_on_in_one_piece() {
    let stream = Bytes::from(openai(&[
        delta(json!({"content": "a"})),
        delta(json!({"content": "b"})),
        finish("stop"),
    ]));
    let mut out = Vec::new();
    Relay::new(&call(Dialect::OpenAi, true), Dialect::OpenAi).push(stream.clone(), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), stream.as_ptr());
}

#[test]
fn the_first_record_without_words_is_no_content_yet() {
    let mut out = Vec::new();
    for caller in DIALECTS {
        let mut relay = Relay::new(&call(caller, true), Dialect::OpenAi);
        let stream = openai(&[delta(json!({"role": "assistant", "content": ""}))]);
        let stream = stream.strip_suffix("data: [DONE]\n\n").unwrap().to_owned();
        relay.push(Bytes::from(stream), &mut out).unwrap();
        assert!(!relay.has_content());
        relay.push(Bytes::from(format!("data: {}\n\n", tool(0, Some("a"), ""))), &mut out).unwrap();
        assert!(relay.has_content());
    }
}

#[test]
fn an_error_in_band_is_a_fault_and_never_reaches_the_caller() {
    let openai_error =
        format!("data: {}\n\n", json!({"error": {"message": "sk-secret0123456789", "code": 429}}));
    let named_error =
        format!("event: error\ndata: {}\n\n", json!({"message": "busy", "type": "server_error"}));
    let anthropic_error =
        anthropic(&[json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})]);
    for caller in DIALECTS {
        for (upstream, error, class) in [
            (Dialect::OpenAi, &openai_error, FaultClass::RateLimited),
            (Dialect::OpenAi, &named_error, FaultClass::Transient),
            (Dialect::Anthropic, &anthropic_error, FaultClass::Transient),
        ] {
            let run = run(&call(caller, true), upstream, error.as_bytes(), 9);
            assert_eq!(run.ending.unwrap_err().class, class);
            assert_eq!(run.out, "");
        }
    }
}

#[test]
fn a_reason_that_says_failure_is_a_fault() {
    for caller in DIALECTS {
        let stream = openai(&[delta(json!({"content": "a"})), finish("error")]);
        let run = run(&call(caller, true), Dialect::OpenAi, stream.as_bytes(), 50);
        assert_eq!(run.ending.unwrap_err().code, "provider_failed");
        assert!(run.out.contains('a') && !run.out.contains("DONE") && !run.out.contains("message_stop"));
    }
}

#[test]
fn a_stream_cut_anywhere_before_its_end_is_recognised() {
    let openai = openai(&[delta(json!({"content": "hello"})), finish("stop"), usage()]);
    let mut records = vec![start(), block(0, json!({"type": "text", "text": ""})), stop(0)];
    records.extend(end("end_turn"));
    let anthropic = anthropic(&records);
    for caller in DIALECTS {
        let openai_whole = openai.find("data: {\"choices\":[],").unwrap();
        for (upstream, stream, whole) in [
            // OpenAI's answer is whole once the reason came: not every server says more.
            (Dialect::OpenAi, &openai, openai_whole - 2),
            (Dialect::Anthropic, &anthropic, anthropic.len() - 2),
        ] {
            for length in 0..stream.len() {
                let run = run(&call(caller, true), upstream, &stream.as_bytes()[..length], 64);
                let is_cut = run.ending.as_ref().is_err_and(|fault| fault.code == "stream_cut");
                assert_eq!(is_cut, length < whole, "{caller} {upstream} at {length}: {:?}", run.ending);
            }
        }
    }
}

#[test]
fn a_stream_without_its_last_empty_line_is_whole_and_gets_one() {
    let stream = openai(&[delta(json!({"content": "a"})), finish("stop")]);
    let run = run(&call(Dialect::OpenAi, true), Dialect::OpenAi, stream.trim_end().as_bytes(), 20);
    run.ending.unwrap();
    assert_eq!(run.out, stream);
}

#[test]
fn an_aborted_stream_ends_with_an_error_in_the_callers_own_shape() {
    let error =
        ErrorShape { status: 502, code: "upstream_failed", message: "gone", param: None, request_id: "r" };
    for (caller, expected) in [
        (
            Dialect::OpenAi,
            concat!(
                r#"data: {"error":{"message":"gone","type":"server_error","param":null,"code":"upstream_failed"},"#,
                "\"request_id\":\"r\"}\n\n"
            ),
        ),
        (
            Dialect::Anthropic,
            concat!(
                "event: error\n",
                r#"data: {"type":"error","error":{"type":"api_error","message":"gone","code":"upstream_failed"},"#,
                "\"request_id\":\"r\"}\n\n"
            ),
        ),
    ] {
        let mut relay = Relay::new(&call(caller, true), Dialect::OpenAi);
        let mut out = Vec::new();
        relay.push(Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"cont"), &mut out).unwrap();
        relay.abort(&error, &mut out);
        assert_eq!(out.concat(), expected.as_bytes());
    }
}

#[test]
fn a_finished_stream_is_not_aborted() {
    let mut relay = Relay::new(&call(Dialect::OpenAi, true), Dialect::OpenAi);
    let mut out = Vec::new();
    relay.push(Bytes::from(openai(&[finish("stop")])), &mut out).unwrap();
    out.clear();
    relay.abort(&ErrorShape { status: 500, code: "c", message: "m", param: None, request_id: "r" }, &mut out);
    assert!(out.is_empty());
}

#[test]
fn garbage_in_a_stream_is_a_fault() {
    for caller in DIALECTS {
        for upstream in DIALECTS {
            let run = run(&call(caller, true), upstream, b"data: {\"choices\": oops\n\n", 99);
            assert_eq!(run.ending.unwrap_err().code, "invalid_answer");
        }
    }
}

#[test]
fn comments_keep_the_connection_alive() {
    let stream = format!(": WORKING\n\n{}", openai(&[delta(json!({"content": "a"})), finish("stop")]));
    let same = run(&call(Dialect::OpenAi, true), Dialect::OpenAi, stream.as_bytes(), 9);
    assert_eq!(same.out, stream);
    let other = run(&call(Dialect::Anthropic, true), Dialect::OpenAi, stream.as_bytes(), 9);
    other.ending.unwrap();
    assert_eq!(blocks(&other.out).len(), 1);
}

#[test]
fn a_blocked_stream_is_seen_as_blocked() {
    let stream = openai(&[delta(json!({"content": "a"})), finish("content_filter")]);
    let run_one = run(&call(Dialect::Anthropic, true), Dialect::OpenAi, stream.as_bytes(), 99);
    assert!(run_one.out.contains(r#""stop_reason":"refusal""#));
    assert_eq!(run_one.summary.stop, Some(StopReason::Refusal));
    let mut records = vec![start()];
    records.extend(end("refusal"));
    let run = run(&call(Dialect::OpenAi, true), Dialect::Anthropic, anthropic(&records).as_bytes(), 99);
    assert!(run.out.contains(r#""finish_reason":"content_filter""#));
}

#[test]
fn of_several_reasons_to_end_the_last_one_holds() {
    let mut records = vec![start()];
    records.extend([end("pause_turn")[0].clone(), end("max_tokens")[0].clone(), end("x")[1].clone()]);
    let run = run(&call(Dialect::OpenAi, true), Dialect::Anthropic, anthropic(&records).as_bytes(), 99);
    run.ending.unwrap();
    assert_eq!(run.out.matches(r#""finish_reason":""#).count(), 1);
    assert!(run.out.contains(r#""finish_reason":"length""#));
    assert_eq!(run.out.matches(r#""usage":{"#).count(), 1);
}

#[test]
fn an_anthropic_stream_without_event_names_gets_them() {
    let mut records = vec![start(), block(0, json!({"type": "text", "text": ""})), stop(0)];
    records.extend(end("end_turn"));
    let nameless: String = records.iter().map(|record| format!("data: {record}\n\n")).collect();
    for size in [1, 50, 10_000] {
        let run = run(&call(Dialect::Anthropic, false), Dialect::Anthropic, nameless.as_bytes(), size);
        run.ending.unwrap();
        assert_eq!(run.out, anthropic(&records));
    }
}

#[test]
fn a_stream_that_ends_without_having_said_anything_is_no_answer() {
    for caller in [Dialect::OpenAi, Dialect::Anthropic] {
        let mut relay = Relay::new(&call(caller, false), Dialect::OpenAi);
        let fault = relay.push(Bytes::from_static(b"data: [DONE]\n\n"), &mut Vec::new()).unwrap_err();
        assert_eq!((fault.code.as_ref(), relay.has_content()), ("stream_cut", false), "{caller}");
    }
}

#[test]
fn calls_of_tools_that_end_without_a_reason_still_wait_for_their_results() {
    let stream = openai(&[tool(0, Some("t"), "{}")]);
    let mut relay = Relay::new(&call(Dialect::Anthropic, false), Dialect::OpenAi);
    let mut out = Vec::new();
    relay.push(Bytes::from(stream), &mut out).unwrap();
    relay.finish(&mut out).unwrap();
    let text = String::from_utf8(out.concat()).unwrap();
    assert!(text.contains(r#""stop_reason":"tool_use""#), "{text}");
    assert_eq!(relay.summary().stop, Some(crate::StopReason::ToolUse));
}

#[test]
fn an_empty_reason_is_no_reason() {
    let stream = openai(&[finish(""), delta(json!({"content": "a"})), finish("length")]);
    for caller in DIALECTS {
        let whole = run(&call(caller, true), Dialect::OpenAi, stream.as_bytes(), 99);
        assert_eq!(whole.summary.stop, Some(StopReason::Length));
        let first = format!("data: {}\n\n", finish(""));
        let cut = run(&call(caller, true), Dialect::OpenAi, first.as_bytes(), 99);
        assert_eq!(cut.ending.unwrap_err().code, "stream_cut");
    }
}

#[test]
fn usage_told_before_the_answer_begins_is_not_lost() {
    let stream = openai(&[usage(), delta(json!({"content": "a"})), finish("stop")]);
    let there = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, stream.as_bytes(), usize::MAX);
    let back = run(&call(Dialect::OpenAi, true), Dialect::Anthropic, there.out.as_bytes(), usize::MAX);
    assert_eq!(back.summary.usage, there.summary.usage);
    assert!(there.summary.usage.is_some_and(|usage| usage.output > 0), "{:?}", there.summary);
}
