//! Items of a conversation, in requests and in answers, to and from the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault, Signature,
    canonical::{Extra, Json, Message, Part, PartBody, Role},
    json::{ArrayWriter, Object, ObjectWriter, is_string},
    responses::{
        content::{self, OF_MESSAGE},
        seal,
    },
};

/// Marks a piece that is a whole item of its own, not a part of a message.
pub(crate) const ITEM: &str = "item";

/// Marks the message that stands in `instructions`.
pub(crate) const INSTRUCTIONS: &str = "instructions";

fn mark() -> Json {
    match Json::parse("true") {
        Ok(mark) => mark,
        Err(_) => Json::new(RawValue::TRUE),
    }
}

/// The message of the field `instructions`.
pub(crate) fn instructions(text: String) -> Message {
    let extra = vec![(INSTRUCTIONS.to_owned(), mark())];
    Message { role: Role::System, parts: vec![PartBody::Text(text).into()], extra }
}

/// Whether a message stands in `instructions`.
pub(crate) fn is_instructions(message: &Message) -> bool {
    message.extra.iter().any(|(name, _)| name == INSTRUCTIONS)
}

/// What the last item was, which decides whether the next one belongs to the same turn.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    /// Something of the model's; true for a message.
    Model {
        is_message: bool,
    },
    Result,
}

/// Turns, read item by item.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) messages: Vec<Message>,
    last: Last,
    /// The ids of calls that are no calls of functions.
    others: Vec<String>,
}

impl Turns {
    /// Takes `input`: a string, an array of items, or nothing.
    pub(crate) fn input(&mut self, call: &mut Object<'_>) -> Result<(), Fault> {
        let Some(value) = call.take("input") else { return Ok(()) };
        if is_string(value) {
            let text = serde_json::from_str(value.get()).map_err(|_error| call.wrong("input", "a string"))?;
            self.push(Role::User, vec![PartBody::Text(text).into()], Extra::new());
            return Ok(());
        }
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            return Err(call.wrong("input", "a string or an array"));
        };
        for (index, value) in items.into_iter().enumerate() {
            self.item(value, crate::json::nth("input", index))?;
        }
        Ok(())
    }

    /// Takes one item.
    pub(crate) fn item(&mut self, value: &RawValue, place: String) -> Result<(), Fault> {
        let mut item = Object::read(value, place)?;
        let kind = match item.take_string("type")? {
            Some(kind) => kind,
            None if item.has("role") => "message".to_owned(),
            None => "item_reference".to_owned(),
        };
        match kind.as_str() {
            "message" => self.message(item),
            "function_call" => {
                let body = PartBody::ToolCall {
                    id: item.need_string("call_id")?,
                    name: item.need_string("name")?,
                    arguments: item.take_string("arguments")?.unwrap_or_default(),
                };
                self.model(Part { extra: item.rest(), ..Part::from(body) }, false);
                Ok(())
            }
            // The answer to a call of another kind is of that kind.
            "function_call_output" if self.answers_other(&item) => {
                self.opaque(kind, value, None);
                Ok(())
            }
            "function_call_output" => {
                let id = item.need_string("call_id")?;
                let content = content::take(&mut item, "output")?;
                let body = PartBody::ToolResult { id, content, is_error: false };
                self.result(Part { extra: item.rest(), ..Part::from(body) });
                Ok(())
            }
            "reasoning" => {
                let part = reasoning(&mut item)?;
                self.model(Part { extra: item.rest(), ..part }, false);
                Ok(())
            }
            _ => {
                self.opaque(kind, value, item.peek_as("call_id"));
                Ok(())
            }
        }
    }

    fn answers_other(&self, item: &Object<'_>) -> bool {
        item.peek_as::<String>("call_id").is_some_and(|id| self.others.contains(&id))
    }

    /// Takes an item that only this dialect knows.
    fn opaque(&mut self, kind: String, value: &RawValue, call: Option<String>) {
        self.others.extend(call);
        let is_ours = kind.ends_with("_output") || kind.ends_with("_response") || kind == "additional_tools";
        let part = Part {
            extra: vec![(ITEM.to_owned(), mark())],
            ..Part::from(PartBody::Opaque { kind, value: Json::new(value) })
        };
        if is_ours {
            self.push(Role::User, vec![part], Extra::new());
        } else {
            self.model(part, false);
        }
    }

    fn message(&mut self, mut item: Object<'_>) -> Result<(), Fault> {
        let role = item.need_string("role")?;
        let role = match role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "developer" => Role::Developer,
            other => {
                let place = item.place_of("role");
                return Err(Fault::unsupported(format!("unknown role `{other}` in `{place}`")).at(place));
            }
        };
        let mut parts = content::take(&mut item, "content")?;
        if role != Role::Assistant {
            self.push(role, parts, item.rest());
            return Ok(());
        }
        if parts.is_empty() {
            parts.push(PartBody::Text(String::new()).into());
        }
        let mut marks: Extra =
            item.rest().into_iter().map(|(name, value)| (format!("{OF_MESSAGE}{name}"), value)).collect();
        if marks.is_empty() && self.last == (Last::Model { is_message: true }) {
            marks.push((OF_MESSAGE.to_owned(), mark()));
        }
        for (index, mut part) in parts.into_iter().enumerate() {
            if index == 0 {
                part.extra.append(&mut marks);
            }
            self.model(part, true);
        }
        Ok(())
    }

    fn push(&mut self, role: Role, parts: Vec<Part>, extra: Extra) {
        self.messages.push(Message { role, parts, extra });
        self.last = Last::Other;
    }

    /// Everything the model did until somebody else speaks is one turn.
    fn model(&mut self, part: Part, is_message: bool) {
        match self.messages.last_mut() {
            Some(last) if matches!(self.last, Last::Model { .. }) => last.parts.push(part),
            _ => self.push(Role::Assistant, vec![part], Extra::new()),
        }
        self.last = Last::Model { is_message };
    }

    /// All results of one round belong to one turn.
    fn result(&mut self, part: Part) {
        match self.messages.last_mut() {
            Some(last) if self.last == Last::Result => last.parts.push(part),
            _ => self.push(Role::User, vec![part], Extra::new()),
        }
        self.last = Last::Result;
    }
}

/// Reads a reasoning item. Its id and its pieces stay in it, so that it can go home as it was.
fn reasoning(item: &mut Object<'_>) -> Result<Part, Fault> {
    let summary = texts(item, "summary")?;
    let words = texts(item, "content")?;
    let text = if summary.is_empty() { words.concat() } else { summary.join("\n\n") };
    let sealed = item.take_string("encrypted_content")?.filter(|sealed| !sealed.is_empty());
    let signature = sealed.map(|sealed| Signature::read(Dialect::Responses, &sealed));
    Ok(match signature {
        Some(data) if text.is_empty() => PartBody::RedactedThinking { data }.into(),
        signature => PartBody::Thinking { text, signature }.into(),
    })
}

/// The texts of an array of pieces, which stays where it is.
fn texts(item: &Object<'_>, name: &str) -> Result<Vec<String>, Fault> {
    let Some(pieces) = item.peek_as::<Vec<&RawValue>>(name) else { return Ok(Vec::new()) };
    let place = item.place_of(name);
    let mut texts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        texts.extend(Object::read(piece, place.clone())?.take_string("text")?);
    }
    Ok(texts)
}

/// Writes a message as items.
pub(crate) fn write(array: &mut ArrayWriter<'_>, message: &Message, home: bool) {
    if message.role == Role::Assistant {
        return write_turn(array, &message.parts, home);
    }
    let mut said: Vec<&Part> = Vec::new();
    for part in &message.parts {
        match &part.body {
            PartBody::ToolResult { id, content, .. } => {
                array.object(|w| write_result(w, id, content, (part, home)));
            }
            PartBody::Opaque { value, .. } if is_item(part) => array.raw(value.text()),
            _ => said.push(part),
        }
    }
    if said.is_empty() && !message.parts.is_empty() {
        return;
    }
    array.object(|w| {
        w.string("role", role(message.role));
        match content::alone(&said, home) {
            Some(text) => w.string("content", text),
            None => w.array("content", |array| {
                for part in said {
                    content::write_input(array, part, home);
                }
            }),
        }
        if home {
            w.extra(&message.extra);
        }
    });
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn is_item(part: &Part) -> bool {
    part.extra.iter().any(|(name, _)| name == ITEM)
}

fn write_result(w: &mut ObjectWriter<'_>, id: &str, content: &[Part], (part, home): (&Part, bool)) {
    w.string("type", "function_call_output");
    w.string("call_id", id);
    let said: Vec<&Part> = content.iter().collect();
    match content::alone(&said, home) {
        Some(text) => w.string("output", text),
        None if said.is_empty() => w.string("output", ""),
        None => w.array("output", |array| {
            for part in said {
                content::write_input(array, part, home);
            }
        }),
    }
    if home {
        w.extra(&part.extra);
    }
}

/// Writes what the model did as items: words that follow one another are one message.
fn write_turn(array: &mut ArrayWriter<'_>, parts: &[Part], home: bool) {
    let mut said: Vec<&Part> = Vec::new();
    for part in parts {
        let begins = part.extra.iter().any(|(name, _)| name.starts_with(OF_MESSAGE));
        let is_words = match &part.body {
            PartBody::Text(_) | PartBody::Refusal(_) => true,
            PartBody::Opaque { .. } => !is_item(part),
            _ => false,
        };
        if begins || !is_words {
            write_words(array, &mut said, home);
        }
        // A caller that keeps no reasoning by itself brings its seal with the call that it led to.
        let seal =
            part.signature.as_ref().filter(|seal| !home && seal.for_maker(Dialect::Responses).is_some());
        if let Some(seal) = seal.filter(|seal| !parts.iter().any(|other| seals(other, seal))) {
            write_reasoning(array, Some(seal), part, home);
        }
        match &part.body {
            _ if is_words => said.push(part),
            PartBody::ToolCall { id, name, arguments } => array.object(|w| {
                w.string("type", "function_call");
                w.string("call_id", id);
                w.string("name", name);
                w.string("arguments", if arguments.is_empty() { "{}" } else { arguments });
                if home {
                    w.extra(&part.extra);
                }
            }),
            PartBody::Thinking { signature, .. } => write_reasoning(array, signature.as_ref(), part, home),
            PartBody::RedactedThinking { data } => write_reasoning(array, Some(data), part, home),
            PartBody::Opaque { value, .. } => array.raw(value.text()),
            _ => {}
        }
    }
    write_words(array, &mut said, home);
}

/// Whether a piece is reasoning with this seal.
fn seals(part: &Part, seal: &Signature) -> bool {
    match &part.body {
        PartBody::Thinking { signature, .. } => signature.as_ref() == Some(seal),
        PartBody::RedactedThinking { data } => data == seal,
        _ => false,
    }
}

fn write_words(array: &mut ArrayWriter<'_>, said: &mut Vec<&Part>, home: bool) {
    let said = std::mem::take(said);
    let Some(first) = said.first() else { return };
    let marks = || first.extra.iter().filter_map(|(name, v)| Some((name.strip_prefix(OF_MESSAGE)?, v)));
    array.object(|w| {
        w.string("type", "message");
        w.string("role", "assistant");
        match content::alone(&said, home) {
            // With an id it is an answer given back, which has parts always.
            Some(text) if !home || !marks().any(|(name, _)| name == "id") => w.string("content", text),
            _ => w.array("content", |array| {
                for part in &said {
                    content::write_output(array, part, home);
                }
            }),
        }
        if home {
            for (name, value) in marks().filter(|(name, _)| !name.is_empty()) {
                w.raw(name, value.text());
            }
        }
    });
}

/// Writes reasoning back to where it came from. What nobody sealed for this dialect was taken out before.
fn write_reasoning(array: &mut ArrayWriter<'_>, seal: Option<&Signature>, part: &Part, home: bool) {
    array.object(|w| {
        w.string("type", "reasoning");
        if home {
            if let Some(seal) = seal {
                w.string("encrypted_content", &seal.data);
            }
            return w.extra(&part.extra);
        }
        let (id, sealed) = seal::split(seal.map(|seal| seal.data.as_str()).unwrap_or_default());
        if let Some(id) = id {
            w.string("id", id);
        }
        w.array("summary", |array| {
            if let PartBody::Thinking { text, .. } = &part.body
                && !text.is_empty()
            {
                array.object(|w| {
                    w.string("type", "summary_text");
                    w.string("text", text);
                });
            }
        });
        w.string("encrypted_content", sealed);
    });
}
