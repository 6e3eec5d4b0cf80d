//! The stream of Converse: `messageStart`, the deltas of each block and its stop, `messageStop`, and at last `metadata` with the usage.
//! Only blocks of tool use are announced by a start.

use serde_json::{Value, json};

use crate::answer::{Facts, Refusal, fragments};
use crate::anthropic::messages::SIGNATURE;
use crate::bedrock::answer::{citation, metrics, stop_reason, unknown_block, usage};
use crate::bedrock::converse::stop_sequence;
use crate::bedrock::{error, error_type, eventstream};
use crate::body::{Event, OddEvents};
use crate::reply::Reply;

/// Characters of one fragment of a tool's input.
const FRAGMENT: usize = 8;

/// What AWS pads its events with, to hide their lengths.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// All events of an answer.
pub(crate) fn events(reply: &Reply, wants_sequence: bool, facts: &Facts<'_>) -> (Vec<Event>, OddEvents) {
    let mut writer = Writer { events: Vec::new(), index: 0 };
    let hidden = if reply.thought.is_some() { 0 } else { reply.billed.reasoning };
    writer.push("messageStart", json!({"role": "assistant"}), hidden);
    if let Some(thought) = reply.thought {
        let mut tokens = reply.billed.reasoning;
        for word in thought.split_inclusive(' ') {
            writer.delta(&json!({"reasoningContent": {"text": word}}), std::mem::take(&mut tokens));
        }
        writer.delta(&json!({"reasoningContent": {"signature": SIGNATURE}}), 0);
        writer.close();
    }
    if reply.has_unknown {
        writer.delta(&unknown_block(), 0);
        writer.close();
    }
    if !reply.text.is_empty() {
        for word in reply.text.split_inclusive(' ') {
            writer.delta(&json!({"text": word}), 1);
        }
        if reply.cites {
            writer.delta(&json!({"citation": citation()}), 0);
        }
        writer.close();
    }
    for (position, call) in reply.calls.iter().enumerate() {
        let start = json!({"toolUse": {"toolUseId": facts.part_id("tooluse_", position), "name": call.name}});
        writer.push(
            "contentBlockStart",
            json!({"contentBlockIndex": writer.index, "start": start}),
            call.tokens(),
        );
        for fragment in fragments(&call.written(), FRAGMENT) {
            writer.delta(&json!({"toolUse": {"input": fragment}}), 0);
        }
        writer.close();
    }
    let mut stop = json!({"stopReason": stop_reason(&reply.finish, facts.behaviour)});
    if let (true, Some(members)) = (wants_sequence, stop.as_object_mut()) {
        members.insert(
            "additionalModelResponseFields".to_owned(),
            json!({"stop_sequence": stop_sequence(reply)}),
        );
    }
    writer.push("messageStop", stop, 0);
    let mut metadata = json!({"metrics": metrics()});
    if let (true, Some(members)) = (facts.reports_usage(), metadata.as_object_mut()) {
        members.insert("usage".to_owned(), usage(&reply.billed));
    }
    writer.push("metadata", metadata, 0);
    (writer.events, odd_events("contentBlockDelta", facts))
}

struct Writer {
    events: Vec<Event>,
    index: usize,
}

impl Writer {
    fn push(&mut self, kind: &str, mut payload: Value, tokens: u64) {
        let length = (self.events.len() * 7) % PADDING.len() + 1;
        if let Some(members) = payload.as_object_mut() {
            members.insert("p".to_owned(), Value::from(PADDING.chars().take(length).collect::<String>()));
        }
        self.events.push(Event { bytes: eventstream::event(kind, &payload.to_string()), tokens });
    }

    fn delta(&mut self, delta: &Value, tokens: u64) {
        self.push("contentBlockDelta", json!({"contentBlockIndex": self.index, "delta": delta}), tokens);
    }

    fn close(&mut self) {
        self.push("contentBlockStop", json!({"contentBlockIndex": self.index}), 0);
        self.index += 1;
    }
}

/// An event of a usual kind that does not parse, an exception, and an event that nobody knows.
pub(crate) fn odd_events(usual: &str, facts: &Facts<'_>) -> OddEvents {
    let refusal = Refusal::scripted(503, facts.behaviour);
    // In a stream the names of exceptions begin with a small letter.
    let mut letters = error_type(&refusal).chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    let kind: String = first.chain(letters).collect();
    OddEvents {
        broken: eventstream::event(usual, "{\"contentBlockIndex\":0,\"del"),
        error: eventstream::exception(&kind, &String::from_utf8_lossy(&error(&refusal))),
        unknown: eventstream::event("simulatedUnknown", "{\"a\":1}"),
    }
}
