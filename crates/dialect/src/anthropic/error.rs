//! Errors as the Anthropic SDKs read them.

use crate::{ErrorShape, json::object};

/// The body of an error; in a stream it is the data of an `error` event.
pub(crate) fn encode(error: &ErrorShape<'_>) -> Vec<u8> {
    object(|w| {
        w.string("type", "error");
        w.object("error", |w| {
            w.string("type", kind(error.status));
            w.string("message", error.message);
            w.string("code", error.code);
            if let Some(param) = error.param {
                w.string("param", param);
            }
        });
        w.string("request_id", error.request_id);
    })
}

/// The `type` of an error: the SDKs read it where there is no status, that is in a stream.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}
