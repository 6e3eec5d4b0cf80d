//! The types that the parts of a condition can have.

use cel::common::ast::LiteralValue;

/// What is known about a value without computing it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Null,
    List(Box<Type>),
    Map(Box<Type>),
    /// `caller`, of which only the fields can be used.
    Caller,
    /// `tags`, `headers` or `caller.labels`: texts by name.
    Texts(&'static str),
    Unknown,
}

impl Type {
    pub(super) const fn of_literal(literal: &LiteralValue) -> Type {
        match literal {
            LiteralValue::Boolean(_) => Type::Bool,
            LiteralValue::Bytes(_) => Type::Bytes,
            LiteralValue::Double(_) => Type::Double,
            LiteralValue::Int(_) => Type::Int,
            LiteralValue::Null => Type::Null,
            LiteralValue::String(_) => Type::Text,
            LiteralValue::UInt(_) => Type::Uint,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Type::Bool => "a boolean".to_owned(),
            Type::Int | Type::Uint => "a whole number".to_owned(),
            Type::Double => "a number".to_owned(),
            Type::Text => "a text".to_owned(),
            Type::Bytes => "bytes".to_owned(),
            Type::Null => "null".to_owned(),
            Type::List(_) => "a list".to_owned(),
            Type::Map(_) => "a map".to_owned(),
            Type::Caller => "`caller` as a whole".to_owned(),
            Type::Texts(name) => format!("`{name}` as a whole"),
            Type::Unknown => "a value".to_owned(),
        }
    }

    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::Uint | Type::Double | Type::Unknown)
    }

    /// Whether a value of one type can be a value of the other, numbers of all sorts being alike.
    pub(super) fn is_comparable(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Unknown, _) | (_, Type::Unknown) => true,
            (Type::List(mine), Type::List(theirs)) => mine.is_comparable(theirs),
            (Type::Map(mine), Type::Map(theirs)) => mine.is_comparable(theirs),
            (Type::Caller | Type::Texts(_), _) | (_, Type::Caller | Type::Texts(_)) => false,
            _ => self == other || (self.is_number() && other.is_number()),
        }
    }

    pub(super) fn join(self, other: Type) -> Type {
        match (self, other) {
            (Type::Unknown, known) | (known, Type::Unknown) => known,
            (Type::List(mine), Type::List(theirs)) => Type::List(Box::new(mine.join(*theirs))),
            (mine, theirs) if mine == theirs => mine,
            _ => Type::Unknown,
        }
    }
}
