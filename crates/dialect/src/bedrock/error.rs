//! Errors as the AWS SDKs read them.

use crate::{
    ErrorShape,
    eventstream::{self, Kind},
    json::object,
};

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

/// An error inside a stream: an exception, whose names begin in lower case there.
pub(crate) fn exception(error: &ErrorShape<'_>) -> Vec<u8> {
    let kind = kind(error.status);
    let mut name = kind.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let mut out = Vec::new();
    eventstream::write(&mut out, Kind::Exception, &name, &encode(error));
    out
}
