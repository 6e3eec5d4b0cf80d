//! The OpenAPI 3.1 document, made from the same list of operations that the router is made from.

use axum::Json;
use axum::extract::State;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::operation::{Answer, Operation};
use super::{Api, Routes, schema};

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("openapi", "/openapi.json", "This document")
            .open()
            .answers::<serde_json::Value>(200)
            .at(serve),
    ]
}

async fn serve(State(api): State<Api>) -> Json<Value> {
    Json(api.openapi.clone())
}

/// Describes the operations.
pub(super) fn document<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = schema::COMPONENTS.trim_start_matches('#').to_owned().into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let described = describe(operation, &mut schemas);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.key().to_owned(), described);
        }
    }
    let mut components = schema::components();
    components.extend(schemas.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Frontdoor admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Change and read the policy of all proxies, its history, who runs what, and what was used. \
                            Every write is one commit: checked as a whole, recorded with author and message, applied whole or not at all."
        },
        "security": [{"adminToken": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"adminToken": {"type": "http", "scheme": "bearer"}},
            "schemas": components
        }
    })
}

fn describe(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut described = Map::new();
    described.insert("operationId".to_owned(), json!(operation.id));
    described.insert("summary".to_owned(), json!(operation.summary));
    if operation.is_open {
        described.insert("security".to_owned(), json!([]));
    }
    let parameters = parameters(operation, schemas);
    if !parameters.is_empty() {
        described.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(takes) = operation.takes {
        let mut content = json!({"application/json": {"schema": takes(schemas)}});
        if let Some(content) = content.as_object_mut().filter(|_| operation.takes_yaml) {
            let yaml = json!({"schema": {"type": "string", "description": "One or more YAML documents"}});
            content.insert("application/yaml".to_owned(), yaml);
        }
        described.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    described.insert("responses".to_owned(), responses(operation, schemas));
    Value::Object(described)
}

fn parameters(operation: &Operation, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| {
            let is_number = matches!(name, "version" | "other");
            let schema =
                if is_number { json!({"type": "integer", "minimum": 0}) } else { json!({"type": "string"}) };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect();
    if let Some(query) = operation.query {
        let schema = query(schemas);
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, mut schema) in properties {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            parameters
                .push(json!({"name": name, "in": "query", "description": description, "schema": schema}));
        }
    }
    let header = |name: &&str| json!({"name": name, "in": "header", "schema": {"type": "string"}});
    parameters.extend(operation.headers.iter().map(header));
    parameters
}

fn responses(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let content = match operation.answer {
        Answer::Json(schema) => json!({"application/json": {"schema": schema(schemas)}}),
        Answer::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
    };
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), json!({"description": "Done", "content": content}));
    if operation.id == "putResource" {
        let outcome = responses.get("200").cloned().unwrap_or_default();
        responses.insert("201".to_owned(), outcome);
    }
    if operation.headers.contains(&"If-None-Match") && operation.id == "getResource" {
        responses.insert("304".to_owned(), json!({"description": "It is what you have"}));
    }
    responses.insert("default".to_owned(), json!({"description": "Not done", "content": problem}));
    Value::Object(responses)
}
