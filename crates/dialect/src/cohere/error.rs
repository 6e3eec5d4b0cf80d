//! Errors as Cohere's and Jina's SDKs read them.

use crate::{ErrorShape, json::object};

/// The body of an error.
pub(crate) fn encode(error: &ErrorShape<'_>) -> Vec<u8> {
    object(|w| {
        w.string("message", error.message);
        w.string("detail", error.message);
        w.string("code", error.code);
        w.string("id", error.request_id);
    })
}
