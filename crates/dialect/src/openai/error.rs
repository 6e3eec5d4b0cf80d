//! Errors as the OpenAI SDKs read them.

use crate::{
    ErrorShape,
    json::{ObjectWriter, object},
};

/// The body of an error.
pub(crate) fn encode(error: &ErrorShape<'_>) -> Vec<u8> {
    object(|w| write(error, w))
}

/// Writes the fields of the body of an error.
pub(crate) fn write(error: &ErrorShape<'_>, w: &mut ObjectWriter<'_>) {
    w.object("error", |w| {
        w.string("message", error.message);
        w.string("type", kind(error.status, error.code));
        w.opt_string("param", error.param);
        w.string("code", error.code);
    });
    w.string("request_id", error.request_id);
}

/// The `type` of an error. The SDKs choose their exception by status; people read this.
fn kind(status: u16, code: &str) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 if code.contains("quota") || code.contains("budget") => "insufficient_quota",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}
