//! Arguments out of a JSON Schema: the smallest plausible value that satisfies it, always the same for the same schema.
//!
//! Deliberately partial: `pattern`, `not` and conditionals are not solved.

use serde_json::{Map, Value, json};

/// References and nesting deeper than this end in `null`, so that a schema which contains itself terminates.
const MAX_DEPTH: usize = 12;

/// A value for `schema`; `name` is what a plain string becomes.
pub(crate) fn sample(schema: &Value, name: &str) -> Value {
    Sampler { root: schema }.value(schema, name, 0)
}

/// Where an object in the schema lets in members that it does not name, or, if `needs_all`, may go without one that it does.
pub(crate) fn open_object(schema: &Value, needs_all: bool) -> Option<String> {
    open_at(schema, needs_all, "#", 0)
}

fn open_at(schema: &Value, needs_all: bool, at: &str, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    let names = |key: &str| schema.get(key).and_then(Value::as_object);
    if type_of(schema) == "object" && schema.get("$ref").is_none() {
        let required =
            schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_named = |name: &String| required.iter().any(|required| required == name.as_str());
        let is_whole = names("properties").is_none_or(|properties| properties.keys().all(is_named));
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) || (needs_all && !is_whole) {
            return Some(at.to_owned());
        }
    }
    let members = ["properties", "$defs", "definitions"].into_iter().filter_map(names).flatten();
    let members = members.map(|(name, inner)| (name.as_str(), inner));
    let options =
        ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let items = schema.get("items").into_iter();
    let mut inner =
        members.chain(options.map(|option| ("anyOf", option))).chain(items.map(|items| ("items", items)));
    inner.find_map(|(name, inner)| open_at(inner, needs_all, &format!("{at}/{name}"), depth + 1))
}

struct Sampler<'a> {
    root: &'a Value,
}

impl Sampler<'_> {
    fn value(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.map_or(Value::Null, |found| self.value(found, name, depth + 1));
        }
        if let Some(given) = given(schema) {
            return given.clone();
        }
        for key in ["anyOf", "oneOf"] {
            let options = schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let is_value = |option: &&Value| option.get("type").and_then(Value::as_str) != Some("null");
            if let Some(option) = options.iter().find(is_value) {
                return self.value(option, name, depth + 1);
            }
        }
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(all, name, depth);
        }
        self.typed(schema, name, depth)
    }

    fn typed(&self, schema: &Value, name: &str, depth: usize) -> Value {
        // Google writes types in capitals.
        match type_of(schema).to_ascii_lowercase().as_str() {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, name, depth),
            "integer" => json!(lower_integer(schema).unwrap_or(1)),
            "number" => json!(lower_bound(schema).unwrap_or(1.5)),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => Value::String(text(schema, name)),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return json!({}) };
        let members =
            properties.iter().map(|(name, schema)| (name.clone(), self.value(schema, name, depth + 1)));
        Value::Object(members.collect())
    }

    fn array(&self, schema: &Value, name: &str, depth: usize) -> Value {
        let Some(items) = schema.get("items").filter(|items| items.is_object()) else { return json!([]) };
        let wanted = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, 16);
        Value::Array((0..wanted).map(|_| self.value(items, name, depth + 1)).collect())
    }

    fn all_of(&self, all: &[Value], name: &str, depth: usize) -> Value {
        let mut members = Map::new();
        let mut last = Value::Null;
        for part in all {
            match self.value(part, name, depth + 1) {
                Value::Object(part) => members.extend(part),
                other => last = other,
            }
        }
        if members.is_empty() { last } else { Value::Object(members) }
    }
}

/// A value that the schema itself names.
fn given(schema: &Value) -> Option<&Value> {
    let first = |key: &str| schema.get(key).and_then(Value::as_array).and_then(|values| values.first());
    schema
        .get("const")
        .or_else(|| schema.get("default"))
        .or_else(|| first("enum"))
        .or_else(|| first("examples"))
}

/// The type; of several, the first that is not `null`; of none, what the other keywords suggest.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(many)) => {
            many.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn lower_bound(schema: &Value) -> Option<f64> {
    let exclusive = schema.get("exclusiveMinimum").and_then(Value::as_f64).map(|bound| bound + 1.0);
    exclusive.or_else(|| schema.get("minimum").and_then(Value::as_f64))
}

fn lower_integer(schema: &Value) -> Option<i64> {
    let exclusive =
        schema.get("exclusiveMinimum").and_then(Value::as_i64).map(|bound| bound.saturating_add(1));
    exclusive.or_else(|| schema.get("minimum").and_then(Value::as_i64))
}

fn text(schema: &Value, name: &str) -> String {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-31",
        Some("time") => "12:30:00Z",
        Some("date-time") => "2026-01-31T12:30:00Z",
        Some("email") => "someone@example.com",
        Some("uri" | "url") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("ipv4") => "192.0.2.1",
        _ => name,
    };
    let length =
        |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok());
    let shortest = length("minLength").unwrap_or(0).min(10_000);
    let padded: String =
        text.chars().chain(std::iter::repeat('x')).take(shortest.max(text.chars().count())).collect();
    match length("maxLength") {
        Some(longest) => padded.chars().take(longest).collect(),
        None => padded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &Value, expected: &Value) {
        assert_eq!(sample(schema, "it"), *expected, "for {schema}");
    }

    #[test]
    fn arguments_satisfy_the_schema_they_are_made_from() {
        check(&json!({"type": "string"}), &json!("it"));
        check(&json!({"type": ["null", "integer"], "minimum": 7}), &json!(7));
        check(&json!({"enum": ["celsius", "kelvin"]}), &json!("celsius"));
        check(&json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2}), &json!([true, true]));
        check(&json!({"anyOf": [{"type": "null"}, {"type": "number"}]}), &json!(1.5));
        check(&json!({"type": "string", "minLength": 4}), &json!("itxx"));
        check(&json!({"type": "string", "maxLength": 1}), &json!("i"));
        check(
            &json!({"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "string", "format": "date"}}}),
            &json!({"city": "city", "day": "2026-01-31"}),
        );
        check(
            &json!({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"default": 2}}}]}),
            &json!({"a": 1, "b": 2}),
        );
        check(&json!({"type": "object"}), &json!({}));
    }

    #[test]
    fn an_object_that_lets_in_more_than_it_names_is_found() {
        let closed =
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
        assert_eq!(open_object(&closed, false), None);
        assert_eq!(open_object(&closed, true).as_deref(), Some("#"));
        let inner = json!({"type": "array", "items": {"type": "object", "properties": {}}});
        assert_eq!(open_object(&inner, false).as_deref(), Some("#/items"));
    }

    #[test]
    fn a_schema_that_contains_itself_comes_to_an_end() {
        let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}});
        assert!(sample(&schema, "it").is_object());
    }
}
