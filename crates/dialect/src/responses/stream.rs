//! Streams, read into events.
//!
//! Items are told apart by their place in the output. Some servers leave the pieces out and tell whole items only: what
//! was not told in pieces is told when the item is done.

use serde_json::value::RawValue;

use crate::{
    Event, Fault,
    canonical::{Json, PartBody},
    fault::{broken, garbage},
    json::Object,
    relay::Decode,
    responses::{answer, content, error, items::Turns, probe, seal},
};

/// Reads records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    started: bool,
    ended: bool,
    items: Vec<Item>,
    tools: u32,
    refused: bool,
}

/// An item and what was told of it.
#[derive(Debug, Default)]
struct Item {
    at: u64,
    kind: Kind,
    /// Pieces of it came.
    told: bool,
    /// Whether its reasoning is told as a summary, once that is known.
    summary: Option<bool>,
    done: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Message,
    Reasoning,
    Function(u32),
    Other,
}

impl Decode for Decoder {
    fn push(&mut self, _name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ended || data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let seen = probe::event(data).map_err(garbage)?;
        if seen.is_error || seen.kind == "error" || seen.kind == "response.failed" {
            events.push(Event::Fault(error::read(data)));
            return Ok(());
        }
        self.event(&seen, data, events).map_err(|fault| broken(&fault))
    }

    fn finish(&mut self, _events: &mut Vec<Event>) -> bool {
        self.ended
    }
}

impl Decoder {
    fn event(&mut self, seen: &probe::Probe<'_>, data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if seen.kind.ends_with(".delta") || seen.kind.starts_with("response.output_item.") {
            self.begin((String::new(), String::new(), None), events);
        }
        match seen.kind.as_ref() {
            "response.created" | "response.in_progress" | "response.queued" => self.start(data, events),
            "response.output_item.added" => self.added(Object::parse(data)?, events),
            "response.output_item.done" => self.done(Object::parse(data)?, events),
            "response.output_text.delta" | "response.refusal.delta" => {
                self.words(Object::parse(data)?, seen.kind == "response.refusal.delta", events)
            }
            "response.output_text.annotation.added" => {
                let annotation =
                    Object::parse(data)?.take("annotation").map(content::citation).transpose()?;
                events.extend(annotation.map(Event::Citation));
                Ok(())
            }
            "response.reasoning_summary_text.delta" => self.thought(Object::parse(data)?, true, events),
            "response.reasoning_text.delta" => self.thought(Object::parse(data)?, false, events),
            "response.reasoning_summary_part.added" => self.thought_part(Object::parse(data)?, events),
            "response.function_call_arguments.delta" => self.arguments(Object::parse(data)?, events),
            // What these tell was told in pieces, or is told again when the item is done.
            "response.output_text.done"
            | "response.refusal.done"
            | "response.content_part.added"
            | "response.content_part.done"
            | "response.reasoning_summary_text.done"
            | "response.reasoning_summary_part.done"
            | "response.reasoning_text.done"
            | "response.function_call_arguments.done" => Ok(()),
            "response.completed" | "response.incomplete" | "response.cancelled" => {
                self.start(data, events)?;
                self.end(seen, events);
                Ok(())
            }
            "keepalive" => {
                events.push(Event::Ping);
                Ok(())
            }
            // New kinds may come at any time.
            _ => {
                events.push(Event::Unknown);
                Ok(())
            }
        }
    }

    fn start(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.started {
            return Ok(());
        }
        let mut event = Object::parse(data)?;
        let Some(mut response) = event.take_object("response")? else {
            return Err(event.wrong("response", "an object"));
        };
        let created: Option<f64> = response.take_as("created_at", "a number")?;
        let created = created.and_then(|seconds| crate::scan::count(&format!("{seconds:.0}")));
        let id = response.take_string("id")?.unwrap_or_default();
        self.begin((id, response.take_string("model")?.unwrap_or_default(), created), events);
        Ok(())
    }

    /// Tells the start, once; some servers never do.
    fn begin(&mut self, (id, model, created): (String, String, Option<u64>), events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start { id, model, created, usage: None });
        }
    }

    fn end(&mut self, seen: &probe::Probe<'_>, events: &mut Vec<Event>) {
        let response = &seen.response;
        events.extend(response.service_tier.as_deref().map(|tier| Event::ServiceTier(tier.to_owned())));
        events.extend(response.usage.map(Event::Usage));
        let usual = seen.kind.strip_prefix("response.").unwrap_or_default();
        let status = response.status.as_deref().unwrap_or(usual);
        let (reason, native) = answer::stop(status, response.reason.as_deref());
        let reason = reason.with_tools(self.tools > 0).with_refusal(self.refused);
        events.push(Event::Stop { reason, native, sequence: None });
        events.push(Event::End);
        self.ended = true;
    }

    /// The item at a place; one that was never announced is announced now.
    fn item(&mut self, at: u64, kind: Kind) -> usize {
        if let Some(place) = self.items.iter().rposition(|item| item.at == at && !item.done) {
            return place;
        }
        self.items.push(Item { at, kind, ..Item::default() });
        self.items.len() - 1
    }

    fn added(&mut self, mut event: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let at = event.take_as("output_index", "a number")?.unwrap_or(0);
        let Some(item) = event.take_object("item")? else { return Err(event.wrong("item", "an object")) };
        self.announce(at, item, events)?;
        Ok(())
    }

    fn announce(&mut self, at: u64, mut item: Object<'_>, events: &mut Vec<Event>) -> Result<usize, Fault> {
        let kind = match item.need_string("type")?.as_str() {
            "message" => Kind::Message,
            "reasoning" => Kind::Reasoning,
            "function_call" => {
                let index = self.tools;
                self.tools += 1;
                let (id, name) = (item.need_string("call_id")?, item.need_string("name")?);
                events.push(Event::ToolStart { index, id, name, signature: None });
                Kind::Function(index)
            }
            _ => {
                events.push(Event::Unknown);
                Kind::Other
            }
        };
        Ok(self.item(at, kind))
    }

    fn words(&mut self, mut event: Object<'_>, refuses: bool, events: &mut Vec<Event>) -> Result<(), Fault> {
        let at = event.take_as("output_index", "a number")?.unwrap_or(0);
        let place = self.item(at, Kind::Message);
        let text = event.take_string("delta")?.filter(|text| !text.is_empty());
        if let Some(text) = text {
            self.tell(place);
            self.refused |= refuses;
            events.push(if refuses { Event::Refusal(text) } else { Event::Text(text) });
        }
        let odds = event.take("logprobs").filter(|odds| odds.get().trim_start().starts_with('['));
        let is_empty = |odds: &&RawValue| odds.get().split_whitespace().collect::<String>() == "[]";
        events.extend(odds.filter(|odds| !is_empty(odds)).map(|odds| Event::Logprobs(Json::new(odds))));
        Ok(())
    }

    /// Where a server tells both a summary and the reasoning itself, the first one counts.
    fn thought(
        &mut self,
        mut event: Object<'_>,
        is_summary: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        let at = event.take_as("output_index", "a number")?.unwrap_or(0);
        let place = self.item(at, Kind::Reasoning);
        let text = event.take_string("delta")?.filter(|text| !text.is_empty());
        let Some(item) = self.items.get_mut(place) else { return Ok(()) };
        if *item.summary.get_or_insert(is_summary) == is_summary
            && let Some(text) = text
        {
            item.told = true;
            events.push(Event::Thinking(text));
        }
        Ok(())
    }

    /// Parts of a summary are paragraphs.
    fn thought_part(&mut self, mut event: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let at = event.take_as("output_index", "a number")?.unwrap_or(0);
        let place = self.item(at, Kind::Reasoning);
        if self.items.get(place).is_some_and(|item| item.told && item.summary == Some(true)) {
            events.push(Event::Thinking("\n\n".to_owned()));
        }
        Ok(())
    }

    fn arguments(&mut self, mut event: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let at: u64 = event.take_as("output_index", "a number")?.unwrap_or(0);
        let Some(place) = self.items.iter().rposition(|item| item.at == at && !item.done) else {
            return Err(Fault::invalid(format!("a piece of the item {at}, which is not open")));
        };
        let Some(Kind::Function(index)) = self.items.get(place).map(|item| item.kind) else { return Ok(()) };
        if let Some(fragment) = event.take_string("delta")?.filter(|fragment| !fragment.is_empty()) {
            self.tell(place);
            events.push(Event::ToolArguments { index, fragment });
        }
        Ok(())
    }

    fn tell(&mut self, place: usize) {
        if let Some(item) = self.items.get_mut(place) {
            item.told = true;
        }
    }

    fn done(&mut self, mut event: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let at: u64 = event.take_as("output_index", "a number")?.unwrap_or(0);
        let Some(value) = event.take("item") else { return Err(event.wrong("item", "an object")) };
        let known = self.items.iter().rposition(|item| item.at == at && !item.done);
        let place = match known {
            Some(place) => place,
            None => self.announce(at, Object::read(value, "item")?, events)?,
        };
        let Some(item) = self.items.get_mut(place) else { return Ok(()) };
        item.done = true;
        let (kind, told) = (item.kind, item.told);
        if kind == Kind::Other {
            return Ok(());
        }
        let id: String = Object::read(value, "item")?.take_string("id")?.unwrap_or_default();
        let mut turns = Turns::default();
        turns.item(value, "item".to_owned())?;
        for part in turns.messages.into_iter().flat_map(|message| message.parts) {
            self.untold(part.body, (kind, told, &id), events);
        }
        // Calls may interleave: what is open is complete only when none waits for more.
        if !self.items.iter().any(|item| !item.done && matches!(item.kind, Kind::Function(_))) {
            events.push(Event::PartEnd);
        }
        Ok(())
    }

    /// Tells what of an item was not told in pieces.
    fn untold(&mut self, body: PartBody, (kind, told, id): (Kind, bool, &str), events: &mut Vec<Event>) {
        match (body, kind) {
            (PartBody::Text(text), _) if !told && !text.is_empty() => events.push(Event::Text(text)),
            (PartBody::Refusal(text), _) if !told && !text.is_empty() => {
                self.refused = true;
                events.push(Event::Refusal(text));
            }
            (PartBody::Thinking { text, signature }, _) => {
                if !told && !text.is_empty() {
                    events.push(Event::Thinking(text));
                }
                events.extend(signature.map(|seal| Event::Signature(seal::join(id, &seal.data))));
            }
            (PartBody::RedactedThinking { data }, _) => {
                let seal = seal::join(id, &data.data);
                events.push(if told { Event::Signature(seal) } else { Event::RedactedThinking(seal) });
            }
            (PartBody::ToolCall { arguments, .. }, Kind::Function(index))
                if !told && !arguments.is_empty() =>
            {
                events.push(Event::ToolArguments { index, fragment: arguments });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
