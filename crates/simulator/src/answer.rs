//! What an endpoint gets and hands back: between the server, which knows HTTP, and the dialects, which know their JSON.

use bytes::Bytes;
use http::request::Parts;

use crate::behaviour::Behaviour;
use crate::body::{Event, OddEvents};
use crate::ledger::Billed;
use crate::routes::percent_decoded;
use crate::shelf::Shelf;

/// A request as it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) body: &'a Bytes,
    /// The model, or the id of something, out of the path.
    pub(crate) name: &'a str,
}

impl<'a> Arrived<'a> {
    /// A header's text, empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &'a str {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let pairs = self.parts.uri.query().unwrap_or_default().split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| percent_decoded(value))
    }
}

/// A request that was understood.
pub(crate) trait Question {
    /// The model asked for; empty where there is none.
    fn model(&self) -> &str;

    /// The answer, as the behaviour wants it.
    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal>;
}

/// What reading a request comes to.
pub(crate) type Parsed = Result<Box<dyn Question>, Refusal>;

/// What an answer depends on beside the request itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// A hash of the request's body.
    pub(crate) seed: u64,
    /// The how-manieth call this is.
    pub(crate) number: u64,
    pub(crate) unix_seconds: u64,
    /// The model asked for, without its `@…`.
    pub(crate) model: &'a str,
    pub(crate) behaviour: &'a Behaviour,
    /// What earlier calls left behind.
    pub(crate) shelf: &'a Shelf,
}

impl Facts<'_> {
    /// An id that is the same for the same request at the same place in the order of calls.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}{:08x}", self.seed, self.number)
    }

    /// The id of a part, such as one of several tool calls.
    pub(crate) fn part_id(&self, prefix: &str, part: usize) -> String {
        format!("{prefix}{:016x}{:06x}{part:02x}", self.seed, self.number)
    }

    /// Whether usage is reported.
    pub(crate) fn reports_usage(&self) -> bool {
        !Behaviour::is_on(self.behaviour.no_usage)
    }
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) content: Content,
    pub(crate) billed: Billed,
}

impl Made {
    /// A whole answer in JSON.
    pub(crate) fn json(answer: &serde_json::Value, billed: Billed) -> Self {
        Self { content: Content::Whole(answer.to_string().into(), JSON), billed }
    }

    /// Something that is no model's work and is not billed.
    pub(crate) fn page(answer: &serde_json::Value) -> Self {
        Self { content: Content::Page(answer.to_string().into(), JSON), billed: Billed::default() }
    }
}

/// The usual content type.
pub(crate) const JSON: &str = "application/json";

/// The content type of server-sent events.
pub(crate) const SSE: &str = "text/event-stream; charset=utf-8";

/// The bytes, and their content type.
#[derive(Debug)]
pub(crate) enum Content {
    Whole(Bytes, &'static str),
    /// Not billed: lists, files, what is already there.
    Page(Bytes, &'static str),
    Stream(Vec<Event>, OddEvents, &'static str),
}

/// A bad one, before a dialect gives it its shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Instead of the usual type for the status.
    pub(crate) kind: Option<String>,
    /// Instead of the usual code for the status.
    pub(crate) code: Option<String>,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), ..Self::default() }
    }

    /// The request is wrong, at `param`.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::new(400, message) }
    }

    /// The error that a behaviour asks for.
    pub(crate) fn scripted(status: u16, behaviour: &Behaviour) -> Self {
        Self {
            kind: behaviour.error_type.clone(),
            code: behaviour.error_code.clone(),
            ..Self::new(status, format!("simulated error {status}"))
        }
    }
}

/// Pieces of about `size` characters, for arguments that arrive in fragments.
pub(crate) fn fragments(text: &str, size: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = rest.char_indices().nth(size).map_or(rest.len(), |(position, _)| position);
        let (fragment, tail) = rest.split_at_checked(cut)?;
        rest = tail;
        Some(fragment)
    })
}
