//! Server-sent events: whole records out of chunks, and the fields of a record.
//!
//! Records keep their bytes, so that they can be passed on unchanged; a record that lies within one chunk is not
//! copied. It must not know what the data means.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr2;

use crate::Fault;

/// The largest record taken: images come as base64 in one record.
pub(crate) const LARGEST_RECORD: usize = 32 << 20;

/// Cuts chunks into records. A record ends with an empty line and keeps it.
#[derive(Debug)]
pub(crate) struct Records {
    /// The record so far, from earlier chunks.
    carry: Vec<u8>,
    chunk: Bytes,
    /// How much of the chunk was looked at, and where the open record begins in it.
    at: usize,
    start: usize,
    line_is_empty: bool,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
    largest: usize,
}

impl Records {
    pub(crate) fn new(largest: usize) -> Self {
        Self {
            carry: Vec::new(),
            chunk: Bytes::new(),
            at: 0,
            start: 0,
            line_is_empty: true,
            after_return: false,
            largest,
        }
    }

    /// Takes the next chunk; the records of the last one must have been taken.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
        self.at = 0;
        self.start = 0;
    }

    /// The next whole record.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while let Some(byte) = self.chunk.get(self.at).copied() {
            if self.after_return {
                self.after_return = false;
                if byte == b'\n' {
                    self.at += 1;
                    continue;
                }
            }
            if !matches!(byte, b'\n' | b'\r') {
                let rest = self.chunk.get(self.at..).unwrap_or_default();
                self.line_is_empty = false;
                self.at += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                continue;
            }
            self.at += 1;
            self.after_return = byte == b'\r';
            let ends_record = self.line_is_empty;
            self.line_is_empty = true;
            if ends_record {
                self.take_line_feed();
                return Ok(Some(self.cut()));
            }
        }
        self.keep()?;
        Ok(None)
    }

    /// Whether no record is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.carry.is_empty()
    }

    /// What is left when the stream has ended.
    pub(crate) fn rest(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.carry))
    }

    /// A line feed that is already here belongs to the record, not to the next one.
    fn take_line_feed(&mut self) {
        if self.after_return && self.chunk.get(self.at) == Some(&b'\n') {
            self.at += 1;
            self.after_return = false;
        }
    }

    fn cut(&mut self) -> Bytes {
        let piece = self.chunk.slice(self.start..self.at);
        self.start = self.at;
        if self.carry.is_empty() {
            return piece;
        }
        self.carry.extend_from_slice(&piece);
        self.rest()
    }

    fn keep(&mut self) -> Result<(), Fault> {
        let open = self.chunk.get(self.start..).unwrap_or_default();
        if self.carry.len().saturating_add(open.len()) > self.largest {
            return Err(Fault::bad_answer(
                "record_too_large",
                "the provider sent a record that is too large",
            ));
        }
        self.carry.extend_from_slice(open);
        self.chunk = Bytes::new();
        self.start = 0;
        self.at = 0;
        Ok(())
    }
}

/// The fields of a record that matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The name of the event.
    pub(crate) event: &'a [u8],
    /// The data, lines joined.
    pub(crate) data: Option<Cow<'a, [u8]>>,
}

/// Reads the fields of a record.
pub(crate) fn parse(bytes: &[u8]) -> Record<'_> {
    let mut record = Record::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at_checked(end).unwrap_or((rest, b""));
        // A byte order mark counts for nothing, wherever a chunk put it.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
        if let Some(value) = field(line, b"data") {
            record.data = Some(match record.data.take() {
                None => Cow::Borrowed(value),
                Some(before) => Cow::Owned([before.as_ref(), b"\n", value].concat()),
            });
        } else if let Some(value) = field(line, b"event") {
            record.event = value;
        }
    }
    record
}

/// The value of a line when it is this field; one space after the colon does not count.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => rest.is_empty().then_some(rest),
    }
}

/// Writes a record; `data` must be one line, as JSON always is here.
pub(crate) fn write(out: &mut Vec<u8>, event: Option<&str>, data: &[u8]) {
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
