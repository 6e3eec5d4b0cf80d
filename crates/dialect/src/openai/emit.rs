//! Events, written as OpenAI's stream.

use std::collections::BTreeMap;

use crate::{
    Call, Dialect, Event, Fault, Usage,
    json::{ObjectWriter, object},
    openai::{parts, usage},
    relay::Encode,
    signature::seal_id,
    sse,
};

/// Writes records, one after the other.
#[derive(Debug)]
pub(crate) struct Encoder {
    id: String,
    model: String,
    created: u64,
    wants_usage: bool,
    usage: Option<Usage>,
    service_tier: Option<&'static str>,
    /// What is open in the choice that is written to, and in the others.
    open: Open,
    parked: BTreeMap<u32, Open>,
    current: u32,
}

/// What is open in a choice.
#[derive(Debug, Default)]
struct Open {
    /// The reasoning and the signature of the piece that is open.
    thinking: String,
    signature: String,
    details: u64,
    /// The calls that have no arguments so far. Calls may interleave, so only the end tells that none will come.
    bare: Vec<u32>,
}

impl Encoder {
    pub(crate) fn new(call: &Call) -> Self {
        Self {
            id: String::new(),
            model: String::new(),
            created: call.created,
            wants_usage: call.envelope.wants_usage,
            usage: None,
            service_tier: None,
            open: Open::default(),
            parked: BTreeMap::new(),
            current: 0,
        }
    }
}

impl Encode for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault> {
        match event {
            Event::Start { id, model, created, usage } => {
                self.id = id;
                self.model = model;
                self.created = created.unwrap_or(self.created);
                self.usage = usage;
                self.delta(out, |w| {
                    w.string("role", "assistant");
                    w.string("content", "");
                });
            }
            Event::Text(text) => self.delta(out, |w| w.string("content", &text)),
            Event::Refusal(text) => self.delta(out, |w| w.string("refusal", &text)),
            Event::Thinking(text) => {
                self.open.thinking.push_str(&text);
                self.delta(out, |w| w.string("reasoning_content", &text));
            }
            Event::Signature(signature) => self.open.signature.push_str(&signature.carry(Dialect::Anthropic)),
            Event::RedactedThinking(data) => {
                self.detail(out, |w| parts::sealed(w, &data.carry(Dialect::Anthropic)))
            }
            Event::ToolStart { index, id, name, signature } => {
                let id = seal_id(&id, signature.as_ref());
                self.close(out);
                self.open.bare.push(index);
                self.delta(out, |w| start_tool(w, index, &id, &name));
            }
            Event::ToolArguments { index, fragment } => {
                self.open.bare.retain(|bare| *bare != index);
                self.delta(out, |w| continue_tool(w, index, &fragment));
            }
            Event::PartEnd => self.close(out),
            Event::Choice(index) => self.turn_to(index, out),
            Event::Citation(citation) if citation.url.is_some() => {
                self.delta(out, |w| parts::write_annotations(w, std::iter::once(&citation)));
            }
            Event::Citation(_) => {}
            Event::Logprobs(tokens) => self.chunk(out, |w| {
                w.object("delta", |_| {});
                w.object("logprobs", |w| {
                    w.raw("content", tokens.text());
                    w.null("refusal");
                });
                w.null("finish_reason");
            }),
            Event::ServiceTier(tier) => self.service_tier = usage::tier(&tier),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Stop { reason, native, .. } => {
                self.close(out);
                self.fill(out);
                let word = reason.encode(Dialect::OpenAi);
                self.chunk(out, |w| {
                    w.object("delta", |_| {});
                    w.null("logprobs");
                    w.string("finish_reason", word);
                    if let Some(native) = &native {
                        w.string("native_finish_reason", native);
                    }
                });
            }
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            Event::End => self.end(out),
            // The relay tells faults itself.
            Event::Fault(_) | Event::Unknown => {}
        }
        Ok(())
    }
}

impl Encoder {
    /// Turns to a choice; a new one begins as the first did.
    fn turn_to(&mut self, index: u32, out: &mut Vec<u8>) {
        let there = self.parked.remove(&index);
        let is_new = there.is_none() && index != self.current;
        let here = std::mem::replace(&mut self.open, there.unwrap_or_default());
        self.parked.insert(self.current, here);
        self.current = index;
        if is_new {
            self.delta(out, |w| {
                w.string("role", "assistant");
                w.string("content", "");
            });
        }
    }

    /// Gives every call without arguments an empty object.
    fn fill(&mut self, out: &mut Vec<u8>) {
        for index in std::mem::take(&mut self.open.bare) {
            self.delta(out, |w| continue_tool(w, index, "{}"));
        }
    }

    /// Closes the reasoning that is open: it has its signature.
    fn close(&mut self, out: &mut Vec<u8>) {
        let thinking = std::mem::take(&mut self.open.thinking);
        let signature = std::mem::take(&mut self.open.signature);
        if !signature.is_empty() {
            self.detail(out, |w| parts::signed_text(w, &thinking, &signature));
        }
    }

    fn detail(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        let index = self.open.details;
        self.open.details += 1;
        self.delta(out, |w| w.array("reasoning_details", |array| parts::write_detail(array, index, write)));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.fill(out);
        if self.wants_usage {
            let usage = self.usage.unwrap_or_default();
            let data = object(|w| {
                self.head(w);
                w.array("choices", |_| {});
                w.object("usage", |w| usage::write(&usage, w));
            });
            sse::write(out, None, &data);
        }
        sse::write(out, None, b"[DONE]");
    }

    fn delta(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.chunk(out, |w| {
            w.object("delta", write);
            w.null("logprobs");
            w.null("finish_reason");
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        let data = object(|w| {
            self.head(w);
            w.array("choices", |array| {
                array.object(|w| {
                    w.number("index", u64::from(self.current));
                    write(w);
                });
            });
            if self.wants_usage {
                w.null("usage");
            }
        });
        sse::write(out, None, &data);
    }

    fn head(&self, w: &mut ObjectWriter<'_>) {
        w.string("id", &self.id);
        w.string("object", "chat.completion.chunk");
        w.number("created", self.created);
        w.string("model", &self.model);
        if let Some(tier) = self.service_tier {
            w.string("service_tier", tier);
        }
    }
}

fn start_tool(w: &mut ObjectWriter<'_>, index: u32, id: &str, name: &str) {
    w.array("tool_calls", |array| {
        array.object(|w| {
            w.number("index", u64::from(index));
            w.string("id", id);
            w.string("type", "function");
            w.object("function", |w| {
                w.string("name", name);
                w.string("arguments", "");
            });
        });
    });
}

fn continue_tool(w: &mut ObjectWriter<'_>, index: u32, fragment: &str) {
    w.array("tool_calls", |array| {
        array.object(|w| {
            w.number("index", u64::from(index));
            w.object("function", |w| w.string("arguments", fragment));
        });
    });
}
