//! Errors as google-genai reads them: `{error: {code, message, status, details}}`, after google.rpc.Status.

use crate::{
    ErrorShape,
    json::{ObjectWriter, object},
};

/// The body of an error.
pub(crate) fn encode(error: &ErrorShape<'_>) -> Vec<u8> {
    object(|w| {
        w.object("error", |w| {
            w.number("code", u64::from(error.status));
            w.string("message", error.message);
            w.string("status", status(error.status));
            w.array("details", |details| details.object(|w| write_info(error, w)));
        });
    })
}

/// What a program can tell the error by.
fn write_info(error: &ErrorShape<'_>, w: &mut ObjectWriter<'_>) {
    w.string("@type", "type.googleapis.com/google.rpc.ErrorInfo");
    w.string("reason", error.code);
    w.string("domain", "frontdoor");
    w.object("metadata", |w| {
        w.string("request_id", error.request_id);
        if let Some(param) = error.param {
            w.string("param", param);
        }
    });
}

/// The canonical code of google.rpc for an HTTP status.
fn status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        400..=499 => "INVALID_ARGUMENT",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}
