//! The numbered events of a response: `created`, `in_progress`, every item added, filled and done in turn, and one terminal event
//! with the whole response.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Refusal, fragments};
use crate::body::{Event, OddEvents};
use crate::openai::usual;
use crate::reply::Reply;
use crate::responses::answer::{Answer, logprobs};
use crate::responses::items::{kind, text_of};

/// Characters of one fragment of a call's arguments.
const FRAGMENT: usize = 8;

/// What hides the length of a delta.
const OBFUSCATION: &str = "s1mul4t3d";

/// All events of an answer.
pub(crate) fn events(answer: &Answer<'_>, reply: &Reply) -> (Vec<Event>, OddEvents) {
    let options = answer.request.stream_options.as_ref();
    let wants = options.and_then(|options| options.get("include_obfuscation")).and_then(Value::as_bool);
    let mut writer = Writer { events: Vec::new(), output_index: 0, is_obfuscated: wants.unwrap_or(true) };
    let is_background = answer.request.background == Some(true);
    let first = answer.object(if is_background { "queued" } else { "in_progress" });
    let hidden = if reply.thought.is_some() { 0 } else { reply.billed.reasoning };
    writer.push("response.created", json!({"response": first}), hidden);
    if is_background {
        writer.push("response.queued", json!({"response": answer.object("queued")}), 0);
    }
    writer.push("response.in_progress", json!({"response": answer.object("in_progress")}), 0);
    let mut calls = reply.calls.iter();
    for item in answer.items() {
        match kind(item) {
            "reasoning" => writer.reasoning(item, reply.billed.reasoning),
            "message" => writer.message(item, reply),
            "function_call" => writer.call(item, calls.next().map_or(0, |call| call.tokens())),
            _ => {
                writer.item("added", item, 0);
                writer.item("done", item, 0);
                writer.output_index += 1;
            }
        }
    }
    let terminal = format!("response.{}", answer.end.status());
    writer.push(&terminal, json!({"response": answer.whole()}), 0);
    let odd = writer.odd_events(answer);
    (writer.events, odd)
}

struct Writer {
    events: Vec<Event>,
    output_index: usize,
    is_obfuscated: bool,
}

impl Writer {
    fn push(&mut self, kind: &str, data: Value, tokens: u64) {
        let text = record(kind, data, self.events.len());
        self.events.push(Event::new(text, tokens));
    }

    /// An event about an item or a part of it.
    fn about(&mut self, kind: &str, item: &Value, mut data: Value, tokens: u64) {
        if let Some(members) = data.as_object_mut() {
            members.insert("item_id".to_owned(), Value::from(text_of(item, "id")));
            members.insert("output_index".to_owned(), Value::from(self.output_index));
            if self.is_obfuscated && members.contains_key("delta") {
                members.insert("obfuscation".to_owned(), Value::from(OBFUSCATION));
            }
        }
        self.push(kind, data, tokens);
    }

    fn item(&mut self, what: &str, item: &Value, tokens: u64) {
        let data = json!({"output_index": self.output_index, "item": item});
        self.push(&format!("response.output_item.{what}"), data, tokens);
    }

    /// An item before anything is in it.
    fn begin(&mut self, item: &Value, emptied: &str, empty: Value, tokens: u64) {
        let mut begun = item.clone();
        if let Some(members) = begun.as_object_mut() {
            members.insert(emptied.to_owned(), empty);
            if members.contains_key("status") {
                members.insert("status".to_owned(), json!("in_progress"));
            }
        }
        self.item("added", &begun, tokens);
    }

    fn end(&mut self, item: &Value) {
        self.item("done", item, 0);
        self.output_index += 1;
    }

    fn reasoning(&mut self, item: &Value, tokens: u64) {
        self.begin(item, "summary", json!([]), tokens);
        let parts = item.get("summary").and_then(Value::as_array).cloned().unwrap_or_default();
        for (index, part) in parts.iter().enumerate() {
            let text = text_of(part, "text");
            let at = |more: Value| {
                let mut data = json!({"summary_index": index});
                if let (Some(members), Value::Object(more)) = (data.as_object_mut(), more) {
                    members.extend(more);
                }
                data
            };
            let kind = "response.reasoning_summary_part";
            let empty = at(json!({"part": {"type": "summary_text", "text": ""}}));
            self.about(&format!("{kind}.added"), item, empty, 0);
            for word in text.split_inclusive(' ') {
                self.about("response.reasoning_summary_text.delta", item, at(json!({"delta": word})), 0);
            }
            self.about("response.reasoning_summary_text.done", item, at(json!({"text": text})), 0);
            self.about(&format!("{kind}.done"), item, at(json!({"part": part})), 0);
        }
        self.end(item);
    }

    fn message(&mut self, item: &Value, reply: &Reply) {
        self.begin(item, "content", json!([]), 0);
        let part = item.pointer("/content/0").cloned().unwrap_or_default();
        let is_refusal = text_of(&part, "type") == "refusal";
        let empty = if is_refusal {
            json!({"type": "refusal", "refusal": ""})
        } else {
            json!({"type": "output_text", "annotations": [], "logprobs": [], "text": ""})
        };
        self.about("response.content_part.added", item, json!({"content_index": 0, "part": empty}), 0);
        for word in reply.text.split_inclusive(' ') {
            if is_refusal {
                self.about("response.refusal.delta", item, json!({"content_index": 0, "delta": word}), 1);
            } else {
                let data =
                    json!({"content_index": 0, "delta": word, "logprobs": logprobs(word, reply.logprobs)});
                self.about("response.output_text.delta", item, data, 1);
            }
        }
        let annotations = part.get("annotations").and_then(Value::as_array).cloned().unwrap_or_default();
        for (index, annotation) in annotations.iter().enumerate() {
            let data = json!({"content_index": 0, "annotation_index": index, "annotation": annotation});
            self.about("response.output_text.annotation.added", item, data, 0);
        }
        if is_refusal {
            self.about("response.refusal.done", item, json!({"content_index": 0, "refusal": reply.text}), 0);
        } else {
            let data = json!({"content_index": 0, "text": reply.text, "logprobs": logprobs(&reply.text, reply.logprobs)});
            self.about("response.output_text.done", item, data, 0);
        }
        self.about("response.content_part.done", item, json!({"content_index": 0, "part": part}), 0);
        self.end(item);
    }

    fn call(&mut self, item: &Value, tokens: u64) {
        self.begin(item, "arguments", json!(""), tokens);
        let arguments = text_of(item, "arguments");
        for fragment in fragments(arguments, FRAGMENT) {
            self.about("response.function_call_arguments.delta", item, json!({"delta": fragment}), 0);
        }
        let done = json!({"arguments": arguments, "name": text_of(item, "name")});
        self.about("response.function_call_arguments.done", item, done, 0);
        self.end(item);
    }

    /// A delta that breaks off, the event of an error, and one that nobody knows.
    fn odd_events(&self, answer: &Answer<'_>) -> OddEvents {
        let refusal = Refusal::scripted(500, answer.facts.behaviour);
        let (kind, code) = usual(&refusal);
        let code = refusal.code.as_deref().or(code).unwrap_or(refusal.kind.as_deref().unwrap_or(kind));
        let error = json!({"code": code, "message": refusal.message, "param": null});
        let number = self.events.len();
        OddEvents {
            broken: Bytes::from_static(
                b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"del\n\n",
            ),
            error: Bytes::from(record("error", error, number)),
            unknown: Bytes::from(record("response.simulated_unknown", json!({"payload": {"a": 1}}), number)),
        }
    }
}

fn record(kind: &str, mut data: Value, number: usize) -> String {
    if let Some(members) = data.as_object_mut() {
        members.insert("type".to_owned(), Value::from(kind));
        members.insert("sequence_number".to_owned(), Value::from(number));
    }
    format!("event: {kind}\ndata: {data}\n\n")
}
