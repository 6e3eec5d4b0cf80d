//! What comes in with a call: query parameters, a body under a cap, conditional headers. Everything is strict; what is
//! not understood is refused with what to write instead.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::de::DeserializeOwned;

use policy::{Diagnostic, ResourceId};

use super::problem::ApiError;
use crate::admission::Precondition;

/// Cap of a change's body.
pub(super) const MAX_CHANGE_BYTES: usize = 64 * 1024 * 1024;
/// Cap of every other body.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// The header that makes repeating a change harmless.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Query parameters of which none is unknown or given twice.
#[derive(Debug)]
pub(super) struct Strict<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Strict<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(ApiError::bad_request("invalid_query", rejection.body_text())),
        }
    }
}

/// The formats a document may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Yaml,
}

/// A body that is valid UTF-8 and within its cap.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) media: Media,
    pub(super) bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let media = media(request.headers())?;
        let arriving = tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, state));
        let bytes = match arriving.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(rejection)) => return Err(unreadable(&rejection)),
            Err(_elapsed) => {
                let detail = format!("the body did not arrive within {} s", BODY_WITHIN.as_secs());
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail));
            }
        };
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self { media, bytes }),
            Err(error) => {
                let detail =
                    format!("the body is not UTF-8: byte {} does not belong there", error.valid_up_to());
                Err(ApiError::bad_request("invalid_utf8", detail))
            }
        }
    }
}

impl Document {
    /// The body as text; extraction has checked it.
    pub(super) fn text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.bytes)
            .map_err(|error| ApiError::bad_request("invalid_utf8", error.to_string()))
    }

    /// Reads a JSON body of a fixed shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.media == Media::Yaml {
            let detail = "this call takes application/json only";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            if error.is_data() {
                ApiError::invalid(vec![diagnostic("invalid_body", error.to_string())])
            } else {
                ApiError::bad_request("invalid_json", format!("the body is not JSON: {error}"))
            }
        })
    }
}

fn unreadable(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!(
            "the body is too large: a change may have {} MiB, everything else {} MiB; split the change",
            MAX_CHANGE_BYTES / 1024 / 1024,
            MAX_BODY_BYTES / 1024 / 1024
        );
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail);
    }
    ApiError::bad_request("unreadable_body", rejection.body_text())
}

fn media(headers: &HeaderMap) -> Result<Media, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Media::Json) };
    let essence = value.to_str().unwrap_or("?").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Media::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Media::Yaml),
        other => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("`{other}` is not understood: send application/json or application/yaml"),
        )),
    }
}

/// A header that may be given once, as text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        (Err(_), _) => Err(ApiError::bad_request("invalid_header", format!("`{name}` is not visible ASCII"))),
        (_, Some(_)) => {
            Err(ApiError::bad_request("invalid_header", format!("`{name}` is given more than once")))
        }
    }
}

/// What `If-Match` and `If-None-Match` demand of a resource that is about to be changed.
pub(super) fn preconditions(headers: &HeaderMap, id: &ResourceId) -> Result<Vec<Precondition>, ApiError> {
    let mut preconditions = Vec::new();
    match single(headers, &IF_MATCH)? {
        None => {}
        Some(text) if text.trim() == "*" => preconditions.push(Precondition::Exists(id.clone())),
        Some(text) => preconditions.push(Precondition::Matches(id.clone(), etags(text)?)),
    }
    match single(headers, &IF_NONE_MATCH)? {
        None => {}
        Some(text) if text.trim() == "*" => preconditions.push(Precondition::Absent(id.clone())),
        Some(_) => {
            let detail = "If-None-Match takes `*` here: the resource must not exist yet";
            return Err(ApiError::bad_request("invalid_header", detail));
        }
    }
    Ok(preconditions)
}

/// The digests in a list of entity tags.
pub(super) fn etags(text: &str) -> Result<Vec<String>, ApiError> {
    text.split(',')
        .map(|tag| {
            let tag = tag.trim();
            let digest = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let is_digest =
                |digest: &&str| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            digest.filter(is_digest).map(str::to_ascii_lowercase).ok_or_else(|| {
                let detail = format!(
                    "`{tag}` is no ETag of a resource: send the one that GET returned, with its quotes"
                );
                ApiError::bad_request("invalid_etag", detail)
            })
        })
        .collect()
}

/// A finding about the body as a whole.
fn diagnostic(code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: policy::Severity::Error,
        resource: String::new(),
        path: String::new(),
        location: None,
        code: code.into(),
        message,
    }
}
