//! What accounting needs of an OpenAI answer or of one record of its stream, read without building anything.

use std::borrow::Cow;

use crate::{
    Usage,
    openai::usage,
    scan::{ScanError, Scanner, Span, Text, Token},
};

/// What one body or record told.
#[derive(Debug, Default)]
pub(crate) struct Probe<'a> {
    /// It reports an error.
    pub(crate) is_error: bool,
    /// It has a `choices` array, and how many there are.
    pub(crate) choices: Option<u32>,
    /// It has `data`, as embeddings have.
    pub(crate) has_data: bool,
    /// How many choices ended, and the last one's word.
    pub(crate) finished: u32,
    pub(crate) finish: Option<Cow<'a, str>>,
    /// Some choice calls tools.
    pub(crate) calls_tools: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) id: Option<Cow<'a, str>>,
    /// The tier that served it.
    pub(crate) tier: Option<Cow<'a, str>>,
    /// The length of what was written.
    pub(crate) chars: u64,
    said: Said,
}

/// What was written.
#[derive(Debug, Default, Clone, Copy)]
enum Said {
    #[default]
    Nothing,
    /// Nothing but a text of the first choice: so are most records of a stream.
    Text(Text),
    /// Something else, or by another choice.
    More,
}

impl Probe<'_> {
    /// The text, when the record (whose data this is) holds nothing else that matters.
    pub(crate) fn only_text<'a>(&self, json: &'a [u8]) -> Option<Cow<'a, str>> {
        let is_all = self.choices == Some(1) && self.finished == 0 && self.usage.is_none();
        match self.said {
            Said::Text(text) if is_all && text.chars > 0 => Scanner::new(json).read(text),
            _ => None,
        }
    }

    fn says_more(&mut self, more: bool) {
        if more {
            self.said = Said::More;
        }
    }
}

/// Reads a body or the data of a record.
pub(crate) fn probe(json: &[u8]) -> Result<Probe<'_>, ScanError> {
    let mut reader = Reader { scanner: Scanner::new(json), probe: Probe::default() };
    reader.read()?;
    Ok(reader.probe)
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    probe: Probe<'a>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), ScanError> {
        if self.scanner.next()? != Some(Token::BeginObject) {
            return Err(ScanError { at: 0, what: "expected an object" });
        }
        while let Some(token) = self.scanner.next()? {
            let Token::Key(key) = token else { continue };
            match self.scanner.name(key).as_ref() {
                b"error" => self.probe.is_error |= self.scanner.is_truthy()?,
                b"choices" => self.choices()?,
                b"usage" => self.usage()?,
                b"x_groq" => self.nested_usage()?,
                b"data" => {
                    self.scanner.skip()?;
                    self.probe.has_data = true;
                }
                b"model" => self.probe.model = self.scanner.take_text()?,
                b"id" => self.probe.id = self.scanner.take_text()?,
                b"service_tier" => {
                    self.probe.tier = self.scanner.take_text()?.filter(|tier| !tier.is_empty())
                }
                _ => _ = self.scanner.skip()?,
            }
        }
        Ok(())
    }

    fn choices(&mut self) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        if self.scanner.next()? != Some(Token::BeginArray) {
            return self.scanner.leave(outer);
        }
        let mut count = 0_u32;
        loop {
            match self.scanner.next()? {
                Some(Token::BeginObject) => count = count.saturating_add(1),
                Some(Token::Key(key)) => self.choice_field(key)?,
                _ => {}
            }
            if self.scanner.depth() <= outer {
                self.probe.choices = Some(count);
                return Ok(());
            }
        }
    }

    fn choice_field(&mut self, key: Text) -> Result<(), ScanError> {
        match self.scanner.name(key).as_ref() {
            b"finish_reason" => {
                if let Some(word) = self.scanner.take_text()?.filter(|word| !word.is_empty()) {
                    self.probe.finished = self.probe.finished.saturating_add(1);
                    self.probe.finish = Some(word);
                }
            }
            b"error" => self.probe.is_error |= self.scanner.is_truthy()?,
            b"delta" | b"message" => self.said()?,
            b"text" => self.count(&[b"text"])?,
            b"index" => {
                let is_other = self.value()? != b"0";
                self.probe.says_more(is_other);
            }
            b"logprobs" => {
                let are_told = self.value()? != b"null";
                self.probe.says_more(are_told);
            }
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    fn value(&mut self) -> Result<&'a [u8], ScanError> {
        let span = self.scanner.skip()?;
        Ok(self.scanner.bytes(span))
    }

    /// What the model said; reasoning that comes under two names counts once.
    fn said(&mut self) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        let mut has_reasoning = false;
        loop {
            if let Some(Token::Key(key)) = self.scanner.next()? {
                let (name, from) = (self.scanner.name(key), self.scanner.at());
                if name.as_ref() == b"content" && self.plain_text()? {
                    continue;
                }
                match name.as_ref() {
                    b"content" | b"refusal" => self.count(&[b"content", b"text", b"thinking"])?,
                    b"reasoning_content" | b"reasoning" if !has_reasoning => {
                        let before = self.probe.chars;
                        self.count(&[b"text"])?;
                        has_reasoning = self.probe.chars > before;
                    }
                    b"tool_calls" | b"function_call" => {
                        let before = self.probe.chars;
                        self.count(&[b"name", b"arguments", b"input"])?;
                        self.probe.calls_tools |= self.probe.chars > before;
                    }
                    _ => _ = self.scanner.skip()?,
                }
                let value = Span { start: from, end: self.scanner.at() };
                let is_more = self.scanner.bytes(value).trim_ascii() != b"null";
                self.probe.says_more(is_more && name.as_ref() != b"role");
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }

    /// Takes a value that is a text.
    fn plain_text(&mut self) -> Result<bool, ScanError> {
        let mut ahead = self.scanner.clone();
        let Some(Token::String(text)) = ahead.next()? else { return Ok(false) };
        self.scanner = ahead;
        self.probe.chars = self.probe.chars.saturating_add(text.chars);
        let is_first = matches!(self.probe.said, Said::Nothing);
        self.probe.said = if is_first { Said::Text(text) } else { Said::More };
        Ok(true)
    }

    /// Counts a string, or the strings under these names inside a value.
    fn count(&mut self, names: &[&[u8]]) -> Result<(), ScanError> {
        let outer = self.scanner.depth();
        let mut counts = true;
        loop {
            match self.scanner.next()? {
                Some(Token::Key(key)) => {
                    let name = self.scanner.name(key);
                    counts = names.contains(&name.as_ref());
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

    fn usage(&mut self) -> Result<(), ScanError> {
        let span = self.scanner.skip()?;
        self.probe.usage = usage::decode(self.scanner.bytes(span)).or(self.probe.usage);
        Ok(())
    }

    /// Groq tells the usage of a stream under its own name.
    fn nested_usage(&mut self) -> Result<(), ScanError> {
        let span = self.scanner.skip()?;
        let mut inside = Scanner::new(self.scanner.bytes(span));
        while let Some(token) = inside.next()? {
            if let Token::Key(key) = token {
                let is_usage = inside.name(key).as_ref() == b"usage";
                let value = inside.skip()?;
                if is_usage && self.probe.usage.is_none() {
                    self.probe.usage = usage::decode(inside.bytes(value));
                }
            }
        }
        Ok(())
    }
}
