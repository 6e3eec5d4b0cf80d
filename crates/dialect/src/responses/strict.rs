//! Whether a schema is one that OpenAI keeps to strictly.
//!
//! A tool of a response that does not say `strict` is strict as far as its schema allows; a tool of a chat call is not.

use serde_json::Value;

use crate::canonical::{Json, Tool, ToolBody};

/// What a schema that is kept to strictly may not say.
const LOOSE: [&str; 8] =
    ["allOf", "oneOf", "not", "if", "patternProperties", "dependentRequired", "dependentSchemas", "default"];

/// Says `strict` where it is meant, for targets that take it for lax when it is not said.
pub(crate) fn spell_out(tools: &mut [Tool]) {
    for tool in tools {
        if let ToolBody::Function { strict: strict @ None, parameters: Some(schema), .. } = &mut tool.body
            && is_strict(schema)
        {
            *strict = Some(true);
        }
    }
}

fn is_strict(schema: &Json) -> bool {
    serde_json::from_str::<Value>(schema.text()).is_ok_and(|schema| schema.is_object() && is_closed(&schema))
}

/// Every object in it has nothing but what is named, and all of that.
fn is_closed(schema: &Value) -> bool {
    let is_object =
        schema.get("type").is_some_and(|kind| kind == "object") || schema.get("properties").is_some();
    if LOOSE.iter().any(|word| schema.get(word).is_some()) {
        return false;
    }
    if is_object && !(schema.get("additionalProperties") == Some(&Value::Bool(false)) && needs_all(schema)) {
        return false;
    }
    let within = |name: &str| schema.get(name).into_iter();
    let named = ["properties", "$defs", "definitions"].into_iter().flat_map(within);
    let listed = ["anyOf", "prefixItems"].into_iter().flat_map(within);
    named.filter_map(Value::as_object).flat_map(|named| named.values()).all(is_closed)
        && listed.filter_map(Value::as_array).flatten().all(is_closed)
        && within("items").all(is_closed)
}

fn needs_all(schema: &Value) -> bool {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_none_or(|properties| properties.keys().all(|name| required.contains(&name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::is_strict;
    use crate::Json;

    #[test]
    fn a_schema_is_strict_when_every_object_in_it_is_closed_and_needs_all_it_names() {
        for (schema, expected) in [
            (
                r#"{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}"#,
                true,
            ),
            (r#"{"type":"object","properties":{"a":{}},"additionalProperties":false}"#, false),
            (r#"{"type":"object","properties":{"a":{}},"required":["a"]}"#, false),
            (r#"{"type":"object","properties":{},"additionalProperties":false}"#, true),
            (
                r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}},
                    "required":["a"],"additionalProperties":false}"#,
                false,
            ),
            (
                r#"{"type":"object","properties":{"a":{"default":1}},"required":["a"],"additionalProperties":false}"#,
                false,
            ),
            ("true", false),
        ] {
            assert_eq!(is_strict(&Json::parse(schema).unwrap()), expected, "{schema}");
        }
    }
}
