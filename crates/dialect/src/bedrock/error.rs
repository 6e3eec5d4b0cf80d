//! Errors as the AWS SDKs read them.

use crate::{ErrorShape, json::object};

/// The body of an error; its type stands in the header `x-amzn-errortype` and here.
pub(crate) fn encode(error: &ErrorShape<'_>) -> Vec<u8> {
    object(|w| {
        w.string("__type", kind(error.status));
        w.string("message", error.message);
        w.string("code", error.code);
        w.string("request_id", error.request_id);
    })
}

/// The exception of Bedrock's runtime for an HTTP status.
pub(crate) fn kind(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        429 => "ThrottlingException",
        400..=499 => "ValidationException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    }
}
