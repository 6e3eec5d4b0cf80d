//! The response around what was said: what the caller asked for is told again in every answer.

use crate::{
    Call, Dialect, StopReason, Usage,
    json::{Object, ObjectWriter, object},
    responses::usage,
};

/// Fields of the call that an answer repeats, and what holds where the call says nothing.
const REPEATED: [(&str, &str); 16] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

/// What an answer repeats of its call: the fields, written.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    fields: Vec<u8>,
}

impl Echo {
    /// Reads it from the call.
    pub(crate) fn of(call: &Call) -> Self {
        let mut body = Object::parse(&call.body).ok();
        let mut fields = object(|w| {
            for (name, usual) in REPEATED {
                let value = body.as_mut().and_then(|body| body.take(name));
                w.raw(name, value.map_or(usual, |value| value.get()));
            }
        });
        fields.pop();
        fields.drain(..1);
        Self { fields }
    }
}

/// How far a response has come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending<'a> {
    InProgress,
    Done { stop: StopReason, native: Option<&'a str>, refuses: bool },
}

impl Ending<'_> {
    /// The status, and why it is incomplete.
    pub(crate) fn status(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::InProgress => ("in_progress", None),
            Self::Done { stop: StopReason::Refusal, refuses: true, .. } => ("completed", None),
            Self::Done { stop, .. } => match stop.encode(Dialect::Responses) {
                word @ ("completed" | "failed") => (word, None),
                reason => ("incomplete", Some(reason)),
            },
        }
    }
}

/// A response but for what was said.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) id: &'a str,
    pub(crate) model: &'a str,
    pub(crate) created: u64,
    pub(crate) ending: Ending<'a>,
    pub(crate) service_tier: Option<&'a str>,
    pub(crate) usage: Option<Usage>,
}

impl Head<'_> {
    /// Writes the fields of a response around items that are written already.
    pub(crate) fn write(&self, w: &mut ObjectWriter<'_>, items: &[String], echo: &Echo) {
        let (status, reason) = self.ending.status();
        w.string("id", self.id);
        w.string("object", "response");
        w.number("created_at", self.created);
        w.string("status", status);
        w.bool("background", false);
        w.null("error");
        match reason {
            Some(reason) => w.object("incomplete_details", |w| w.string("reason", reason)),
            None => w.null("incomplete_details"),
        }
        w.string("model", self.model);
        w.array("output", |array| {
            for item in items {
                array.raw(item);
            }
        });
        w.null("previous_response_id");
        // Only a provider of this dialect keeps responses.
        w.bool("store", false);
        w.opt_string("service_tier", self.service_tier);
        w.fields(&echo.fields);
        match &self.usage {
            Some(used) => w.object("usage", |w| usage::write(used, w)),
            None => w.null("usage"),
        }
        if let Ending::Done { native: Some(native), .. } = self.ending {
            w.string("native_finish_reason", native);
        }
    }
}
