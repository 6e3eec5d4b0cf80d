//! The stream of a Gemini answer: every chunk is a whole response with the usage so far; a function call comes in one piece;
//! the last chunk of a candidate says why it ended. As server-sent events, or as one JSON array.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Facts, Refusal};
use crate::body::{Event, OddEvents};
use crate::gemini::error_value;
use crate::gemini::generate::{Answer, Framing, call_parts};
use crate::gemini::history::SIGNATURE;
use crate::reply::{Reply, ToolCall, pieces};

/// All chunks of an answer.
pub(crate) fn events(answer: &Answer<'_>, reply: &Reply, framing: Framing) -> (Vec<Event>, OddEvents) {
    let mut writer = Writer { answer, objects: Vec::new(), output: 0, reasoning: 0 };
    let candidates = if reply.is_empty { 0 } else { answer.candidates };
    for index in 0..candidates {
        writer.candidate(index, reply);
    }
    if candidates == 0 {
        writer.objects.push((answer.with_usage(&json!({"candidates": []}), 0, 0), 0));
    }
    framed(writer.objects, framing, answer.facts)
}

struct Writer<'a> {
    answer: &'a Answer<'a>,
    objects: Vec<(Value, u64)>,
    output: u64,
    reasoning: u64,
}

impl Writer<'_> {
    fn candidate(&mut self, index: u32, reply: &Reply) {
        let hidden = reply.billed.reasoning - reply.thought.map_or(0, pieces).min(reply.billed.reasoning);
        let mut thinking = hidden;
        for word in reply.thought.unwrap_or_default().split_inclusive(' ') {
            let tokens = 1.min(reply.billed.reasoning - thinking);
            thinking += tokens;
            self.reasoning += tokens;
            self.part(index, &json!({"text": word, "thought": true}), tokens);
        }
        self.reasoning += hidden;
        self.output += hidden;
        if reply.has_unknown {
            self.part(index, &json!({"simulatedUnknown": {"a": 1}}), 0);
        }
        let mut owed = hidden;
        for word in reply.text.split_inclusive(' ') {
            self.part(index, &json!({"text": word}), 1);
            self.owe(&mut owed);
        }
        for (part, call) in call_parts(reply, self.answer.facts).iter().zip(&reply.calls) {
            self.part(index, part, ToolCall::tokens(call));
            self.owe(&mut owed);
        }
        // The signature of an answer in words stands in a last, empty part.
        let parts = if reply.thought.is_some() && reply.calls.is_empty() {
            json!([{"text": "", "thoughtSignature": SIGNATURE}])
        } else {
            json!([{"text": ""}])
        };
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": index});
        self.answer.finish(&mut candidate, reply);
        let object = json!({"candidates": [candidate]});
        self.objects.push((self.answer.with_usage(&object, self.output, self.reasoning), owed));
    }

    /// Hidden thoughts are paid for with the first chunk that is sent.
    fn owe(&mut self, owed: &mut u64) {
        if let Some((_, tokens)) = self.objects.last_mut() {
            *tokens += std::mem::take(owed);
        }
    }

    fn part(&mut self, index: u32, part: &Value, tokens: u64) {
        self.output += tokens;
        let object = json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": index}]});
        self.objects.push((self.answer.with_usage(&object, self.output, self.reasoning), tokens));
    }
}

/// Objects as they go over the wire.
pub(crate) fn framed(
    objects: Vec<(Value, u64)>,
    framing: Framing,
    facts: &Facts<'_>,
) -> (Vec<Event>, OddEvents) {
    let is_array = framing == Framing::Array;
    let mut events = Vec::with_capacity(objects.len() + 1);
    for (object, tokens) in objects {
        let text = match (is_array, events.is_empty()) {
            (false, _) => format!("data: {object}\r\n\r\n"),
            (true, true) => format!("[{object}"),
            (true, false) => format!(",\r\n{object}"),
        };
        events.push(Event::new(text, tokens));
    }
    if is_array {
        events.push(Event::new("]\n".to_owned(), 0));
    }
    let error = json!({"error": error_value(&Refusal::scripted(503, facts.behaviour))});
    let odd = |text: &str| {
        Bytes::from(if is_array { format!(",\r\n{text}") } else { format!("data: {text}\r\n\r\n") })
    };
    let odd = OddEvents {
        broken: odd("{\"candidates\": [{\"content\": {\"par"),
        error: odd(&error.to_string()),
        unknown: odd("{\"simulatedUnknown\": {\"a\": 1}}"),
    };
    (events, odd)
}
