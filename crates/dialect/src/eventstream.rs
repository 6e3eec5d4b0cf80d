//! AWS's binary event stream: whole messages out of chunks, checked by their checksums.
//!
//! A message is `length, length of headers, checksum of both, headers, payload, checksum of all`. Lengths are
//! believed only after their own checksum, and bounded before anything is kept. It must not know what payloads mean.

use bytes::Bytes;

use crate::{Fault, sse::LARGEST_RECORD};

/// Both lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const TRAILER: usize = 4;
/// The most headers there may be, in bytes.
const LARGEST_HEADERS: usize = 128 << 10;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A step of the answer.
    Event,
    /// A failure that the service has a name for.
    Exception,
    /// A failure of the service itself.
    Error,
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// The type of the event or of the exception, or the code of the error.
    pub(crate) name: String,
    /// What an error says; the others say it in their payload.
    pub(crate) text: String,
    pub(crate) payload: Bytes,
}

/// Cuts chunks into messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The message so far, from earlier chunks.
    carry: Vec<u8>,
    chunk: Bytes,
}

impl Messages {
    /// Takes the next chunk; the messages of the last one must have been taken.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, Fault> {
        if self.carry.is_empty() {
            let whole = match total(&self.chunk)? {
                Some(total) if self.chunk.len() >= total => self.chunk.split_to(total),
                _ => {
                    self.carry.extend_from_slice(&std::mem::take(&mut self.chunk));
                    return Ok(None);
                }
            };
            return read(&whole).map(Some);
        }
        loop {
            let total = total(&self.carry)?;
            let missing = total.unwrap_or(PRELUDE).saturating_sub(self.carry.len());
            let piece = self.chunk.split_to(missing.min(self.chunk.len()));
            self.carry.extend_from_slice(&piece);
            if piece.len() < missing {
                return Ok(None);
            }
            if total.is_some() {
                return read(&Bytes::from(std::mem::take(&mut self.carry))).map(Some);
            }
        }
    }
}

/// The length of the message that begins here, once its prelude is there and its checksum holds.
fn total(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some((prelude, checksum)) = bytes.first_chunk::<PRELUDE>().and_then(|p| p.split_last_chunk::<4>())
    else {
        return Ok(None);
    };
    check(prelude, *checksum)?;
    let (total, headers) = (number(prelude), number(prelude.get(4..).unwrap_or_default()));
    if headers > LARGEST_HEADERS || total > LARGEST_RECORD {
        return Err(Fault::bad_answer("record_too_large", "the provider sent a message that is too large"));
    }
    if total < PRELUDE + headers + TRAILER {
        return Err(malformed());
    }
    Ok(Some(total))
}

/// Four bytes as a number, the highest first; fewer are no number.
fn number(bytes: &[u8]) -> usize {
    let number = bytes.first_chunk::<4>().map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes));
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn check(bytes: &[u8], checksum: [u8; 4]) -> Result<(), Fault> {
    if crc32fast::hash(bytes) == u32::from_be_bytes(checksum) {
        return Ok(());
    }
    Err(Fault::bad_answer(
        "checksum_mismatch",
        "the provider's stream was damaged on its way: a checksum does not hold",
    ))
}

fn malformed() -> Fault {
    Fault::bad_answer("invalid_answer", "the provider's event stream is malformed")
}

/// Reads a message of the right length.
fn read(whole: &Bytes) -> Result<Message, Fault> {
    let (bytes, checksum) = whole.split_last_chunk::<TRAILER>().ok_or_else(malformed)?;
    check(bytes, *checksum)?;
    let headers = PRELUDE + number(bytes.get(4..).unwrap_or_default());
    let mut message = Message {
        kind: Kind::Event,
        name: String::new(),
        text: String::new(),
        payload: whole.slice(headers..bytes.len()),
    };
    let mut rest = bytes.get(PRELUDE..headers).ok_or_else(malformed)?;
    while !rest.is_empty() {
        let name = counted(&mut rest, 1)?;
        let value = value(&mut rest)?;
        let text = || String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        match name {
            b":message-type" => {
                message.kind = match value {
                    Some(b"exception") => Kind::Exception,
                    Some(b"error") => Kind::Error,
                    _ => Kind::Event,
                };
            }
            b":event-type" | b":exception-type" | b":error-code" => message.name = text(),
            b":error-message" => message.text = text(),
            _ => {}
        }
    }
    Ok(message)
}

/// Takes the value of a header; only texts are given out.
fn value<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
    let width = match take(rest, 1)? {
        [0 | 1] => 0,
        [2] => 1,
        [3] => 2,
        [4] => 4,
        [5 | 8] => 8,
        [6] => return counted(rest, 2).map(|_| None),
        [7] => return counted(rest, 2).map(Some),
        [9] => 16,
        _ => return Err(malformed()),
    };
    take(rest, width).map(|_| None)
}

/// Takes bytes whose count stands before them, in one byte or two.
fn counted<'a>(rest: &mut &'a [u8], width: usize) -> Result<&'a [u8], Fault> {
    let count = take(rest, width)?.iter().fold(0, |count, byte| count << 8 | usize::from(*byte));
    take(rest, count)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Fault> {
    let (taken, left) = rest.split_at_checked(count).ok_or_else(malformed)?;
    *rest = left;
    Ok(taken)
}

/// Writes a message; what is too long for the format is cut, so nothing but short names and bodies may be given.
pub(crate) fn write(out: &mut Vec<u8>, kind: Kind, name: &str, payload: &[u8]) {
    let mut headers = Vec::with_capacity(96);
    let mut header = |name: &str, value: &str| {
        headers.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    };
    let (kind, named) = match kind {
        Kind::Event => ("event", ":event-type"),
        Kind::Exception => ("exception", ":exception-type"),
        Kind::Error => ("error", ":error-code"),
    };
    header(named, name);
    header(":content-type", "application/json");
    header(":message-type", kind);
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    let start = out.len();
    out.extend_from_slice(&length(PRELUDE + headers.len() + payload.len() + TRAILER));
    out.extend_from_slice(&length(headers.len()));
    out.extend_from_slice(&crc32fast::hash(out.get(start..).unwrap_or_default()).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(out.get(start..).unwrap_or_default()).to_be_bytes());
}

/// One event as AWS sends it: what a scripted provider needs to speak as one.
#[must_use]
pub fn aws_event(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 128);
    write(&mut out, Kind::Event, name, payload);
    out
}

/// One exception inside a stream as AWS sends it.
#[must_use]
pub fn aws_exception(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 128);
    write(&mut out, Kind::Exception, name, payload);
    out
}

#[cfg(test)]
mod tests;
