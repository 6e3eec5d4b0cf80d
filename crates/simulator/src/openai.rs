//! The OpenAI surface: chat completions, embeddings, images, audio, moderations, files, batches, models, and the shape of its errors.

mod audio;
pub(crate) mod azure;
mod batches;
mod chat;
mod chat_answer;
mod chat_stream;
pub(crate) mod embeddings;
mod files;
mod images;
mod moderations;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::body::OddEvents;
use crate::routes::{Route, Surface};
use crate::schema;
use chat::ChatRequest;
use embeddings::EmbeddingsRequest;

/// What OpenAI serves, and the same on Azure, where a deployment's name in the path stands for the model.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/v1/chat/completions", Surface::OpenAi, ChatRequest::read),
    Route::post("/openai/deployments/{model}/chat/completions", Surface::OpenAi, ChatRequest::read),
    Route::post("/v1/embeddings", Surface::OpenAi, EmbeddingsRequest::read),
    Route::post("/openai/deployments/{model}/embeddings", Surface::OpenAi, EmbeddingsRequest::read),
    Route::post("/v1/images/generations", Surface::OpenAi, images::read),
    Route::post("/openai/deployments/{model}/images/generations", Surface::OpenAi, images::read),
    Route::post("/v1/images/edits", Surface::OpenAi, images::read_edit),
    Route::post("/openai/deployments/{model}/images/edits", Surface::OpenAi, images::read_edit),
    Route::post("/v1/audio/transcriptions", Surface::OpenAi, audio::read_transcription),
    Route::post(
        "/openai/deployments/{model}/audio/transcriptions",
        Surface::OpenAi,
        audio::read_transcription,
    ),
    Route::post("/v1/audio/translations", Surface::OpenAi, audio::read_translation),
    Route::post("/openai/deployments/{model}/audio/translations", Surface::OpenAi, audio::read_translation),
    Route::post("/v1/audio/speech", Surface::OpenAi, audio::read_speech),
    Route::post("/openai/deployments/{model}/audio/speech", Surface::OpenAi, audio::read_speech),
    Route::post("/v1/moderations", Surface::OpenAi, moderations::read),
    Route::post("/v1/files", Surface::OpenAi, files::read_upload).shared(),
    Route::get("/v1/files", Surface::OpenAi, files::read_list).shared(),
    Route::get("/v1/files/{id}", Surface::OpenAi, files::read_get).shared(),
    Route::get("/v1/files/{id}/content", Surface::OpenAi, files::read_content).shared(),
    Route::delete("/v1/files/{id}", Surface::OpenAi, files::read_delete).shared(),
    Route::post("/v1/batches", Surface::OpenAi, batches::read_create),
    Route::get("/v1/batches", Surface::OpenAi, batches::read_list),
    Route::get("/v1/batches/{id}", Surface::OpenAi, batches::read_get),
    Route::post("/v1/batches/{id}/cancel", Surface::OpenAi, batches::read_cancel),
    Route::get("/v1/models", Surface::OpenAi, models).shared(),
    Route::get("/v1/models/{model}", Surface::OpenAi, model_page).shared(),
];

/// The model: the deployment of the path where there is one, else what was given.
fn model_of(arrived: &Arrived<'_>, given: String) -> Result<String, Refusal> {
    if !arrived.parts.uri.path().starts_with("/openai/deployments/") {
        return Ok(given);
    }
    azure::check(arrived)?;
    Ok(arrived.name.to_owned())
}

/// The name of a tool.
pub(crate) fn check_name(name: &str, at: &str) -> Result<(), Refusal> {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(is_known) {
        return Ok(());
    }
    let message = format!(
        "Invalid '{at}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]{{1,64}}$'."
    );
    Err(Refusal { code: Some("invalid_value".to_owned()), ..Refusal::invalid(at, message) })
}

/// A schema that is to be kept to strictly names all there can be.
pub(crate) fn check_strict(schema: &Value, name: &str, at: &str) -> Result<(), Refusal> {
    let Some(place) = schema::open_object(schema, true) else { return Ok(()) };
    let code = if at == "response_format" || at == "text.format.schema" {
        "invalid_json_schema"
    } else {
        "invalid_function_parameters"
    };
    let message = format!(
        "Invalid schema for '{name}': In context={place}, 'additionalProperties' is required to be supplied and to be false, and 'required' to include every key in properties."
    );
    Err(Refusal { code: Some(code.to_owned()), ..Refusal::invalid(at, message) })
}

/// A record that breaks off, one that reports an error, and one that nobody knows, for streams of named events.
fn odd_events(usual: &str, facts: &Facts<'_>) -> OddEvents {
    let error = error(&Refusal::scripted(500, facts.behaviour));
    OddEvents {
        broken: Bytes::from(format!("event: {usual}\ndata: {{\"type\":\"{usual}\",\"del\n\n")),
        error: Bytes::from(format!("event: error\ndata: {}\n\n", String::from_utf8_lossy(&error))),
        unknown: Bytes::from_static(b"event: simulated_unknown\ndata: {\"type\":\"simulated_unknown\"}\n\n"),
    }
}

/// A body in JSON.
pub(crate) fn body<T: DeserializeOwned>(arrived: &Arrived<'_>) -> Result<T, Refusal> {
    serde_json::from_slice(arrived.body).map_err(|error| {
        Refusal::new(400, format!("We could not parse the JSON body of your request: {error}"))
    })
}

/// Everything needs a model.
pub(crate) fn check_model(model: &str) -> Result<(), Refusal> {
    if model.is_empty() {
        return Err(Refusal::invalid("model", "you must provide a model parameter"));
    }
    Ok(())
}

/// `{"error": {message, type, param, code}}`
pub(crate) fn error(refusal: &Refusal) -> Bytes {
    let (kind, code) = usual(refusal);
    let kind = refusal.kind.as_deref().unwrap_or(kind);
    let code = refusal.code.as_deref().or(code).filter(|code| !code.is_empty());
    let error = json!({"message": refusal.message, "type": kind, "param": refusal.param, "code": code});
    Bytes::from(json!({"error": error}).to_string())
}

/// Type and code that OpenAI gives with a status.
pub(crate) fn usual(refusal: &Refusal) -> (&'static str, Option<&'static str>) {
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
pub(crate) const MODELS: [&str; 7] =
    ["sim-gpt", "sim-gpt-mini", "sim-claude", "sim-claude-mini", "sim-gemini", "sim-command", "sim-embed"];

/// Fixed, so that the list is the same every time.
const CREATED: u64 = 1_767_225_600;

/// `GET /v1/models`
fn models(_: &Arrived<'_>) -> Parsed {
    let data: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
    Ok(Box::new(Page(json!({"object": "list", "data": data}))))
}

/// `GET /v1/models/{id}`
fn model_page(arrived: &Arrived<'_>) -> Parsed {
    let id = arrived.name;
    if MODELS.contains(&id) {
        return Ok(Box::new(Page(model(id))));
    }
    Err(Refusal {
        param: Some("model".to_owned()),
        ..Refusal::new(404, format!("The model '{id}' does not exist"))
    })
}

/// Something to look at that is known already.
pub(crate) struct Page(pub(crate) Value);

impl Question for Page {
    fn model(&self) -> &str {
        ""
    }

    fn answer(&self, _facts: &Facts<'_>) -> Result<Made, Refusal> {
        Ok(Made::page(&self.0))
    }
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "simulator"})
}
