//! Cohere's stream, read into events.

use crate::{
    Dialect, Event, Fault, StopReason,
    cohere::{parts, usage},
    fault::{broken, decode_in_band, sanitise},
    json::Object,
    relay::Decode,
};

/// Reads records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    started: bool,
    /// A piece is open; a plan is one that nobody announces.
    open: Option<Piece>,
    tools: u32,
    ended: bool,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Said,
    Plan,
    Tool(u32),
}

impl Decode for Decoder {
    fn push(&mut self, name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ended || data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        self.record(name, data, events).map_err(|fault| broken(&fault))
    }

    fn finish(&mut self, _events: &mut Vec<Event>) -> bool {
        self.ended
    }
}

impl Decoder {
    fn record(&mut self, name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        let mut record = Object::parse(data)?;
        let kind = match record.take_string("type")? {
            Some(kind) => kind,
            None => String::from_utf8_lossy(name).into_owned(),
        };
        match kind.as_str() {
            "message-start" => {
                let id = record.take_string("id")?.unwrap_or_default();
                self.start(id, events);
                Ok(())
            }
            "content-start" => {
                self.open(Piece::Said, events);
                self.words(record, events)
            }
            "content-delta" => {
                if self.open != Some(Piece::Said) {
                    self.open(Piece::Said, events);
                }
                self.words(record, events)
            }
            "tool-plan-delta" => {
                if self.open != Some(Piece::Plan) {
                    self.open(Piece::Plan, events);
                }
                let plan =
                    message(&mut record)?.map(|mut message| message.take_string(parts::PLAN)).transpose()?;
                events.extend(plan.flatten().and_then(some).map(Event::Thinking));
                Ok(())
            }
            "tool-call-start" => self.tool(record, events),
            "tool-call-delta" => self.arguments(record, events),
            "content-end" | "tool-call-end" => {
                self.close(events);
                Ok(())
            }
            "citation-start" => {
                let citations = message(&mut record)?.and_then(|mut message| message.take("citations"));
                if let Some(citation) = citations {
                    events.push(Event::Citation(parts::citation(citation)?.1));
                }
                Ok(())
            }
            "citation-end" => Ok(()),
            "message-end" => self.end(record, events),
            // What has no type is an answer of another kind.
            "" => {
                events.push(Event::Fault(decode_in_band(data)));
                Ok(())
            }
            // New kinds may come at any time.
            _ => {
                events.push(Event::Unknown);
                Ok(())
            }
        }
    }

    fn start(&mut self, id: String, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start { id, model: String::new(), created: None, usage: None });
        }
    }

    fn open(&mut self, piece: Piece, events: &mut Vec<Event>) {
        self.start(String::new(), events);
        self.close(events);
        self.open = Some(piece);
    }

    fn words(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(mut message) = message(&mut record)? else { return Ok(()) };
        let Some(mut content) = message.take_object("content")? else { return Ok(()) };
        events.extend(content.take_string("thinking")?.and_then(some).map(Event::Thinking));
        events.extend(content.take_string("text")?.and_then(some).map(Event::Text));
        Ok(())
    }

    fn tool(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let index = self.tools;
        self.open(Piece::Tool(index), events);
        let Some(mut call) = call(&mut record)? else {
            return Err(record.wrong("delta", "a call of a tool"));
        };
        let id = call.take_string("id")?.unwrap_or_default();
        let Some(mut function) = call.take_object("function")? else {
            return Err(call.wrong("function", "an object"));
        };
        let name = function.need_string("name")?;
        self.tools += 1;
        events.push(Event::ToolStart { index, id, name, signature: None });
        let fragment = function.take_string("arguments")?.and_then(some);
        events.extend(fragment.map(|fragment| Event::ToolArguments { index, fragment }));
        Ok(())
    }

    fn arguments(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(Piece::Tool(index)) = self.open else {
            return Err(Fault::invalid("a piece of a call that is not open"));
        };
        let function = call(&mut record)?.map(|mut call| call.take_object("function")).transpose()?.flatten();
        let fragment = function.map(|mut function| function.take_string("arguments")).transpose()?.flatten();
        let fragment = fragment.and_then(some);
        events.extend(fragment.map(|fragment| Event::ToolArguments { index, fragment }));
        Ok(())
    }

    fn end(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        self.start(String::new(), events);
        self.close(events);
        let Some(mut delta) = record.take_object("delta")? else {
            return Err(record.wrong("delta", "an object"));
        };
        let used = delta.take("usage").and_then(|report| usage::decode(report.get().as_bytes()));
        events.extend(used.map(Event::Usage));
        if let Some(error) = delta.take_string("error")?.and_then(some) {
            events.push(Event::Fault(Fault::bad_answer("provider_failed", sanitise(&error))));
            return Ok(());
        }
        let word = delta.take_string("finish_reason")?.unwrap_or_default();
        let (reason, native) = StopReason::decode(Dialect::Cohere, &word);
        self.ended = true;
        events.push(Event::Stop { reason, native, sequence: None });
        events.push(Event::End);
        Ok(())
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if self.open.take().is_some() {
            events.push(Event::PartEnd);
        }
    }
}

/// The message inside a record.
fn message<'a>(record: &mut Object<'a>) -> Result<Option<Object<'a>>, Fault> {
    let delta = record.take_object("delta")?;
    Ok(delta.map(|mut delta| delta.take_object("message")).transpose()?.flatten())
}

/// The call inside a record: one, though its name speaks of several.
fn call<'a>(record: &mut Object<'a>) -> Result<Option<Object<'a>>, Fault> {
    Ok(message(record)?.map(|mut message| message.take_object("tool_calls")).transpose()?.flatten())
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
