//! Gemini's subset of OpenAPI's schemas, to and from JSON Schema.

use super::tree::{Tree, get, put, take};
use crate::{Fault, canonical::Json};

/// Reads a schema of Gemini's older kind as JSON Schema.
pub(crate) fn from_gemini(schema: &Json, place: &str) -> Result<Json, Fault> {
    plain(Tree::read(schema, place)?).write()
}

fn plain(tree: Tree) -> Tree {
    let Tree::Object(fields) = tree else { return tree };
    let mut out: Vec<(String, Tree)> = Vec::with_capacity(fields.len());
    let (mut nullable, mut order) = (false, None);
    for (name, value) in fields {
        match (camel(&name).as_str(), value) {
            ("type", Tree::String(kind)) if kind == "TYPE_UNSPECIFIED" => {}
            ("type", Tree::String(kind)) => put(&mut out, "type", Tree::String(kind.to_ascii_lowercase())),
            ("nullable", Tree::Bool(value)) => nullable = value,
            ("format", Tree::String(format)) if format == "enum" => {}
            ("propertyOrdering", Tree::Array(names)) => order = Some(names),
            ("example", value) => put(&mut out, "examples", Tree::Array(vec![value])),
            ("properties" | "defs" | "$defs", Tree::Object(inner)) => {
                let inner = inner.into_iter().map(|(name, value)| (name, plain(value))).collect();
                let name = if name == "properties" { "properties" } else { "$defs" };
                put(&mut out, name, Tree::Object(inner));
            }
            ("items" | "additionalProperties", value) => put(&mut out, &camel(&name), plain(value)),
            ("anyOf", Tree::Array(items)) => {
                put(&mut out, "anyOf", Tree::Array(items.into_iter().map(plain).collect()));
            }
            ("ref", value) => put(&mut out, "$ref", value),
            (
                "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties",
                Tree::String(digits),
            ) => {
                let number = digits.parse::<u64>().map_or(Tree::String(digits), |n| Tree::Number(n.into()));
                put(&mut out, &camel(&name), number);
            }
            (name, value) => put(&mut out, name, value),
        }
    }
    if let (Some(order), Some(Tree::Object(properties))) =
        (order, out.iter_mut().find(|(name, _)| name == "properties").map(|(_, value)| value))
    {
        let place =
            |name: &String| order.iter().position(|known| known.as_str() == Some(name)).unwrap_or(usize::MAX);
        properties.sort_by_key(|(name, _)| place(name));
    }
    if nullable {
        or_null(&mut out);
    }
    Tree::Object(out)
}

/// Makes a schema accept `null` as well.
fn or_null(fields: &mut Vec<(String, Tree)>) {
    if let Some(Tree::Array(values)) =
        fields.iter_mut().find(|(name, _)| name == "enum").map(|(_, value)| value)
        && !values.contains(&Tree::Null)
    {
        values.push(Tree::Null);
    }
    match get(fields, "type") {
        Some(Tree::String(kind)) => {
            let kinds = Tree::Array(vec![Tree::text(kind), Tree::text("null")]);
            put(fields, "type", kinds);
        }
        Some(_) => {}
        None => {
            if let Some(Tree::Array(mut options)) = take(fields, "anyOf") {
                options.push(Tree::Object(vec![("type".to_owned(), Tree::text("null"))]));
                fields.push(("anyOf".to_owned(), Tree::Array(options)));
            }
        }
    }
}

/// Gemini's names come in both cases.
fn camel(name: &str) -> String {
    let known = [
        ("any_of", "anyOf"),
        ("max_items", "maxItems"),
        ("min_items", "minItems"),
        ("max_length", "maxLength"),
        ("min_length", "minLength"),
        ("max_properties", "maxProperties"),
        ("min_properties", "minProperties"),
        ("property_ordering", "propertyOrdering"),
        ("additional_properties", "additionalProperties"),
    ];
    known.iter().find(|(snake, _)| *snake == name).map_or(name, |(_, camel)| *camel).to_owned()
}
