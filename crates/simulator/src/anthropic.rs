//! The Anthropic surface: messages, token counts, models, and the shape of its errors.

pub(crate) mod messages;
pub(crate) mod stream;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::openai::MODELS;

/// `{"type": "error", "error": {type, message}, "request_id"}`
pub(crate) fn error(refusal: &Refusal, request_id: &str) -> Bytes {
    let kind = refusal.kind.as_deref().unwrap_or(usual(refusal.status));
    let message = match &refusal.param {
        Some(param) => format!("{param}: {}", refusal.message),
        None => refusal.message.clone(),
    };
    let answer =
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id});
    Bytes::from(answer.to_string())
}

/// The type that Anthropic gives with a status.
fn usual(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    }
}

/// `GET /v1/models`
pub(crate) fn models() -> Bytes {
    let data: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
    let [first, .., last] = MODELS;
    Bytes::from(json!({"data": data, "has_more": false, "first_id": first, "last_id": last}).to_string())
}

/// `GET /v1/models/{id}`
pub(crate) fn model_page(id: &str) -> Result<Bytes, Refusal> {
    if MODELS.contains(&id) {
        return Ok(Bytes::from(model(id).to_string()));
    }
    Err(Refusal { param: Some("model".to_owned()), ..Refusal::new(404, id.to_owned()) })
}

fn model(id: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"})
}
