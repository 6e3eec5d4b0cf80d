//! Two schemas as one that asks for both.

use super::tree::{Tree, get, put};

type Fields = Vec<(String, Tree)>;

/// What only describes: one of two is enough.
const TOLD: &[&str] = &[
    "title",
    "description",
    "default",
    "examples",
    "example",
    "$comment",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// Where the greater of two is the stricter, and where the lesser is.
const LEAST: &[&str] = &["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const MOST: &[&str] = &["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

/// Puts all that `other` asks for into `fields`.
///
/// # Errors
/// The keyword that both have and that cannot be joined.
pub(super) fn merge(fields: &mut Fields, other: Fields) -> Result<(), String> {
    for (name, value) in other {
        let joined = match get(fields, &name) {
            None => value,
            Some(own) if *own == value || TOLD.contains(&name.as_str()) => continue,
            Some(own) => join(&name, own, value)
                .map_err(|inner| if inner.is_empty() { name.clone() } else { format!("{name}.{inner}") })?,
        };
        put(fields, &name, joined);
    }
    Ok(())
}

fn join(name: &str, own: &Tree, other: Tree) -> Result<Tree, String> {
    match (name, own, other) {
        ("required", Tree::Array(own), Tree::Array(other)) => {
            let mut all = own.clone();
            all.extend(other.into_iter().filter(|item| !own.contains(item)));
            Ok(Tree::Array(all))
        }
        ("properties" | "$defs" | "definitions", Tree::Object(own), Tree::Object(other)) => {
            let mut all = own.clone();
            for (property, schema) in other {
                let joined = match (get(&all, &property), schema) {
                    (None, schema) => schema,
                    (Some(Tree::Object(own)), Tree::Object(other)) => {
                        let mut own = own.clone();
                        merge(&mut own, other).map_err(|inner| format!("{property}.{inner}"))?;
                        Tree::Object(own)
                    }
                    (Some(own), other) if *own == other => continue,
                    _ => return Err(property),
                };
                put(&mut all, &property, joined);
            }
            Ok(Tree::Object(all))
        }
        ("items", Tree::Object(own), Tree::Object(other)) => {
            let mut own = own.clone();
            merge(&mut own, other)?;
            Ok(Tree::Object(own))
        }
        ("enum", Tree::Array(own), Tree::Array(other)) => {
            let both: Vec<Tree> = own.iter().filter(|item| other.contains(item)).cloned().collect();
            if both.is_empty() { Err(String::new()) } else { Ok(Tree::Array(both)) }
        }
        ("type", own, other) => narrower(own, &other).ok_or_else(String::new),
        ("additionalProperties", Tree::Bool(own), Tree::Bool(other)) => Ok(Tree::Bool(*own && other)),
        ("uniqueItems", Tree::Bool(own), Tree::Bool(other)) => Ok(Tree::Bool(*own || other)),
        (name, Tree::Number(own), Tree::Number(other)) if LEAST.contains(&name) || MOST.contains(&name) => {
            let (a, b) = (own.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            let takes_own = if LEAST.contains(&name) { a >= b } else { a <= b };
            Ok(Tree::Number(if takes_own { own.clone() } else { other }))
        }
        _ => Err(String::new()),
    }
}

/// The types that both allow.
fn narrower(own: &Tree, other: &Tree) -> Option<Tree> {
    let names = |tree: &Tree| -> Vec<String> {
        match tree {
            Tree::String(name) => vec![name.clone()],
            Tree::Array(names) => names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
            _ => Vec::new(),
        }
    };
    let (own, other) = (names(own), names(other));
    let allows = |names: &[String], name: &str| {
        names.iter().any(|known| known == name)
            || name == "integer" && names.iter().any(|known| known == "number")
    };
    let mut both: Vec<String> = own.iter().filter(|name| allows(&other, name)).cloned().collect();
    both.extend(
        other.iter().filter(|name| allows(&own, name) && !both.contains(name)).cloned().collect::<Vec<_>>(),
    );
    match both.as_slice() {
        [] => None,
        [one] => Some(Tree::text(one)),
        several => Some(Tree::Array(several.iter().map(|name| Tree::text(name)).collect())),
    }
}
