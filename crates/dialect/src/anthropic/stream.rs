//! Anthropic's stream, read into events.

use serde_json::value::RawValue;

use crate::{
    Dialect, Event, Fault, Signature, StopReason, Usage,
    anthropic::{citation, usage},
    fault::{broken, decode_in_band, garbage},
    json::Object,
    relay::Decode,
    scan::Scanner,
};

/// Reads records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    started: bool,
    usage: Option<Usage>,
    /// The block that is open: its index and what it holds.
    open: Option<(u64, Block)>,
    tools: u32,
    /// The last reason given: there may be several, and the last one holds.
    stop: Option<Event>,
    ended: bool,
}

#[derive(Debug)]
enum Block {
    Said,
    /// A call: its number, what it began with, and whether more came.
    Tool {
        index: u32,
        input: String,
        continued: bool,
    },
    /// A block only Anthropic knows.
    Other,
}

impl Decode for Decoder {
    /// Reads the data of one record.
    fn push(&mut self, _name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        check(data)?;
        self.record(data, events).map_err(|fault| broken(&fault))
    }

    /// The stream has ended; true when the answer was whole.
    fn finish(&mut self, _events: &mut Vec<Event>) -> bool {
        self.ended
    }
}

impl Decoder {
    fn record(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        let mut record = Object::parse(data)?;
        let kind = record.take_string("type")?.unwrap_or_default();
        match kind.as_str() {
            "message_start" => self.start(record, events),
            "content_block_start" => self.open(record, events),
            "content_block_delta" => self.delta(record, events),
            "content_block_stop" => {
                self.close(events);
                Ok(())
            }
            "message_delta" => self.message_delta(record, events),
            "message_stop" => {
                self.close(events);
                self.ended = true;
                events.extend(self.stop.take());
                events.push(Event::End);
                Ok(())
            }
            "ping" => {
                events.push(Event::Ping);
                Ok(())
            }
            "error" => {
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

    fn start(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(mut message) = record.take_object("message")? else {
            return Err(record.wrong("message", "an object"));
        };
        self.correct(message.take("usage"), events);
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        events.push(Event::Start {
            id: message.take_string("id")?.unwrap_or_default(),
            model: message.take_string("model")?.unwrap_or_default(),
            created: None,
            usage: self.usage,
        });
        Ok(())
    }

    /// An answer whose start was not told has one all the same.
    fn begin(&mut self, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start {
                id: String::new(),
                model: String::new(),
                created: None,
                usage: self.usage,
            });
        }
    }

    fn open(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        self.begin(events);
        self.close(events);
        let index = record.take_as("index", "a number")?.unwrap_or(0);
        let Some(mut block) = record.take_object("content_block")? else {
            return Err(record.wrong("content_block", "an object"));
        };
        let kind = block.need_string("type")?;
        let held = match kind.as_str() {
            "text" => {
                events.extend(some(block.take_string("text")?).map(Event::Text));
                Block::Said
            }
            "thinking" => {
                events.extend(some(block.take_string("thinking")?).map(Event::Thinking));
                events.extend(some(block.take_string("signature")?).as_deref().map(signature));
                Block::Said
            }
            "redacted_thinking" => {
                let data = Signature::read(Dialect::Anthropic, &block.need_string("data")?);
                events.push(Event::RedactedThinking(data));
                Block::Said
            }
            "tool_use" => {
                let (id, name) = (block.need_string("id")?, block.need_string("name")?);
                let index = self.tools;
                self.tools += 1;
                events.push(Event::ToolStart { index, id, name, signature: None });
                let input = block.take("input").map(|input| input.get().to_owned()).unwrap_or_default();
                Block::Tool { index, input, continued: false }
            }
            _ => {
                events.push(Event::Unknown);
                Block::Other
            }
        };
        self.open = Some((index, held));
        Ok(())
    }

    fn delta(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        let index = record.take_as::<u64>("index", "a number")?.unwrap_or(0);
        let Some(mut delta) = record.take_object("delta")? else {
            return Err(record.wrong("delta", "an object"));
        };
        let kind = delta.take_string("type")?.unwrap_or_default();
        let Some((_, block)) = self.open.as_mut().filter(|(open, _)| *open == index) else {
            return Err(Fault::invalid(format!("a piece of the block {index}, which is not open")));
        };
        match (kind.as_str(), block) {
            ("text_delta", Block::Said) => events.extend(some(delta.take_string("text")?).map(Event::Text)),
            ("thinking_delta", Block::Said) => {
                events.extend(some(delta.take_string("thinking")?).map(Event::Thinking));
            }
            ("signature_delta", Block::Said) => {
                events.extend(some(delta.take_string("signature")?).as_deref().map(signature));
            }
            ("citations_delta", Block::Said) => {
                if let Some(citation) = delta.take("citation") {
                    events.push(Event::Citation(citation::read(citation)?));
                }
            }
            ("input_json_delta", Block::Tool { index, continued, .. }) => {
                if let Some(fragment) = some(delta.take_string("partial_json")?) {
                    *continued = true;
                    events.push(Event::ToolArguments { index: *index, fragment });
                }
            }
            _ => events.push(Event::Unknown),
        }
        Ok(())
    }

    fn message_delta(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        self.begin(events);
        self.close(events);
        if let Some(report) = record.take("usage") {
            self.correct(Some(report), events);
            events.extend(self.usage.map(Event::Usage));
        }
        let Some(mut delta) = record.take_object("delta")? else { return Ok(()) };
        if let Some(word) = delta.take_string("stop_reason")? {
            let (reason, native) = StopReason::decode(Dialect::Anthropic, &word);
            self.stop = Some(Event::Stop { reason, native, sequence: delta.take_string("stop_sequence")? });
        }
        Ok(())
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        match self.open.take() {
            None | Some((_, Block::Other)) => {}
            Some((_, Block::Said)) => events.push(Event::PartEnd),
            Some((_, Block::Tool { index, input, continued })) => {
                // Some servers give the whole input at once; the usual empty object says nothing.
                let has_input = !input.is_empty() && input.split_whitespace().collect::<String>() != "{}";
                if has_input && !continued {
                    events.push(Event::ToolArguments { index, fragment: input });
                }
                events.push(Event::PartEnd);
            }
        }
    }

    fn correct(&mut self, report: Option<&RawValue>, events: &mut Vec<Event>) {
        if let Some(report) = report {
            self.usage = usage::correct(self.usage, report.get().as_bytes());
            events.extend(usage::tier(report.get().as_bytes()).map(Event::ServiceTier));
        }
    }
}

fn signature(text: &str) -> Event {
    Event::Signature(Signature::read(Dialect::Anthropic, text))
}

fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Checks the whole record, so that nothing deep or broken is looked at further.
fn check(data: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner::new(data);
    while scanner.next().map_err(garbage)?.is_some() {}
    Ok(())
}
