//! Events, written as Anthropic's stream: blocks one after the other, each closed before the next.
//!
//! OpenAI's calls of tools may come interleaved. The block that is open stays open until its arguments are a whole
//! object; what comes for other calls waits.

use crate::{
    Dialect, Event, Fault, StopReason, Usage,
    anthropic::{citation, usage},
    json::{ObjectWriter, object},
    relay::Encode,
    signature::seal_id,
    sse,
};

/// Writes records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    started: bool,
    open: Option<Open>,
    /// The index of the next block.
    next: u64,
    /// Calls that wait for the open one, in order.
    waiting: Vec<Call>,
    usage: Usage,
    stop: Option<(StopReason, Option<String>, Option<String>)>,
}

#[derive(Debug, PartialEq)]
enum Open {
    Text,
    Thinking,
    Tool { index: u32, json: Json },
}

#[derive(Debug)]
struct Call {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl Encode for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault> {
        match event {
            Event::Start { id, model, usage, .. } => self.start(&id, &model, usage, out),
            Event::Text(text) | Event::Refusal(text) => {
                self.turn_to(&Open::Text, out);
                self.delta(out, "text_delta", "text", &text);
            }
            Event::Thinking(text) => {
                self.turn_to(&Open::Thinking, out);
                self.delta(out, "thinking_delta", "thinking", &text);
            }
            Event::Signature(signature) => {
                self.turn_to(&Open::Thinking, out);
                self.delta(out, "signature_delta", "signature", &signature.carry(Dialect::Anthropic));
            }
            Event::RedactedThinking(data) => {
                self.close_all(out);
                self.block(out, |w| {
                    w.string("type", "redacted_thinking");
                    w.string("data", &data.carry(Dialect::Anthropic));
                });
                self.end_block(out);
            }
            Event::ToolStart { index, id, name, signature } => {
                let id = seal_id(&id, signature.as_ref());
                self.waiting.push(Call { index, id, name, arguments: String::new() });
                self.advance(out);
            }
            Event::ToolArguments { index, fragment } => self.arguments(index, &fragment, out)?,
            Event::Citation(citation) if citation::is_known(&citation) => {
                self.turn_to(&Open::Text, out);
                self.piece(out, |w| {
                    w.string("type", "citations_delta");
                    w.raw("citation", &citation::write(&citation));
                });
            }
            Event::Citation(_) => {}
            Event::PartEnd => self.close_all(out),
            Event::Usage(usage) => self.usage = usage,
            Event::Stop { reason, native, sequence } => self.stop = Some((reason, native, sequence)),
            Event::Ping if self.started => sse::write(out, Some("ping"), br#"{"type": "ping"}"#),
            Event::End => self.end(out),
            // The relay tells faults itself; a ping must not come before the start.
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

impl Encoder {
    fn start(&mut self, id: &str, model: &str, usage: Option<Usage>, out: &mut Vec<u8>) {
        self.started = true;
        self.usage = usage.unwrap_or_default();
        record(out, "message_start", |w| {
            w.object("message", |w| {
                w.string("id", id);
                w.string("type", "message");
                w.string("role", "assistant");
                w.string("model", model);
                w.array("content", |_| {});
                w.null("stop_reason");
                w.null("stop_sequence");
                w.object("usage", |w| usage::write(&self.usage, w));
            });
        });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            self.start("", "", None, out);
        }
        self.close_all(out);
        let (reason, native, sequence) = self.stop.take().unwrap_or((StopReason::End, None, None));
        record(out, "message_delta", |w| {
            w.object("delta", |w| {
                w.string("stop_reason", reason.encode(Dialect::Anthropic));
                w.opt_string("stop_sequence", sequence.as_deref());
                if let Some(native) = &native {
                    w.string("native_stop_reason", native);
                }
            });
            w.object("usage", |w| usage::write(&self.usage, w));
        });
        record(out, "message_stop", |_| {});
    }

    /// Makes a block of words the open one.
    fn turn_to(&mut self, wanted: &Open, out: &mut Vec<u8>) {
        if self.open.as_ref() == Some(wanted) {
            return;
        }
        self.close_all(out);
        if *wanted == Open::Thinking {
            self.block(out, |w| {
                w.string("type", "thinking");
                w.string("thinking", "");
                w.string("signature", "");
            });
            self.open = Some(Open::Thinking);
        } else {
            self.block(out, |w| {
                w.string("type", "text");
                w.string("text", "");
            });
            self.open = Some(Open::Text);
        }
    }

    fn arguments(&mut self, index: u32, fragment: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &mut self.open {
            Some(Open::Tool { index: open, json }) if *open == index => {
                json.push(fragment);
                self.delta(out, "input_json_delta", "partial_json", fragment);
            }
            _ => {
                let Some(call) = self.waiting.iter_mut().find(|call| call.index == index) else {
                    let message = "the provider continued a tool call that was complete";
                    return Err(Fault::bad_answer("invalid_answer", message));
                };
                call.arguments.push_str(fragment);
            }
        }
        self.advance(out);
        Ok(())
    }

    /// Opens waiting calls as long as nothing open is incomplete.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while !self.waiting.is_empty() {
            if matches!(&self.open, Some(Open::Tool { json, .. }) if !json.is_whole()) {
                return;
            }
            self.open_next(out);
        }
    }

    fn open_next(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        let call = self.waiting.remove(0);
        self.block(out, |w| {
            w.string("type", "tool_use");
            w.string("id", &call.id);
            w.string("name", &call.name);
            w.object("input", |_| {});
        });
        let mut json = Json::default();
        json.push(&call.arguments);
        self.open = Some(Open::Tool { index: call.index, json });
        if !call.arguments.is_empty() {
            self.delta(out, "input_json_delta", "partial_json", &call.arguments);
        }
    }

    fn close_all(&mut self, out: &mut Vec<u8>) {
        while !self.waiting.is_empty() {
            self.open_next(out);
        }
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        if matches!(open, Open::Tool { json, .. } if json.is_blank) {
            self.delta(out, "input_json_delta", "partial_json", "{}");
        }
        self.end_block(out);
    }

    /// Begins a block at the next index.
    fn block(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        record(out, "content_block_start", |w| {
            w.number("index", self.next);
            w.object("content_block", write);
        });
    }

    fn delta(&self, out: &mut Vec<u8>, kind: &str, name: &str, text: &str) {
        self.piece(out, |w| {
            w.string("type", kind);
            w.string(name, text);
        });
    }

    fn piece(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        record(out, "content_block_delta", |w| {
            w.number("index", self.next);
            w.object("delta", write);
        });
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        record(out, "content_block_stop", |w| w.number("index", self.next));
        self.next += 1;
    }
}

fn record(out: &mut Vec<u8>, kind: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    let data = object(|w| {
        w.string("type", kind);
        write(w);
    });
    sse::write(out, Some(kind), &data);
}

/// Follows JSON text piece by piece, to know when an object is whole.
#[derive(Debug, PartialEq)]
struct Json {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// Nothing but white space came.
    is_blank: bool,
}

impl Default for Json {
    fn default() -> Self {
        Self { depth: 0, in_string: false, escaped: false, is_blank: true }
    }
}

impl Json {
    fn push(&mut self, fragment: &str) {
        for byte in fragment.bytes() {
            self.is_blank &= byte.is_ascii_whitespace();
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        !self.is_blank && self.depth == 0 && !self.in_string
    }
}
