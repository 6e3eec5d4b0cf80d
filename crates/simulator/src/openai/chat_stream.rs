//! The stream of chat completion chunks: the role first, then words or the fragments of tool calls, then the finish reason,
//! the usage when it was asked for, and `[DONE]`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Facts, Refusal, fragments};
use crate::body::{Event, OddEvents};
use crate::ledger::Billed;
use crate::openai;
use crate::openai::chat::ChatRequest;
use crate::openai::{azure, chat_answer};
use crate::reply::{Finish, Reply, ToolCall};

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
    let wants_usage = request.wants_usage() && facts.reports_usage();
    let writer = Writer::new(facts, wants_usage);
    let mut events = Vec::new();
    if request.is_azure {
        let found = azure::prompt_filter_results();
        events.push(Event::new(format!("{}],\"prompt_filter_results\":{found}}}\n\n", writer.head), 0));
    }
    for index in 0..choices {
        writer.choice(&mut events, index, reply, facts);
    }
    if wants_usage {
        events.push(writer.usage(billed));
    }
    events.push(Event { bytes: Bytes::from_static(b"data: [DONE]\n\n"), tokens: 0 });
    (events, odd_events(facts))
}

/// A chunk that breaks off, one that reports an error, and one of an object that nobody knows.
fn odd_events(facts: &Facts<'_>) -> OddEvents {
    let refusal = Refusal::scripted(500, facts.behaviour);
    let error = String::from_utf8_lossy(&openai::error(&refusal)).into_owned();
    OddEvents {
        broken: Bytes::from_static(b"data: {\"id\":\"chatcmpl-broken\",\"choices\":[{\"index\":0,\"del\n\n"),
        error: Bytes::from(format!("data: {error}\n\n")),
        unknown: Bytes::from_static(
            b"event: simulated_unknown\ndata: {\"object\":\"simulated.unknown\",\"choices\":[]}\n\n",
        ),
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
        let role = if reply.calls.is_empty() && reply.finish != Finish::Refused {
            json!({"role": "assistant", "content": "", "refusal": null})
        } else {
            json!({"role": "assistant", "content": null})
        };
        events.push(self.chunk(index, &role.to_string(), None, reply.billed.reasoning));
        for word in reply.thought.unwrap_or_default().split_inclusive(' ') {
            events.push(self.chunk(index, &json!({"reasoning_content": word}).to_string(), None, 0));
        }
        if reply.has_unknown {
            let unknown = json!({"simulated_unknown": {"type": "simulated_unknown"}});
            events.push(self.chunk(index, &unknown.to_string(), None, 0));
        }
        let field = if reply.finish == Finish::Refused { "refusal" } else { "content" };
        for word in reply.text.split_inclusive(' ') {
            let delta = format!("{{\"{field}\":{}}}", Value::from(word));
            let logprobs = reply.logprobs.map(|_| chat_answer::logprobs(word, reply).to_string());
            events.push(self.chunk_with(index, &delta, logprobs.as_deref(), None, 1));
        }
        if reply.cites {
            let delta = json!({"annotations": chat_answer::annotations(reply)});
            events.push(self.chunk(index, &delta.to_string(), None, 0));
        }
        for (position, call) in reply.calls.iter().enumerate() {
            self.tool_call(events, index, position, call, &facts.part_id("call_", position));
        }
        let reason = chat_answer::finish_reason(&reply.finish, facts.behaviour);
        events.push(self.chunk(index, "{}", Some(reason), 0));
    }

    /// Name and id come once, in the first chunk; then the arguments in fragments, all addressed by the index.
    fn tool_call(&self, events: &mut Vec<Event>, index: u32, position: usize, call: &ToolCall, id: &str) {
        let function = json!({"name": call.name, "arguments": ""});
        let first =
            json!({"tool_calls": [{"index": position, "id": id, "type": "function", "function": function}]});
        events.push(self.chunk(index, &first.to_string(), None, call.tokens()));
        for fragment in fragments(&call.written(), FRAGMENT) {
            let delta = json!({"tool_calls": [{"index": position, "function": {"arguments": fragment}}]});
            events.push(self.chunk(index, &delta.to_string(), None, 0));
        }
    }

    fn chunk(&self, index: u32, delta: &str, finish: Option<&str>, tokens: u64) -> Event {
        self.chunk_with(index, delta, None, finish, tokens)
    }

    fn chunk_with(
        &self,
        index: u32,
        delta: &str,
        logprobs: Option<&str>,
        finish: Option<&str>,
        tokens: u64,
    ) -> Event {
        let finish = finish.map_or_else(|| "null".to_owned(), |reason| Value::from(reason).to_string());
        let logprobs = logprobs.unwrap_or("null");
        let text = format!(
            "{}{{\"index\":{index},\"delta\":{delta},\"logprobs\":{logprobs},\"finish_reason\":{finish}}}{}",
            self.head, self.tail
        );
        Event::new(text, tokens)
    }

    fn usage(&self, billed: &Billed) -> Event {
        Event::new(format!("{}],\"usage\":{}}}\n\n", self.head, chat_answer::usage(billed)), 0)
    }
}
