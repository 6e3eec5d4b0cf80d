#![expect(clippy::needless_pass_by_value, reason = "builders of records read best with literals")]

use bytes::Bytes;
use serde_json::{Value, json};

use super::Decoder;
use crate::{Call, Dialect, Event, FaultClass, Operation, Relay, Signature, StopReason, relay::Decode};

fn events(records: &[Value]) -> Vec<Event> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for record in records {
        decoder.push(b"", record.to_string().as_bytes(), &mut events).unwrap();
    }
    decoder.finish(&mut events);
    events
}

fn created() -> Value {
    json!({"type":"response.created","sequence_number":0,"response":{"id":"resp_1","created_at":7.0,"model":"gpt","output":[]}})
}

fn completed() -> Value {
    json!({"type":"response.completed","response":{"id":"resp_1","model":"gpt","status":"completed","service_tier":"flex",
        "output":[],"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2},"output_tokens":3,
        "output_tokens_details":{"reasoning_tokens":1},"total_tokens":8}}})
}

fn done(at: u64, item: Value) -> Value {
    json!({"type":"response.output_item.done","output_index":at,"item":item})
}

fn added(at: u64, item: Value) -> Value {
    json!({"type":"response.output_item.added","output_index":at,"item":item})
}

fn delta(kind: &str, at: u64, text: &str) -> Value {
    json!({"type":format!("response.{kind}.delta"),"output_index":at,"content_index":0,"delta":text})
}

fn message(text: &str) -> Value {
    json!({"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":text,"annotations":[]}]})
}

fn words(events: &[Event]) -> String {
    events
        .iter()
        .filter_map(|event| if let Event::Text(text) = event { Some(text.as_str()) } else { None })
        .collect()
}

#[test]
fn pieces_are_told_once_though_the_grammar_repeats_them() {
    let read = events(&[
        created(),
        json!({"type":"response.in_progress","response":{"id":"resp_1","model":"gpt","output":[]}}),
        added(0, json!({"type":"message","id":"msg_1","role":"assistant","content":[]})),
        json!({"type":"response.content_part.added","output_index":0,"content_index":0,"part":{"type":"output_text","text":""}}),
        delta("output_text", 0, "Hel"),
        delta("output_text", 0, "lo"),
        json!({"type":"response.output_text.done","output_index":0,"content_index":0,"text":"Hello"}),
        json!({"type":"response.content_part.done","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hello"}}),
        done(0, message("Hello")),
        completed(),
    ]);
    assert_eq!(words(&read), "Hello");
    assert_eq!(read.iter().filter(|event| matches!(event, Event::Start { .. })).count(), 1);
    assert_eq!(read.iter().filter(|event| matches!(event, Event::Usage(_))).count(), 1);
    assert_eq!(read.last(), Some(&Event::End));
    assert!(read.contains(&Event::ServiceTier("flex".to_owned())));
    assert!(!read.contains(&Event::Unknown));
}

#[test]
fn whole_items_of_a_server_that_tells_no_pieces_are_told() {
    let read = events(&[
        created(),
        done(
            0,
            json!({"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"gA"}),
        ),
        done(1, message("Hello")),
        done(2, json!({"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"})),
        completed(),
    ]);
    assert_eq!(words(&read), "Hello");
    assert!(read.contains(&Event::Thinking("Hm.".to_owned())));
    assert!(read.contains(&Event::Signature(Signature::new(Dialect::Responses, "rs_1:gA"))));
    assert!(read.contains(&Event::ToolArguments { index: 0, fragment: "{\"a\":1}".to_owned() }));
}

#[test]
fn a_stream_that_never_tells_its_start_has_one() {
    let read = events(&[delta("output_text", 0, "Hello"), completed()]);
    assert!(matches!(read.first(), Some(Event::Start { .. })));
    assert_eq!(read.iter().filter(|event| matches!(event, Event::Start { .. })).count(), 1);
    assert_eq!(words(&read), "Hello");
}

#[test]
fn paragraphs_of_a_summary_stay_apart_and_the_seal_carries_the_id() {
    let part = |index: u64| json!({"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":index});
    let item = json!({"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"One."},
        {"type":"summary_text","text":"Two."}],"encrypted_content":"gA"});
    let read = events(&[
        created(),
        added(0, json!({"type":"reasoning","id":"rs_1","summary":[]})),
        part(0),
        delta("reasoning_summary_text", 0, "One."),
        part(1),
        delta("reasoning_summary_text", 0, "Two."),
        done(0, item),
        completed(),
    ]);
    let thoughts: String = read
        .iter()
        .filter_map(|event| if let Event::Thinking(text) = event { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(thoughts, "One.\n\nTwo.");
    assert!(read.contains(&Event::Signature(Signature::new(Dialect::Responses, "rs_1:gA"))));
}

#[test]
fn reasoning_that_is_only_sealed_is_hidden_reasoning() {
    let read = events(&[
        created(),
        added(0, json!({"type":"reasoning","id":"rs_1","summary":[]})),
        done(0, json!({"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gA"})),
        completed(),
    ]);
    assert!(read.contains(&Event::RedactedThinking(Signature::new(Dialect::Responses, "rs_1:gA"))));
}

#[test]
fn where_reasoning_and_its_summary_are_told_the_first_one_counts() {
    let read = events(&[
        created(),
        added(0, json!({"type":"reasoning","id":"rs_1","summary":[]})),
        delta("reasoning_text", 0, "Raw."),
        delta("reasoning_summary_text", 0, "Short."),
        completed(),
    ]);
    assert!(read.contains(&Event::Thinking("Raw.".to_owned())));
    assert!(!read.contains(&Event::Thinking("Short.".to_owned())));
}

#[test]
fn calls_are_numbered_among_themselves_and_may_interleave() {
    let call = |id: &str| json!({"type":"function_call","id":"fc","call_id":id,"name":"f","arguments":""});
    let read = events(&[
        created(),
        added(0, json!({"type":"message","id":"m","role":"assistant","content":[]})),
        added(1, call("a")),
        added(2, call("b")),
        delta("function_call_arguments", 2, "{}"),
        delta("function_call_arguments", 1, "{\"x\":1}"),
        completed(),
    ]);
    assert!(read.contains(&Event::ToolArguments { index: 1, fragment: "{}".to_owned() }));
    assert!(read.contains(&Event::ToolArguments { index: 0, fragment: "{\"x\":1}".to_owned() }));
    let stop = Event::Stop { reason: StopReason::ToolUse, native: None, sequence: None };
    assert!(read.contains(&stop));
}

#[test]
fn a_refusal_in_words_is_a_block() {
    let read = events(&[created(), delta("refusal", 0, "I cannot."), completed()]);
    assert!(read.contains(&Event::Refusal("I cannot.".to_owned())));
    assert!(read.iter().any(|event| matches!(event, Event::Stop { reason: StopReason::Refusal, .. })));
}

#[test]
fn each_way_to_be_incomplete_is_understood() {
    for (reason, expected) in [
        (json!({"reason":"max_output_tokens"}), StopReason::Length),
        (json!({"reason":"content_filter"}), StopReason::Refusal),
        (Value::Null, StopReason::Length),
    ] {
        let last = json!({"type":"response.incomplete","response":{"id":"r","status":"incomplete","output":[],"incomplete_details":reason}});
        let read = events(&[created(), last]);
        assert!(read.iter().any(|event| matches!(event, Event::Stop { reason, .. } if *reason == expected)));
    }
}

#[test]
fn what_nobody_knows_is_skipped_and_counted() {
    let read = events(&[
        created(),
        json!({"type":"response.hologram.delta","delta":"x"}),
        added(0, json!({"type":"hologram_call","id":"h"})),
        done(0, json!({"type":"hologram_call","id":"h"})),
        completed(),
    ]);
    assert_eq!(read.iter().filter(|event| **event == Event::Unknown).count(), 2);
    assert_eq!(read.last(), Some(&Event::End));
}

#[test]
fn an_annotation_is_a_citation() {
    let annotation =
        json!({"type":"url_citation","url":"https://x.example","title":"X","start_index":1,"end_index":4});
    let read = events(&[
        created(),
        delta("output_text", 0, "Hello"),
        json!({"type":"response.output_text.annotation.added","output_index":0,"annotation":annotation}),
        completed(),
    ]);
    let citation = read
        .iter()
        .find_map(|event| if let Event::Citation(citation) = event { Some(citation) } else { None });
    let citation = citation.unwrap();
    assert_eq!((citation.url.as_deref(), citation.span), (Some("https://x.example"), Some((1, 4))));
}

fn relayed(caller: Dialect, records: &[Value]) -> Result<(String, crate::Summary), crate::Fault> {
    let body = match caller {
        Dialect::Responses => json!({"model":"m","input":"Hello","stream":true}),
        _ => json!({"model":"m","max_tokens":5,"messages":[],"stream":true}),
    };
    let call = Call::decode((caller, Operation::Chat), body.to_string().into()).unwrap();
    let mut relay = Relay::new(&call, Dialect::Responses);
    let mut out = Vec::new();
    for record in records {
        let record = format!("event: {}\ndata: {record}\n\n", record["type"].as_str().unwrap());
        relay.push(Bytes::from(record), &mut out)?;
    }
    relay.finish(&mut out)?;
    Ok((String::from_utf8(out.concat()).unwrap(), relay.summary()))
}

#[test]
fn unknown_events_pass_untouched_to_a_caller_of_the_same_dialect_and_are_counted() {
    let strange = json!({"type":"response.hologram.delta","sequence_number":1,"delta":"x","odd":[1, 2]});
    let search = json!({"type":"response.web_search_call.searching","sequence_number":2,"output_index":0,"item_id":"w"});
    let (out, summary) =
        relayed(Dialect::Responses, &[created(), strange.clone(), search.clone(), completed()]).unwrap();
    assert!(out.contains(&strange.to_string()) && out.contains(&search.to_string()));
    assert_eq!(summary.unknown, 1);
    assert!(summary.complete);
    assert_eq!(summary.object_id.as_deref(), Some("resp_1"));
    assert_eq!(summary.service_tier.as_deref(), Some("flex"));
    assert_eq!(summary.upstream_model.as_deref(), Some("gpt"));
}

#[test]
fn reasoning_that_the_provider_took_out_of_the_call_is_counted() {
    let removed = json!([
        {"id":"rs_1","type":"reasoning","action":"removed","reason":"organization_mismatch"},
        {"id":"rs_2","type":"reasoning","action":"removed","reason":"model_mismatch"}]);
    let mut last = completed();
    last["response"]["input_transformations"] = removed;
    let (_, summary) = relayed(Dialect::Responses, &[created(), last]).unwrap();
    assert_eq!(summary.reasoning_removed, 2);
}

#[test]
fn a_response_that_failed_is_a_fault_for_every_caller() {
    let failed = json!({"type":"response.failed","sequence_number":2,"response":{"id":"r","status":"failed","output":[],
        "error":{"code":"rate_limit_exceeded","message":"Slow down."}}});
    let event =
        json!({"type":"error","sequence_number":2,"code":"server_error","message":"Oops.","param":null});
    let nested = json!({"type":"error","sequence_number":2,"error":{"type":"server_error","code":"server_error","message":"Oops."}});
    for caller in [Dialect::Responses, Dialect::OpenAi, Dialect::Anthropic] {
        let fault = relayed(caller, &[created(), failed.clone()]).unwrap_err();
        assert_eq!((fault.class, fault.code.as_ref()), (FaultClass::RateLimited, "rate_limit_exceeded"));
        assert_eq!(fault.message, "Slow down.");
        for event in [&event, &nested] {
            let fault = relayed(caller, &[created(), event.clone()]).unwrap_err();
            assert_eq!((fault.class, fault.message.as_str()), (FaultClass::Transient, "Oops."));
        }
    }
}

#[test]
fn a_stream_without_its_terminal_was_cut() {
    let records = [created(), delta("output_text", 0, "Hel"), done(0, message("Hel"))];
    for caller in [Dialect::Responses, Dialect::OpenAi, Dialect::Anthropic] {
        assert_eq!(relayed(caller, &records).unwrap_err().code, "stream_cut");
    }
}

#[test]
fn a_response_that_is_not_kept_has_no_id_to_come_back_to() {
    let unkept =
        json!({"type":"response.created","response":{"id":"resp_1","model":"gpt","store":false,"output":[]}});
    let (_, summary) = relayed(Dialect::Responses, &[unkept, completed()]).unwrap();
    assert_eq!(summary.object_id, None);
}
