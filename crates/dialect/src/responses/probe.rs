//! What accounting needs of a response or of one event of its stream, read without building anything.

use std::borrow::Cow;

use crate::{
    StopReason, Usage,
    responses::{answer, usage},
    scan::{ScanError, Scanner, Text, Token},
};

/// What one body or event told.
#[derive(Debug, Default)]
pub(crate) struct Probe<'a> {
    /// The `type` of an event.
    pub(crate) kind: Cow<'a, str>,
    /// The number of an event.
    pub(crate) sequence: Option<u64>,
    /// It reports an error: one of its own, or that of the response in it.
    pub(crate) is_error: bool,
    /// What the response said of itself, alone or in an event.
    pub(crate) response: Response<'a>,
    /// The length of what an event adds.
    pub(crate) chars: u64,
}

impl Probe<'_> {
    /// Why the response ended, when this event is its last.
    pub(crate) fn stop(&self) -> Option<(StopReason, Option<String>)> {
        let usual = match self.kind.as_ref() {
            "response.completed" => "completed",
            "response.incomplete" => "incomplete",
            "response.cancelled" => "cancelled",
            _ => return None,
        };
        Some(self.response.stop(usual))
    }

    /// Whether events of this type are known, be it only as those of a tool of the provider.
    pub(crate) fn is_known(&self) -> bool {
        let Some(kind) = self.kind.strip_prefix("response.") else { return self.kind == "keepalive" };
        KNOWN.contains(&kind) || OF_TOOLS.iter().any(|tool| kind.starts_with(tool))
    }
}

impl Response<'_> {
    /// Why the response ended; where it does not tell its status, `usual` is.
    pub(crate) fn stop(&self, usual: &str) -> (StopReason, Option<String>) {
        let status = self.status.as_deref().unwrap_or(usual);
        let (reason, native) = answer::stop(status, self.reason.as_deref());
        (reason.with_tools(self.calls_tools).with_refusal(self.refuses), native)
    }
}

/// What events of tools of the provider, and of other things that pass as they are, begin with.
const OF_TOOLS: [&str; 11] = [
    "web_search_call.",
    "file_search_call.",
    "code_interpreter_call",
    "image_generation_call.",
    "mcp_call",
    "mcp_list_tools.",
    "custom_tool_call_input.",
    "audio.",
    "shell_call",
    "compaction.",
    "steer.",
];

/// The events that are understood, without what all of them begin with.
const KNOWN: [&str; 23] = [
    "output_text.delta",
    "function_call_arguments.delta",
    "reasoning_summary_text.delta",
    "reasoning_text.delta",
    "refusal.delta",
    "created",
    "queued",
    "in_progress",
    "completed",
    "incomplete",
    "cancelled",
    "output_item.added",
    "output_item.done",
    "content_part.added",
    "content_part.done",
    "output_text.done",
    "output_text.annotation.added",
    "refusal.done",
    "function_call_arguments.done",
    "reasoning_summary_part.added",
    "reasoning_summary_part.done",
    "reasoning_summary_text.done",
    "reasoning_text.done",
];

/// What a response says of itself.
#[derive(Debug, Default)]
pub(crate) struct Response<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) status: Option<Cow<'a, str>>,
    /// Why it is incomplete.
    pub(crate) reason: Option<Cow<'a, str>>,
    pub(crate) service_tier: Option<Cow<'a, str>>,
    pub(crate) usage: Option<Usage>,
    /// It is kept by the provider, as far as it says.
    pub(crate) stored: Option<bool>,
    /// How many pieces of reasoning the provider took out of the call, because another account or model made them.
    pub(crate) removed: u32,
    /// It has `output`, as every response has.
    pub(crate) has_output: bool,
    /// The model calls functions, or refuses in words.
    pub(crate) calls_tools: bool,
    pub(crate) refuses: bool,
    /// The length of what was written.
    pub(crate) chars: u64,
}

/// Reads a whole response.
pub(crate) fn whole(json: &[u8]) -> Result<Probe<'_>, ScanError> {
    let mut reader = Reader { scanner: Scanner::new(json), probe: Probe::default() };
    reader.fields(Reader::response_field)?;
    Ok(reader.probe)
}

/// Reads the data of an event.
pub(crate) fn event(json: &[u8]) -> Result<Probe<'_>, ScanError> {
    let mut reader = Reader { scanner: Scanner::new(json), probe: Probe::default() };
    reader.fields(Reader::event_field)?;
    // Sound is no text.
    if reader.probe.kind == "response.audio.delta" {
        reader.probe.chars = 0;
    }
    Ok(reader.probe)
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    probe: Probe<'a>,
}

impl<'a> Reader<'a> {
    /// Reads the fields of an object to its end; at the top it must be one, elsewhere any other value is passed over.
    fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, Text) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        if self.scanner.next()? != Some(Token::BeginObject) {
            if outer == 0 {
                return Err(ScanError { at: 0, what: "expected an object" });
            }
            return self.scanner.leave(outer);
        }
        while self.scanner.depth() > outer {
            if let Some(Token::Key(key)) = self.scanner.next()? {
                read(self, key)?;
            }
        }
        // Nothing may follow the outermost object.
        if outer == 0 {
            self.scanner.next()?;
        }
        Ok(())
    }

    fn event_field(&mut self, key: Text) -> Result<(), ScanError> {
        match self.scanner.name(key).as_ref() {
            b"type" => self.probe.kind = self.scanner.take_text()?.unwrap_or_default(),
            b"sequence_number" => {
                let span = self.scanner.skip()?;
                let digits = std::str::from_utf8(self.scanner.bytes(span)).unwrap_or_default();
                self.probe.sequence = digits.parse().ok();
            }
            b"delta" => {
                let outer = self.scanner.depth();
                if let Some(Token::String(text)) = self.scanner.next()? {
                    self.probe.chars = text.chars;
                }
                self.scanner.leave(outer)?;
            }
            b"error" => self.probe.is_error |= self.scanner.is_truthy()?,
            b"response" => self.fields(Self::response_field)?,
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    fn response_field(&mut self, key: Text) -> Result<(), ScanError> {
        match self.scanner.name(key).as_ref() {
            b"id" => self.probe.response.id = self.scanner.take_text()?,
            b"model" => self.probe.response.model = self.scanner.take_text()?,
            b"status" => self.probe.response.status = self.scanner.take_text()?,
            b"service_tier" => self.probe.response.service_tier = self.scanner.take_text()?,
            b"error" => self.probe.is_error |= self.scanner.is_truthy()?,
            b"store" => {
                let span = self.scanner.skip()?;
                self.probe.response.stored = match self.scanner.bytes(span) {
                    b"true" => Some(true),
                    b"false" => Some(false),
                    _ => None,
                };
            }
            b"usage" => {
                let span = self.scanner.skip()?;
                self.probe.response.usage = usage::decode(self.scanner.bytes(span));
            }
            b"incomplete_details" => self.fields(|reader, key| {
                if reader.scanner.name(key).as_ref() == b"reason" {
                    reader.probe.response.reason = reader.scanner.take_text()?;
                } else {
                    reader.scanner.skip()?;
                }
                Ok(())
            })?,
            b"output" => self.output()?,
            b"input_transformations" => self.probe.response.removed = self.objects()?,
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    /// Counts what was written, and sees whether tools are called.
    fn output(&mut self) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        let (mut counts, mut is_kind) = (false, false);
        loop {
            match self.scanner.next()? {
                Some(Token::Key(key)) => {
                    let name = self.scanner.name(key);
                    counts =
                        matches!(name.as_ref(), b"text" | b"refusal" | b"arguments" | b"name" | b"input");
                    is_kind = name.as_ref() == b"type";
                    continue;
                }
                Some(Token::BeginArray) => self.probe.response.has_output = true,
                Some(Token::String(text)) if counts => {
                    self.probe.response.chars = self.probe.response.chars.saturating_add(text.chars);
                }
                Some(Token::String(text)) if is_kind => match self.scanner.name(text).as_ref() {
                    b"function_call" | b"custom_tool_call" => self.probe.response.calls_tools = true,
                    b"refusal" => self.probe.response.refuses = true,
                    _ => {}
                },
                _ => {}
            }
            (counts, is_kind) = (false, false);
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }

    /// How many objects an array has.
    fn objects(&mut self) -> Result<u32, ScanError> {
        let outer = self.scanner.depth();
        let mut count = 0_u32;
        loop {
            if self.scanner.next()? == Some(Token::BeginObject) && self.scanner.depth() == outer + 2 {
                count = count.saturating_add(1);
            }
            if self.scanner.depth() <= outer {
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
