//! The JSON Schema of the documents, for editors and for the admin API's description.

use serde_json::{Value, json};

use crate::{Kind, Name};

/// The JSON Schema of a whole document of this kind.
pub fn json_schema(kind: Kind) -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let spec = kind.spec_schema(&mut generator);
    let name = generator.subschema_for::<Name>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.as_str(),
        "type": "object",
        "additionalProperties": false,
        "required": ["kind", "name", "spec"],
        "properties": {
            "kind": {"const": kind.as_str()},
            "name": name,
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "spec": spec
        },
        "$defs": generator.definitions()
    })
}
