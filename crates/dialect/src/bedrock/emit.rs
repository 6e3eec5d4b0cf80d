//! Events, written as Converse's stream.

use crate::{
    Call, Dialect, Event, Fault, StopReason, Usage,
    bedrock::{parts, usage},
    eventstream::{self, Kind},
    json::{ObjectWriter, object},
    relay::Encode,
};

/// Writes messages, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    started: bool,
    /// The index of the next block.
    next: u64,
    /// The block of words that is open, and the calls that are: their numbers and their blocks.
    said: Option<(Said, u64)>,
    tools: Vec<(u32, u64)>,
    usage: Option<Usage>,
    stop: Option<(StopReason, Option<String>)>,
}

/// What a block of words holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Text,
    Thinking,
}

impl Encoder {
    /// Writes for the caller of a call.
    pub(crate) fn new(_call: &Call) -> Self {
        Self::default()
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            record(out, "messageStart", |w| w.string("role", "assistant"));
        }
    }

    /// Writes a piece of a block of words, which is opened by it.
    fn say(&mut self, kind: Said, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.start(out);
        let index = match self.said {
            Some((open, index)) if open == kind => index,
            _ => {
                self.close(out);
                let index = self.next;
                self.next += 1;
                self.said = Some((kind, index));
                index
            }
        };
        delta(out, index, write);
    }

    fn open_tool(&mut self, tool: u32, (id, name): (&str, &str), out: &mut Vec<u8>) {
        self.start(out);
        if self.said.is_some() {
            self.close(out);
        }
        let index = self.next;
        self.next += 1;
        self.tools.push((tool, index));
        record(out, "contentBlockStart", |w| {
            w.object("start", |w| {
                w.object("toolUse", |w| {
                    w.string("toolUseId", id);
                    w.string("name", name);
                });
            });
            w.number("contentBlockIndex", index);
        });
    }

    fn arguments(&self, tool: u32, fragment: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some((_, index)) = self.tools.iter().find(|(known, _)| *known == tool) else {
            let message = "the provider continued a tool call that was complete";
            return Err(Fault::bad_answer("invalid_answer", message));
        };
        delta(out, *index, |w| w.object("toolUse", |w| w.string("input", fragment)));
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let open = self.said.take().map(|(_, index)| index);
        for index in open.into_iter().chain(self.tools.drain(..).map(|(_, index)| index)) {
            record(out, "contentBlockStop", |w| w.number("contentBlockIndex", index));
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start(out);
        self.close(out);
        let (reason, sequence) = self.stop.take().unwrap_or((StopReason::End, None));
        record(out, "messageStop", |w| {
            w.string("stopReason", reason.encode(Dialect::Bedrock));
            if let Some(sequence) = &sequence {
                w.object("additionalModelResponseFields", |w| w.string("stop_sequence", sequence));
            }
        });
        record(out, "metadata", |w| {
            w.object("usage", |w| usage::write(&self.usage.unwrap_or_default(), w));
            w.object("metrics", |w| w.number("latencyMs", 0));
        });
    }
}

impl Encode for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault> {
        match event {
            Event::Start { usage, .. } => {
                self.usage = usage;
                self.start(out);
            }
            Event::Text(text) | Event::Refusal(text) => {
                self.say(Said::Text, out, |w| w.string("text", &text))
            }
            Event::Citation(citation) => self.say(Said::Text, out, |w| {
                w.object("citation", |w| parts::write_citation(w, &citation));
            }),
            Event::Thinking(text) => self.say(Said::Thinking, out, |w| {
                w.object("reasoningContent", |w| w.string("text", &text));
            }),
            Event::Signature(signature) => self.say(Said::Thinking, out, |w| {
                w.object("reasoningContent", |w| w.string("signature", &super::carried(&signature).data));
            }),
            Event::RedactedThinking(data) => {
                self.close(out);
                self.say(Said::Thinking, out, |w| {
                    w.object("reasoningContent", |w| {
                        w.string("redactedContent", &super::carried(&data).data)
                    });
                });
                self.close(out);
            }
            Event::ToolStart { index, id, name, .. } => self.open_tool(index, (&id, &name), out),
            Event::ToolArguments { index, fragment } => self.arguments(index, &fragment, out)?,
            Event::PartEnd => self.close(out),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Stop { reason, sequence, .. } => self.stop = Some((reason, sequence)),
            Event::End => self.end(out),
            // The relay tells faults itself; there is no word for the rest.
            Event::Fault(_)
            | Event::Ping
            | Event::Choice(_)
            | Event::Logprobs(_)
            | Event::ServiceTier(_)
            | Event::Unknown => {}
        }
        Ok(())
    }
}

fn delta(out: &mut Vec<u8>, index: u64, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    record(out, "contentBlockDelta", |w| {
        w.object("delta", write);
        w.number("contentBlockIndex", index);
    });
}

fn record(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    eventstream::write(out, Kind::Event, name, &object(write));
}
