//! Events, written as a stream of responses.
//!
//! Items are addressed by their place in the output, so calls of tools may come interleaved. A part of a message stays
//! open after it is complete until something else begins: what it rests on may be told late.

mod functions;
mod words;

use crate::{
    Call, Event, Fault, StopReason, Usage,
    json::{ObjectWriter, object},
    openai,
    relay::Encode,
    responses::{
        echo::{Echo, Ending, Head},
        output::Names,
    },
    sse,
};

use functions::Function;
use words::Open;

/// Writes events, one after the other.
#[derive(Debug)]
pub(crate) struct Encoder {
    echo: Echo,
    id: String,
    model: String,
    created: u64,
    names: Names,
    service_tier: Option<&'static str>,
    /// The number of the next event.
    sequence: u64,
    started: bool,
    /// What follows belongs to another choice than the first one, which a response has no place for.
    muted: bool,
    /// The items, written; those that are open are empty.
    items: Vec<String>,
    open: Option<Open>,
    functions: Vec<Function>,
    usage: Option<Usage>,
    stop: Option<(StopReason, Option<String>)>,
    refuses: bool,
}

impl Encoder {
    /// Writes for the caller of a call.
    pub(crate) fn new(call: &Call) -> Self {
        Self {
            echo: Echo::of(call),
            id: String::new(),
            model: call.envelope.model.clone(),
            created: call.created,
            names: Names::default(),
            service_tier: None,
            sequence: 0,
            started: false,
            muted: false,
            items: Vec::new(),
            open: None,
            functions: Vec::new(),
            usage: None,
            stop: None,
            refuses: false,
        }
    }
}

impl Encode for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault> {
        match event {
            Event::Choice(choice) => self.muted = choice > 0,
            Event::Start { id, model, created, usage } => self.start(id, model, (created, usage), out),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::ServiceTier(tier) => self.service_tier = openai::usage::tier(&tier),
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            Event::End => self.end(out),
            _ if self.muted => {}
            Event::Text(text) => self.said(&text, false, out),
            Event::Refusal(text) => {
                self.refuses = true;
                self.said(&text, true, out);
            }
            Event::Citation(citation) => self.cite(&citation, out),
            Event::Logprobs(tokens) => self.odds(&tokens, out),
            Event::Thinking(text) => self.think(&text, out),
            Event::Signature(seal) => self.seal(seal, out),
            Event::RedactedThinking(seal) => {
                self.close(out);
                self.open_reasoning(out);
                self.seal(seal, out);
                self.close(out);
            }
            Event::ToolStart { index, id, name, signature } => {
                self.close(out);
                self.call(index, &id, (name, signature), out);
            }
            Event::ToolArguments { index, fragment } => self.arguments(index, &fragment, out)?,
            Event::PartEnd => {
                if let Some(open) = &mut self.open {
                    open.ended = true;
                }
                self.close_functions(out);
            }
            Event::Stop { reason, native, .. } => self.stop = Some((reason, native)),
            // The relay tells faults itself.
            Event::Fault(_) | Event::Unknown => {}
        }
        Ok(())
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Encoder {
    fn start(
        &mut self,
        id: String,
        model: String,
        (created, usage): (Option<u64>, Option<Usage>),
        out: &mut Vec<u8>,
    ) {
        self.names = Names::new(&id);
        self.id = id;
        if !model.is_empty() {
            self.model = model;
        }
        self.created = created.unwrap_or(self.created);
        self.usage = usage;
        self.started = true;
        self.response("response.created", Ending::InProgress, out);
        self.response("response.in_progress", Ending::InProgress, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            self.start(String::new(), String::new(), (None, None), out);
        }
        self.close(out);
        self.close_functions(out);
        let (stop, native) = self.stop.take().unwrap_or((StopReason::End, None));
        let ending = Ending::Done { stop, native: native.as_deref(), refuses: self.refuses };
        let kind = match ending.status().0 {
            "incomplete" => "response.incomplete",
            "failed" => "response.failed",
            _ => "response.completed",
        };
        self.response(kind, ending, out);
    }

    /// Tells the whole response so far.
    fn response(&mut self, kind: &str, ending: Ending<'_>, out: &mut Vec<u8>) {
        let is_over = matches!(ending, Ending::Done { .. });
        let sequence = self.take_number();
        let head = Head {
            id: &self.id,
            model: &self.model,
            created: self.created,
            ending,
            service_tier: self.service_tier,
            usage: is_over.then(|| self.usage.unwrap_or_default()),
        };
        let items: &[String] = if is_over { &self.items } else { &[] };
        let data = object(|w| {
            w.string("type", kind);
            w.number("sequence_number", sequence);
            w.object("response", |w| head.write(w, items, &self.echo));
        });
        sse::write(out, Some(kind), &data);
    }

    fn take_number(&mut self) -> u64 {
        let number = self.sequence;
        self.sequence += 1;
        number
    }

    fn record(&mut self, kind: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        let sequence = self.take_number();
        let data = object(|w| {
            w.string("type", kind);
            w.number("sequence_number", sequence);
            write(w);
        });
        sse::write(out, Some(kind), &data);
    }

    /// A place for the next item, and its id.
    fn place(&mut self, kind: &str) -> (String, usize) {
        let at = self.items.len();
        self.items.push(String::new());
        (self.names.item(kind, number(at)), at)
    }

    fn added(&mut self, at: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.record("response.output_item.added", out, |w| {
            w.number("output_index", number(at));
            w.object("item", write);
        });
    }

    /// Tells an item that is complete and keeps it for the end.
    fn done(&mut self, at: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        let item = String::from_utf8(object(write)).unwrap_or_default();
        self.record("response.output_item.done", out, |w| {
            w.number("output_index", number(at));
            w.raw("item", &item);
        });
        if let Some(place) = self.items.get_mut(at) {
            *place = item;
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
