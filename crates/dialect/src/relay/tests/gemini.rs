//! Gemini's streams, read and written.

use bytes::Bytes;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{Run, call as other_call, laws::openai_stream, read, run};
use crate::{
    Asked, Call, Dialect, ErrorShape, FaultClass, Operation, Relay, Signature, StopReason, Usage,
    signature::unseal_id,
};

fn call(dialect: Dialect) -> Call {
    if dialect != Dialect::Gemini {
        return other_call(dialect, true);
    }
    let asked = Asked {
        model: Some("m".to_owned()),
        stream: true,
        ..Asked::from((Dialect::Gemini, Operation::Chat))
    };
    Call::decode(asked, Bytes::from_static(br#"{"contents":[]}"#)).unwrap()
}

fn chunk(parts: &Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}, "modelVersion": "gemini-x", "responseId": "r1"})
}

fn last(parts: &Value, reason: &str) -> Value {
    let mut last = chunk(parts);
    last["candidates"][0]["finishReason"] = json!(reason);
    last["usageMetadata"] = json!({"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "cachedContentTokenCount": 3});
    last
}

fn stream(records: &[Value]) -> String {
    records.iter().map(|record| format!("data: {record}\r\n\r\n")).collect()
}

fn usage() -> Usage {
    Usage { input: 6, cache_read: 3, cache_write: 0, output: 6, reasoning: 2 }
}

fn to_openai(records: &[Value]) -> Run {
    run(&call(Dialect::OpenAi), Dialect::Gemini, stream(records).as_bytes(), 50)
}

#[test]
fn cumulative_usage_is_told_once_and_the_end_is_made_up_for_openai() {
    let said = to_openai(&[chunk(&json!([{"text": "Hel"}])), last(&json!([{"text": "lo"}]), "STOP")]);
    said.ending.unwrap();
    assert!(said.out.ends_with("data: [DONE]\n\n"));
    assert_eq!(said.out.matches("\"usage\":{").count(), 1);
    assert_eq!(said.summary.usage, Some(usage()));
    assert_eq!(said.summary.stop, Some(StopReason::End));
    assert_eq!(said.summary.upstream_model.as_deref(), Some("gemini-x"));
}

#[test]
fn a_whole_function_call_with_stop_is_tool_use_and_its_seal_goes_into_the_id() {
    let calls = json!([
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2VhbA=="},
        {"functionCall": {"name": "g", "args": {}}},
    ]);
    let said = to_openai(&[last(&calls, "STOP")]);
    said.ending.unwrap();
    assert_eq!(said.summary.stop, Some(StopReason::ToolUse));
    let records = read(&said.out);
    let starts: Vec<&Value> = records
        .iter()
        .map(|record| &record["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| call["id"].is_string())
        .collect();
    let seal = Signature::new(Dialect::Gemini, "c2VhbA==");
    assert_eq!(unseal_id(starts[0]["id"].as_str().unwrap()), ("call_r1_0", Some(seal)));
    assert_eq!(starts[1]["id"], "call_r1_1");
    let reasons: Vec<_> = records.iter().filter_map(|r| r["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons, ["tool_calls"]);
}

#[test]
fn a_block_before_any_answer_is_a_block() {
    let blocked = json!({"promptFeedback": {"blockReason": "MODEL_ARMOR", "blockReasonMessage": "no"}, "responseId": "r"});
    let said = to_openai(std::slice::from_ref(&blocked));
    said.ending.unwrap();
    assert_eq!(said.summary.stop, Some(StopReason::Refusal));
    assert!(said.out.contains(r#""finish_reason":"content_filter""#) && said.out.contains("MODEL_ARMOR"));
    let anthropic =
        run(&call(Dialect::Anthropic), Dialect::Gemini, stream(std::slice::from_ref(&blocked)).as_bytes(), 9);
    assert!(anthropic.out.contains(r#""stop_reason":"refusal""#));
    let own = run(&call(Dialect::Gemini), Dialect::Gemini, stream(&[blocked]).as_bytes(), 9);
    own.ending.unwrap();
    assert_eq!(own.summary.stop, Some(StopReason::Refusal));
}

#[test]
fn a_failed_end_is_an_error_and_a_filtered_one_a_refusal() {
    for reason in [
        "MALFORMED_FUNCTION_CALL",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    ] {
        for caller in [Dialect::OpenAi, Dialect::Gemini] {
            let said =
                run(&call(caller), Dialect::Gemini, stream(&[last(&json!([]), reason)]).as_bytes(), 50);
            assert_eq!(said.ending.unwrap_err().code, "provider_failed", "{reason}");
        }
    }
    for reason in [
        "SAFETY",
        "RECITATION",
        "MODEL_ARMOR",
        "PROHIBITED_CONTENT",
        "SPII",
        "ESCALATION",
        "SOME_NEW_SAFETY_FILTER",
    ] {
        let said = to_openai(&[last(&json!([{"text": "x"}]), reason)]);
        assert_eq!(said.summary.stop, Some(StopReason::Refusal), "{reason}");
    }
    // A call of a function that was not declared is a call.
    let call = json!([{"functionCall": {"name": "f", "args": {}}}]);
    assert_eq!(to_openai(&[last(&call, "UNEXPECTED_TOOL_CALL")]).summary.stop, Some(StopReason::ToolUse));
}

#[test]
fn an_error_in_band_is_a_fault_and_a_stream_without_a_reason_was_cut() {
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    for caller in [Dialect::OpenAi, Dialect::Gemini] {
        let records = stream(&[chunk(&json!([{"text": "a"}])), error.clone()]);
        let said = run(&call(caller), Dialect::Gemini, records.as_bytes(), 30);
        assert_eq!(said.ending.unwrap_err().class, FaultClass::Transient);
        assert!(said.out.contains('a') && !said.out.contains("UNAVAILABLE"));
        let cut =
            run(&call(caller), Dialect::Gemini, stream(&[chunk(&json!([{"text": "a"}]))]).as_bytes(), 30);
        assert_eq!(cut.ending.unwrap_err().code, "stream_cut");
    }
}

#[test]
fn an_aborted_stream_ends_with_the_error_that_its_sdk_raises() {
    let mut relay = Relay::new(&call(Dialect::Gemini), Dialect::OpenAi);
    let mut out = Vec::new();
    let shape = ErrorShape { status: 502, code: "stream_cut", message: "cut", param: None, request_id: "r" };
    relay.abort(&shape, &mut out);
    let out = String::from_utf8(out.concat()).unwrap();
    // google-genai looks for an object that begins so, without the name of an event.
    assert!(
        out.starts_with("data: {\"error\":{\"code\":502,\"message\":\"cut\",\"status\":\"INTERNAL\""),
        "{out}"
    );
}

#[test]
fn parts_of_unknown_kinds_pass_to_their_own_callers_and_are_counted_for_others() {
    let records = stream(&[
        chunk(&json!([{"executableCode": {"code": "1"}}, {"hologram": {}}])),
        last(&json!([{"text": "x"}]), "STOP"),
    ]);
    let own = run(&call(Dialect::Gemini), Dialect::Gemini, records.as_bytes(), 11);
    assert_eq!(own.out, records);
    assert_eq!(own.summary.usage, Some(usage()));
    let other = run(&call(Dialect::OpenAi), Dialect::Gemini, records.as_bytes(), 11);
    assert_eq!(other.summary.unknown, 2);
}

#[test]
fn candidates_are_choices_and_each_must_end() {
    let body = json!({"model": "m", "messages": [], "stream": true, "n": 2});
    let two = Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::from(body.to_string())).unwrap();
    let both = |index: u64, text: &str, reason: Option<&str>| {
        let mut record = chunk(&json!([{"text": text}]));
        record["candidates"][0]["index"] = json!(index);
        record["candidates"][0]["finishReason"] = json!(reason);
        record
    };
    let records = [
        both(0, "a", None),
        both(1, "b", None),
        both(0, "c", Some("STOP")),
        both(1, "d", Some("MAX_TOKENS")),
    ];
    let said = run(&two, Dialect::Gemini, stream(&records).as_bytes(), 40);
    said.ending.unwrap();
    let text = |index: u64| -> String {
        let choices = read(&said.out);
        let of = choices.iter().filter(|record| record["choices"][0]["index"] == index);
        of.filter_map(|record| record["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!((text(0).as_str(), text(1).as_str()), ("ac", "bd"));
    let cut = run(&two, Dialect::Gemini, stream(&records[..3]).as_bytes(), 40);
    assert!(cut.ending.is_err());
}

#[test]
fn what_a_text_rests_on_and_the_odds_of_its_tokens_reach_other_callers() {
    let mut end = last(&json!([{"text": "Größe, says X."}]), "STOP");
    end["candidates"][0]["groundingMetadata"] = json!({
        "groundingChunks": [{"web": {"uri": "https://x", "title": "X"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 7, "text": "Größe"}, "groundingChunkIndices": [0]}]});
    end["candidates"][0]["logprobsResult"] = json!({"chosenCandidates": [{"token": "Gr", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "Gr", "logProbability": -0.5}, {"token": "K", "logProbability": -1.5}]}]});
    let said = to_openai(&[end]);
    said.ending.unwrap();
    let records = read(&said.out);
    let annotation =
        records.iter().find_map(|r| r["choices"][0]["delta"]["annotations"][0].as_object()).unwrap();
    assert_eq!(annotation["url_citation"]["url"], "https://x");
    // Bytes there, characters here.
    assert_eq!(annotation["url_citation"]["end_index"], 5);
    let token = records.iter().find_map(|r| r["choices"][0]["logprobs"]["content"][0].as_object()).unwrap();
    assert_eq!(token["token"], "Gr");
    assert_eq!(token["top_logprobs"][1]["logprob"], -1.5);
}

#[test]
fn a_seal_of_another_dialect_goes_onto_the_call_that_follows() {
    let records = super::anthropic(&[
        super::start(),
        super::block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        super::piece(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        super::piece(0, json!({"type": "signature_delta", "signature": "sig"})),
        super::stop(0),
        super::block(1, json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}})),
        super::piece(1, json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"})),
        super::stop(1),
        super::end("tool_use")[0].clone(),
        super::end("tool_use")[1].clone(),
    ]);
    let said = run(&call(Dialect::Gemini), Dialect::Anthropic, records.as_bytes(), 64);
    said.ending.unwrap();
    let parts: Vec<Value> = read(&said.out)
        .iter()
        .flat_map(|record| record["candidates"][0]["content"]["parts"].as_array().unwrap().clone())
        .collect();
    assert_eq!(parts[0], json!({"text": "hm", "thought": true}));
    assert_eq!(parts[1]["functionCall"], json!({"id": "t1", "name": "f", "args": {"a": 1}}));
    let history =
        json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": parts}]});
    let asked = Asked { model: Some("m".to_owned()), ..Asked::from((Dialect::Gemini, Operation::Chat)) };
    let again = Call::decode(asked, Bytes::from(history.to_string())).unwrap().request().unwrap();
    let crate::PartBody::Thinking { text, signature } = &again.messages[1].parts[0].body else { panic!() };
    assert_eq!((text.as_str(), signature), ("hm", &Some(Signature::new(Dialect::Anthropic, "sig"))));
    assert_eq!(again.messages[1].parts[1].signature, None);
}

const DIALECTS: [Dialect; 3] = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini];

fn text_of(stream: &str) -> String {
    let openai = |record: &Value| record["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    read(stream).iter().filter_map(openai).collect()
}

proptest! {
    #[test]
    fn a_stream_to_gemini_and_back_says_the_same_in_any_chunks(stream in openai_stream(), size in 1..200_usize) {
        let there = run(&call(Dialect::Gemini), Dialect::OpenAi, stream.as_bytes(), size);
        prop_assert!(there.ending.is_ok());
        let whole = run(&call(Dialect::Gemini), Dialect::OpenAi, stream.as_bytes(), usize::MAX);
        prop_assert_eq!(&whole.out, &there.out);
        prop_assert_eq!(there.out.matches("\"usageMetadata\":").count(), 1);
        prop_assert_eq!(there.out.matches("\"finishReason\":").count(), 1);
        // Every call came whole.
        for record in read(&there.out) {
            let part = &record["candidates"][0]["content"]["parts"][0];
            prop_assert!(part["functionCall"].is_null() || part["functionCall"]["args"].is_object());
        }
        let back = run(&call(Dialect::OpenAi), Dialect::Gemini, there.out.as_bytes(), size);
        prop_assert!(back.ending.is_ok());
        prop_assert_eq!(back.summary.usage, there.summary.usage);
        prop_assert_eq!(text_of(&back.out), text_of(&stream));
        prop_assert_eq!(back.out.matches("\"usage\":{").count(), 1);
        // It passes to a caller of its own as it is, and is known to be cut wherever it is.
        let own = run(&call(Dialect::Gemini), Dialect::Gemini, there.out.as_bytes(), size);
        prop_assert_eq!(&own.out, &there.out);
        prop_assert_eq!(own.summary.usage, there.summary.usage);
        let end = there.out.trim_end().rfind("data: ").unwrap();
        let cut = run(&call(Dialect::OpenAi), Dialect::Gemini, &there.out.as_bytes()[..end], size);
        prop_assert!(cut.ending.is_err());
    }

    #[test]
    fn arbitrary_and_mangled_bytes_never_panic(
        stream in openai_stream(),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut mangled = run(&call(Dialect::Gemini), Dialect::OpenAi, stream.as_bytes(), 64).out.into_bytes();
        for (place, byte) in cuts {
            let place = place.index(mangled.len());
            mangled[place] = byte;
        }
        for other in DIALECTS {
            run(&call(other), Dialect::Gemini, &mangled, 33);
            run(&call(other), Dialect::Gemini, &bytes, 7);
            run(&call(Dialect::Gemini), other, &bytes, 7);
            let _ = crate::relay_answer(&call(other), Dialect::Gemini, Bytes::from(bytes.clone()));
        }
        let asked = Asked { model: Some("m".to_owned()), ..Asked::from((Dialect::Gemini, Operation::Chat)) };
        if let Ok(call) = Call::decode(asked, Bytes::from(bytes)) {
            let _ = call.request();
        }
    }
}
