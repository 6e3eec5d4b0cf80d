//! A document as a tree that knows where each part was written. Duplicate keys are refused when the tree is made.

use std::{collections::HashMap, collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::path::{Path, Step};

/// Where something was written, counted from 1; line 0 if that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl Position {
    pub(crate) fn in_source(self, source: &str) -> String {
        if self.line == 0 { source.to_owned() } else { format!("{source}:{}:{}", self.line, self.column) }
    }

    /// The location for a diagnostic, if anything is known.
    pub(crate) fn known(self, source: &str) -> Option<String> {
        (!source.is_empty()).then(|| self.in_source(source))
    }
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) shape: Shape,
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeKey {
    pub(crate) at: Position,
    pub(crate) text: String,
}

/// What a part of a document is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// Invariant: no key twice.
    Map(Vec<(NodeKey, Node)>),
}

impl Shape {
    /// Tells the type and never a text's content, which could be a secret in the wrong place.
    pub(crate) fn describe(&self) -> String {
        match self {
            Shape::Null => "nothing".to_owned(),
            Shape::Bool(value) => format!("`{value}`"),
            Shape::Unsigned(value) => format!("the number {value}"),
            Shape::Signed(value) => format!("the number {value}"),
            Shape::Float(value) => format!("the number {value}"),
            Shape::Text(_) => "a text".to_owned(),
            Shape::List(_) => "a list".to_owned(),
            Shape::Map(_) => "a map".to_owned(),
        }
    }
}

impl Node {
    /// From JSON bytes; without positions.
    pub(crate) fn from_json(body: &[u8]) -> Result<Node, serde_json::Error> {
        serde_json::from_slice::<Plain>(body).map(|plain| plain.0)
    }

    /// From any self-describing deserializer; without positions.
    pub(crate) fn deserialize_plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        Plain::deserialize(deserializer).map(|plain| plain.0)
    }

    /// From a JSON tree; without positions.
    pub(crate) fn from_value(value: &Value) -> Node {
        let shape = match value {
            Value::Null => Shape::Null,
            Value::Bool(value) => Shape::Bool(*value),
            Value::String(text) => Shape::Text(text.clone()),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => Shape::Unsigned(value),
                (None, Some(value), _) => Shape::Signed(value),
                (None, None, value) => Shape::Float(value.unwrap_or(f64::NAN)),
            },
            Value::Array(items) => Shape::List(items.iter().map(Node::from_value).collect()),
            Value::Object(fields) => {
                let field = |(key, value): (&String, &Value)| {
                    (NodeKey { at: Position::default(), text: key.clone() }, Node::from_value(value))
                };
                Shape::Map(fields.iter().map(field).collect())
            }
        };
        Node { at: Position::default(), shape }
    }

    /// Notes where every part of this tree was written.
    pub(crate) fn positions(&self, path: &mut Path, found: &mut HashMap<String, Position>) {
        match &self.shape {
            Shape::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.0.push(Step::Index(index));
                    item.positions(path, found);
                    path.0.pop();
                }
            }
            Shape::Map(fields) => {
                for (key, field) in fields {
                    path.0.push(Step::Key(key.text.clone()));
                    field.positions(path, found);
                    path.0.pop();
                }
            }
            _ => {}
        }
        found.insert(path.to_string(), self.at);
    }
}

/// How a reader gives its keys and values: with positions (YAML) or without (JSON).
pub(crate) trait Reading {
    type Key: for<'de> Deserialize<'de> + Into<NodeKey>;
    type Value: for<'de> Deserialize<'de> + Into<Node>;
}

/// Builds a shape from whatever comes.
pub(crate) struct ShapeVisitor<R>(pub(crate) PhantomData<R>);

impl<'de, R: Reading> Visitor<'de> for ShapeVisitor<R> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Shape, E> {
        Ok(u64::try_from(value).map_or(Shape::Signed(value), Shape::Unsigned))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Shape, E> {
        Ok(Shape::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<R::Value>()? {
            list.push(item.into());
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Shape, A::Error> {
        let mut map: Vec<(NodeKey, Node)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<R::Key>()? {
            let key: NodeKey = key.into();
            if !seen.insert(key.text.clone()) {
                return Err(de::Error::custom(format_args!("the key `{}` appears twice", key.text)));
            }
            map.push((key, fields.next_value::<R::Value>()?.into()));
        }
        Ok(Shape::Map(map))
    }
}

/// A node without positions.
struct Plain(Node);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = deserializer.deserialize_any(ShapeVisitor::<PlainReading>(PhantomData))?;
        Ok(Plain(Node { at: Position::default(), shape }))
    }
}

impl From<Plain> for Node {
    fn from(plain: Plain) -> Node {
        plain.0
    }
}

impl From<String> for NodeKey {
    fn from(text: String) -> NodeKey {
        NodeKey { at: Position::default(), text }
    }
}

struct PlainReading;

impl Reading for PlainReading {
    type Key = String;
    type Value = Plain;
}
