//! Reading JSON objects field by field and writing them in a stated order, without a tree.
//!
//! Values the canonical form has no word for stay as they were written. It must not know any dialect.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Serialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Fault, canonical::Extra, canonical::Json, scan::is_plain};

/// More fields than any real object of either dialect has; bounds the search for duplicates.
const MOST_FIELDS: usize = 256;

/// An object whose fields are taken one by one; what is left at the end was not understood.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Where it stands in the call, for faults.
    pub(crate) place: String,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // Most objects have a few fields; growing by and by would copy them twice.
        let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(8);
        while let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            if fields.len() >= MOST_FIELDS {
                return Err(serde::de::Error::custom("too many fields in one object"));
            }
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(serde::de::Error::custom(format_args!("duplicate field `{name}`")));
            }
            fields.push((name, value));
        }
        Ok(Object { fields, place: String::new() })
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'a> Object<'a> {
    /// Reads a whole body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        // Once for all: a reader of bytes looks at the characters of each string anew.
        let text = std::str::from_utf8(body).map_err(|error| {
            Fault::invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        serde_json::from_str(text)
            .map_err(|error| Fault::invalid(format!("the body is not understood: {error}")))
    }

    /// An object without fields.
    pub(crate) fn empty() -> Self {
        Self { fields: Vec::new(), place: String::new() }
    }

    /// Reads a value that must be an object.
    pub(crate) fn read(value: &'a RawValue, place: impl Into<String>) -> Result<Self, Fault> {
        let place = place.into();
        match serde_json::from_str::<Self>(value.get()) {
            Ok(object) => Ok(Self { place, ..object }),
            Err(error) => Err(Fault::invalid(format!("`{place}` must be an object: {error}")).at(place)),
        }
    }

    /// Gives every field its name in camel case: some dialects know two names for each.
    pub(crate) fn camel(mut self) -> Result<Self, Fault> {
        for at in 0..self.fields.len() {
            let Some(camel) = self.fields.get(at).and_then(|(name, _)| camel_case(name)) else { continue };
            if self.fields.iter().any(|(known, _)| *known == camel) {
                let place = self.place_of(&camel);
                return Err(Fault::invalid(format!("`{place}` is given twice, under two names")).at(place));
            }
            if let Some((name, _)) = self.fields.get_mut(at) {
                *name = Cow::Owned(camel);
            }
        }
        Ok(self)
    }

    /// The place of a field, for faults.
    pub(crate) fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { [&self.place, ".", name].concat() }
    }

    /// Takes a field; a `null` is as good as none.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.remove(at);
        (value.get() != "null").then_some(value)
    }

    /// Whether a field is there and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, value)| known == name && value.get() != "null")
    }

    /// Takes a field of a type.
    pub(crate) fn take_as<T: Deserialize<'a>>(&mut self, name: &str, what: &str) -> Result<Option<T>, Fault> {
        self.take(name)
            .map(|value| serde_json::from_str(value.get()).map_err(|_error| self.wrong(name, what)))
            .transpose()
    }

    /// Looks at a field without taking it; nothing when it has another type.
    pub(crate) fn peek_as<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        let (_, value) = self.fields.iter().find(|(known, _)| known == name)?;
        serde_json::from_str(value.get()).ok()
    }

    /// Takes a text.
    pub(crate) fn take_string(&mut self, name: &str) -> Result<Option<String>, Fault> {
        self.take_as(name, "a string")
    }

    /// Takes a text that must be there.
    pub(crate) fn need_string(&mut self, name: &str) -> Result<String, Fault> {
        self.take_string(name)?.ok_or_else(|| self.wrong(name, "a string"))
    }

    /// Takes the elements of an array; none when the field is missing.
    pub(crate) fn take_array(&mut self, name: &str) -> Result<Vec<&'a RawValue>, Fault> {
        Ok(self.take_as(name, "an array")?.unwrap_or_default())
    }

    /// Takes an object.
    pub(crate) fn take_object(&mut self, name: &str) -> Result<Option<Self>, Fault> {
        let place = self.place_of(name);
        self.take(name).map(|value| Self::read(value, place)).transpose()
    }

    /// What was not taken. A `null` says nothing and is left out.
    pub(crate) fn rest(self) -> Extra {
        let kept = self.fields.into_iter().filter(|(_, value)| value.get() != "null");
        kept.map(|(name, value)| (name.into_owned(), Json::new(value))).collect()
    }

    /// The fault of a field with the wrong shape.
    pub(crate) fn wrong(&self, name: &str, what: &str) -> Fault {
        let place = self.place_of(name);
        Fault::invalid(format!("`{place}` must be {what}")).at(place)
    }
}

/// A name in camel case; nothing when it is so already.
fn camel_case(name: &str) -> Option<String> {
    let rest = name.trim_start_matches('_');
    if !rest.contains('_') {
        return None;
    }
    let mut words = rest.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    Some(camel)
}

/// The place of an element of an array: made for each element of each call, so without the machinery of formatting.
pub(crate) fn nth(place: &str, index: usize) -> String {
    let mut text = String::with_capacity(place.len() + 8);
    text.push_str(place);
    text.push('[');
    let mut ten = 1;
    while index / ten >= 10 {
        ten *= 10;
    }
    while ten > 0 {
        text.push(char::from(b"0123456789"[..].get(index / ten % 10).copied().unwrap_or(b'0')));
        ten /= 10;
    }
    text.push(']');
    text
}

/// Whether a raw value is a text.
pub(crate) fn is_string(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

/// What a model wrote as arguments, as the object that must stand there. Text that is none is shown to the tool's own check
/// instead of failing the answer.
pub(crate) fn as_object(arguments: &str) -> String {
    if arguments.trim().is_empty() {
        return "{}".to_owned();
    }
    match serde_json::from_str::<Object<'_>>(arguments) {
        Ok(_) => arguments.to_owned(),
        Err(_) => serde_json::json!({ "invalid_arguments": arguments }).to_string(),
    }
}

/// Writes one object into fresh bytes.
pub(crate) fn object(write: impl FnOnce(&mut ObjectWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_object(&mut out, write);
    out
}

/// Writes one object at the end of some bytes.
pub(crate) fn write_object(out: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    out.push(b'{');
    write(&mut ObjectWriter { out, first: true });
    out.push(b'}');
}

/// Writes the fields of an object in order.
#[derive(Debug)]
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl ObjectWriter<'_> {
    fn key(&mut self, name: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        write_text(self.out, name);
        self.out.push(b':');
    }

    pub(crate) fn string(&mut self, name: &str, text: &str) {
        self.key(name);
        write_text(self.out, text);
    }

    pub(crate) fn opt_string(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.string(name, text),
            None => self.null(name),
        }
    }

    pub(crate) fn bool(&mut self, name: &str, value: bool) {
        self.key(name);
        write_value(self.out, &value);
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        write_value(self.out, &value);
    }

    pub(crate) fn float(&mut self, name: &str, value: f64) {
        self.key(name);
        write_value(self.out, &value);
    }

    pub(crate) fn null(&mut self, name: &str) {
        self.raw(name, "null");
    }

    /// Writes a text that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.key(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Writes fields that are JSON already, names and all.
    pub(crate) fn fields(&mut self, fields: &[u8]) {
        if fields.is_empty() {
            return;
        }
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.extend_from_slice(fields);
    }

    pub(crate) fn extra(&mut self, extra: &Extra) {
        for (name, value) in extra {
            self.raw(name, value.text());
        }
    }

    pub(crate) fn object(&mut self, name: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.key(name);
        write_object(self.out, write);
    }

    pub(crate) fn array(&mut self, name: &str, write: impl FnOnce(&mut ArrayWriter<'_>)) {
        self.key(name);
        self.out.push(b'[');
        write(&mut ArrayWriter { out: self.out, first: true });
        self.out.push(b']');
    }
}

/// Writes the elements of an array in order.
#[derive(Debug)]
pub(crate) struct ArrayWriter<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl ArrayWriter<'_> {
    fn next(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    pub(crate) fn object(&mut self, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.next();
        write_object(self.out, write);
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.next();
        write_text(self.out, text);
    }

    pub(crate) fn raw(&mut self, json: &str) {
        self.next();
        self.out.extend_from_slice(json.as_bytes());
    }
}

/// Writes a text. Most need no escapes, and all of one is looked at faster than its bytes one by one.
fn write_text(out: &mut Vec<u8>, text: &str) {
    if !is_plain(text.as_bytes()) {
        return write_value(out, text);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write_value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts, numbers and booleans always have a JSON form, and a vector takes every byte.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "a plain value did not become JSON");
}
