//! The Gemini surface, as Google AI and Vertex AI serve it: generation, token counts, embeddings, models, and the shape of its errors.

mod chunks;
mod embed;
mod generate;
mod history;
mod request;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Arrived, Parsed, Refusal};
use crate::openai::{MODELS, Page};
use crate::routes::{Route, Surface};

/// What Google AI and Vertex AI serve. Other versions in the path are read as these.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/v1beta/models/{model}:generateContent", Surface::Gemini, generate::read),
    Route::post("/v1beta/models/{model}:streamGenerateContent", Surface::Gemini, generate::read_stream),
    Route::post("/v1beta/models/{model}:countTokens", Surface::Gemini, generate::read_count),
    Route::post("/v1beta/models/{model}:embedContent", Surface::Gemini, embed::read),
    Route::post("/v1beta/models/{model}:batchEmbedContents", Surface::Gemini, embed::read_batch),
    Route::get("/v1beta/models", Surface::Gemini, models),
    Route::get("/v1beta/models/{model}", Surface::Gemini, model_page),
    Route::get("/v1/models", Surface::Gemini, models).shared(),
    Route::get("/v1/models/{model}", Surface::Gemini, model_page).shared(),
    Route::post(
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent",
        Surface::Gemini,
        generate::read,
    ),
    Route::post(
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:streamGenerateContent",
        Surface::Gemini,
        generate::read_stream,
    ),
    Route::post(
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:countTokens",
        Surface::Gemini,
        generate::read_count,
    ),
    Route::post(
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:embedContent",
        Surface::Gemini,
        embed::read,
    ),
    Route::post(
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:predict",
        Surface::Gemini,
        embed::read_predict,
    ),
];

/// `{"error": {code, message, status, details}}`
pub(crate) fn error(refusal: &Refusal) -> Bytes {
    Bytes::from(json!({"error": error_value(refusal)}).to_string())
}

fn error_value(refusal: &Refusal) -> Value {
    let status = refusal.kind.as_deref().unwrap_or(usual(refusal.status));
    let mut error = json!({"code": refusal.status, "message": refusal.message, "status": status});
    let mut details = Vec::new();
    if let Some(reason) = &refusal.code {
        let domain = "googleapis.com";
        details.push(
            json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}),
        );
    }
    if let Some(field) = &refusal.param {
        let violation = json!({"field": field, "description": refusal.message});
        details.push(
            json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}),
        );
    }
    if let (false, Some(members)) = (details.is_empty(), error.as_object_mut()) {
        members.insert("details".to_owned(), Value::from(details));
    }
    error
}

/// The status word that Google gives with a code.
fn usual(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500..=599 => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

/// Whether a call came by Vertex AI's paths.
fn is_vertex(arrived: &Arrived<'_>) -> bool {
    arrived.parts.uri.path().contains("/projects/")
}

fn models(_: &Arrived<'_>) -> Parsed {
    let models: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
    Ok(Box::new(Page(json!({"models": models}))))
}

fn model_page(arrived: &Arrived<'_>) -> Parsed {
    if MODELS.contains(&arrived.name) {
        return Ok(Box::new(Page(model(arrived.name))));
    }
    let message = format!(
        "models/{} is not found for API version v1beta. Call ModelService.ListModels to see the list of available models and their supported methods.",
        arrived.name
    );
    Err(Refusal::new(404, message))
}

fn model(id: &str) -> Value {
    json!({
        "name": format!("models/{id}"), "baseModelId": id, "version": "001", "displayName": id,
        "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    })
}
