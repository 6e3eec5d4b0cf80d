//! Events, written as Gemini's stream: every record is an answer of its own with the next pieces.
//!
//! Calls of tools are given out whole, so their pieces wait. The reasons to end and the usage come with the last record.

use std::collections::BTreeMap;

use crate::{
    Call, Citation, Dialect, Event, Fault, Signature, StopReason, Usage,
    canonical::{Json, Part, PartBody},
    gemini::{
        answer::{shown, write_content},
        cited, odds, parts, usage,
    },
    json::{ArrayWriter, ObjectWriter, object},
    relay::Encode,
    sse,
};

/// Writes records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    id: String,
    model: String,
    usage: Option<Usage>,
    tier: Option<String>,
    current: u32,
    choices: BTreeMap<u32, Choice>,
}

/// What waits of a choice.
#[derive(Debug, Default)]
struct Choice {
    calls: Vec<(u32, Part)>,
    citations: Vec<Citation>,
    /// The seal of the reasoning before: it goes onto the call that follows, if one does.
    seal: Option<Signature>,
    /// The text so far: what it rests on is told in bytes.
    text: String,
    refuses: bool,
    stop: Option<(StopReason, Option<String>)>,
}

impl Encoder {
    /// Writes for the caller of a call.
    pub(crate) fn new(_call: &Call) -> Self {
        Self::default()
    }
}

impl Encode for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault> {
        match event {
            Event::Start { id, model, usage, .. } => {
                (self.id, self.model) = (id, model);
                self.usage = usage;
            }
            Event::Choice(index) => self.current = index,
            Event::Text(text) => {
                self.give_seal(out);
                self.choice().text.push_str(&text);
                self.part(out, &PartBody::Text(text).into());
            }
            Event::Refusal(text) => {
                self.give_seal(out);
                self.choice().refuses = true;
                self.part(out, &PartBody::Text(text).into());
            }
            Event::Thinking(text) => {
                self.give_seal(out);
                self.part(out, &PartBody::Thinking { text, signature: None }.into());
            }
            Event::Signature(signature) => match &mut self.choice().seal {
                Some(seal) if seal.by == signature.by => seal.data.push_str(&signature.data),
                seal => *seal = Some(signature),
            },
            Event::RedactedThinking(data) => {
                self.give_seal(out);
                self.choice().seal = Some(parts::wordless(&data));
            }
            Event::ToolStart { index, id, name, signature } => {
                let body = PartBody::ToolCall { id, name, arguments: String::new() };
                let signature = signature.or_else(|| self.choice().seal.take());
                self.choice().calls.push((index, Part { signature, ..Part::from(body) }));
            }
            Event::ToolArguments { index, fragment } => self.continue_call(index, &fragment),
            Event::PartEnd => self.flush(out),
            Event::Citation(citation) => self.choice().citations.push(citation),
            Event::Logprobs(tokens) => self.logprobs(out, &tokens),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::ServiceTier(tier) => self.tier = Some(tier),
            Event::Stop { reason, native, .. } => {
                self.flush(out);
                self.give_seal(out);
                self.choice().stop = Some((reason, native));
            }
            Event::End => self.end(out),
            // The relay tells faults itself, and an idle stream is nothing that the SDK looks at.
            Event::Fault(_) | Event::Unknown | Event::Ping => {}
        }
        Ok(())
    }
}

impl Encoder {
    fn choice(&mut self) -> &mut Choice {
        self.choices.entry(self.current).or_default()
    }

    fn continue_call(&mut self, index: u32, fragment: &str) {
        let call = self.choice().calls.iter_mut().rev().find(|(known, _)| *known == index);
        if let Some(PartBody::ToolCall { arguments, .. }) = call.map(|(_, part)| &mut part.body) {
            arguments.push_str(fragment);
        }
    }

    /// Gives out a seal that no call took.
    fn give_seal(&mut self, out: &mut Vec<u8>) {
        if let Some(seal) = self.choice().seal.take() {
            self.part(out, &parts::thought(String::new(), Some(seal)).into());
        }
    }

    /// Gives out the calls that wait: they are whole.
    fn flush(&mut self, out: &mut Vec<u8>) {
        for (_, part) in std::mem::take(&mut self.choice().calls) {
            self.part(out, &part);
        }
    }

    fn part(&mut self, out: &mut Vec<u8>, part: &Part) {
        let Some(part) = shown(part) else { return };
        let index = self.current;
        self.record(out, None, |array| {
            array.object(|w| {
                w.object("content", |w| write_content(w, std::slice::from_ref(&part)));
                w.number("index", u64::from(index));
            });
        });
    }

    fn logprobs(&self, out: &mut Vec<u8>, tokens: &Json) {
        self.record(out, None, |array| {
            array.object(|w| {
                w.object("content", |w| write_content(w, &[]));
                w.number("index", u64::from(self.current));
                odds::write(w, tokens);
            });
        });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        for index in self.choices.keys().copied().collect::<Vec<_>>() {
            self.current = index;
            self.flush(out);
            self.give_seal(out);
        }
        self.choices.entry(0).or_default();
        let usage = self.usage.unwrap_or_default();
        self.record(out, Some(&usage), |array| {
            for (index, choice) in &self.choices {
                array.object(|w| write_end(w, *index, choice));
            }
        });
    }

    fn record(&self, out: &mut Vec<u8>, usage: Option<&Usage>, write: impl FnOnce(&mut ArrayWriter<'_>)) {
        let data = object(|w| {
            w.array("candidates", write);
            if let Some(usage) = usage {
                w.object("usageMetadata", |w| usage::write(usage, self.tier.as_deref(), w));
            }
            w.string("modelVersion", &self.model);
            w.string("responseId", &self.id);
        });
        sse::write(out, None, &data);
    }
}

fn write_end(w: &mut ObjectWriter<'_>, index: u32, choice: &Choice) {
    w.object("content", |w| {
        w.array("parts", |array| array.object(|w| w.string("text", "")));
        w.string("role", "model");
    });
    let (reason, native) = match &choice.stop {
        Some((reason, native)) => (*reason, native.as_deref()),
        None => (StopReason::End, None),
    };
    w.string("finishReason", reason.with_refusal(choice.refuses).encode(Dialect::Gemini));
    if let Some(native) = native {
        w.string("finishMessage", native);
    }
    w.number("index", u64::from(index));
    cited::write(w, &choice.citations, &choice.text);
}
