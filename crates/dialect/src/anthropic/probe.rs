//! What accounting needs of an Anthropic answer or of one record of its stream, read without building anything.

use std::borrow::Cow;

use crate::{
    Usage,
    anthropic::usage,
    scan::{ScanError, Scanner, Text, Token},
};

/// What one body or record told.
#[derive(Debug, Default)]
pub(crate) struct Probe<'a> {
    /// The `type`.
    pub(crate) kind: Cow<'a, str>,
    /// It reports an error.
    pub(crate) is_error: bool,
    /// It has `content`, as whole answers have.
    pub(crate) has_content: bool,
    pub(crate) stop: Option<Cow<'a, str>>,
    pub(crate) usage: Option<Usage>,
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) id: Option<Cow<'a, str>>,
    /// The tier that serves it.
    pub(crate) tier: Option<Cow<'a, str>>,
    /// The length of what was written.
    pub(crate) chars: u64,
}

impl Probe<'_> {
    /// Whether an event of this kind was known when this was written. Unknown ones pass; new ones may come at any time.
    pub(crate) fn is_known(&self) -> bool {
        matches!(
            self.kind.as_ref(),
            "message_start"
                | "content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop"
                | "ping"
        )
    }
}

/// Reads a body or the data of a record over the usage known already.
pub(crate) fn probe(json: &[u8], known: Option<Usage>) -> Result<Probe<'_>, ScanError> {
    let mut reader =
        Reader { scanner: Scanner::new(json), probe: Probe { usage: known, ..Probe::default() } };
    if reader.scanner.next()? != Some(Token::BeginObject) {
        return Err(ScanError { at: 0, what: "expected an object" });
    }
    while let Some(token) = reader.scanner.next()? {
        if let Token::Key(key) = token {
            reader.field(key)?;
        }
    }
    Ok(reader.probe)
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    probe: Probe<'a>,
}

impl<'a> Reader<'a> {
    fn field(&mut self, key: Text) -> Result<(), ScanError> {
        match self.scanner.name(key).as_ref() {
            b"type" => self.probe.kind = self.scanner.take_text()?.unwrap_or_default(),
            b"error" => {
                let span = self.scanner.skip()?;
                self.probe.is_error |= !matches!(self.scanner.bytes(span), b"null" | b"false" | b"{}");
            }
            b"message" => self.fields(Self::message_field)?,
            b"delta" => self.fields(Self::delta_field)?,
            b"content_block" => self.count()?,
            _ => self.message_field(key)?,
        }
        Ok(())
    }

    /// Reads the fields of an object; any other value is passed over.
    fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, Text) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        loop {
            if let Some(Token::Key(key)) = self.scanner.next()? {
                read(self, key)?;
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }

    /// A field of a message, which stands at the top of a whole answer and inside `message_start`.
    fn message_field(&mut self, key: Text) -> Result<(), ScanError> {
        match self.scanner.name(key).as_ref() {
            b"model" => self.probe.model = self.scanner.take_text()?,
            b"id" => self.probe.id = self.scanner.take_text()?,
            b"stop_reason" => self.probe.stop = self.scanner.take_text()?,
            b"usage" => {
                let span = self.scanner.skip()?;
                let report = self.scanner.bytes(span);
                self.probe.usage = usage::correct(self.probe.usage, report);
                self.probe.tier = usage::tier(report).map(Cow::Owned);
            }
            b"content" => {
                self.probe.has_content = true;
                self.count()?;
            }
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    fn delta_field(&mut self, key: Text) -> Result<(), ScanError> {
        match self.scanner.name(key).as_ref() {
            b"stop_reason" => self.probe.stop = self.scanner.take_text()?,
            b"text" | b"thinking" | b"partial_json" => self.count()?,
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    /// Counts what the model wrote: not the words of the format, nor signatures and other sealed bytes.
    fn count(&mut self) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        let mut counts = true;
        loop {
            match self.scanner.next()? {
                Some(Token::Key(key)) => {
                    let name = self.scanner.name(key);
                    counts = !matches!(
                        name.as_ref(),
                        b"type"
                            | b"id"
                            | b"tool_use_id"
                            | b"signature"
                            | b"data"
                            | b"encrypted_content"
                            | b"encrypted_index"
                    );
                    continue;
                }
                Some(Token::String(text)) if counts => {
                    self.probe.chars = self.probe.chars.saturating_add(text.chars)
                }
                _ => {}
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }
}
