//! The Cohere surface: chat, embeddings, reranking (Jina's too), and the shape of its errors.

mod chat;
mod chat_stream;
mod embed;
mod rerank;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::answer::{Arrived, Refusal};
use crate::routes::{Route, Surface};

/// What Cohere serves.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/v2/chat", Surface::Cohere, chat::read),
    Route::post("/v2/embed", Surface::Cohere, embed::read),
    Route::post("/v2/rerank", Surface::Cohere, rerank::read),
    Route::post("/v1/rerank", Surface::Cohere, rerank::read_first),
];

/// `{"id", "message"}`
pub(crate) fn error(refusal: &Refusal, id: &str) -> Bytes {
    let message = match &refusal.param {
        Some(param) => format!("invalid request: {param}: {}", refusal.message),
        None => refusal.message.clone(),
    };
    Bytes::from(json!({"id": id, "message": message}).to_string())
}

/// A body in JSON, without a member that there is not.
fn body<T: DeserializeOwned>(arrived: &Arrived<'_>) -> Result<T, Refusal> {
    serde_json::from_slice(arrived.body).map_err(|error| {
        let text = error.to_string();
        match text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
            Some((field, _)) => {
                Refusal::new(422, format!("unknown field: parameter '{field}' is not a valid field"))
            }
            None => Refusal::new(400, format!("invalid request: {text}")),
        }
    })
}
