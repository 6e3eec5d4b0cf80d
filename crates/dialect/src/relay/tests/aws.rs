//! Streams that come in AWS's binary messages: Converse's own events, and another dialect's records in chunks.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{Run, anthropic, block, blocks, call, end, laws::openai_stream, piece, read, run, start, stop};
use crate::{
    Call, Dialect, ErrorShape, Fault, FaultClass, Framing, Operation, Relay, StopReason, Usage, Wire,
    aws_event, aws_exception,
};

fn events(events: &[(&str, Value)]) -> Vec<u8> {
    events.iter().flat_map(|(name, payload)| aws_event(name, payload.to_string().as_bytes())).collect()
}

fn text(index: u64, text: &str) -> (&'static str, Value) {
    ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": {"text": text}, "p": "abc"}))
}

fn closed(index: u64) -> (&'static str, Value) {
    ("contentBlockStop", json!({"contentBlockIndex": index}))
}

fn ended(reason: &str) -> [(&'static str, Value); 2] {
    [
        ("messageStop", json!({"stopReason": reason})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 14, "cacheReadInputTokens": 5,
                "cacheWriteInputTokens": 2}, "metrics": {"latencyMs": 9}, "serviceTier": {"type": "flex"}}),
        ),
    ]
}

fn begun() -> (&'static str, Value) {
    ("messageStart", json!({"role": "assistant"}))
}

fn tool(index: u64, id: &str, name: &str, fragments: &[&str]) -> Vec<(&'static str, Value)> {
    let mut events = vec![(
        "contentBlockStart",
        json!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}),
    )];
    events.extend(fragments.iter().map(|input| {
        ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": {"toolUse": {"input": input}}}))
    }));
    events.push(closed(index));
    events
}

/// Reasoning, words, and two calls.
fn rich() -> Vec<u8> {
    let reasoning = |delta: Value| {
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"reasoningContent": delta}}))
    };
    let mut all = vec![
        begun(),
        reasoning(json!({"text": "Hm"})),
        reasoning(json!({"text": "m."})),
        reasoning(json!({"signature": "SEAL"})),
        closed(0),
        text(1, "Let "),
        text(1, "me."),
        closed(1),
    ];
    all.extend(tool(2, "t1", "first", &["", "{\"a\":", "1}"]));
    all.extend(tool(3, "t2", "second", &[]));
    all.extend(ended("tool_use"));
    events(&all)
}

#[test]
fn an_anthropic_caller_gets_blocks_seals_and_calls_of_a_converse_stream() {
    let there = run(&call(Dialect::Anthropic, false), Dialect::Bedrock, &rich(), 7);
    assert_eq!(there.ending, Ok(()));
    let blocks = blocks(&there.out);
    let kinds: Vec<_> =
        blocks.iter().map(|(block, text)| (block["type"].as_str().unwrap(), text.as_str())).collect();
    assert_eq!(
        kinds,
        [
            ("thinking", "Hmm.bedrock#SEAL"),
            ("text", "Let me."),
            ("tool_use", "{\"a\":1}"),
            ("tool_use", "{}")
        ]
    );
    let usage = Usage { input: 3, cache_read: 5, cache_write: 2, output: 4, reasoning: 0 };
    assert_eq!((there.summary.usage, there.summary.stop), (Some(usage), Some(StopReason::ToolUse)));
    assert_eq!(there.summary.service_tier.as_deref(), Some("flex"));
    assert_eq!(there.summary.upstream_model, None);
}

#[test]
fn a_caller_is_told_the_model_it_asked_for_and_an_id_since_converse_tells_neither() {
    for caller in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses] {
        let there = run(&call(caller, true), Dialect::Bedrock, &rich(), 100);
        assert_eq!(there.ending, Ok(()), "{caller}");
        assert!(there.out.contains(r#""model":"m""#), "{caller}");
        assert!(!there.out.contains(r#""id":"""#), "{caller}: {}", there.out);
    }
}

#[test]
fn a_stop_that_tells_of_a_broken_answer_is_a_fault_and_a_guardrail_is_a_block() {
    for word in ["malformed_model_output", "malformed_tool_use"] {
        let all: Vec<_> = [begun(), text(0, "x"), closed(0)].into_iter().chain(ended(word)).collect();
        let there = run(&call(Dialect::OpenAi, true), Dialect::Bedrock, &events(&all), 50);
        assert_eq!(there.ending.unwrap_err().code, "provider_failed", "{word}");
    }
    for (word, expected) in [
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("model_context_window_exceeded", "length"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
    ] {
        let all: Vec<_> = [begun(), text(0, "x"), closed(0)].into_iter().chain(ended(word)).collect();
        let there = run(&call(Dialect::OpenAi, true), Dialect::Bedrock, &events(&all), 50);
        let reason = read(&there.out)
            .iter()
            .find_map(|record| record["choices"][0]["finish_reason"].as_str().map(str::to_owned));
        assert_eq!(reason.as_deref(), Some(expected), "{word}");
    }
}

#[test]
fn an_exception_inside_a_success_is_a_fault_by_its_type() {
    for (name, body, class, code) in [
        ("throttlingException", json!({"message": "slow"}), FaultClass::RateLimited, "throttling"),
        ("internalServerException", json!({"message": "x"}), FaultClass::Transient, "internal_server"),
        (
            "serviceUnavailableException",
            json!({"message": "x"}),
            FaultClass::Transient,
            "service_unavailable",
        ),
        ("modelTimeoutException", json!({"message": "x"}), FaultClass::Transient, "model_timeout"),
        ("validationException", json!({"message": "bad"}), FaultClass::Invalid, "validation"),
        ("modelStreamErrorException", json!({"message": "x"}), FaultClass::Transient, "model_stream_error"),
        (
            "modelStreamErrorException",
            json!({"message": "x", "originalStatusCode": 429}),
            FaultClass::RateLimited,
            "model_stream_error",
        ),
        (
            "modelStreamErrorException",
            json!({"message": "x", "originalStatusCode": 400}),
            FaultClass::Invalid,
            "model_stream_error",
        ),
    ] {
        let mut stream = events(&[begun(), text(0, "x")]);
        stream.extend(aws_exception(name, body.to_string().as_bytes()));
        let there = run(&call(Dialect::OpenAi, true), Dialect::Bedrock, &stream, 11);
        let fault = there.ending.unwrap_err();
        assert_eq!((fault.class, fault.code.as_ref()), (class, code), "{name} {body}");
    }
}

#[test]
fn a_damaged_stream_is_a_checksum_fault_after_what_was_whole() {
    let mut stream = events(&[begun(), text(0, "whole"), text(0, "damaged")]);
    let last = stream.len() - 10;
    stream[last] ^= 1;
    let there = run(&call(Dialect::OpenAi, true), Dialect::Bedrock, &stream, 20);
    assert_eq!(there.ending.unwrap_err().code, "checksum_mismatch");
    assert!(there.out.contains("whole") && !there.out.contains("amaged"));
}

#[test]
fn a_stream_cut_anywhere_before_its_end_is_recognised() {
    let stream = rich();
    let metadata = events(&ended("tool_use")[1..]).len();
    for length in 0..stream.len() {
        let there = run(&call(Dialect::Anthropic, false), Dialect::Bedrock, &stream[..length], usize::MAX);
        // When the end was told, only what was used is missing.
        let is_whole = length >= stream.len() - metadata;
        assert_eq!(there.ending.is_ok(), is_whole, "cut at {length}");
    }
}

#[test]
fn unknown_events_and_blocks_are_skipped_and_counted() {
    let mut all = vec![begun(), ("brandNew", json!({"x": 1})), text(0, "x"), closed(0)];
    all.push(("contentBlockStart", json!({"contentBlockIndex": 1, "start": {"image": {"format": "png"}}})));
    all.push(("contentBlockDelta", json!({"contentBlockIndex": 1, "delta": {"image": {}}})));
    all.push(closed(1));
    all.extend(ended("end_turn"));
    let there = run(&call(Dialect::Anthropic, false), Dialect::Bedrock, &events(&all), 33);
    assert_eq!((there.ending, there.summary.unknown), (Ok(()), 2));
    assert_eq!(blocks(&there.out).len(), 1);
}

#[test]
fn the_caller_gets_its_own_names_of_tools_back() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true,
        "tools": [{"type": "function", "function": {"name": "fs.read"}}]});
    let call = Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::from(body.to_string())).unwrap();
    let mut all = vec![begun()];
    all.extend(tool(0, "t", "fs_read", &["{}"]));
    all.extend(ended("tool_use"));
    let there = run(&call, Dialect::Bedrock, &events(&all), 100);
    assert!(there.out.contains(r#""name":"fs.read""#), "{}", there.out);
}

#[test]
fn an_answer_given_as_a_call_of_the_answer_tool_is_text() {
    let mut all = vec![begun()];
    all.extend(tool(0, "t", "answer_in_this_form", &["{\"a\"", ":1}"]));
    all.extend(ended("tool_use"));
    let there = run(&call(Dialect::Anthropic, false), Dialect::Bedrock, &events(&all), 100);
    assert_eq!(blocks(&there.out), [(json!({"type": "text", "text": ""}), "{\"a\":1}".to_owned())]);
    assert_eq!(there.summary.stop, Some(StopReason::End));
}

const CHUNKS: Wire = Wire { dialect: Dialect::Anthropic, framing: Framing::AwsChunks };

fn chunks(records: &[Value]) -> Vec<u8> {
    let chunk = |record: &Value| {
        let payload = json!({"bytes": STANDARD.encode(record.to_string()), "p": "abcd"});
        aws_event("chunk", payload.to_string().as_bytes())
    };
    records.iter().flat_map(chunk).collect()
}

fn run_chunks(call: &Call, stream: &[u8], size: usize) -> Run {
    let mut relay = Relay::new(call, CHUNKS);
    let mut out = Vec::new();
    let pushed =
        stream.chunks(size).try_for_each(|chunk| relay.push(Bytes::copy_from_slice(chunk), &mut out));
    let ending = pushed.and_then(|()| relay.finish(&mut out));
    Run { out: String::from_utf8_lossy(&out.concat()).into_owned(), summary: relay.summary(), ending }
}

fn messages() -> Vec<Value> {
    let mut records = vec![
        start(),
        block(0, json!({"type": "text", "text": ""})),
        piece(0, json!({"type": "text_delta", "text": "hé"})),
        json!({"type": "content_block_stop", "index": 0, "amazon": {"x": 1}}),
        block(1, json!({"type": "new_kind"})),
        stop(1),
    ];
    records.extend(end("end_turn"));
    records
}

#[test]
fn records_in_chunks_reach_an_anthropic_caller_as_they_are() {
    let (records, expected) = (chunks(&messages()), anthropic(&messages()));
    for size in [1, 13, 400, usize::MAX] {
        let there = run_chunks(&call(Dialect::Anthropic, false), &records, size);
        assert_eq!((there.ending, there.out), (Ok(()), expected.clone()));
        assert_eq!(there.summary.usage.unwrap().output, 20);
    }
}

#[test]
fn records_in_chunks_are_translated_for_other_callers() {
    let there = run_chunks(&call(Dialect::OpenAi, true), &chunks(&messages()), 50);
    let plain = run(&call(Dialect::OpenAi, true), Dialect::Anthropic, anthropic(&messages()).as_bytes(), 50);
    assert_eq!((there.ending, there.out), (Ok(()), plain.out));
}

#[test]
fn faults_among_chunks_are_found() {
    let mut stream = chunks(&messages()[..3]);
    stream.extend(aws_exception("throttlingException", br#"{"message":"slow down"}"#));
    for caller in [Dialect::Anthropic, Dialect::OpenAi] {
        let there = run_chunks(&call(caller, true), &stream, 9);
        assert_eq!(there.ending.unwrap_err().class, FaultClass::RateLimited);
        let garbage = aws_event("chunk", br#"{"bytes":"!!"}"#);
        assert_eq!(run_chunks(&call(caller, true), &garbage, 9).ending.unwrap_err().code, "invalid_answer");
    }
}

#[test]
fn a_stream_that_is_aborted_ends_with_an_exception() {
    let body = Bytes::from_static(br#"{"messages":[]}"#);
    let asked = crate::Asked {
        model: Some("m".to_owned()),
        stream: true,
        ..crate::Asked::from((Dialect::Bedrock, Operation::Chat))
    };
    let caller = Call::decode(asked, body).unwrap();
    let mut relay = Relay::new(&caller, Dialect::OpenAi);
    let mut out = Vec::new();
    let error = ErrorShape { status: 429, code: "c", message: "wait", param: None, request_id: "r" };
    relay.abort(&error, &mut out);
    let there = run(&call(Dialect::OpenAi, true), Dialect::Bedrock, &out.concat(), 100);
    let expected = Fault::new(FaultClass::RateLimited, "throttling", "wait");
    assert_eq!(there.ending.unwrap_err().class, expected.class);
}

/// A call that is answered in a dialect that nobody calls in.
fn unspoken(dialect: Dialect) -> Call {
    let body = json!({"model": "m", "messages": [], "contents": [], "stream": true});
    let asked = crate::Asked {
        model: Some("m".to_owned()),
        stream: true,
        ..crate::Asked::from((dialect, Operation::Chat))
    };
    Call::decode(asked, Bytes::from(body.to_string())).unwrap()
}

/// The bytes of a stream after a translation.
fn through(call: &Call, upstream: Dialect, stream: &[u8], size: usize) -> Vec<u8> {
    let mut relay = Relay::new(call, upstream);
    let mut out = Vec::new();
    for chunk in stream.chunks(size) {
        relay.push(Bytes::copy_from_slice(chunk), &mut out).unwrap();
    }
    relay.finish(&mut out).unwrap();
    out.concat()
}

fn said(stream: &str, field: &str) -> String {
    let deltas = read(stream);
    let words =
        deltas.iter().filter_map(|record| record["choices"][0]["delta"][field].as_str().map(str::to_owned));
    words.collect()
}

fn arguments(stream: &str) -> Vec<(u64, String)> {
    let mut calls: Vec<(u64, String)> = Vec::new();
    for record in read(stream) {
        let call = &record["choices"][0]["delta"]["tool_calls"][0];
        let Some(index) = call["index"].as_u64() else { continue };
        let fragment = call["function"]["arguments"].as_str().unwrap_or_default();
        match calls.iter_mut().find(|(known, _)| *known == index) {
            Some((_, text)) => text.push_str(fragment),
            None => calls.push((index, fragment.to_owned())),
        }
    }
    calls
}

proptest! {
    #[test]
    fn a_stream_survives_the_way_there_and_back(stream in openai_stream(), size in 1..200_usize) {
        let caller = call(Dialect::OpenAi, true);
        let direct = run(&call(Dialect::Anthropic, true), Dialect::OpenAi, stream.as_bytes(), 64);
        for dialect in [Dialect::Bedrock, Dialect::Cohere] {
            let there = through(&unspoken(dialect), Dialect::OpenAi, stream.as_bytes(), 64);
            prop_assert_eq!(&there, &through(&unspoken(dialect), Dialect::OpenAi, stream.as_bytes(), size));
            let back = run(&caller, dialect, &there, size);
            prop_assert!(back.ending.is_ok());
            prop_assert_eq!(back.summary.usage, direct.summary.usage);
            prop_assert_eq!(back.out.matches("\"usage\":{").count(), 1);
            prop_assert_eq!(said(&back.out, "content"), said(&stream, "content"));
            prop_assert_eq!(said(&back.out, "reasoning_content"), said(&stream, "reasoning_content"));
            let filled = |calls: Vec<(u64, String)>| -> Vec<String> {
                calls.into_iter().map(|(_, text)| if text.is_empty() { "{}".to_owned() } else { text }).collect()
            };
            prop_assert_eq!(filled(arguments(&back.out)), filled(arguments(&stream)));
            // A stream that ends early is cut.
            let cut = run(&caller, dialect, &there[..there.len() / 2], size);
            prop_assert!(cut.ending.is_err());
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..50_usize) {
        for caller in Dialect::ALL {
            for upstream in [Dialect::Bedrock, Dialect::Cohere] {
                run(&unspoken(caller), upstream, &bytes, size);
                let _ = crate::relay_answer(&unspoken(caller), upstream, Bytes::from(bytes.clone()));
                let _ = crate::decode_fault(upstream, 500, &|_| None, &bytes);
            }
            run_chunks(&unspoken(caller), &bytes, size);
        }
    }

    #[test]
    fn payloads_of_any_kind_never_panic(payload in "[\\[\\]{}:,\"a-z0-9 ]{0,60}", name in "(messageStart|contentBlockStart|contentBlockDelta|contentBlockStop|messageStop|metadata|chunk)") {
        let stream = aws_event(&name, payload.as_bytes());
        for caller in Dialect::ALL {
            run(&unspoken(caller), Dialect::Bedrock, &stream, 40);
            run_chunks(&unspoken(caller), &stream, 40);
        }
        let record = format!("event: content-delta\ndata: {payload}\n\n");
        run(&unspoken(Dialect::OpenAi), Dialect::Cohere, record.as_bytes(), 40);
    }
}

#[test]
fn the_largest_message_is_bounded() {
    let mut prelude = 100_000_000_u32.to_be_bytes().to_vec();
    prelude.extend_from_slice(&[0; 4]);
    prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
    let there = run(&call(Dialect::OpenAi, true), Dialect::Bedrock, &prelude, 3);
    assert_eq!(there.ending.unwrap_err().code, "record_too_large");
}
