//! Streamed answers: one door for passing bytes through and for translating them.
//!
//! Only whole records are given out, so an error in band never lands inside another record, and a record that
//! reports an error never reaches the caller unasked. What to do after a fault is decided elsewhere.

mod framed;
mod pass;
mod translate;

use bytes::Bytes;

use crate::{Call, Dialect, ErrorShape, Event, Fault, Summary, bedrock, encode_error, responses, sse};

use pass::Pass;
use translate::Translate;

/// A stream on its way from a provider to a caller.
#[derive(Debug)]
pub struct Relay {
    caller: Dialect,
    road: Road,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the rule, and boxing it would cost each call an allocation"
)]
enum Road {
    Pass(Pass),
    Translate(Box<Translate>),
}

/// How an answer comes from a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// What the provider speaks.
    pub dialect: Dialect,
    /// How its streams are cut into records.
    pub framing: Framing,
}

impl From<Dialect> for Wire {
    /// The dialect at its own vendor.
    fn from(dialect: Dialect) -> Self {
        let framing = if dialect == Dialect::Bedrock { Framing::AwsEvents } else { Framing::Sse };
        Self { dialect, framing }
    }
}

/// How a stream is cut into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// AWS's binary event stream, an event a message.
    AwsEvents,
    /// AWS's binary event stream around records of another dialect, as InvokeModel has it.
    AwsChunks,
}

/// Reads the records of a provider's stream.
pub(crate) trait Decode: std::fmt::Debug + Send {
    /// Reads the data of one record; `name` is the event's, empty when it has none.
    fn push(&mut self, name: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<(), Fault>;

    /// The stream has ended; true when the answer was whole.
    fn finish(&mut self, events: &mut Vec<Event>) -> bool;
}

/// Writes events as the caller's stream.
pub(crate) trait Encode: std::fmt::Debug + Send {
    /// Writes one event.
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault>;

    /// The number of the next record, where records are numbered.
    fn sequence(&self) -> u64 {
        0
    }
}

impl Relay {
    /// A relay for the answer to a call.
    #[must_use]
    pub fn new(call: &Call, upstream: impl Into<Wire>) -> Self {
        let wire = upstream.into();
        // Streams of these two are read into events and written again, for callers of their own dialect as well: there is no probe
        // that reads their bytes in passing.
        let is_spoken = !matches!(wire.dialect, Dialect::Bedrock | Dialect::Cohere);
        let road = if call.dialect == wire.dialect && is_spoken {
            Road::Pass(Pass::new(call, wire.framing))
        } else {
            Road::Translate(Box::new(Translate::new(call, wire)))
        };
        Self { caller: call.dialect, road }
    }

    /// Takes bytes of the provider and gives out what the caller gets for them. Only whole records are given out.
    ///
    /// # Errors
    /// The provider reported an error in band, or sent garbage. What stood before it was given out.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match &mut self.road {
            Road::Pass(pass) => pass.push(chunk, out),
            Road::Translate(translate) => translate.push(chunk, out),
        }
    }

    /// The provider's body has ended.
    ///
    /// # Errors
    /// It ended before its grammar allows: the answer was cut.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match &mut self.road {
            Road::Pass(pass) => pass.finish(out),
            Road::Translate(translate) => translate.finish(out),
        }
    }

    /// Whether content was given out: from then on no other provider can take over silently.
    #[must_use]
    pub fn has_content(&self) -> bool {
        let summary = self.known();
        summary.output_chars > 0 || summary.stop.is_some() || summary.complete
    }

    /// Whether the answer came to its proper end: what the provider's connection does after it changes nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.known().complete
    }

    /// What is known so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.known().clone()
    }

    /// Ends the stream with an error in band, in the caller's dialect. A finished stream stays finished.
    pub fn abort(&mut self, error: &ErrorShape<'_>, out: &mut Vec<Bytes>) {
        if self.known().complete {
            return;
        }
        if self.caller == Dialect::Bedrock {
            out.push(bedrock::error::exception(error).into());
            return;
        }
        let (event, data) = match self.caller {
            Dialect::Responses => (Some("error"), responses::error::event(error, self.sequence()).into()),
            Dialect::Anthropic => (Some("error"), encode_error(self.caller, error)),
            Dialect::OpenAi | Dialect::Gemini | Dialect::Bedrock | Dialect::Cohere => {
                (None, encode_error(self.caller, error))
            }
        };
        let mut record = Vec::new();
        sse::write(&mut record, event, &data);
        out.push(record.into());
    }

    fn sequence(&self) -> u64 {
        match &self.road {
            Road::Pass(pass) => pass.sequence,
            Road::Translate(translate) => translate.sequence(),
        }
    }

    fn known(&self) -> &Summary {
        match &self.road {
            Road::Pass(pass) => &pass.summary,
            Road::Translate(translate) => &translate.summary,
        }
    }
}

/// The fault of a stream that ended too early.
pub(crate) fn cut() -> Fault {
    Fault::bad_answer("stream_cut", "the provider's stream ended before the answer was complete")
}

/// The fault of an answer whose provider says that it failed while writing it.
pub(crate) fn failed(word: &str) -> Fault {
    Fault::bad_answer(
        "provider_failed",
        format!("the provider failed while answering (`{}`)", crate::fault::sanitise(word)),
    )
}

#[cfg(test)]
mod tests;
