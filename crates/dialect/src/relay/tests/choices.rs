//! Several answers in one stream, and what comes with them.

use serde_json::{Value, json};

use super::{call, openai, run};
use crate::{
    Answer, Choice, Citation, Dialect, Event, Json, PartBody, Signature, StopReason,
    canonical::Part,
    openai::{answer, emit::Encoder, stream::Decoder},
    relay::{Decode, Encode},
    signature::unseal_id,
};

fn read(records: &[Value]) -> Vec<Event> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for record in records {
        decoder.push(b"", record.to_string().as_bytes(), &mut events).unwrap();
    }
    decoder.push(b"", b"[DONE]", &mut events).unwrap();
    events
}

fn write(events: Vec<Event>) -> Vec<Value> {
    let mut encoder = Encoder::new(&call(Dialect::OpenAi, false));
    let mut out = Vec::new();
    events.into_iter().for_each(|event| encoder.encode(event, &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

fn chunk(index: u32, delta: Value, finish: Value) -> Value {
    json!({"id": "c", "model": "m", "created": 1, "service_tier": "flex",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})
}

#[test]
fn interleaved_choices_stay_apart() {
    let call_of = |id: &str, arguments: &str| json!({"tool_calls": [{"index": 0, "id": id, "function": {"name": "f", "arguments": arguments}}]});
    let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]});
    let records = [
        chunk(0, json!({"content": "zero"}), json!(null)),
        chunk(1, call_of("call_1", "{\"a\":"), json!(null)),
        chunk(0, json!({"content": " more"}), json!("stop")),
        chunk(1, more, json!(null)),
        chunk(1, json!({}), json!("tool_calls")),
    ];
    let written = write(read(&records));
    let mut said = [String::new(), String::new()];
    let mut arguments = String::new();
    let mut stops = Vec::new();
    for record in &written {
        let choice = &record["choices"][0];
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        said[index] += choice["delta"]["content"].as_str().unwrap_or_default();
        let call = &choice["delta"]["tool_calls"][0]["function"];
        assert!(call.is_null() || index == 1);
        arguments += call["arguments"].as_str().unwrap_or_default();
        stops.extend(choice["finish_reason"].as_str().map(|word| (index, word.to_owned())));
    }
    assert_eq!(said, ["zero more", ""]);
    assert_eq!(arguments, "{\"a\":1}");
    assert_eq!(stops, [(0, "stop".to_owned()), (1, "tool_calls".to_owned())]);
    assert_eq!(written.last().unwrap()["service_tier"], "flex");
}

#[test]
fn a_choice_that_nobody_asked_for_does_not_mix_with_the_answer() {
    let records = [
        chunk(0, json!({"content": "mine"}), json!(null)),
        chunk(1, json!({"content": "other"}), json!("stop")),
        chunk(0, json!({}), json!("stop")),
    ];
    let run = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, openai(&records).as_bytes(), 50);
    run.ending.unwrap();
    assert!(run.out.contains("mine") && !run.out.contains("other"), "{}", run.out);
    assert!(run.out.contains("message_stop"));
}

#[test]
fn odds_and_citations_reach_the_caller() {
    let tokens = json!([{"token": "hi", "logprob": -0.1, "bytes": null, "top_logprobs": []}]);
    let mut record = chunk(0, json!({"content": "hi"}), json!(null));
    record["choices"][0]["logprobs"] = json!({"content": tokens});
    let cites = json!([{"type": "url_citation",
        "url_citation": {"start_index": 0, "end_index": 2, "url": "https://x", "title": "X"}}]);
    let last = chunk(0, json!({"annotations": cites}), json!("stop"));
    let events = read(&[record, last]);
    assert!(events.contains(&Event::Logprobs(Json::parse(&tokens.to_string()).unwrap())));
    let written = write(events);
    assert!(written.iter().any(|record| record["choices"][0]["logprobs"]["content"] == tokens));
    assert!(written.iter().any(|record| record["choices"][0]["delta"]["annotations"] == cites));
}

#[test]
fn a_whole_answer_keeps_every_choice_with_its_odds_and_citations() {
    let citation = Citation {
        span: Some((0, 2)),
        url: Some("https://x".into()),
        title: Some("X".into()),
        quote: None,
        file: None,
        native: None,
    };
    let text = |text: &str| Part {
        citations: vec![citation.clone()],
        ..Part::from(PartBody::Text(text.to_owned()))
    };
    let call = Part {
        signature: Some(Signature::new(Dialect::Gemini, "seal")),
        ..Part::from(PartBody::ToolCall { id: "call_1".into(), name: "f".into(), arguments: "{}".into() })
    };
    let choice = |parts: Vec<Part>| Choice {
        parts,
        stop: StopReason::End,
        native_stop: None,
        stop_sequence: None,
        logprobs: Some(Json::parse(r#"{"content":[],"refusal":null}"#).unwrap()),
    };
    let answer = Answer {
        id: "a".into(),
        model: "m".into(),
        created: Some(1),
        choices: vec![choice(vec![text("one")]), choice(vec![text("two"), call])],
        usage: None,
        service_tier: Some("priority".into()),
        extra: Vec::new(),
    };
    let body = answer::encode(&answer, 0);
    let json: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["choices"][1]["message"]["content"], "two");
    assert_eq!(json["choices"][1]["finish_reason"], "tool_calls");
    assert_eq!(json["choices"][0]["logprobs"], json!({"content": [], "refusal": null}));
    assert_eq!(json["choices"][0]["message"]["annotations"][0]["url_citation"]["url"], "https://x");
    let id = json["choices"][1]["message"]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!(unseal_id(id), ("call_1", Some(Signature::new(Dialect::Gemini, "seal"))));
    let again = answer::decode(&body).unwrap();
    assert_eq!(again.choices.len(), 2);
    assert_eq!(again.service_tier.as_deref(), Some("priority"));
}

#[test]
fn a_web_page_cited_by_one_provider_is_cited_to_callers_of_the_other() {
    let native = json!({"type": "web_search_result_location", "url": "https://x", "title": "X",
        "cited_text": "hi", "encrypted_index": "e"});
    let body = json!({"id": "a", "type": "message", "model": "m", "role": "assistant", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi", "citations": [native]}],
        "usage": {"input_tokens": 1, "output_tokens": 1, "service_tier": "priority"}});
    let read = crate::anthropic::answer::decode(body.to_string().as_bytes()).unwrap();
    assert_eq!(read.service_tier.as_deref(), Some("priority"));
    let openai: Value = serde_json::from_slice(&answer::encode(&read, 0)).unwrap();
    let page = &openai["choices"][0]["message"]["annotations"][0]["url_citation"];
    assert_eq!((&page["url"], &page["title"]), (&json!("https://x"), &json!("X")));
    let home: Value = serde_json::from_slice(&crate::anthropic::answer::encode(&read)).unwrap();
    assert_eq!(home["content"][0]["citations"], json!([native]));
    let back = answer::decode(openai.to_string().as_bytes()).unwrap();
    let anthropic: Value = serde_json::from_slice(&crate::anthropic::answer::encode(&back)).unwrap();
    assert_eq!(anthropic["content"][0]["citations"][0]["url"], "https://x");
}

#[test]
fn citations_in_a_stream_stay_with_their_text() {
    let event = Event::Citation(Citation {
        span: None,
        url: Some("https://x".into()),
        title: None,
        quote: None,
        file: None,
        native: None,
    });
    let mut encoder = crate::anthropic::emit::Encoder::default();
    let mut out = Vec::new();
    let start = Event::Start { id: "a".into(), model: "m".into(), created: None, usage: None };
    for event in [start, Event::Text("hi".into()), event, Event::PartEnd, Event::End] {
        encoder.encode(event, &mut out).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    let block = text.split("content_block_stop").next().unwrap();
    assert!(block.contains("citations_delta") && block.contains("https://x"), "{text}");
    assert_eq!(text.matches("event: content_block_start").count(), 1, "{text}");
}
