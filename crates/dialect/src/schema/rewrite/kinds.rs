//! The types of a schema, and the values it enumerates, in the words of the target.

use super::{Fields, Rewriter, flat::Flat, rules::TOLD};
use crate::{
    Fault,
    schema::tree::{Tree, get, put, take},
};

impl Rewriter<'_> {
    /// Gives a schema a type, if it has none but shows it, and tells a `null` among several apart.
    pub(super) fn typed(&mut self, mut fields: Fields, place: &str) -> Result<Fields, Fault> {
        if get(&fields, "type").is_none() && get(&fields, "anyOf").is_none() {
            let kind = if get(&fields, "properties").is_some() {
                Some("object")
            } else if get(&fields, "items").is_some() {
                Some("array")
            } else if let Some(Tree::Array(values)) = get(&fields, "enum") {
                kind_of(values)
            } else {
                return self.refuse(place, "a value of any type");
            };
            if let Some(kind) = kind {
                fields.insert(0, ("type".to_owned(), Tree::text(kind)));
            }
        }
        if !self.rules.is_open_api {
            return Ok(fields);
        }
        let mut nullable = false;
        if let Some(Tree::Array(kinds)) = get(&fields, "type").cloned() {
            let kinds: Vec<Tree> = kinds.into_iter().filter(|kind| !is_null(kind, &mut nullable)).collect();
            match kinds.as_slice() {
                [one] => put(&mut fields, "type", one.clone()),
                several => {
                    take(&mut fields, "type");
                    let options = several.iter().map(|kind| one_of_kinds(kind, &fields)).collect();
                    fields.retain(|(name, _)| TOLD.contains(&name.as_str()));
                    put(&mut fields, "anyOf", Tree::Array(options));
                }
            }
        }
        if let Some(Tree::Array(options)) = take(&mut fields, "anyOf") {
            let is_null_option = |option: &Tree| option.get("type").and_then(Tree::as_str) == Some("null");
            let count = options.len();
            let mut options: Vec<Tree> =
                options.into_iter().filter(|option| !is_null_option(option)).collect();
            nullable |= options.len() < count;
            match (options.len(), options.pop()) {
                (1, Some(Tree::Object(one))) => match self.flattened(one, &format!("{place}.anyOf[0]"))? {
                    Flat::Fields(one) => {
                        self.merge(&mut fields, one, place)?;
                        fields = self.typed(fields, place)?;
                    }
                    Flat::Reference(_) => return self.refuse(place, "a reference"),
                },
                (_, last) => {
                    options.extend(last);
                    put(&mut fields, "anyOf", Tree::Array(options));
                }
            }
        }
        if get(&fields, "type").and_then(Tree::as_str) == Some("null") {
            return self.refuse(&format!("{place}.type"), "`null` alone");
        }
        if nullable {
            put(&mut fields, "nullable", Tree::Bool(true));
        }
        Ok(fields)
    }

    /// Only texts are enumerated there: `null` becomes a mark, and numbers a range where they leave no gap.
    pub(super) fn enumerated(&mut self, mut fields: Fields, place: &str) -> Result<Fields, Fault> {
        let Some(Tree::Array(values)) = get(&fields, "enum").cloned() else { return Ok(fields) };
        let count = values.len();
        let values: Vec<Tree> = values.into_iter().filter(|value| *value != Tree::Null).collect();
        if values.len() < count {
            put(&mut fields, "nullable", Tree::Bool(true));
        }
        if values.iter().all(|value| value.as_str().is_some()) {
            put(&mut fields, "enum", Tree::Array(values));
            return Ok(fields);
        }
        let place = format!("{place}.enum");
        let mut numbers: Vec<i64> = values
            .iter()
            .filter_map(|value| match value {
                Tree::Number(number) => number.as_i64(),
                _ => None,
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let has_no_gap =
            numbers.iter().zip(numbers.iter().skip(1)).all(|(a, b)| a.checked_add(1) == Some(*b));
        let is_both = values.contains(&Tree::Bool(true)) && values.contains(&Tree::Bool(false));
        match (numbers.first(), numbers.last()) {
            (Some(first), Some(last)) if numbers.len() == values.len() && has_no_gap => {
                take(&mut fields, "enum");
                put(&mut fields, "type", Tree::text("integer"));
                put(&mut fields, "minimum", Tree::Number((*first).into()));
                put(&mut fields, "maximum", Tree::Number((*last).into()));
                Ok(fields)
            }
            _ if is_both && values.len() == 2 => {
                take(&mut fields, "enum");
                Ok(fields)
            }
            _ => self.refuse(&place, "only texts can be enumerated"),
        }
    }
}

/// The type of values that are all of one.
fn kind_of(values: &[Tree]) -> Option<&'static str> {
    let kind = |value: &Tree| match value {
        Tree::String(_) => Some("string"),
        Tree::Number(number) if number.is_f64() => Some("number"),
        Tree::Number(_) => Some("integer"),
        Tree::Bool(_) => Some("boolean"),
        _ => None,
    };
    let mut kinds = values.iter().filter(|value| **value != Tree::Null).map(kind);
    let first = kinds.next().flatten()?;
    (kinds.all(|kind| kind == Some(first)) && !values.contains(&Tree::Null)).then_some(first)
}

fn is_null(kind: &Tree, nullable: &mut bool) -> bool {
    let is_null = kind.as_str() == Some("null");
    *nullable |= is_null;
    is_null
}

/// One type of several, with the keywords that are about it.
fn one_of_kinds(kind: &Tree, fields: &Fields) -> Tree {
    let about: &[&str] = match kind.as_str() {
        Some("string") => &["minLength", "maxLength", "pattern", "format"],
        Some("integer" | "number") => {
            &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]
        }
        Some("array") => &["items", "minItems", "maxItems", "uniqueItems"],
        Some("object") => {
            &["properties", "required", "additionalProperties", "minProperties", "maxProperties"]
        }
        _ => &[],
    };
    let kept = fields.iter().filter(|(name, _)| about.contains(&name.as_str())).cloned();
    Tree::Object([("type".to_owned(), kind.clone())].into_iter().chain(kept).collect())
}
