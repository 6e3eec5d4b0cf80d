//! Converse's stream, read into events.

use serde_json::value::RawValue;

use crate::{
    Call, Dialect, Event, Fault, Signature, StopReason, Usage,
    bedrock::{parts, usage},
    fault::broken,
    json::Object,
    names::{ANSWER_TOOL, Restore},
    relay::Decode,
};

/// Reads records, one after the other.
#[derive(Debug)]
pub(crate) struct Decoder {
    names: Restore,
    by_tool: ByTool,
    started: bool,
    /// The block that is open: its index and what it holds.
    open: Option<(u64, Block)>,
    tools: u32,
    stop: Option<Event>,
    ended: bool,
}

/// Whether the answer came as a call of the tool that stands for it.
#[derive(Debug, PartialEq)]
enum ByTool {
    /// It was not asked for so.
    Never,
    NotYet,
    Given,
}

#[derive(Debug)]
enum Block {
    Said,
    /// A call: its number.
    Tool(u32),
    /// The answer, given as arguments of a call.
    Answer,
    /// A block of the provider's own tools.
    Other,
}

impl Decoder {
    /// Reads the answer to a call.
    pub(crate) fn new(call: &Call) -> Self {
        Self {
            names: Restore::new(call, Dialect::Bedrock),
            by_tool: if call.dialect == Dialect::Bedrock { ByTool::Never } else { ByTool::NotYet },
            started: false,
            open: None,
            tools: 0,
            stop: None,
            ended: false,
        }
    }

    fn record(&mut self, name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        let record = Object::parse(data)?;
        match name {
            b"messageStart" => {
                self.start(events);
                Ok(())
            }
            b"contentBlockStart" => self.open(record, events),
            b"contentBlockDelta" => self.delta(record, events),
            b"contentBlockStop" => {
                self.close(events);
                Ok(())
            }
            b"messageStop" => self.message_stop(record, events),
            b"metadata" => self.metadata(record, events),
            // New kinds may come at any time.
            _ => {
                events.push(Event::Unknown);
                Ok(())
            }
        }
    }

    fn start(&mut self, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start { id: String::new(), model: String::new(), created: None, usage: None });
        }
    }

    fn open(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        self.start(events);
        self.close(events);
        let index = record.take_as("contentBlockIndex", "a number")?.unwrap_or(0);
        let Some(mut start) = record.take_object("start")? else {
            return Err(record.wrong("start", "an object"));
        };
        let held = match start.take_object("toolUse")? {
            Some(mut tool)
                if !tool.has("type") || tool.peek_as::<String>("type").as_deref() == Some("tool_use") =>
            {
                let (id, name) = (tool.need_string("toolUseId")?, tool.need_string("name")?);
                self.open_tool(id, name, events)
            }
            _ => {
                events.push(Event::Unknown);
                Block::Other
            }
        };
        self.open = Some((index, held));
        Ok(())
    }

    fn open_tool(&mut self, id: String, name: String, events: &mut Vec<Event>) -> Block {
        if self.by_tool != ByTool::Never && name == ANSWER_TOOL {
            self.by_tool = ByTool::Given;
            return Block::Answer;
        }
        let index = self.tools;
        self.tools += 1;
        events.push(Event::ToolStart { index, id, name: self.names.name(name), signature: None });
        Block::Tool(index)
    }

    fn delta(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        self.start(events);
        let index = record.take_as::<u64>("contentBlockIndex", "a number")?.unwrap_or(0);
        let Some(mut delta) = record.take_object("delta")? else {
            return Err(record.wrong("delta", "an object"));
        };
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            // Blocks of words begin without being announced.
            if delta.has("toolUse") {
                return Err(Fault::invalid(format!("a piece of the block {index}, which is not open")));
            }
            self.close(events);
            self.open = Some((index, Block::Said));
        }
        let Some((_, block)) = &self.open else { return Ok(()) };
        match block {
            Block::Said => said(delta, events),
            Block::Tool(index) => {
                let fragment = input(&mut delta)?;
                events.extend(fragment.map(|fragment| Event::ToolArguments { index: *index, fragment }));
                Ok(())
            }
            Block::Answer => {
                events.extend(input(&mut delta)?.map(Event::Text));
                Ok(())
            }
            Block::Other => Ok(()),
        }
    }

    fn message_stop(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        self.close(events);
        let word = record.take_string("stopReason")?.unwrap_or_default();
        let (mut reason, native) = StopReason::decode(Dialect::Bedrock, &word);
        if self.by_tool == ByTool::Given && self.tools == 0 && reason == StopReason::ToolUse {
            reason = StopReason::End;
        }
        let fields = record.take_object("additionalModelResponseFields")?;
        let sequence = fields.and_then(|mut fields| fields.take_string("stop_sequence").ok().flatten());
        self.stop = Some(Event::Stop { reason, native, sequence });
        Ok(())
    }

    /// The last record: what was used.
    fn metadata(&mut self, mut record: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
        self.start(events);
        let report = record.take("usage");
        let used: Option<Usage> = report.and_then(|report: &RawValue| usage::decode(report.get().as_bytes()));
        events.extend(used.map(Event::Usage));
        let tier = record.take_object("serviceTier")?.map(|mut tier| tier.take_string("type")).transpose()?;
        events.extend(tier.flatten().map(Event::ServiceTier));
        self.end(events);
        Ok(())
    }

    fn end(&mut self, events: &mut Vec<Event>) {
        if let Some(stop) = self.stop.take() {
            self.ended = true;
            events.push(stop);
            events.push(Event::End);
        }
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        match self.open.take() {
            None | Some((_, Block::Other)) => {}
            Some((_, Block::Said | Block::Tool(_) | Block::Answer)) => events.push(Event::PartEnd),
        }
    }
}

impl Decode for Decoder {
    fn push(&mut self, name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        self.record(name, data, events).map_err(|fault| broken(&fault))
    }

    /// An answer whose end was told is whole, even when what it used was not told any more.
    fn finish(&mut self, events: &mut Vec<Event>) -> bool {
        self.end(events);
        self.ended
    }
}

/// A piece of text, of reasoning, or of what a text rests on.
fn said(mut delta: Object<'_>, events: &mut Vec<Event>) -> Result<(), Fault> {
    if let Some(text) = delta.take_string("text")? {
        events.extend(some(text).map(Event::Text));
    } else if let Some(mut reasoning) = delta.take_object("reasoningContent")? {
        events.extend(reasoning.take_string("text")?.and_then(some).map(Event::Thinking));
        let seal = |text: String| Signature::read(Dialect::Bedrock, &text);
        events.extend(reasoning.take_string("signature")?.and_then(some).map(seal).map(Event::Signature));
        events.extend(reasoning.take_string("redactedContent")?.map(seal).map(Event::RedactedThinking));
    } else if let Some(value) = delta.take("citation") {
        events.push(Event::Citation(parts::citation(value)?));
    } else {
        events.push(Event::Unknown);
    }
    Ok(())
}

fn input(delta: &mut Object<'_>) -> Result<Option<String>, Fault> {
    let Some(mut tool) = delta.take_object("toolUse")? else { return Ok(None) };
    Ok(tool.take_string("input")?.and_then(some))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
