//! Gemini's stream, read into events.
//!
//! Every record is an answer of its own with the next pieces of each candidate; calls of tools come whole. Usage is that of all
//! so far, so only the last report counts. There is no mark at the end: the answer is whole when each candidate has a
//! reason to end.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{
    Event, Fault, StopReason, Usage,
    canonical::{Part, PartBody},
    fault::{broken, decode_in_band, garbage},
    gemini::{
        answer::{block, call_id, tier},
        cited, odds,
        parts::{self, list, read, take_object},
        stop, usage,
    },
    json::Object,
    relay::Decode,
    scan::Scanner,
};

/// Reads records, one after the other.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// How many candidates were asked for.
    asked: u32,
    started: bool,
    id: String,
    usage: Option<Usage>,
    tier: Option<String>,
    /// The candidate that the last event belongs to.
    current: u32,
    candidates: BTreeMap<u32, Candidate>,
    ended: bool,
}

/// What is known of a candidate.
#[derive(Debug, Default)]
struct Candidate {
    tools: u32,
    open: Option<Open>,
    text: String,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Decoder {
    /// A decoder for so many candidates.
    pub(crate) fn new(asked: u32) -> Self {
        Self {
            asked: asked.max(1),
            started: false,
            id: String::new(),
            usage: None,
            tier: None,
            current: 0,
            candidates: BTreeMap::new(),
            ended: false,
        }
    }
}

impl Decode for Decoder {
    fn push(&mut self, _name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        check(data)?;
        self.record(data, events).map_err(|fault| broken(&fault))
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> bool {
        // Fewer candidates than were asked for may have come, but each of them must be whole.
        if !self.ended && !self.candidates.is_empty() && self.candidates.values().all(|one| one.done) {
            self.end(events);
        }
        self.ended
    }
}

impl Decoder {
    fn record(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        let mut record = Object::parse(data)?.camel()?;
        if record.has("error") {
            events.push(Event::Fault(decode_in_band(data)));
            return Ok(());
        }
        if let Some(report) = record.take("usageMetadata") {
            self.usage = usage::decode(report.get().as_bytes()).or(self.usage);
            self.tier = tier(report)?.or(self.tier.take());
        }
        if !self.started {
            self.started = true;
            self.id = record.take_string("responseId")?.unwrap_or_default();
            let model = record.take_string("modelVersion")?.unwrap_or_default();
            events.push(Event::Start { id: self.id.clone(), model, created: None, usage: self.usage });
        }
        let candidates = list(&mut record, "candidates")?;
        if candidates.is_empty()
            && let Some(feedback) = take_object(&mut record, "promptFeedback")?
            && let Some((native, message)) = block(feedback)?
        {
            events.extend(message.map(Event::Refusal));
            events.push(Event::Stop { reason: StopReason::Refusal, native: Some(native), sequence: None });
            self.end(events);
            return Ok(());
        }
        for value in candidates {
            self.candidate(value, events)?;
        }
        let done = self.candidates.values().filter(|candidate| candidate.done).count();
        if u32::try_from(done).unwrap_or(u32::MAX) >= self.asked {
            self.end(events);
        }
        Ok(())
    }

    fn end(&mut self, events: &mut Vec<Event>) {
        self.ended = true;
        events.extend(self.tier.take().map(Event::ServiceTier));
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::End);
    }

    fn candidate(&mut self, value: &RawValue, events: &mut Vec<Event>) -> Result<(), Fault> {
        let mut wire = read(value, "candidates")?;
        let index = wire.take_as("index", "a number")?.unwrap_or(0);
        if index != self.current {
            self.current = index;
            events.push(Event::Choice(index));
        }
        let candidate = self.candidates.entry(index).or_default();
        if candidate.done {
            return Ok(());
        }
        if let Some(mut content) = take_object(&mut wire, "content")? {
            for part in parts::parts(&mut content)? {
                candidate.said(part, &self.id, events);
            }
        }
        if let Some(result) = wire.take("logprobsResult") {
            events.extend(odds::read_tokens(result)?.map(Event::Logprobs));
        }
        events.extend(cited::take(&mut wire, &candidate.text)?.into_iter().map(Event::Citation));
        let word = wire.take_string("finishReason")?;
        if let Some(word) = word.filter(|word| word != "FINISH_REASON_UNSPECIFIED") {
            candidate.close(events);
            candidate.done = true;
            let (reason, native) = stop(&word, candidate.tools > 0);
            events.push(Event::Stop { reason, native, sequence: None });
        }
        Ok(())
    }
}

impl Candidate {
    fn said(&mut self, part: Part, answer: &str, events: &mut Vec<Event>) {
        match part.body {
            // A seal on text has no place elsewhere, and nobody asks for it back.
            PartBody::Text(text) if text.is_empty() => {}
            PartBody::Text(text) => {
                self.turn_to(Open::Text, events);
                self.text.push_str(&text);
                events.push(Event::Text(text));
            }
            PartBody::Thinking { text, signature } => {
                self.turn_to(Open::Thinking, events);
                if !text.is_empty() {
                    events.push(Event::Thinking(text));
                }
                events.extend(signature.map(Event::Signature));
            }
            PartBody::RedactedThinking { data } => {
                self.close(events);
                events.push(Event::RedactedThinking(data));
            }
            PartBody::ToolCall { mut id, name, arguments } => {
                self.close(events);
                let index = self.tools;
                self.tools += 1;
                if id.is_empty() {
                    id = call_id(answer, index, (&name, &arguments));
                }
                events.push(Event::ToolStart { index, id, name, signature: part.signature });
                events.push(Event::ToolArguments { index, fragment: arguments });
                events.push(Event::PartEnd);
            }
            _ => events.push(Event::Unknown),
        }
    }

    fn turn_to(&mut self, wanted: Open, events: &mut Vec<Event>) {
        if self.open != Some(wanted) {
            self.close(events);
            self.open = Some(wanted);
        }
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if self.open.take().is_some() {
            events.push(Event::PartEnd);
        }
    }
}

/// Checks the whole record, so that nothing deep or broken is looked at further.
fn check(data: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner::new(data);
    while scanner.next().map_err(garbage)?.is_some() {}
    Ok(())
}
