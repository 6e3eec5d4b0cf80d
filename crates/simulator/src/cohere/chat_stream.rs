//! The events of a chat: `message-start`, each content and each call begun, filled and ended in turn, and `message-end` with the
//! finish reason and the usage.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Facts, fragments};
use crate::body::{Event, OddEvents};
use crate::cohere::chat::{TOOL_PLAN, call_id, citation, finish_reason, token_logprob, usage};
use crate::reply::Reply;

/// Characters of one fragment of a call's arguments.
const FRAGMENT: usize = 8;

/// All events of an answer.
pub(crate) fn events(reply: &Reply, facts: &Facts<'_>) -> (Vec<Event>, OddEvents) {
    let mut writer = Writer { events: Vec::new(), index: 0 };
    let message =
        json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    let hidden = if reply.thought.is_some() { 0 } else { reply.billed.reasoning };
    writer.push("message-start", json!({"id": facts.id(""), "delta": {"message": message}}), hidden);
    if let Some(thought) = reply.thought {
        writer.at(
            "content-start",
            json!({"content": {"type": "thinking", "thinking": ""}}),
            reply.billed.reasoning,
        );
        for word in thought.split_inclusive(' ') {
            writer.at("content-delta", json!({"content": {"thinking": word}}), 0);
        }
        writer.end("content-end");
    }
    if reply.has_unknown {
        writer.at("content-start", json!({"content": {"type": "simulated_unknown"}}), 0);
        writer.end("content-end");
    }
    if !reply.text.is_empty() {
        writer.text(reply);
    }
    if !reply.calls.is_empty() {
        for word in TOOL_PLAN.split_inclusive(' ') {
            writer.push("tool-plan-delta", json!({"delta": {"message": {"tool_plan": word}}}), 0);
        }
    }
    for (position, call) in reply.calls.iter().enumerate() {
        let function = json!({"name": call.name, "arguments": ""});
        let start =
            json!({"id": call_id(&call.name, position, facts), "type": "function", "function": function});
        writer.at("tool-call-start", json!({"tool_calls": start}), call.tokens());
        for fragment in fragments(&call.written(), FRAGMENT) {
            writer.at("tool-call-delta", json!({"tool_calls": {"function": {"arguments": fragment}}}), 0);
        }
        writer.end("tool-call-end");
    }
    let mut delta = json!({"finish_reason": finish_reason(&reply.finish, facts.behaviour)});
    if let (true, Some(members)) = (facts.reports_usage(), delta.as_object_mut()) {
        members.insert("usage".to_owned(), usage(&reply.billed));
    }
    writer.push("message-end", json!({"id": facts.id(""), "delta": delta}), 0);
    writer.events.push(Event { bytes: Bytes::from_static(b"data: [DONE]\n\n"), tokens: 0 });
    (writer.events, odd_events())
}

/// An event that breaks off, the end of a message that went wrong, and an event that nobody knows.
fn odd_events() -> OddEvents {
    let error =
        json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "simulated error 500"}});
    OddEvents {
        broken: Bytes::from_static(b"event: content-delta\ndata: {\"type\":\"content-delta\",\"ind\n\n"),
        error: Bytes::from(format!("event: message-end\ndata: {error}\n\n")),
        unknown: Bytes::from_static(b"event: simulated-unknown\ndata: {\"type\":\"simulated-unknown\"}\n\n"),
    }
}

struct Writer {
    events: Vec<Event>,
    index: usize,
}

impl Writer {
    fn push(&mut self, kind: &str, mut data: Value, tokens: u64) {
        if let Some(members) = data.as_object_mut() {
            members.insert("type".to_owned(), Value::from(kind));
        }
        self.events.push(Event::new(format!("event: {kind}\ndata: {data}\n\n"), tokens));
    }

    fn at(&mut self, kind: &str, message: Value, tokens: u64) {
        let mut delta = json!({"message": {}});
        if let Some(members) = delta.as_object_mut() {
            members.insert("message".to_owned(), message);
        }
        self.push(kind, json!({"index": self.index, "delta": delta}), tokens);
    }

    fn end(&mut self, kind: &str) {
        self.push(kind, json!({"index": self.index}), 0);
        self.index += 1;
    }

    fn text(&mut self, reply: &Reply) {
        self.at("content-start", json!({"content": {"type": "text", "text": ""}}), 0);
        for word in reply.text.split_inclusive(' ') {
            let mut data = json!({"index": self.index, "delta": {"message": {"content": {"text": word}}}});
            if let (true, Some(members)) = (reply.logprobs.is_some(), data.as_object_mut()) {
                members.insert("logprobs".to_owned(), token_logprob(word));
            }
            self.push("content-delta", data, 1);
        }
        if reply.cites {
            let data = json!({"index": 0, "delta": {"message": {"citations": citation(reply)}}});
            self.push("citation-start", data, 0);
            self.push("citation-end", json!({"index": 0}), 0);
        }
        self.end("content-end");
    }
}
