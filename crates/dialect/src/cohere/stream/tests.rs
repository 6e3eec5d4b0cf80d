#![expect(clippy::needless_pass_by_value, reason = "builders of bodies read best with literals")]

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Call, Dialect, Fault, Operation, Relay, StopReason, Summary, relay_answer};

fn call(dialect: Dialect) -> Call {
    let body = json!({"model": "asked", "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}, "messages": []});
    Call::decode((dialect, Operation::Chat), body.to_string().into()).unwrap()
}

fn run(dialect: Dialect, records: &[Value], size: usize) -> (Vec<Value>, Summary, Result<(), Fault>) {
    let stream: String =
        records.iter().map(|r| format!("event: {}\ndata: {r}\n\n", r["type"].as_str().unwrap())).collect();
    let mut relay = Relay::new(&call(dialect), Dialect::Cohere);
    let mut out = Vec::new();
    let pushed = stream
        .as_bytes()
        .chunks(size)
        .try_for_each(|chunk| relay.push(Bytes::copy_from_slice(chunk), &mut out));
    let ending = pushed.and_then(|()| relay.finish(&mut out));
    let out = String::from_utf8(out.concat()).unwrap();
    let read =
        out.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    (read, relay.summary(), ending)
}

fn said(message: Value) -> Value {
    json!({"message": message})
}

fn rich() -> Vec<Value> {
    let call = |delta: Value| said(json!({"tool_calls": delta}));
    vec![
        json!({"type": "message-start", "id": "c1", "delta": said(json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}))}),
        json!({"type": "tool-plan-delta", "delta": said(json!({"tool_plan": "I will "}))}),
        json!({"type": "tool-plan-delta", "delta": said(json!({"tool_plan": "look."}))}),
        json!({"type": "tool-call-start", "index": 0, "delta": call(json!({"id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}))}),
        json!({"type": "tool-call-delta", "index": 0, "delta": call(json!({"function": {"arguments": "{\"a\":"}}))}),
        json!({"type": "tool-call-delta", "index": 0, "delta": call(json!({"function": {"arguments": "1}"}}))}),
        json!({"type": "tool-call-end", "index": 0}),
        json!({"type": "brand-new"}),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"billed_units": {"input_tokens": 1, "output_tokens": 1}, "tokens": {"input_tokens": 8, "output_tokens": 4}, "cached_tokens": 3}}}),
    ]
}

#[test]
fn a_plan_and_calls_of_tools_reach_every_caller() {
    let (records, summary, ending) = run(Dialect::Anthropic, &rich(), 11);
    assert_eq!(ending, Ok(()));
    let starts: Vec<_> =
        records.iter().filter_map(|record| record["content_block"]["type"].as_str()).collect();
    assert_eq!(starts, ["thinking", "tool_use"]);
    let used = summary.usage.unwrap();
    assert_eq!((used.input, used.cache_read, used.output), (5, 3, 4));
    assert_eq!((summary.stop, summary.unknown), (Some(StopReason::ToolUse), 1));
    assert_eq!(records[0]["message"]["model"], "asked");
    let (records, ..) = run(Dialect::OpenAi, &rich(), 50);
    let plan: String =
        records.iter().filter_map(|r| r["choices"][0]["delta"]["reasoning_content"].as_str()).collect();
    assert_eq!(plan, "I will look.");
}

#[test]
fn words_thoughts_and_what_they_rest_on_are_told_apart() {
    let content = |index: u64, kind: &str, text: &str| json!({"type": "content-delta", "index": index, "delta": said(json!({"content": {kind: text}}))});
    let begin = |index: u64, kind: &str| json!({"type": "content-start", "index": index, "delta": said(json!({"content": {"type": kind, kind: ""}}))});
    let end = |index: u64| json!({"type": "content-end", "index": index});
    let citation = json!({"start": 0, "end": 2, "text": "It", "sources": [{"type": "document", "id": "d", "document": {"url": "https://x", "title": "T"}}]});
    let records = [
        json!({"type": "message-start", "id": "c1"}),
        begin(0, "thinking"),
        content(0, "thinking", "Hm."),
        end(0),
        begin(1, "text"),
        content(1, "text", "It is."),
        json!({"type": "citation-start", "index": 0, "delta": said(json!({"citations": citation}))}),
        json!({"type": "citation-end", "index": 0}),
        end(1),
        json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}),
    ];
    let (records, _, ending) = run(Dialect::OpenAi, &records, 20);
    assert_eq!(ending, Ok(()));
    let field = |name: &str| -> String {
        records.iter().filter_map(|r| r["choices"][0]["delta"][name].as_str()).collect()
    };
    assert_eq!((field("content").as_str(), field("reasoning_content").as_str()), ("It is.", "Hm."));
    let cited = records
        .iter()
        .find_map(|r| r["choices"][0]["delta"]["annotations"][0]["url_citation"]["url"].as_str());
    assert_eq!(cited, Some("https://x"));
}

#[test]
fn an_error_at_the_end_is_no_stop() {
    for delta in [
        json!({"finish_reason": "ERROR", "error": "it broke"}),
        json!({"finish_reason": "ERROR"}),
        json!({"finish_reason": "TIMEOUT"}),
    ] {
        let records =
            [json!({"type": "message-start", "id": "c"}), json!({"type": "message-end", "delta": delta})];
        let (_, _, ending) = run(Dialect::OpenAi, &records, 99);
        assert_eq!(ending.unwrap_err().code, "provider_failed", "{delta}");
    }
}

#[test]
fn a_stream_without_its_last_record_is_cut() {
    let records = rich();
    let (_, _, ending) = run(Dialect::OpenAi, &records[..records.len() - 1], 30);
    assert_eq!(ending.unwrap_err().code, "stream_cut");
}

#[test]
fn a_whole_answer_keeps_plan_words_calls_and_citations() {
    let body = json!({"id": "c", "finish_reason": "COMPLETE", "message": {"role": "assistant", "tool_plan": "Plan.",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "It is."}],
        "citations": [{"start": 0, "end": 2, "text": "It", "content_index": 1, "sources": [{"type": "document", "id": "d", "document": {"url": "https://x", "title": "T", "snippet": "q"}}]}]},
        "usage": {"tokens": {"input_tokens": 5, "output_tokens": 2}}});
    let (bytes, summary) =
        relay_answer(&call(Dialect::OpenAi), Dialect::Cohere, Bytes::from(body.to_string())).unwrap();
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!((&message["content"], &answer["model"]), (&json!("It is."), &json!("asked")));
    let citation = &message["annotations"][0]["url_citation"];
    assert_eq!(
        (&citation["url"], &citation["start_index"], &citation["end_index"]),
        (&json!("https://x"), &json!(0), &json!(2))
    );
    assert_eq!(summary.usage.unwrap().input, 5);
    for body in [json!({"message": "no such model"}), json!({})] {
        assert!(
            relay_answer(&call(Dialect::OpenAi), Dialect::Cohere, Bytes::from(body.to_string())).is_err()
        );
    }
}
