//! The stream of chat completion chunks: the role first, then words or the fragments of tool calls, then the finish reason,
//! the usage when it was asked for, and `[DONE]`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Facts, Refusal, fragments};
use crate::behaviour::Behaviour;
use crate::body::{Event, OddEvents};
use crate::ledger::Billed;
use crate::openai;
use crate::openai::chat::{self, ChatRequest};
use crate::reply::{Reply, ToolCall};

/// Characters of one fragment of a tool call's arguments.
const FRAGMENT: usize = 8;

/// All chunks of an answer.
pub(crate) fn events(
    request: &ChatRequest,
    reply: &Reply,
    choices: u32,
    facts: &Facts<'_>,
    billed: &Billed,
) -> (Vec<Event>, OddEvents) {
    let wants_usage = request.wants_usage() && !Behaviour::is_on(facts.behaviour.no_usage);
    let writer = Writer::new(facts, wants_usage);
    let mut events = Vec::new();
    for index in 0..choices {
        writer.choice(&mut events, index, reply, facts);
    }
    if wants_usage {
        events.push(writer.usage(billed));
    }
    events.push(Event { bytes: Bytes::from_static(b"data: [DONE]\n\n"), tokens: 0 });
    (events, odd_events(facts))
}

/// A chunk that breaks off, and one that reports an error.
fn odd_events(facts: &Facts<'_>) -> OddEvents {
    let refusal = Refusal::scripted(500, facts.behaviour);
    let error = String::from_utf8_lossy(&openai::error(&refusal)).into_owned();
    OddEvents {
        broken: Bytes::from_static(b"data: {\"id\":\"chatcmpl-broken\",\"choices\":[{\"index\":0,\"del\n\n"),
        error: Bytes::from(format!("data: {error}\n\n")),
    }
}

/// Everything in a chunk that does not change, written once.
struct Writer {
    head: String,
    tail: &'static str,
}

impl Writer {
    fn new(facts: &Facts<'_>, wants_usage: bool) -> Self {
        let head = format!(
            "data: {{\"id\":\"{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_simulated\",\"choices\":[",
            facts.id("chatcmpl-"),
            facts.unix_seconds,
            Value::from(facts.model),
        );
        // With usage asked for, every other chunk says that it has none.
        Self { head, tail: if wants_usage { "],\"usage\":null}\n\n" } else { "]}\n\n" } }
    }

    fn choice(&self, events: &mut Vec<Event>, index: u32, reply: &Reply, facts: &Facts<'_>) {
        let role = if reply.calls.is_empty() {
            json!({"role": "assistant", "content": "", "refusal": null})
        } else {
            json!({"role": "assistant", "content": null})
        };
        events.push(self.chunk(index, &role.to_string(), None, reply.billed.reasoning));
        for word in reply.text.split_inclusive(' ') {
            events.push(self.chunk(index, &format!("{{\"content\":{}}}", Value::from(word)), None, 1));
        }
        for (position, call) in reply.calls.iter().enumerate() {
            self.tool_call(events, index, position, call, &facts.part_id("call_", position));
        }
        let reason = chat::finish_reason(&reply.finish, facts.behaviour);
        events.push(self.chunk(index, "{}", Some(reason), 0));
    }

    /// Name and id come once, in the first chunk; then the arguments in fragments, all addressed by the index.
    fn tool_call(&self, events: &mut Vec<Event>, index: u32, position: usize, call: &ToolCall, id: &str) {
        let function = json!({"name": call.name, "arguments": ""});
        let first =
            json!({"tool_calls": [{"index": position, "id": id, "type": "function", "function": function}]});
        events.push(self.chunk(index, &first.to_string(), None, call.tokens()));
        for fragment in fragments(&call.arguments.to_string(), FRAGMENT) {
            let delta = json!({"tool_calls": [{"index": position, "function": {"arguments": fragment}}]});
            events.push(self.chunk(index, &delta.to_string(), None, 0));
        }
    }

    fn chunk(&self, index: u32, delta: &str, finish: Option<&str>, tokens: u64) -> Event {
        let finish = finish.map_or_else(|| "null".to_owned(), |reason| Value::from(reason).to_string());
        let text = format!(
            "{}{{\"index\":{index},\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}{}",
            self.head, self.tail
        );
        Event::new(text, tokens)
    }

    fn usage(&self, billed: &Billed) -> Event {
        Event::new(format!("{}],\"usage\":{}}}\n\n", self.head, chat::usage(billed)), 0)
    }
}
