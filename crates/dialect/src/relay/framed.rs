//! Records out of a provider's stream, however it is cut: what is not a record of server-sent events becomes one.

use base64::Engine;
use bytes::Bytes;

use super::Framing;
use crate::{
    Fault,
    eventstream::{Kind, Message, Messages},
    fault::{broken, decode_exception},
    json::Object,
    sse::{self, LARGEST_RECORD, Records},
};

/// Cuts chunks into records.
#[derive(Debug)]
pub(super) struct Framed {
    cut: Cut,
}

#[derive(Debug)]
enum Cut {
    Sse(Records),
    Events(Messages),
    Chunks(Messages),
}

impl Framed {
    pub(super) fn new(framing: Framing) -> Self {
        let cut = match framing {
            Framing::Sse => Cut::Sse(Records::new(LARGEST_RECORD)),
            Framing::AwsEvents => Cut::Events(Messages::default()),
            Framing::AwsChunks => Cut::Chunks(Messages::default()),
        };
        Self { cut }
    }

    /// Takes the next chunk; the records of the last one must have been taken.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        match &mut self.cut {
            Cut::Sse(records) => records.feed(chunk),
            Cut::Events(messages) | Cut::Chunks(messages) => messages.feed(chunk),
        }
    }

    /// The next whole record.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let (messages, unwrap) = match &mut self.cut {
            Cut::Sse(records) => return records.next(),
            Cut::Events(messages) => (messages, false),
            Cut::Chunks(messages) => (messages, true),
        };
        let Some(message) = messages.next()? else { return Ok(None) };
        match message.kind {
            Kind::Event if unwrap => chunk(&message).map(Some).map_err(|fault| broken(&fault)),
            Kind::Event => Ok(Some(record(Some(&message.name), &message.payload))),
            Kind::Exception => Err(decode_exception(&message.name, &message.payload)),
            Kind::Error => {
                let body = crate::json::object(|w| w.string("message", &message.text));
                Err(decode_exception(&message.name, &body))
            }
        }
    }

    /// Whether what comes next can go on as it came: records stand in it as they are, and none is open.
    pub(super) fn is_plain(&self) -> bool {
        matches!(&self.cut, Cut::Sse(records) if records.is_empty())
    }

    /// What is left when the stream has ended. A message that was cut is nothing: its checksum never came.
    pub(super) fn rest(&mut self) -> Bytes {
        match &mut self.cut {
            Cut::Sse(records) => records.rest(),
            Cut::Events(_) | Cut::Chunks(_) => Bytes::new(),
        }
    }
}

/// The record inside a chunk: whatever the model's own dialect says.
fn chunk(message: &Message) -> Result<Bytes, Fault> {
    if message.name != "chunk" {
        return Ok(Bytes::from_static(b": unknown\n\n"));
    }
    let mut part = Object::parse(&message.payload)?;
    let bytes: std::borrow::Cow<'_, str> = part.take_as("bytes", "a string")?.unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(bytes.as_bytes());
    let bytes = bytes.map_err(|_error| Fault::invalid("`bytes` is not base64"))?;
    Ok(record(None, &bytes))
}

/// A record of one line: a line break can only be white space between JSON tokens.
fn record(name: Option<&str>, payload: &[u8]) -> Bytes {
    let name = name.filter(|name| !name.contains(['\n', '\r']));
    let mut out = Vec::with_capacity(payload.len() + 48);
    if payload.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        let line: Vec<u8> =
            payload.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect();
        sse::write(&mut out, name, &line);
    } else {
        sse::write(&mut out, name, payload);
    }
    out.into()
}
