//! Events, written as a stream of responses.
//!
//! Items are addressed by their place in the output, so calls of tools may come interleaved. A part of a message stays
//! open after it is complete until something else begins: what it rests on may be told late.

use crate::{
    Call, Event, Fault, Signature, StopReason, Usage,
    canonical::{Citation, Json},
    json::{ObjectWriter, object},
    relay::Encode,
    responses::{
        content::annotation,
        echo::{Echo, Ending, Head},
        output::{self, Called, Names, function_call, message_head},
    },
    signature::seal_id,
    sse,
};

/// Writes events, one after the other.
#[derive(Debug)]
pub(crate) struct Encoder {
    echo: Echo,
    id: String,
    model: String,
    created: u64,
    names: Names,
    service_tier: Option<String>,
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

/// The words that are open: an item and where it stands.
#[derive(Debug)]
struct Open {
    id: String,
    at: usize,
    /// The piece is complete, and the next one of its kind is another one.
    ended: bool,
    words: Words,
}

#[derive(Debug)]
enum Words {
    Message { content: Vec<String>, part: Option<Part> },
    Reasoning { text: String, seal: Option<Signature> },
}

/// The part of a message that is open.
#[derive(Debug, Default)]
struct Part {
    refuses: bool,
    text: String,
    annotations: Vec<String>,
    /// The odds of the tokens so far, without brackets.
    logprobs: String,
}

/// A call of a function that is open.
#[derive(Debug)]
struct Function {
    index: u32,
    at: usize,
    id: String,
    call_id: String,
    name: String,
    arguments: String,
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
            Event::ServiceTier(tier) => self.service_tier = Some(tier),
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
            service_tier: self.service_tier.as_deref(),
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

/// Words: messages and reasoning.
impl Encoder {
    fn said(&mut self, text: &str, refuses: bool, out: &mut Vec<u8>) {
        self.open_part(refuses, out);
        let Some((mut open, mut part)) = self.take_part() else { return };
        part.text.push_str(text);
        self.delta(&open, (refuses, text, "[]"), out);
        give_back(&mut open, part);
        self.open = Some(open);
    }

    fn delta(&mut self, open: &Open, (refuses, text, logprobs): (bool, &str, &str), out: &mut Vec<u8>) {
        let kind = if refuses { "response.refusal.delta" } else { "response.output_text.delta" };
        self.record(kind, out, |w| {
            address(w, open);
            w.string("delta", text);
            if !refuses {
                w.raw("logprobs", logprobs);
            }
        });
    }

    /// The open message and its open part, taken out.
    fn take_part(&mut self) -> Option<(Open, Part)> {
        let mut open = self.open.take()?;
        let Words::Message { part, .. } = &mut open.words else {
            self.open = Some(open);
            return None;
        };
        let Some(part) = part.take() else {
            self.open = Some(open);
            return None;
        };
        Some((open, part))
    }

    /// Makes a part of a message the open one.
    fn open_part(&mut self, refuses: bool, out: &mut Vec<u8>) {
        let fits = |part: &Part, ended: bool| part.refuses == refuses && !ended;
        match &self.open {
            Some(Open { words: Words::Message { part: Some(part), .. }, ended, .. })
                if fits(part, *ended) =>
            {
                return;
            }
            Some(Open { words: Words::Message { .. }, .. }) => self.close_part(out),
            _ => {
                self.close(out);
                let (id, at) = self.place("msg");
                self.added(at, out, |w| {
                    message_head(w, &id, "in_progress");
                    w.array("content", |_| {});
                });
                let words = Words::Message { content: Vec::new(), part: None };
                self.open = Some(Open { id, at, ended: false, words });
            }
        }
        let Some(mut open) = self.open.take() else { return };
        let part = Part { refuses, ..Part::default() };
        self.record("response.content_part.added", out, |w| {
            address(w, &open);
            w.object("part", |w| part.write(w));
        });
        open.ended = false;
        give_back(&mut open, part);
        self.open = Some(open);
    }

    /// What a text rests on may be told when it is complete.
    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let Some(json) = annotation(citation) else { return };
        let Some((mut open, mut part)) = self.take_part() else { return };
        let place = number(part.annotations.len());
        self.record("response.output_text.annotation.added", out, |w| {
            address(w, &open);
            w.number("annotation_index", place);
            w.raw("annotation", &json);
        });
        part.annotations.push(json);
        give_back(&mut open, part);
        self.open = Some(open);
    }

    fn odds(&mut self, tokens: &Json, out: &mut Vec<u8>) {
        let inner = tokens.text().trim().trim_start_matches('[').trim_end_matches(']');
        if inner.trim().is_empty() {
            return;
        }
        let Some((mut open, mut part)) = self.take_part() else { return };
        if !part.logprobs.is_empty() {
            part.logprobs.push(',');
        }
        part.logprobs.push_str(inner);
        let refuses = part.refuses;
        self.delta(&open, (refuses, "", tokens.text()), out);
        give_back(&mut open, part);
        self.open = Some(open);
    }

    fn close_part(&mut self, out: &mut Vec<u8>) {
        let Some((mut open, part)) = self.take_part() else { return };
        let kind = if part.refuses { "response.refusal.done" } else { "response.output_text.done" };
        self.record(kind, out, |w| {
            address(w, &open);
            if part.refuses {
                w.string("refusal", &part.text);
            } else {
                w.string("text", &part.text);
                w.raw("logprobs", &format!("[{}]", part.logprobs));
            }
        });
        let json = String::from_utf8(object(|w| part.write(w))).unwrap_or_default();
        self.record("response.content_part.done", out, |w| {
            address(w, &open);
            w.raw("part", &json);
        });
        if let Words::Message { content, .. } = &mut open.words {
            content.push(json);
        }
        self.open = Some(open);
    }

    fn open_reasoning(&mut self, out: &mut Vec<u8>) {
        if let Some(Open { words: Words::Reasoning { .. }, ended: false, .. }) = &self.open {
            return;
        }
        self.close(out);
        let (id, at) = self.place("rs");
        self.added(at, out, |w| output::reasoning(w, &id, "", None));
        let words = Words::Reasoning { text: String::new(), seal: None };
        self.open = Some(Open { id, at, ended: false, words });
    }

    fn think(&mut self, fragment: &str, out: &mut Vec<u8>) {
        self.open_reasoning(out);
        let Some(mut open) = self.open.take() else { return };
        let Words::Reasoning { text, .. } = &mut open.words else { return };
        let is_first = text.is_empty();
        text.push_str(fragment);
        if is_first {
            self.summary("response.reasoning_summary_part.added", &open, out, |w| {
                w.object("part", |w| summary_text(w, ""));
            });
        }
        self.summary("response.reasoning_summary_text.delta", &open, out, |w| w.string("delta", fragment));
        self.open = Some(open);
    }

    fn summary(
        &mut self,
        kind: &str,
        open: &Open,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        self.record(kind, out, |w| {
            w.string("item_id", &open.id);
            w.number("output_index", number(open.at));
            w.number("summary_index", 0);
            write(w);
        });
    }

    /// A seal may come when the reasoning is complete.
    fn seal(&mut self, more: Signature, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Open { words: Words::Reasoning { .. }, .. })) {
            self.open_reasoning(out);
        }
        let Some(Open { words: Words::Reasoning { seal, .. }, .. }) = &mut self.open else { return };
        match seal {
            Some(seal) if seal.by == more.by => seal.data.push_str(&more.data),
            _ => *seal = Some(more),
        }
    }

    /// Closes the words that are open.
    fn close(&mut self, out: &mut Vec<u8>) {
        self.close_part(out);
        let Some(open) = self.open.take() else { return };
        match &open.words {
            Words::Message { content, .. } => self.done(open.at, out, |w| {
                message_head(w, &open.id, "completed");
                w.array("content", |array| content.iter().for_each(|part| array.raw(part)));
            }),
            Words::Reasoning { text, seal } => {
                if !text.is_empty() {
                    self.summary("response.reasoning_summary_text.done", &open, out, |w| {
                        w.string("text", text)
                    });
                    self.summary("response.reasoning_summary_part.done", &open, out, |w| {
                        w.object("part", |w| summary_text(w, text));
                    });
                }
                self.done(open.at, out, |w| output::reasoning(w, &open.id, text, seal.as_ref()));
            }
        }
    }
}

/// Calls of functions.
impl Encoder {
    fn call(
        &mut self,
        index: u32,
        call_id: &str,
        (name, signature): (String, Option<Signature>),
        out: &mut Vec<u8>,
    ) {
        let call_id = seal_id(call_id, signature.as_ref());
        let (id, at) = self.place("fc");
        let function = Function { index, at, id, call_id, name, arguments: String::new() };
        self.added(at, out, |w| function_call(w, &function.id, &function.called("in_progress")));
        self.functions.push(function);
    }

    fn arguments(&mut self, index: u32, fragment: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(place) = self.functions.iter().position(|function| function.index == index) else {
            let message = "the provider continued a tool call that was complete";
            return Err(Fault::bad_answer("invalid_answer", message));
        };
        let mut function = self.functions.remove(place);
        function.arguments.push_str(fragment);
        self.piece("response.function_call_arguments.delta", &function, ("delta", fragment), out);
        self.functions.insert(place, function);
        Ok(())
    }

    fn piece(&mut self, kind: &str, function: &Function, (name, text): (&str, &str), out: &mut Vec<u8>) {
        self.record(kind, out, |w| {
            w.string("item_id", &function.id);
            w.number("output_index", number(function.at));
            w.string(name, text);
        });
    }

    /// A call without arguments has an empty object.
    fn close_functions(&mut self, out: &mut Vec<u8>) {
        for mut function in std::mem::take(&mut self.functions) {
            if function.arguments.trim().is_empty() {
                function.arguments = "{}".to_owned();
                self.piece("response.function_call_arguments.delta", &function, ("delta", "{}"), out);
            }
            let whole = ("arguments", function.arguments.as_str());
            self.piece("response.function_call_arguments.done", &function, whole, out);
            self.done(function.at, out, |w| function_call(w, &function.id, &function.called("completed")));
        }
    }
}

impl Function {
    fn called<'a>(&'a self, status: &'a str) -> Called<'a> {
        Called { call_id: &self.call_id, name: &self.name, arguments: &self.arguments, status }
    }
}

impl Part {
    fn write(&self, w: &mut ObjectWriter<'_>) {
        if self.refuses {
            w.string("type", "refusal");
            return w.string("refusal", &self.text);
        }
        w.string("type", "output_text");
        w.string("text", &self.text);
        w.array("annotations", |array| self.annotations.iter().for_each(|json| array.raw(json)));
        w.raw("logprobs", &format!("[{}]", self.logprobs));
    }
}

fn give_back(open: &mut Open, taken: Part) {
    if let Words::Message { part, .. } = &mut open.words {
        *part = Some(taken);
    }
}

/// Where a part of a message stands.
fn address(w: &mut ObjectWriter<'_>, open: &Open) {
    w.string("item_id", &open.id);
    w.number("output_index", number(open.at));
    let place = match &open.words {
        Words::Message { content, .. } => content.len(),
        Words::Reasoning { .. } => 0,
    };
    w.number("content_index", number(place));
}

fn summary_text(w: &mut ObjectWriter<'_>, text: &str) {
    w.string("type", "summary_text");
    w.string("text", text);
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
