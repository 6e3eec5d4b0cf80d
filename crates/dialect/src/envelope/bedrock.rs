//! The fields of Converse that routing and accounting need: they stand deeper there than elsewhere.

use super::Reader;
use crate::{
    Fault,
    scan::{Scanner, Text, Token},
};

impl Reader<'_> {
    /// Reads a field of Converse; false when it is one that other dialects have too.
    pub(super) fn bedrock_field(&mut self, key: Text) -> Result<bool, Fault> {
        match self.scanner.name(key).as_ref() {
            b"toolConfig" => self.bedrock_tools()?,
            b"inferenceConfig" => {
                let span = self.scanner.skip()?;
                let mut inside = Scanner::new(self.scanner.bytes(span));
                while let Some(token) = inside.next()? {
                    if let Token::Key(key) = token
                        && inside.name(key).as_ref() == b"maxTokens"
                    {
                        let value = inside.skip()?;
                        let digits = std::str::from_utf8(inside.bytes(value)).ok();
                        self.envelope.max_output_tokens = digits.and_then(|digits| digits.parse().ok());
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn bedrock_tools(&mut self) -> Result<(), Fault> {
        let outer = self.scanner.depth();
        loop {
            match self.scanner.next()? {
                Some(Token::Key(key)) => {
                    let is_tool = matches!(self.scanner.name(key).as_ref(), b"toolSpec" | b"systemTool");
                    if is_tool && self.scanner.depth() == outer + 3 {
                        self.envelope.tools = self.envelope.tools.saturating_add(1);
                    }
                    self.envelope.input_chars += key.chars;
                    continue;
                }
                Some(Token::String(text)) => self.envelope.input_chars += text.chars,
                _ => {}
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }
}
