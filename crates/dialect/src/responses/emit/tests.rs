use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Answer, Call, Citation, Dialect, ErrorShape, Event, Json, Operation, Relay, Signature, StopReason, Usage,
    relay::Encode, responses::emit::Encoder,
};

fn call() -> Call {
    let body = json!({"model":"m","input":"Hello","stream":true,"instructions":"Be brief.",
        "tools":[{"type":"function","name":"f"}],"temperature":0.5});
    Call::decode((Dialect::Responses, Operation::Chat), body.to_string().into()).unwrap().accepted_at(7)
}

fn write(events: Vec<Event>) -> Vec<Value> {
    let mut encoder = Encoder::new(&call());
    let mut out = Vec::new();
    for event in events {
        encoder.encode(event, &mut out).unwrap();
    }
    read(&out)
}

/// The data of each record; its name is its type.
fn read(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    let records = text.split("\n\n").filter(|record| !record.is_empty() && !record.starts_with(':'));
    let read = |record: &str| {
        let (name, data) = record.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        data
    };
    records.map(read).collect()
}

fn start() -> Event {
    Event::Start { id: "msg_1".to_owned(), model: "claude".to_owned(), created: None, usage: None }
}

fn tool(index: u32) -> Event {
    Event::ToolStart { index, id: format!("call_{index}"), name: "f".to_owned(), signature: None }
}

fn arguments(index: u32, fragment: &str) -> Event {
    Event::ToolArguments { index, fragment: fragment.to_owned() }
}

fn stop(reason: StopReason) -> Event {
    Event::Stop { reason, native: None, sequence: None }
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

/// The types, without what all begin with.
fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["type"].as_str().unwrap().strip_prefix("response.").unwrap()).collect()
}

#[test]
fn a_text_goes_through_all_the_steps_of_the_grammar_and_events_are_numbered() {
    let records = write(vec![
        start(),
        text("Hel"),
        text("lo"),
        Event::PartEnd,
        Event::Usage(Usage { input: 3, output: 2, ..Usage::default() }),
        stop(StopReason::End),
        Event::End,
    ]);
    assert_eq!(
        kinds(&records),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed"
        ]
    );
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["sequence_number"], number);
    }
    let item = records[2]["item"]["id"].as_str().unwrap();
    assert!(item.starts_with("msg_"));
    for record in &records[3..8] {
        assert_eq!(
            (&record["item_id"], &record["output_index"], &record["content_index"]),
            (&json!(item), &json!(0), &json!(0))
        );
    }
    assert_eq!(records[6]["text"], "Hello");
    let whole = &records[9]["response"];
    assert_eq!(whole["output"], json!([records[8]["item"]]));
    assert_eq!(whole["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(whole["usage"]["total_tokens"], 5);
    assert_eq!(records[0]["response"]["output"], json!([]));
    assert_eq!(records[0]["response"]["usage"], Value::Null);
}

#[test]
fn an_answer_tells_what_was_asked_for() {
    let records = write(vec![start(), Event::End]);
    let response = &records[2]["response"];
    assert_eq!(response["object"], "response");
    assert_eq!(response["created_at"], 7);
    assert_eq!(response["model"], "claude");
    assert_eq!(response["instructions"], "Be brief.");
    assert_eq!(response["tools"], json!([{"type":"function","name":"f"}]));
    assert_eq!(response["temperature"], 0.5);
    assert_eq!(response["tool_choice"], "auto");
    assert_eq!(response["parallel_tool_calls"], true);
    assert_eq!(response["store"], false);
}

#[test]
fn reasoning_is_a_summary_and_its_seal_comes_when_it_is_done() {
    let seal = |data: &str| Event::Signature(Signature::new(Dialect::Anthropic, data));
    let records = write(vec![
        start(),
        Event::Thinking("I ".to_owned()),
        Event::Thinking("see.".to_owned()),
        seal("Eq"),
        seal("QB"),
        Event::PartEnd,
        text("Yes."),
        Event::PartEnd,
        stop(StopReason::End),
        Event::End,
    ]);
    assert_eq!(
        kinds(&records)[2..9],
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done"
        ]
    );
    let item = &records[8]["item"];
    assert_eq!(item["summary"], json!([{"type":"summary_text","text":"I see."}]));
    assert_eq!(item["encrypted_content"], "anthropic#EqQB");
    assert_eq!(records[9]["output_index"], 1);
}

#[test]
fn hidden_reasoning_is_an_item_without_words() {
    let records = write(vec![
        start(),
        Event::RedactedThinking(Signature::new(Dialect::Anthropic, "EqQB")),
        text("Yes."),
        stop(StopReason::End),
        Event::End,
    ]);
    assert_eq!(kinds(&records)[2..4], ["output_item.added", "output_item.done"]);
    assert_eq!(records[3]["item"]["summary"], json!([]));
    assert_eq!(records[3]["item"]["encrypted_content"], "anthropic#EqQB");
}

#[test]
fn calls_that_come_interleaved_stay_apart_by_their_places() {
    let records = write(vec![
        start(),
        text("Look."),
        tool(0),
        arguments(0, "{\"a\":"),
        tool(1),
        arguments(1, "{}"),
        arguments(0, "1}"),
        stop(StopReason::ToolUse),
        Event::End,
    ]);
    let output = &records.last().unwrap()["response"]["output"];
    let said = |item: &Value| (item["call_id"].clone(), item["arguments"].clone(), item["status"].clone());
    assert_eq!(said(&output[1]), (json!("call_0"), json!("{\"a\":1}"), json!("completed")));
    assert_eq!(said(&output[2]), (json!("call_1"), json!("{}"), json!("completed")));
    let added: Vec<&Value> =
        records.iter().filter(|record| record["type"] == "response.output_item.added").collect();
    assert_eq!(added[1]["item"]["arguments"], "");
    assert_eq!(records.last().unwrap()["type"], "response.completed");
}

#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let records = write(vec![start(), tool(0), Event::PartEnd, stop(StopReason::ToolUse), Event::End]);
    assert_eq!(
        kinds(&records)[2..6],
        [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done"
        ]
    );
    assert_eq!(records[4]["arguments"], "{}");
    assert_eq!(records[5]["item"]["arguments"], "{}");
}

#[test]
fn a_refusal_in_words_is_a_part_of_its_own() {
    let records = write(vec![
        start(),
        text("Well. "),
        Event::Refusal("I cannot.".to_owned()),
        stop(StopReason::Refusal),
        Event::End,
    ]);
    let content = &records.last().unwrap()["response"]["output"][0]["content"];
    assert_eq!(content[1], json!({"type":"refusal","refusal":"I cannot."}));
    let refusal = records.iter().find(|record| record["type"] == "response.refusal.done").unwrap();
    assert_eq!((&refusal["content_index"], &refusal["refusal"]), (&json!(1), &json!("I cannot.")));
    assert_eq!(records.last().unwrap()["type"], "response.completed");
}

#[test]
fn each_end_has_its_terminal() {
    for (reason, kind, details) in [
        (StopReason::End, "completed", Value::Null),
        (StopReason::StopSequence, "completed", Value::Null),
        (StopReason::ToolUse, "completed", Value::Null),
        (StopReason::Pause, "completed", Value::Null),
        (StopReason::Length, "incomplete", json!({"reason":"max_output_tokens"})),
        (StopReason::ContextWindow, "incomplete", json!({"reason":"max_output_tokens"})),
        (StopReason::Refusal, "incomplete", json!({"reason":"content_filter"})),
    ] {
        let records = write(vec![start(), text("x"), stop(reason), Event::End]);
        let last = records.last().unwrap();
        assert_eq!(last["type"], format!("response.{kind}"), "{reason:?}");
        assert_eq!(last["response"]["status"], kind);
        assert_eq!(last["response"]["incomplete_details"], details);
    }
}

#[test]
fn what_a_text_rests_on_may_be_told_when_it_is_complete() {
    let citation = Citation {
        span: None,
        url: Some("https://x.example".to_owned()),
        title: Some("X".to_owned()),
        quote: None,
        file: None,
        native: None,
    };
    let odds = Json::parse(r#"[{"token":"Yes.","logprob":-0.5,"bytes":[1],"top_logprobs":[]}]"#).unwrap();
    let records = write(vec![
        start(),
        text("Yes."),
        Event::Logprobs(odds),
        Event::PartEnd,
        Event::Citation(citation),
        stop(StopReason::End),
        Event::End,
    ]);
    let annotation =
        json!({"type":"url_citation","start_index":0,"end_index":4,"url":"https://x.example","title":"X"});
    let added =
        records.iter().find(|record| record["type"] == "response.output_text.annotation.added").unwrap();
    assert_eq!((&added["annotation"], &added["annotation_index"]), (&annotation, &json!(0)));
    let part = &records.last().unwrap()["response"]["output"][0]["content"][0];
    assert_eq!(part["annotations"], json!([annotation]));
    assert_eq!(part["logprobs"][0]["token"], "Yes.");
}

#[test]
fn only_the_first_choice_has_a_place() {
    let records = write(vec![
        start(),
        text("first"),
        Event::Choice(1),
        text("second"),
        stop(StopReason::Length),
        Event::Choice(0),
        stop(StopReason::End),
        Event::End,
    ]);
    let last = records.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "first");
}

#[test]
fn ids_of_items_are_as_this_dialect_s_provider_would_take_them_back() {
    let long = "x".repeat(200);
    for id in ["", "chatcmpl-9", "resp_1", "a/b:c d", long.as_str()] {
        let records = write(vec![
            Event::Start { id: id.to_owned(), model: String::new(), created: None, usage: None },
            Event::Thinking("x".to_owned()),
            text("x"),
            tool(0),
            stop(StopReason::ToolUse),
            Event::End,
        ]);
        let output = records.last().unwrap()["response"]["output"].as_array().unwrap().clone();
        for (item, prefix) in output.iter().zip(["rs_", "msg_", "fc_"]) {
            let id = item["id"].as_str().unwrap();
            assert!(id.starts_with(prefix) && id.len() <= 64, "{id}");
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')), "{id}");
        }
    }
}

#[test]
fn a_piece_of_a_call_that_is_complete_is_a_fault() {
    let mut encoder = Encoder::new(&call());
    let mut out = Vec::new();
    for event in [start(), tool(0), arguments(0, "{}"), Event::PartEnd] {
        encoder.encode(event, &mut out).unwrap();
    }
    assert_eq!(encoder.encode(arguments(0, "{}"), &mut out).unwrap_err().code, "invalid_answer");
}

#[test]
fn an_error_in_band_is_an_error_event_on_which_the_sdks_raise() {
    let error = ErrorShape {
        status: 502,
        code: "provider_failed",
        message: "the provider failed",
        param: None,
        request_id: "r1",
    };
    for upstream in [Dialect::Responses, Dialect::OpenAi] {
        let mut relay = Relay::new(&call(), upstream);
        let mut out = Vec::new();
        let stream = match upstream {
            Dialect::Responses => concat!(
                "event: response.created\n",
                r#"data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"gpt","output":[]}}"#,
                "\n\n",
                "event: response.in_progress\n",
                r#"data: {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","output":[]}}"#,
                "\n\n"
            ),
            _ => {
                "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n"
            }
        };
        relay.push(Bytes::from(stream), &mut out).unwrap();
        relay.abort(&error, &mut out);
        let records = read(&out.concat());
        assert_eq!(
            records.last().unwrap(),
            &json!({"type":"error","sequence_number":2,"code":"provider_failed","message":"the provider failed",
                "param":null,"error":{"message":"the provider failed","type":"server_error","param":null,
                "code":"provider_failed"},"request_id":"r1"}),
            "{upstream}"
        );
    }
}

#[test]
fn a_whole_answer_and_a_streamed_one_say_the_same() {
    use crate::{Choice, Part, PartBody};
    let records = write(vec![
        start(),
        Event::Thinking("Hm.".to_owned()),
        Event::Signature(Signature::new(Dialect::Anthropic, "EqQB")),
        Event::PartEnd,
        text("Yes."),
        Event::PartEnd,
        tool(0),
        arguments(0, "{\"a\":1}"),
        Event::PartEnd,
        stop(StopReason::ToolUse),
        Event::End,
    ]);
    let thinking = PartBody::Thinking {
        text: "Hm.".to_owned(),
        signature: Some(Signature::new(Dialect::Anthropic, "EqQB")),
    };
    let called = PartBody::ToolCall {
        id: "call_0".to_owned(),
        name: "f".to_owned(),
        arguments: "{\"a\":1}".to_owned(),
    };
    let parts: Vec<Part> = vec![thinking.into(), PartBody::Text("Yes.".to_owned()).into(), called.into()];
    let choice =
        Choice { parts, stop: StopReason::ToolUse, native_stop: None, stop_sequence: None, logprobs: None };
    let answer = Answer {
        id: "msg_1".to_owned(),
        model: "claude".to_owned(),
        created: None,
        choices: vec![choice],
        usage: None,
        service_tier: None,
        extra: Vec::new(),
    };
    let whole = crate::responses::answer::encode(&answer, &call()).unwrap();
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(whole, records.last().unwrap()["response"]);
}
