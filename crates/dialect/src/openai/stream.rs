//! OpenAI's stream, read into events.
//!
//! Calls of tools are addressed by index; the id and the name come with the first piece of each. Servers that leave
//! the index out, or give every call the same one, are understood by the ids.

use serde_json::value::RawValue;

use crate::{
    Dialect, Event, Fault, StopReason,
    canonical::{Json, PartBody},
    fault::{broken, decode_in_band, garbage},
    json::Object,
    openai::{parts, probe, usage},
    relay::{Decode, cut},
};

/// Reads records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    id: String,
    phase: Phase,
    choices: Vec<Choice>,
    /// The choice that the last events belong to.
    current: usize,
}

/// One of the answers that come interleaved.
#[derive(Debug, Default)]
struct Choice {
    tools: Vec<Tool>,
    refused: bool,
    stopped: bool,
}

/// The most choices that are told apart; OpenAI gives 128 at most.
const MOST_CHOICES: usize = 128;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Fresh,
    Started,
    /// The reason to end was given.
    Stopped,
    Ended,
}

#[derive(Debug, Default)]
struct Tool {
    /// The provider's index.
    wire: Option<u64>,
    id: String,
    named: bool,
    /// Arguments that came before the name.
    waiting: String,
}

impl Decode for Decoder {
    fn push(&mut self, _name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.phase == Phase::Ended {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            if self.phase == Phase::Fresh {
                return Err(cut());
            }
            for place in 0..self.choices.len() {
                let waits = self.choices.get(place).is_some_and(|one| !one.stopped && !one.tools.is_empty());
                if waits {
                    // No reason was given: the calls are one.
                    self.turn_to(place, events);
                    events.push(Event::Stop { reason: StopReason::ToolUse, native: None, sequence: None });
                }
            }
            self.phase = Phase::Ended;
            events.push(Event::End);
            return Ok(());
        }
        let seen = probe::probe(data).map_err(garbage)?;
        if seen.is_error {
            events.push(Event::Fault(decode_in_band(data)));
            return Ok(());
        }
        if self.phase == Phase::Started
            && self.current == 0
            && let Some(text) = seen.only_text(data)
        {
            events.push(Event::Text(text.into_owned()));
            return Ok(());
        }
        self.chunk(data, events).map_err(|fault| broken(&fault))?;
        events.extend(seen.usage.map(Event::Usage));
        Ok(())
    }

    /// Not every server says `[DONE]`.
    fn finish(&mut self, events: &mut Vec<Event>) -> bool {
        if self.phase == Phase::Stopped {
            self.phase = Phase::Ended;
            events.push(Event::End);
        }
        self.phase == Phase::Ended
    }
}

impl Decoder {
    fn chunk(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        let mut chunk = Object::parse(data)?;
        let choices: Vec<&RawValue> = chunk.take_array("choices")?;
        if self.phase == Phase::Fresh && !choices.is_empty() {
            self.phase = Phase::Started;
            self.id = chunk.take_string("id")?.unwrap_or_default();
            let usage = chunk.take("usage").and_then(|report| usage::decode(report.get().as_bytes()));
            let model = chunk.take_string("model")?.unwrap_or_default();
            let created = chunk.take_as("created", "a number")?;
            events.push(Event::Start { id: self.id.clone(), model, created, usage });
        }
        for (place, choice) in choices.into_iter().enumerate() {
            let mut choice = Object::read(choice, crate::json::nth("choices", place))?;
            let index = choice.take_as::<u64>("index", "a number")?.unwrap_or(0);
            let Some(index) = usize::try_from(index).ok().filter(|index| *index < MOST_CHOICES) else {
                events.push(Event::Unknown);
                continue;
            };
            self.turn_to(index, events);
            self.choice(choice, events)?;
        }
        if let Some(tier) = chunk.take_string("service_tier")?.filter(|tier| !tier.is_empty()) {
            events.push(Event::ServiceTier(tier));
        }
        Ok(())
    }

    fn turn_to(&mut self, index: usize, events: &mut Vec<Event>) {
        while self.choices.len() <= index {
            self.choices.push(Choice::default());
        }
        if self.current != index {
            self.current = index;
            events.push(Event::Choice(u32::try_from(index).unwrap_or(u32::MAX)));
        }
    }

    fn now(&mut self) -> Option<&mut Choice> {
        self.choices.get_mut(self.current)
    }

    fn choice(&mut self, mut choice: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        if let Some(mut delta) = choice.take_object("delta")? {
            let calls: Vec<&RawValue> = delta.take_array("tool_calls")?;
            for part in parts::assistant(&mut delta)? {
                events.extend(self.said(part.body));
            }
            for call in calls {
                self.tool_call(Object::read(call, "tool_calls")?, events)?;
            }
            events.extend(parts::annotations(&mut delta)?.into_iter().map(Event::Citation));
        }
        if let Some(mut logprobs) = choice.take_object("logprobs")?
            && let Some(content) = logprobs.take("content").filter(|content| content.get() != "[]")
        {
            events.push(Event::Logprobs(Json::new(content)));
        }
        let word = choice.take_string("finish_reason")?.filter(|word| !word.is_empty());
        let Some((word, now)) = word.zip(self.now()).filter(|(_, now)| !now.stopped) else { return Ok(()) };
        now.stopped = true;
        let (reason, native) = StopReason::decode(Dialect::OpenAi, &word);
        let reason = reason.with_tools(!now.tools.is_empty()).with_refusal(now.refused);
        if self.choices.iter().all(|choice| choice.stopped) {
            self.phase = Phase::Stopped;
        }
        events.push(Event::Stop { reason, native, sequence: None });
        Ok(())
    }

    fn said(&mut self, body: PartBody) -> Vec<Event> {
        match body {
            PartBody::Text(text) if !text.is_empty() => vec![Event::Text(text)],
            PartBody::Refusal(text) if !text.is_empty() => {
                if let Some(now) = self.now() {
                    now.refused = true;
                }
                vec![Event::Refusal(text)]
            }
            PartBody::Thinking { text, signature } => {
                let words = (!text.is_empty()).then_some(Event::Thinking(text));
                let signature = signature.map(Event::Signature);
                words.into_iter().chain(signature).collect()
            }
            PartBody::RedactedThinking { data } => vec![Event::RedactedThinking(data)],
            _ => Vec::new(),
        }
    }

    fn tool_call(&mut self, mut call: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let wire = call.take_as::<u64>("index", "a number")?;
        let id = call.take_string("id")?.unwrap_or_default();
        let Some(mut function) = call.take_object("function")? else { return Ok(()) };
        let name = function.take_string("name")?.unwrap_or_default();
        let fragment = parts::arguments(&mut function)?.unwrap_or_default();
        let place = self.place(wire, &id, &name);
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        let answer = self.id.clone();
        let Some(tool) = self.now().and_then(|now| now.tools.get_mut(place)) else { return Ok(()) };
        if tool.id.is_empty() {
            tool.id = id;
        }
        if !tool.named {
            tool.waiting.push_str(&fragment);
            if name.is_empty() {
                return Ok(());
            }
            tool.named = true;
            if tool.id.is_empty() {
                tool.id = format!("call_{answer}_{index}");
            }
            events.push(Event::ToolStart { index, id: tool.id.clone(), name, signature: None });
            let fragment = std::mem::take(&mut tool.waiting);
            if !fragment.is_empty() {
                events.push(Event::ToolArguments { index, fragment });
            }
        } else if !fragment.is_empty() {
            events.push(Event::ToolArguments { index, fragment });
        }
        Ok(())
    }

    /// Which call a piece belongs to; a new one when none fits.
    fn place(&mut self, wire: Option<u64>, id: &str, name: &str) -> usize {
        let Some(now) = self.now() else { return 0 };
        let known = match wire {
            Some(_) => now.tools.iter().rposition(|tool| tool.wire == wire),
            None => now.tools.len().checked_sub(1),
        };
        // A different id with a name begins another call, whatever the index says.
        let is_other =
            |tool: &Tool| !id.is_empty() && !tool.id.is_empty() && tool.id != id && !name.is_empty();
        match known {
            Some(place) if !now.tools.get(place).is_some_and(is_other) => place,
            _ => {
                now.tools.push(Tool { wire, ..Tool::default() });
                now.tools.len() - 1
            }
        }
    }
}
