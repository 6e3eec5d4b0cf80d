//! What accounting needs of a Gemini answer or of one record of its stream, read without building anything.

use std::borrow::Cow;

use crate::{
    Usage,
    gemini::usage,
    scan::{ScanError, Scanner, Text, Token},
};

/// What one body or record told.
#[derive(Debug, Default)]
pub(crate) struct Probe<'a> {
    /// It reports an error.
    pub(crate) is_error: bool,
    /// How many candidates there are.
    pub(crate) candidates: u32,
    /// It has embeddings or a count of tokens.
    pub(crate) has_data: bool,
    /// How many candidates ended, and the last one's word.
    pub(crate) finished: u32,
    pub(crate) finish: Option<Cow<'a, str>>,
    /// Why the call was blocked.
    pub(crate) blocked: Option<Cow<'a, str>>,
    /// Some candidate calls tools.
    pub(crate) calls_tools: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) tier: Option<Cow<'a, str>>,
    pub(crate) model: Option<Cow<'a, str>>,
    /// The length of what was written.
    pub(crate) chars: u64,
}

/// Reads a body or the data of a record.
pub(crate) fn probe(json: &[u8]) -> Result<Probe<'_>, ScanError> {
    let mut reader = Reader { scanner: Scanner::new(json), probe: Probe::default() };
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
            b"error" => {
                let span = self.scanner.skip()?;
                self.probe.is_error |= !matches!(self.scanner.bytes(span), b"null" | b"false" | b"{}");
            }
            b"candidates" => self.candidates()?,
            b"promptFeedback" => self.fields(|reader, key| match reader.scanner.name(key).as_ref() {
                b"blockReason" => {
                    reader.probe.blocked = reader.scanner.take_text()?;
                    Ok(())
                }
                _ => reader.scanner.skip().map(drop),
            })?,
            b"usageMetadata" => self.usage()?,
            b"modelVersion" => self.probe.model = self.scanner.take_text()?,
            b"embeddings" | b"embedding" | b"totalTokens" => {
                self.scanner.skip()?;
                self.probe.has_data = true;
            }
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    fn usage(&mut self) -> Result<(), ScanError> {
        let span = self.scanner.skip()?;
        let report = self.scanner.bytes(span);
        self.probe.usage = usage::decode(report);
        let mut inside = Scanner::new(report);
        while let Some(token) = inside.next()? {
            let Token::Key(key) = token else { continue };
            if inside.depth() == 1
                && matches!(inside.name(key).as_ref(), b"serviceTier" | b"trafficType")
                && let Some(Token::String(text)) = inside.next()?
            {
                self.probe.tier = inside.read(text);
            }
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

    fn candidates(&mut self) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        loop {
            match self.scanner.next()? {
                Some(Token::BeginObject) => self.probe.candidates = self.probe.candidates.saturating_add(1),
                Some(Token::Key(key)) => self.candidate_field(key)?,
                _ => {}
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }

    fn candidate_field(&mut self, key: Text) -> Result<(), ScanError> {
        match self.scanner.name(key).as_ref() {
            b"finishReason" => {
                if let Some(word) =
                    self.scanner.take_text()?.filter(|word| word != "FINISH_REASON_UNSPECIFIED")
                {
                    self.probe.finished = self.probe.finished.saturating_add(1);
                    self.probe.finish = Some(word);
                }
            }
            b"content" => self.count()?,
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    /// Counts what the model wrote: not the words of the format, nor seals and the bytes of pictures.
    fn count(&mut self) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        let mut counts = true;
        loop {
            match self.scanner.next()? {
                Some(Token::Key(key)) => {
                    let name = self.scanner.name(key);
                    self.probe.calls_tools |= name.as_ref() == b"functionCall";
                    counts = !matches!(
                        name.as_ref(),
                        b"role" | b"thoughtSignature" | b"id" | b"data" | b"mimeType" | b"fileUri"
                    );
                    continue;
                }
                Some(Token::String(text)) if counts => {
                    self.probe.chars = self.probe.chars.saturating_add(text.chars);
                }
                _ => {}
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }
}
