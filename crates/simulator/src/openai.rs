//! The OpenAI surface: chat completions, embeddings, models, and the shape of its errors.

pub(crate) mod chat;
pub(crate) mod chat_stream;
pub(crate) mod embeddings;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::Refusal;

/// `{"error": {message, type, param, code}}`
pub(crate) fn error(refusal: &Refusal) -> Bytes {
    let (kind, code) = usual(refusal);
    let kind = refusal.kind.as_deref().unwrap_or(kind);
    let code = refusal.code.as_deref().or(code);
    let error = json!({"message": refusal.message, "type": kind, "param": refusal.param, "code": code});
    Bytes::from(json!({"error": error}).to_string())
}

/// Type and code that OpenAI gives with a status.
fn usual(refusal: &Refusal) -> (&'static str, Option<&'static str>) {
    match (refusal.status, refusal.code.as_deref()) {
        (402 | 429, Some("insufficient_quota")) => ("insufficient_quota", None),
        (401, _) => ("invalid_request_error", Some("invalid_api_key")),
        (402, _) => ("insufficient_quota", Some("insufficient_quota")),
        (403, _) => ("request_forbidden", Some("unsupported_country_region_territory")),
        (404, _) => ("invalid_request_error", Some("model_not_found")),
        (429, _) => ("requests", Some("rate_limit_exceeded")),
        (503, _) => ("service_unavailable_error", Some("server_overloaded")),
        (500..=599, _) => ("server_error", None),
        _ => ("invalid_request_error", None),
    }
}

/// The models that are listed. Any other name is served as well.
pub(crate) const MODELS: [&str; 5] =
    ["sim-gpt", "sim-gpt-mini", "sim-claude", "sim-claude-mini", "sim-embed"];

/// Fixed, so that the list is the same every time.
const CREATED: u64 = 1_767_225_600;

/// `GET /v1/models`
pub(crate) fn models() -> Bytes {
    let data: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
    Bytes::from(json!({"object": "list", "data": data}).to_string())
}

/// `GET /v1/models/{id}`
pub(crate) fn model_page(id: &str) -> Result<Bytes, Refusal> {
    if MODELS.contains(&id) {
        return Ok(Bytes::from(model(id).to_string()));
    }
    Err(Refusal {
        param: Some("model".to_owned()),
        ..Refusal::new(404, format!("The model '{id}' does not exist"))
    })
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "simulator"})
}
