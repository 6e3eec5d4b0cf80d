//! The event stream of a message: one `message_start`, a `ping`, each block opened, filled and closed in turn,
//! `message_delta` with the stop reason and the final usage, `message_stop`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Facts, Refusal, fragments};
use crate::anthropic::answer::{citation, stop, unknown_block, usage};
use crate::anthropic::messages::{SIGNATURE, Shown};
use crate::body::{Event, OddEvents};
use crate::reply::Reply;

/// Characters of one fragment of a tool's input.
const FRAGMENT: usize = 8;

/// All events of an answer.
pub(crate) fn events(shown: Shown, reply: &Reply, facts: &Facts<'_>) -> (Vec<Event>, OddEvents) {
    let mut writer = Writer { events: Vec::new(), index: 0 };
    writer.start(reply, facts);
    if reply.thought.is_some() {
        writer.thinking(shown);
    }
    if reply.has_unknown {
        writer.open(&unknown_block());
        writer.delta("{\"type\":\"simulated_delta\",\"payload\":1}", 0);
        writer.close();
    }
    if !reply.text.is_empty() {
        writer.text(reply);
    }
    for (position, call) in reply.calls.iter().enumerate() {
        let start = json!({"type": "tool_use", "id": facts.part_id("toolu_", position), "name": call.name, "input": {}});
        writer.open(&start);
        // A first empty fragment is what the real stream sends.
        writer.delta("{\"type\":\"input_json_delta\",\"partial_json\":\"\"}", call.tokens());
        for fragment in fragments(&call.written(), FRAGMENT) {
            writer.delta(&json!({"type": "input_json_delta", "partial_json": fragment}).to_string(), 0);
        }
        writer.close();
    }
    writer.end(reply, facts);
    (writer.events, odd_events(facts))
}

/// An event that breaks off, one that reports an overload, and one that nobody knows.
fn odd_events(facts: &Facts<'_>) -> OddEvents {
    let error = super::error(&Refusal::scripted(529, facts.behaviour), &facts.id("req_"));
    OddEvents {
        broken: Bytes::from_static(
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"ind\n\n",
        ),
        unknown: Bytes::from_static(b"event: simulated_unknown\ndata: {\"type\":\"simulated_unknown\"}\n\n"),
        error: Bytes::from(format!("event: error\ndata: {}\n\n", String::from_utf8_lossy(&error))),
    }
}

struct Writer {
    events: Vec<Event>,
    index: usize,
}

impl Writer {
    fn push(&mut self, name: &str, data: &str, tokens: u64) {
        self.events.push(Event::new(format!("event: {name}\ndata: {data}\n\n"), tokens));
    }

    fn start(&mut self, reply: &Reply, facts: &Facts<'_>) {
        let mut message = json!({
            "id": facts.id("msg_"), "type": "message", "role": "assistant", "model": facts.model, "content": [],
            "stop_reason": null, "stop_sequence": null,
        });
        if let (true, Some(members)) = (facts.reports_usage(), message.as_object_mut()) {
            members.insert("usage".to_owned(), usage(&reply.billed, reply.billed.output.min(1)));
        }
        let start = json!({"type": "message_start", "message": message});
        self.push("message_start", &start.to_string(), reply.billed.reasoning);
        self.push("ping", "{\"type\":\"ping\"}", 0);
    }

    fn thinking(&mut self, shown: Shown) {
        self.open(&json!({"type": "thinking", "thinking": "", "signature": ""}));
        for word in shown.thought().split_inclusive(' ') {
            self.delta(&json!({"type": "thinking_delta", "thinking": word}).to_string(), 0);
        }
        self.delta(&json!({"type": "signature_delta", "signature": SIGNATURE}).to_string(), 0);
        self.close();
    }

    fn text(&mut self, reply: &Reply) {
        self.open(&json!({"type": "text", "text": ""}));
        if reply.cites {
            self.delta(&json!({"type": "citations_delta", "citation": citation()}).to_string(), 0);
        }
        for word in reply.text.split_inclusive(' ') {
            self.delta(&format!("{{\"type\":\"text_delta\",\"text\":{}}}", Value::from(word)), 1);
        }
        self.close();
    }

    fn open(&mut self, block: &Value) {
        let data = json!({"type": "content_block_start", "index": self.index, "content_block": block});
        self.push("content_block_start", &data.to_string(), 0);
    }

    fn delta(&mut self, delta: &str, tokens: u64) {
        let data = format!("{{\"type\":\"content_block_delta\",\"index\":{},\"delta\":{delta}}}", self.index);
        self.push("content_block_delta", &data, tokens);
    }

    fn close(&mut self) {
        let data = format!("{{\"type\":\"content_block_stop\",\"index\":{}}}", self.index);
        self.push("content_block_stop", &data, 0);
        self.index += 1;
    }

    fn end(&mut self, reply: &Reply, facts: &Facts<'_>) {
        let (reason, sequence) = stop(&reply.finish, facts.behaviour);
        let mut data =
            json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}});
        if let (true, Some(members)) = (facts.reports_usage(), data.as_object_mut()) {
            members.insert("usage".to_owned(), usage(&reply.billed, reply.billed.output));
        }
        self.push("message_delta", &data.to_string(), 0);
        self.push("message_stop", "{\"type\":\"message_stop\"}", 0);
    }
}
