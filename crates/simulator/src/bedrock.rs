//! The Bedrock surface: Converse, its binary stream, Anthropic's models by InvokeModel, token counts, and the shape of AWS's errors.

mod answer;
mod converse;
pub(crate) mod eventstream;
mod invoke;
mod rules;
mod stream;

use bytes::Bytes;
use serde_json::json;

use crate::answer::Refusal;
use crate::routes::{Route, Surface};

/// What Bedrock's runtime serves.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/model/{model}/converse", Surface::Bedrock, converse::read),
    Route::post("/model/{model}/converse-stream", Surface::Bedrock, converse::read_stream),
    Route::post("/model/{model}/invoke", Surface::Bedrock, invoke::read),
    Route::post("/model/{model}/invoke-with-response-stream", Surface::Bedrock, invoke::read_stream),
    Route::post("/model/{model}/count-tokens", Surface::Bedrock, invoke::read_count),
];

/// `{"message": …}`; the type stands in a header.
pub(crate) fn error(refusal: &Refusal) -> Bytes {
    let body = match refusal.status {
        424 => json!({"message": refusal.message, "originalStatusCode": 500}),
        _ => json!({"message": refusal.message}),
    };
    Bytes::from(body.to_string())
}

/// The name of an exception, as the header has it.
pub(crate) fn error_type(refusal: &Refusal) -> &str {
    refusal.kind.as_deref().unwrap_or(match refusal.status {
        401 => "UnrecognizedClientException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500..=599 => "InternalServerException",
        _ => "ValidationException",
    })
}
