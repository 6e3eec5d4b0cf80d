//! The names AWS has for failures, as words of ours.
//!
//! They come in a header, in a body, or inside a stream, with an address behind or a namespace before.

/// The word of an exception: `ServiceQuotaExceededException:http://…` is `service_quota_exceeded`.
pub(super) fn word(name: &str) -> String {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().trim();
    let name = name.strip_suffix("Exception").unwrap_or(name);
    let mut word = String::with_capacity(name.len() + 4);
    for (place, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && place > 0 {
            word.push('_');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// The status an exception has where it is an answer of its own.
pub(super) fn status(word: &str) -> Option<u16> {
    Some(match word {
        "validation" | "service_quota_exceeded" => 400,
        "access_denied" | "unrecognized_client" | "expired_token" | "invalid_signature" => 403,
        "resource_not_found" => 404,
        "model_timeout" => 408,
        "model_stream_error" | "model_error" => 424,
        "throttling" | "too_many_requests" | "model_not_ready" => 429,
        "internal_server" | "internal_failure" => 500,
        "service_unavailable" => 503,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
