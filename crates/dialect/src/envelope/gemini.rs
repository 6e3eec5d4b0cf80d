//! The envelope of a Gemini call: the model and whether it is streamed stand in the path, and fields have two names.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Reader;
use crate::{
    Dialect, Fault, Operation,
    scan::{Text, Token},
};

/// The fields that are read, under their first names; each has a bit, so that a second one is seen.
pub(super) const FIELDS: [&str; 9] = [
    "contents",
    "content",
    "requests",
    "systemInstruction",
    "tools",
    "generationConfig",
    "generateContentRequest",
    "toolConfig",
    "model",
];

/// Their other names.
const OTHER_NAMES: [(&[u8], &str); 4] = [
    (b"system_instruction", "systemInstruction"),
    (b"generation_config", "generationConfig"),
    (b"generate_content_request", "generateContentRequest"),
    (b"tool_config", "toolConfig"),
];

impl Reader<'_> {
    pub(super) fn gemini_field(&mut self, key: Text) -> Result<(), Fault> {
        let name = self.scanner.name(key);
        let first = OTHER_NAMES.iter().find(|(other, _)| *other == name.as_ref());
        let name = first.map_or(name.as_ref(), |(_, first)| first.as_bytes());
        let Some((field, bit)) = FIELDS.iter().zip(0_u32..).find(|(field, _)| field.as_bytes() == name)
        else {
            self.scanner.skip()?;
            return Ok(());
        };
        if self.seen >> bit & 1 == 1 {
            return Err(Fault::invalid(format!("`{field}` is given twice")).at(*field));
        }
        self.seen |= 1 << bit;
        let is_beside = matches!(*field, "systemInstruction" | "tools" | "toolConfig" | "generationConfig");
        self.envelope.places.counts_beside |=
            is_beside && self.operation == Operation::CountTokens && self.scanner.depth() == 1;
        match *field {
            "contents" | "systemInstruction" => self.text(),
            "content" => {
                self.envelope.places.embeds_one = self.operation == Operation::Embeddings;
                self.text()
            }
            "tools" => self.gemini_tools(),
            "generationConfig" => self.gemini_fields(Self::gemini_setting),
            "generateContentRequest" => self.gemini_fields(Self::gemini_inner),
            "requests" => self.gemini_requests(),
            "model" => self.inner_model(),
            _ => {
                self.scanner.skip()?;
                Ok(())
            }
        }
    }

    /// Reads the fields of an object; any other value is passed over.
    fn gemini_fields(
        &mut self,
        mut read: impl FnMut(&mut Self, Text) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
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

    fn gemini_setting(&mut self, key: Text) -> Result<(), Fault> {
        match self.scanner.name(key).as_ref() {
            b"maxOutputTokens" | b"max_output_tokens" => {
                self.envelope.max_output_tokens = self.envelope.max_output_tokens.max(self.number()?);
            }
            b"candidateCount" | b"candidate_count" => self.envelope.n = self.number()?.unwrap_or(1).max(1),
            _ => _ = self.scanner.skip()?,
        }
        Ok(())
    }

    /// A whole call inside one that only counts.
    fn gemini_inner(&mut self, key: Text) -> Result<(), Fault> {
        if self.scanner.name(key).as_ref() == b"model" {
            return self.inner_model();
        }
        self.gemini_field(key)
    }

    /// The texts of a batch to embed.
    fn gemini_requests(&mut self) -> Result<(), Fault> {
        let outer = self.scanner.depth();
        loop {
            if let Some(Token::Key(key)) = self.scanner.next()? {
                match self.scanner.name(key).as_ref() {
                    b"model" => self.inner_model()?,
                    b"content" => self.text()?,
                    _ => _ = self.scanner.skip()?,
                }
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }

    fn inner_model(&mut self) -> Result<(), Fault> {
        let Some(Token::String(text)) = self.scanner.next()? else {
            return Err(Fault::invalid("`model` must be a string").at("model"));
        };
        self.envelope.places.inner_models.push(text.span());
        Ok(())
    }

    /// Counts functions and their text: names, descriptions and schemas all go to the model.
    fn gemini_tools(&mut self) -> Result<(), Fault> {
        let outer = self.scanner.depth();
        let mut declares = false;
        loop {
            match self.scanner.next()? {
                Some(Token::Key(key)) => {
                    self.envelope.input_chars += key.chars;
                    if self.scanner.depth() == outer + 2 {
                        let name = self.scanner.name(key);
                        declares =
                            matches!(name.as_ref(), b"functionDeclarations" | b"function_declarations");
                    }
                }
                Some(Token::String(text)) => self.envelope.input_chars += text.chars,
                Some(Token::BeginObject) if declares && self.scanner.depth() == outer + 4 => {
                    self.envelope.tools = self.envelope.tools.saturating_add(1);
                }
                _ => {}
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }

    /// A media type tells what kind of thing its object holds.
    pub(super) fn count_media(&mut self, text: Text) {
        if self.scanner.name(text).starts_with(b"image/") {
            self.envelope.images = self.envelope.images.saturating_add(1);
        }
    }
}

/// Whether a seal, with its quotes, was made by another dialect.
pub(super) fn is_foreign(quoted: &[u8]) -> bool {
    let start: Vec<u8> = quoted
        .iter()
        .skip(1)
        .take(16)
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => *byte,
        })
        .collect();
    let Ok(start) = STANDARD.decode(start) else { return false };
    Dialect::ALL.iter().any(|dialect| {
        let name = dialect.as_str().as_bytes();
        *dialect != Dialect::Gemini
            && start.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'#'))
    })
}
