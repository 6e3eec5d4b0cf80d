//! The schemas of what the API carries and other rooms own: resources by their kind, diffs, diagnostics, commits, records.
//! They are components of the OpenAPI document, and other schemas point to them.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Path, State};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use policy::Kind;

use super::operation::Operation;
use super::problem::ApiError;
use super::resources::parse_kind;
use super::{Api, Routes};

/// Where components live in an OpenAPI document.
pub(super) const COMPONENTS: &str = "#/components/schemas/";

/// A resource of any kind, for operations that carry one as it is.
#[derive(Debug)]
pub(super) struct AnyResource;

/// A call's record.
#[derive(Debug)]
pub(super) struct AnyRequest;

/// A JSON Schema.
#[derive(Debug)]
struct AnySchema;

impl JsonSchema for AnyResource {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Resource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference("Resource")
    }
}

impl JsonSchema for AnyRequest {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RequestRecord".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference("RequestRecord")
    }
}

impl JsonSchema for AnySchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Schema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("getSchema", "/v1/schema/{kind}", "Read the JSON Schema of a kind's documents")
            .answers::<AnySchema>(200)
            .at(schema),
    ]
}

async fn schema(State(_): State<Api>, Path(kind): Path<String>) -> Result<Json<Value>, ApiError> {
    Ok(Json(policy::json_schema(parse_kind(&kind)?)))
}

pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    list("Resource")
}

pub(super) fn diffs(_: &mut SchemaGenerator) -> Schema {
    list("ResourceDiff")
}

pub(super) fn commit(_: &mut SchemaGenerator) -> Schema {
    reference("Commit")
}

pub(super) fn commits(_: &mut SchemaGenerator) -> Schema {
    list("Commit")
}

pub(super) fn objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "object"}})
}

pub(super) fn usage_rows(_: &mut SchemaGenerator) -> Schema {
    list("UsageRow")
}

fn reference(name: &str) -> Schema {
    json_schema!({"$ref": format!("{COMPONENTS}{name}")})
}

fn list(name: &str) -> Schema {
    json_schema!({"type": "array", "items": {"$ref": format!("{COMPONENTS}{name}")}})
}

/// All components of this module by name: each kind with what it refers to, and the rest.
pub(super) fn components() -> Map<String, Value> {
    let mut components = Map::new();
    for kind in Kind::ALL {
        let mut document = policy::json_schema(kind);
        if let Some(object) = document.as_object_mut() {
            object.remove("$schema");
            if let Some(Value::Object(definitions)) = object.remove("$defs") {
                for (name, mut definition) in definitions {
                    point_to_components(&mut definition);
                    components.insert(name, definition);
                }
            }
        }
        point_to_components(&mut document);
        components.insert(kind.to_string(), document);
    }
    let kinds: Vec<Value> =
        Kind::ALL.iter().map(|kind| json!({"$ref": format!("{COMPONENTS}{kind}")})).collect();
    let mapping: Map<String, Value> =
        Kind::ALL.iter().map(|kind| (kind.to_string(), json!(format!("{COMPONENTS}{kind}")))).collect();
    let any = json!({"oneOf": kinds, "discriminator": {"propertyName": "kind", "mapping": mapping}});
    components.insert("Resource".to_owned(), any);
    components.extend(fixed());
    components
}

/// Schemas of single documents keep their definitions beside them; here all share one place.
fn point_to_components(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get_mut("$ref")
                && let Some(name) = target.strip_prefix("#/$defs/")
            {
                *target = format!("{COMPONENTS}{name}");
            }
            object.values_mut().for_each(point_to_components);
        }
        Value::Array(items) => items.iter_mut().for_each(point_to_components),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fixed() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 0});
    let id =
        json!({"type": "object", "required": ["kind", "name"], "properties": {"kind": text, "name": text}});
    let all = json!({
        "Diagnostic": {
            "type": "object",
            "required": ["severity", "resource", "path", "code", "message"],
            "properties": {
                "severity": {"enum": ["error", "warning"]},
                "resource": {"type": "string", "description": "Kind/name, or empty"},
                "path": {"type": "string", "description": "Where in the resource: spec.targets[0].weight"},
                "location": {"type": "string", "description": "Where it was written"},
                "code": {"type": "string", "description": "Stable"},
                "message": {"type": "string", "description": "What is wrong and what to write instead"}
            }
        },
        "ResourceDiff": {
            "type": "object",
            "required": ["resource", "op", "fields"],
            "properties": {
                "resource": id,
                "op": {"enum": ["created", "updated", "deleted"]},
                "fields": {"type": "array", "items": {
                    "type": "object",
                    "required": ["path"],
                    "properties": {"path": text, "before": {}, "after": {}}
                }}
            }
        },
        "Commit": {
            "type": "object",
            "required": ["version", "commit_id", "parent", "author", "message", "time_ms", "change_digest",
                         "manifest_digest", "previous_hash", "hash", "changes"],
            "properties": {
                "version": number, "commit_id": text, "parent": number, "author": text, "message": text,
                "time_ms": number, "change_digest": text, "manifest_digest": text, "previous_hash": text, "hash": text,
                "changes": {"type": "array", "items": {
                    "type": "object",
                    "required": ["kind", "name", "op"],
                    "properties": {"kind": text, "name": text, "op": {"enum": ["created", "updated", "deleted"]},
                                   "before": text, "after": text}
                }}
            }
        },
        "UsageRow": {
            "type": "object",
            "description": "The dimensions asked for, then the sums.",
            "required": ["calls", "errors"],
            "properties": {
                "calls": number, "errors": number, "input_tokens": number, "cache_read_tokens": number,
                "cache_write_tokens": number, "output_tokens": number, "reasoning_tokens": number,
                "cost_usd": {}, "unpriced_calls": number, "estimated_calls": number
            },
            "additionalProperties": true
        },
        "RequestRecord": {
            "type": "object",
            "description": "One call: who, what was asked, what served it, what it cost, and why it went there.",
            "required": ["request_id", "started", "status", "code", "policy_version", "decision"],
            "properties": {"request_id": text, "started": text, "status": number, "code": text,
                           "policy_version": number, "decision": {"type": "object"}},
            "additionalProperties": true
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457, with a stable code and, for refused policy, every reason.",
            "required": ["type", "title", "status", "detail", "code"],
            "properties": {
                "type": text, "title": text, "status": number, "detail": text, "code": text,
                "diagnostics": {"type": "array", "items": {"$ref": "#/components/schemas/Diagnostic"}}
            }
        }
    });
    match all {
        Value::Object(all) => all,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
