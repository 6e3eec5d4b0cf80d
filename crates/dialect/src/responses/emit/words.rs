//! The words of a streamed answer: messages with their parts, and reasoning.

use super::{Encoder, number};
use crate::{
    Signature,
    canonical::{Citation, Json},
    json::{ObjectWriter, object},
    responses::{
        content::annotation,
        output::{self, message_head},
    },
};

/// The words that are open: an item and where it stands.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: String,
    pub(super) at: usize,
    /// The piece is complete, and the next one of its kind is another one.
    pub(super) ended: bool,
    pub(super) words: Words,
}

#[derive(Debug)]
pub(super) enum Words {
    Message { content: Vec<String>, part: Option<Part> },
    Reasoning { text: String, seal: Option<Signature> },
}

/// The part of a message that is open.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) refuses: bool,
    pub(super) text: String,
    pub(super) annotations: Vec<String>,
    /// The odds of the tokens so far, without brackets.
    pub(super) logprobs: String,
}

impl Encoder {
    pub(super) fn said(&mut self, text: &str, refuses: bool, out: &mut Vec<u8>) {
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
    pub(super) fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let Some((mut open, mut part)) = self.take_part() else { return };
        let Some(json) = annotation(citation, &part.text) else {
            give_back(&mut open, part);
            self.open = Some(open);
            return;
        };
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

    pub(super) fn odds(&mut self, tokens: &Json, out: &mut Vec<u8>) {
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

    pub(super) fn open_reasoning(&mut self, out: &mut Vec<u8>) {
        if let Some(Open { words: Words::Reasoning { .. }, ended: false, .. }) = &self.open {
            return;
        }
        self.close(out);
        let (id, at) = self.place("rs");
        self.added(at, out, |w| output::reasoning(w, &id, "", None));
        let words = Words::Reasoning { text: String::new(), seal: None };
        self.open = Some(Open { id, at, ended: false, words });
    }

    pub(super) fn think(&mut self, fragment: &str, out: &mut Vec<u8>) {
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
    pub(super) fn seal(&mut self, more: Signature, out: &mut Vec<u8>) {
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
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
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
