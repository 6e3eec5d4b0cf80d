//! The envelope of a call: what routing and accounting need, read in one pass over the body.
//!
//! The pass also checks the whole body and remembers where the few fields stand that may be replaced on the way out.
//! A field that decides something and comes twice is refused: the provider might obey the other one. So is one in another
//! case, which some servers take for the same.

mod bedrock;
mod gemini;

use std::borrow::Cow;

use crate::{
    Asked, Dialect, Fault, Operation, multipart,
    scan::{ScanError, Scanner, Span, Text, Token},
    signature::is_sealed,
};

/// What routing and accounting need to know of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// The model asked for.
    pub model: String,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether an OpenAI-style caller asked for the usage chunk at the end of the stream.
    pub wants_usage: bool,
    /// The cap on output, when it is a plain number.
    pub max_output_tokens: Option<u32>,
    /// The length of all text in UTF-8 bytes, tools and system prompts included, images and documents not.
    pub input_chars: u64,
    /// How many tools are offered.
    pub tools: u32,
    /// How many images are in the call.
    pub images: u32,
    /// How many answers are asked for.
    pub n: u32,
    /// What the call continues at the provider that keeps it: an earlier response, or a conversation.
    pub continues: Option<String>,
    pub(crate) places: Places,
}

/// Where the fields stand that may be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent facts about a body")]
pub(crate) struct Places {
    /// The value of `model`, quotes included.
    pub(crate) model: Span,
    /// The body is a form and no JSON.
    pub(crate) is_form: bool,
    /// The value of `stream`.
    pub(crate) stream: Option<Span>,
    /// The value of `stream_options`.
    pub(crate) stream_options: Option<Span>,
    /// The value of `stream_options.include_usage`.
    pub(crate) include_usage: Option<Span>,
    /// Whether `stream_options` is an object with fields.
    pub(crate) has_stream_options: bool,
    /// The names `max_tokens` and `max_completion_tokens`, quotes included.
    pub(crate) max_tokens: Option<Span>,
    pub(crate) max_completion_tokens: Option<Span>,
    /// Some reasoning was made by another dialect and must not go to a provider of the caller's own.
    pub(crate) unsigned_thinking: bool,
    /// The caller wants nothing kept.
    pub(crate) unstored: bool,
    /// Some id of a tool call carries the seal of another dialect.
    pub(crate) sealed_ids: bool,
    /// The names of models inside a Gemini body, quotes included: they must be that of the path.
    pub(crate) inner_models: Vec<Span>,
    /// One text to embed, not a batch of them.
    pub(crate) embeds_one: bool,
    /// A Gemini call that counts has more than contents beside them.
    pub(crate) counts_beside: bool,
}

/// The fields that are read; each has a bit, so that a second one is seen.
const FIELDS: [&str; 20] = [
    "model",
    "messages",
    "input",
    "system",
    "tools",
    "functions",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "tool_choice",
    "prompt",
    "instructions",
    "max_output_tokens",
    "store",
    "previous_response_id",
    "conversation",
    "query",
    "documents",
];

impl Envelope {
    pub(crate) fn scan(asked: &Asked, body: &[u8]) -> Result<Self, Fault> {
        let (dialect, operation) = (asked.dialect, asked.operation);
        if let Some(kind) = asked.content_type.as_deref().filter(|kind| multipart::is_form(kind)) {
            return Self::of_form(asked, multipart::scan(kind, body)?);
        }
        if let Err(error) = std::str::from_utf8(body) {
            return Err(Fault::invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to())));
        }
        let mut reader = Reader {
            scanner: Scanner::new(body),
            envelope: Self { n: 1, ..Self::default() },
            seen: 0,
            operation,
            dialect,
        };
        reader.read()?;
        if let Some(model) = &asked.model {
            reader.envelope.model.clone_from(model);
        }
        reader.envelope.stream |= asked.stream;
        if reader.envelope.model.is_empty() && operation != Operation::Native {
            return Err(Fault::invalid("`model` is missing or empty").at("model"));
        }
        if let Some(needed) = needed(dialect, operation).filter(|needed| !reader.has_seen(needed)) {
            return Err(Fault::invalid(format!("`{needed}` is missing")).at(needed));
        }
        Ok(reader.envelope)
    }
}

impl Envelope {
    /// What a form tells. Only what passes through comes in forms.
    fn of_form(asked: &Asked, form: multipart::Form) -> Result<Self, Fault> {
        if !asked.operation.is_raw() {
            return Err(Fault::invalid("the body is a form and must be a JSON object"));
        }
        let (model, place) = form.model.unwrap_or_default();
        let model = asked.model.clone().unwrap_or(model);
        if model.is_empty() && asked.operation != Operation::Native {
            return Err(Fault::invalid("`model` is missing or empty").at("model"));
        }
        let places = Places { model: place, is_form: true, ..Places::default() };
        let is_edit = asked.operation == Operation::ImageEdit;
        Ok(Self {
            model,
            stream: form.stream || asked.stream,
            input_chars: form.prompt_chars,
            images: if is_edit { form.files } else { 0 },
            n: 1,
            places,
            ..Self::default()
        })
    }
}

/// The field without which a call says nothing.
fn needed(dialect: Dialect, operation: Operation) -> Option<&'static str> {
    match (operation, dialect) {
        (
            Operation::Chat | Operation::CountTokens,
            Dialect::OpenAi | Dialect::Anthropic | Dialect::Cohere,
        ) => Some("messages"),
        (Operation::Embeddings, Dialect::OpenAi) => Some("input"),
        (Operation::Chat, Dialect::Gemini) => Some("contents"),
        (Operation::Rerank, _) => Some("query"),
        _ => None,
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        Self::invalid(format!("the body is not valid JSON at byte {}: {}", error.at, error.what))
    }
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    envelope: Envelope,
    seen: u32,
    operation: Operation,
    dialect: Dialect,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), Fault> {
        if self.scanner.next()? != Some(Token::BeginObject) {
            return Err(Fault::invalid("the body is not a JSON object"));
        }
        while let Some(token) = self.scanner.next()? {
            if let Token::Key(key) = token {
                self.field(key)?;
            }
        }
        Ok(())
    }

    fn has_seen(&self, name: &str) -> bool {
        let fields = if self.dialect == Dialect::Gemini { &gemini::FIELDS[..] } else { &FIELDS[..] };
        fields.iter().zip(0..).any(|(field, bit)| *field == name && self.seen >> bit & 1 == 1)
    }

    fn field(&mut self, key: Text) -> Result<(), Fault> {
        if self.dialect == Dialect::Gemini {
            return self.gemini_field(key);
        }
        if self.dialect == Dialect::Bedrock && self.bedrock_field(key)? {
            return Ok(());
        }
        let name = self.scanner.name(key);
        let Some((field, bit)) =
            FIELDS.iter().zip(0_u32..).find(|(field, _)| field.as_bytes() == name.as_ref())
        else {
            if let Some(field) = FIELDS.iter().find(|field| field.as_bytes().eq_ignore_ascii_case(&name)) {
                return Err(Fault::invalid(format!("`{field}` must be written in lower case")).at(*field));
            }
            self.scanner.skip()?;
            return Ok(());
        };
        if self.seen >> bit & 1 == 1 {
            return Err(Fault::invalid(format!("`{field}` is given twice")).at(*field));
        }
        self.seen |= 1 << bit;
        match *field {
            "model" => self.model(),
            "stream" => {
                // Only chats are streamed; elsewhere providers pay no heed to it.
                self.envelope.stream =
                    self.flag("stream")? && matches!(self.operation, Operation::Chat | Operation::Native);
                self.envelope.places.stream = Some(self.scanner.last());
                Ok(())
            }
            "stream_options" => self.stream_options(),
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => self.cap(field, key.span()),
            "n" => {
                self.envelope.n = self.number()?.unwrap_or(1);
                Ok(())
            }
            "tools" | "functions" => self.tools(),
            "messages" | "system" | "input" | "prompt" | "instructions" => self.text(),
            "query" | "documents"
                if matches!(self.dialect, Dialect::Cohere) || self.operation == Operation::Rerank =>
            {
                self.text()
            }
            "store" => {
                let span = self.scanner.skip()?;
                self.envelope.places.unstored = self.scanner.bytes(span) == b"false";
                Ok(())
            }
            "previous_response_id" | "conversation" => self.continues(),
            _ => {
                self.scanner.skip()?;
                Ok(())
            }
        }
    }

    fn model(&mut self) -> Result<(), Fault> {
        let Some(Token::String(text)) = self.scanner.next()? else {
            return Err(Fault::invalid("`model` must be a string").at("model"));
        };
        let model = self.scanner.read(text);
        self.envelope.model =
            model.ok_or_else(|| Fault::invalid("`model` is not Unicode").at("model"))?.into_owned();
        self.envelope.places.model = text.span();
        Ok(())
    }

    fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        match self.scanner.next()? {
            Some(Token::True) => Ok(true),
            Some(Token::False | Token::Null) => Ok(false),
            _ => Err(Fault::invalid(format!("`{name}` must be true or false")).at(name)),
        }
    }

    /// A plain number; anything else is left for the provider to judge.
    fn number(&mut self) -> Result<Option<u32>, Fault> {
        let span = self.scanner.skip()?;
        Ok(std::str::from_utf8(self.scanner.bytes(span)).ok().and_then(|digits| digits.parse().ok()))
    }

    fn cap(&mut self, field: &str, name: Span) -> Result<(), Fault> {
        let cap = self.number()?;
        let places = &mut self.envelope.places;
        match field {
            "max_tokens" => places.max_tokens = Some(name),
            "max_completion_tokens" => places.max_completion_tokens = Some(name),
            _ => {}
        }
        self.envelope.max_output_tokens = self.envelope.max_output_tokens.max(cap);
        Ok(())
    }

    /// An id, or an object that has one.
    fn continues(&mut self) -> Result<(), Fault> {
        let span = self.scanner.skip()?;
        let mut inside = Scanner::new(self.scanner.bytes(span));
        let mut is_id = true;
        while let Some(token) = inside.next()? {
            match token {
                Token::Key(key) => is_id = inside.name(key).as_ref() == b"id" && inside.depth() == 1,
                Token::String(text) if is_id => {
                    self.envelope.continues = inside.read(text).map(Cow::into_owned);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn stream_options(&mut self) -> Result<(), Fault> {
        let wrong = || Fault::invalid("`stream_options` must be an object").at("stream_options");
        let span = self.scanner.skip()?;
        let mut inside = Scanner::new(self.scanner.bytes(span));
        self.envelope.places.stream_options = Some(span);
        match inside.next()? {
            Some(Token::BeginObject) => {}
            Some(Token::Null) => return Ok(()),
            _ => return Err(wrong()),
        }
        while let Some(token) = inside.next()? {
            let Token::Key(key) = token else { continue };
            self.envelope.places.has_stream_options = true;
            let is_usage = inside.name(key).as_ref() == b"include_usage";
            let value = inside.skip()?;
            if !is_usage {
                continue;
            }
            if self.envelope.places.include_usage.is_some() {
                return Err(
                    Fault::invalid("`stream_options.include_usage` is given twice").at("stream_options")
                );
            }
            let place = Span { start: span.start + value.start, end: span.start + value.end };
            self.envelope.places.include_usage = Some(place);
            self.envelope.wants_usage = match inside.bytes(value) {
                b"true" => true,
                b"false" | b"null" => false,
                _ => {
                    return Err(Fault::invalid("`stream_options.include_usage` must be true or false")
                        .at("stream_options"));
                }
            };
        }
        Ok(())
    }

    /// Counts tools and their text: names, descriptions and schemas all go to the model.
    fn tools(&mut self) -> Result<(), Fault> {
        let outer = self.scanner.depth();
        loop {
            let token = self.scanner.next()?;
            match token {
                Some(Token::Key(text) | Token::String(text)) => self.envelope.input_chars += text.chars,
                Some(Token::BeginObject) if self.scanner.depth() == outer + 2 => {
                    self.envelope.tools = self.envelope.tools.saturating_add(1);
                }
                _ => {}
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
        }
    }

    /// Counts the text of turns, system prompts and inputs, and the images among them.
    fn text(&mut self) -> Result<(), Fault> {
        let outer = self.scanner.depth();
        let mut holds = Holds::Text;
        loop {
            match self.scanner.next()? {
                Some(Token::Key(key)) => {
                    holds = Holds::of(self.scanner.name(key).as_ref());
                    continue;
                }
                Some(Token::String(text)) => self.count(text, holds),
                // Inputs of embeddings may be tokens already.
                Some(Token::Number(_)) if self.operation == Operation::Embeddings => {
                    self.envelope.input_chars += 4
                }
                _ => {}
            }
            if self.scanner.depth() <= outer {
                return Ok(());
            }
            holds = Holds::Text;
        }
    }

    fn count(&mut self, text: Text, holds: Holds) {
        match holds {
            Holds::Text => self.envelope.input_chars += text.chars,
            Holds::Url => {
                let start = Span { start: text.start, end: text.end.min(text.start + 5) };
                if self.scanner.bytes(start) != b"data:" {
                    self.envelope.input_chars += text.chars;
                }
            }
            Holds::Kind => {
                if matches!(self.scanner.name(text).as_ref(), b"image_url" | b"image" | b"input_image") {
                    self.envelope.images = self.envelope.images.saturating_add(1);
                }
            }
            Holds::Signature => {
                // A seal is base64; `#` stands only in one that was made by another dialect.
                let is_foreign = text.chars == 0 || self.scanner.bytes(text.span()).contains(&b'#');
                let is_anthropic = self.dialect == Dialect::Anthropic;
                self.envelope.places.unsigned_thinking |= is_foreign && is_anthropic;
            }
            Holds::Encrypted => {
                let is_foreign = self.scanner.bytes(text.span()).contains(&b'#');
                let is_responses = self.dialect == Dialect::Responses;
                self.envelope.places.unsigned_thinking |= is_foreign && is_responses;
            }
            Holds::Id => {
                let id = self.scanner.bytes(text.span());
                self.envelope.places.sealed_ids |= id.len() > LEAST_SEALED && is_sealed(id);
            }
            Holds::Seal => {
                self.envelope.places.unsigned_thinking |= gemini::is_foreign(self.scanner.bytes(text.span()))
            }
            Holds::Media => self.count_media(text),
            Holds::Nothing => {}
        }
    }
}

/// An id with a seal in it is longer.
const LEAST_SEALED: usize = 16;

/// What a string inside a turn is, by the name of its field.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Url,
    Kind,
    Signature,
    Encrypted,
    Id,
    Seal,
    Media,
    Nothing,
}

impl Holds {
    fn of(name: &[u8]) -> Self {
        match name {
            b"type" => Self::Kind,
            b"url" | b"image_url" => Self::Url,
            b"signature" => Self::Signature,
            b"thoughtSignature" | b"thought_signature" => Self::Seal,
            b"mimeType" | b"mime_type" => Self::Media,
            b"fileUri" | b"file_uri" | b"taskType" => Self::Nothing,
            b"id" | b"tool_call_id" | b"tool_use_id" | b"call_id" => Self::Id,
            b"encrypted_content" => Self::Encrypted,
            b"role" | b"data" | b"file_data" | b"file_id" | b"media_type" | b"encrypted_index" | b"ttl"
            | b"result" => Self::Nothing,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests;
