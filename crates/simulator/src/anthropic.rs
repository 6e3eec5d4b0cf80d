//! The Anthropic surface: messages, token counts, batches, files, models, and the shape of its errors.

pub(crate) mod answer;
mod batches;
mod files;
pub(crate) mod hosted;
pub(crate) mod messages;
mod rules;
pub(crate) mod stream;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Arrived, Parsed, Refusal};
use crate::openai::{MODELS, Page};
use crate::routes::{Route, Surface};
use messages::MessagesRequest;

/// What Anthropic serves, and what Vertex AI serves of it.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/v1/messages", Surface::Anthropic, MessagesRequest::read),
    Route::post("/v1/messages/count_tokens", Surface::Anthropic, MessagesRequest::read_for_count),
    Route::post(
        "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict",
        Surface::Anthropic,
        hosted::read_vertex,
    ),
    Route::post(
        "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:streamRawPredict",
        Surface::Anthropic,
        hosted::read_vertex_stream,
    ),
    Route::post("/v1/messages/batches", Surface::Anthropic, batches::read_create),
    Route::get("/v1/messages/batches", Surface::Anthropic, batches::read_list),
    Route::get("/v1/messages/batches/{id}", Surface::Anthropic, batches::read_get),
    Route::delete("/v1/messages/batches/{id}", Surface::Anthropic, batches::read_delete),
    Route::post("/v1/messages/batches/{id}/cancel", Surface::Anthropic, batches::read_cancel),
    Route::get("/v1/messages/batches/{id}/results", Surface::Anthropic, batches::read_results),
    Route::post("/v1/files", Surface::Anthropic, files::read_upload).shared(),
    Route::get("/v1/files", Surface::Anthropic, files::read_list).shared(),
    Route::get("/v1/files/{id}", Surface::Anthropic, files::read_get).shared(),
    Route::get("/v1/files/{id}/content", Surface::Anthropic, files::read_content).shared(),
    Route::delete("/v1/files/{id}", Surface::Anthropic, files::read_delete).shared(),
    Route::get("/v1/models", Surface::Anthropic, models).shared(),
    Route::get("/v1/models/{model}", Surface::Anthropic, model_page).shared(),
];

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
fn models(_: &Arrived<'_>) -> Parsed {
    let data: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
    let [first, .., last] = MODELS;
    Ok(Box::new(Page(json!({"data": data, "has_more": false, "first_id": first, "last_id": last}))))
}

/// `GET /v1/models/{id}`
fn model_page(arrived: &Arrived<'_>) -> Parsed {
    if MODELS.contains(&arrived.name) {
        return Ok(Box::new(Page(model(arrived.name))));
    }
    Err(Refusal { param: Some("model".to_owned()), ..Refusal::new(404, arrived.name.to_owned()) })
}

fn model(id: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"})
}

/// A time as Anthropic writes it.
fn timestamp(unix_seconds: u64) -> String {
    let time =
        i64::try_from(unix_seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or_default().to_string()
}
