//! From a tree to a spec: serde's derived code reads the tree, and this tells where it failed and what to write instead.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::node::{Node, NodeKey, Position, Shape};
use crate::{
    Diagnostic, Severity,
    diagnostic::hint,
    path::{Path, Step},
};

/// What can be read from a tree.
pub(crate) trait FromNode: Sized {
    fn from_node(node: &Node) -> Result<Self, NodeError>;
}

impl<T: for<'de> Deserialize<'de>> FromNode for T {
    fn from_node(node: &Node) -> Result<Self, NodeError> {
        T::deserialize(node)
    }
}

/// What is wrong with the form of a document. The way to it is put together while the error travels up.
#[derive(Debug)]
pub(crate) struct NodeError {
    code: &'static str,
    message: String,
    /// From the innermost step to the outermost.
    steps: Vec<Step>,
    at: Option<Position>,
}

impl NodeError {
    pub(crate) fn new(code: &'static str, message: String) -> NodeError {
        NodeError { code, message, steps: Vec::new(), at: None }
    }

    /// Sets the position, unless a smaller part has set it before.
    pub(crate) fn at(mut self, position: Position) -> NodeError {
        self.at.get_or_insert(position);
        self
    }

    pub(crate) fn under(mut self, step: Step) -> NodeError {
        self.steps.push(step);
        self
    }

    pub(crate) fn into_diagnostic(self, resource: &str, source: &str) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            resource: resource.to_owned(),
            path: Path(self.steps.into_iter().rev().collect()).to_string(),
            location: self.at.and_then(|at| at.known(source)),
            code: Cow::Borrowed(self.code),
            message: self.message,
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NodeError {}

impl de::Error for NodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        NodeError::new("invalid_value", message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = in_plain_words(&expected.to_string());
        let is_text_wanted = expected == "a text" || expected.starts_with("a name");
        let advice = match found {
            Unexpected::Unsigned(value) if is_text_wanted => format!("; write it in quotes: \"{value}\""),
            Unexpected::Signed(value) if is_text_wanted => format!("; write it in quotes: \"{value}\""),
            Unexpected::Float(value) if is_text_wanted => format!("; write it in quotes: \"{value}\""),
            Unexpected::Bool(value) if is_text_wanted => format!("; write it in quotes: \"{value}\""),
            Unexpected::Unit => "; give it a value or remove the field".to_owned(),
            Unexpected::Str(_) if expected.starts_with("a whole number") => {
                "; write it without quotes".to_owned()
            }
            _ => String::new(),
        };
        NodeError::new(
            "wrong_type",
            format!("expected {expected}, found {}{advice}", found_in_plain_words(found)),
        )
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = in_plain_words(&expected.to_string());
        NodeError::new("invalid_value", format!("expected {expected}, found {}", found_in_plain_words(found)))
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        NodeError::new("invalid_value", format!("expected {expected}, found {length} entries"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("`{variant}` is not known{}", hint(variant, expected.iter().copied()));
        NodeError::new("invalid_value", message)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("unknown field `{field}`{}", hint(field, expected.iter().copied()));
        NodeError::new("unknown_field", message)
    }

    fn missing_field(field: &'static str) -> Self {
        NodeError::new("missing_field", format!("missing field `{field}`"))
    }
}

/// serde's words for what it expects, in an operator's words.
fn in_plain_words(expected: &str) -> String {
    match expected {
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "i32" => "a whole number".to_owned(),
        "a nonzero u32" => format!("a whole number from 1 to {}", u32::MAX),
        _ if expected.starts_with("struct ") => "a map".to_owned(),
        _ => expected.to_owned(),
    }
}

/// Never a text's content, which could be a secret in the wrong place.
fn found_in_plain_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        _ => "a text".to_owned(),
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let result = match &self.shape {
            Shape::Null => visitor.visit_unit(),
            Shape::Bool(value) => visitor.visit_bool(*value),
            Shape::Unsigned(value) => visitor.visit_u64(*value),
            Shape::Signed(value) => visitor.visit_i64(*value),
            Shape::Float(value) => visitor.visit_f64(*value),
            Shape::Text(text) => visitor.visit_borrowed_str(text),
            Shape::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Shape::Map(fields) => visitor.visit_map(Fields { fields: fields.iter(), current: None }),
        };
        result.map_err(|error| error.at(self.at))
    }

    /// What is written is there: a field without a value is refused, never taken as omitted.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_some(self).map_err(|error| error.at(self.at))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_newtype_struct(self).map_err(|error| error.at(self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        let result = match &self.shape {
            Shape::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            other => {
                let message =
                    format!("expected one of `{}`, found {}", variants.join("`, `"), other.describe());
                Err(NodeError::new("wrong_type", message))
            }
        };
        result.map_err(|error| error.at(self.at))
    }

    /// Only a map is a struct: serde would take a list as well, by position.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        match &self.shape {
            Shape::List(_) => {
                Err(NodeError::new("wrong_type", "expected a map, found a list".to_owned()).at(self.at))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = NodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, NodeError> {
        match self.items.next() {
            None => Ok(None),
            Some((index, item)) => {
                seed.deserialize(item).map(Some).map_err(|error| error.under(Step::Index(index)))
            }
        }
    }
}

struct Fields<'de> {
    fields: std::slice::Iter<'de, (NodeKey, Node)>,
    current: Option<(&'de str, &'de Node)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = NodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, NodeError> {
        let Some((key, value)) = self.fields.next() else {
            return Ok(None);
        };
        self.current = Some((&key.text, value));
        let read: Result<K::Value, NodeError> = seed.deserialize(key.text.as_str().into_deserializer());
        read.map(Some).map_err(|error| error.at(key.at).under(Step::Key(key.text.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NodeError> {
        let Some((key, value)) = self.current.take() else {
            return Err(NodeError::new("syntax", "a key without a value".to_owned()));
        };
        seed.deserialize(value).map_err(|error| error.under(Step::Key(key.to_owned())))
    }
}
