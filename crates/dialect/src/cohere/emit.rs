//! Events, written as Cohere's stream.

use crate::{
    Call, Dialect, Event, Fault, StopReason, Usage,
    cohere::{parts, usage},
    json::{ObjectWriter, object},
    relay::Encode,
    sse,
};

/// Writes records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    started: bool,
    /// The index of the next piece.
    next: u64,
    /// The piece of words that is open, and the calls that are: their numbers and their places.
    said: Option<(&'static str, u64)>,
    tools: Vec<(u32, u64)>,
    usage: Option<Usage>,
    stop: Option<StopReason>,
}

impl Encoder {
    /// Writes for the caller of a call.
    pub(crate) fn new(_call: &Call) -> Self {
        Self::default()
    }

    fn start(&mut self, id: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        record(out, "message-start", |w| {
            w.string("id", id);
            delta(w, |w| {
                w.string("role", "assistant");
                w.array("content", |_| {});
                w.string(parts::PLAN, "");
                w.array("tool_calls", |_| {});
                w.array("citations", |_| {});
            });
        });
    }

    /// Writes a piece of words; the first one announces what it is.
    fn say(&mut self, kind: &'static str, text: &str, out: &mut Vec<u8>) {
        let index = self.turn_to(kind, out);
        record(out, "content-delta", |w| {
            w.number("index", index);
            delta(w, |w| w.object("content", |w| w.string(kind, text)));
        });
    }

    fn turn_to(&mut self, kind: &'static str, out: &mut Vec<u8>) -> u64 {
        self.start("", out);
        if let Some((open, index)) = self.said
            && open == kind
        {
            return index;
        }
        self.close(out);
        let index = self.next;
        self.next += 1;
        self.said = Some((kind, index));
        record(out, "content-start", |w| {
            w.number("index", index);
            delta(w, |w| {
                w.object("content", |w| {
                    w.string("type", kind);
                    w.string(kind, "");
                });
            });
        });
        index
    }

    fn open_tool(&mut self, tool: u32, (id, name): (&str, &str), out: &mut Vec<u8>) {
        self.start("", out);
        if self.said.is_some() {
            self.close(out);
        }
        let index = u64::from(tool);
        self.tools.push((tool, index));
        record(out, "tool-call-start", |w| {
            w.number("index", index);
            delta(w, |w| w.object("tool_calls", |w| write_call(w, id, name)));
        });
    }

    fn arguments(&self, tool: u32, fragment: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some((_, index)) = self.tools.iter().find(|(known, _)| *known == tool) else {
            let message = "the provider continued a tool call that was complete";
            return Err(Fault::bad_answer("invalid_answer", message));
        };
        record(out, "tool-call-delta", |w| {
            w.number("index", *index);
            delta(w, |w| {
                w.object("tool_calls", |w| w.object("function", |w| w.string("arguments", fragment)));
            });
        });
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((_, index)) = self.said.take() {
            record(out, "content-end", |w| w.number("index", index));
        }
        for (_, index) in self.tools.drain(..) {
            record(out, "tool-call-end", |w| w.number("index", index));
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start("", out);
        self.close(out);
        let reason = self.stop.take().unwrap_or(StopReason::End);
        record(out, "message-end", |w| {
            w.object("delta", |w| {
                w.string("finish_reason", reason.encode(Dialect::Cohere));
                w.object("usage", |w| usage::write(&self.usage.unwrap_or_default(), w));
            });
        });
    }
}

impl Encode for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault> {
        match event {
            Event::Start { id, usage, .. } => {
                self.usage = usage;
                self.start(&id, out);
            }
            Event::Text(text) | Event::Refusal(text) => self.say("text", &text, out),
            Event::Thinking(text) => self.say("thinking", &text, out),
            Event::Citation(citation) => {
                let index = self.turn_to("text", out);
                record(out, "citation-start", |w| {
                    w.number("index", index);
                    delta(w, |w| {
                        w.object("citations", |w| parts::write_citation_fields(w, index, &citation));
                    });
                });
                record(out, "citation-end", |w| w.number("index", index));
            }
            Event::ToolStart { index, id, name, .. } => self.open_tool(index, (&id, &name), out),
            Event::ToolArguments { index, fragment } => self.arguments(index, &fragment, out)?,
            Event::PartEnd => self.close(out),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Stop { reason, .. } => self.stop = Some(reason),
            Event::End => self.end(out),
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            // The relay tells faults itself; there is no word for the rest.
            Event::Fault(_)
            | Event::Signature(_)
            | Event::RedactedThinking(_)
            | Event::Choice(_)
            | Event::Logprobs(_)
            | Event::ServiceTier(_)
            | Event::Unknown => {}
        }
        Ok(())
    }
}

fn write_call(w: &mut ObjectWriter<'_>, id: &str, name: &str) {
    w.string("id", id);
    w.string("type", "function");
    w.object("function", |w| {
        w.string("name", name);
        w.string("arguments", "");
    });
}

fn delta(w: &mut ObjectWriter<'_>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    w.object("delta", |w| w.object("message", write));
}

fn record(out: &mut Vec<u8>, kind: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    let data = object(|w| {
        w.string("type", kind);
        write(w);
    });
    sse::write(out, Some(kind), &data);
}
