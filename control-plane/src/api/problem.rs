//! What the admin API answers when it does not do what was asked: one type, rendered in one function as an RFC 9457
//! problem document. `code` is stable; the text says what to write instead.

use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use policy::Diagnostic;

use crate::access::{AccessError, Denied};
use crate::admission::Refusal;
use crate::catalog::CatalogError;
use crate::history::HistoryError;
use crate::keys::MintError;
use crate::store::StoreError;
use crate::usage::LedgerError;

/// Most diagnostics in one answer; the number of the rest is told.
const MAX_DIAGNOSTICS: usize = 200;

/// A refusal at the admin door.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    diagnostics: Vec<Diagnostic>,
    advice: Advice,
}

/// What a client that is no person can do about it, as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advice {
    None,
    Authenticate,
    TryAgain,
}

/// The document, as RFC 9457 names its members.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    diagnostics: &'a [Diagnostic],
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), diagnostics: Vec::new(), advice: Advice::None }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// What was sent is well formed and cannot become policy.
    pub(super) fn invalid(mut diagnostics: Vec<Diagnostic>) -> Self {
        let (found, noun) = (diagnostics.len(), if diagnostics.len() == 1 { "reason" } else { "reasons" });
        let mut detail = match diagnostics.first() {
            Some(first) if found == 1 => first.message.clone(),
            Some(first) => format!("there are {found} {noun}, the first: {}", first.message),
            None => "the change was refused".to_owned(),
        };
        if found > MAX_DIAGNOSTICS {
            diagnostics.truncate(MAX_DIAGNOSTICS);
            detail = format!("{detail} (the first {MAX_DIAGNOSTICS} are listed)");
        }
        Self { diagnostics, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_policy", detail) }
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self { advice: Advice::Authenticate, ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail) }
    }

    pub(super) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    fn unavailable(error: &dyn Error) -> Self {
        let unavailable = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", chain(error));
        Self { advice: Advice::TryAgain, ..unavailable }
    }

    /// Something broke here. The cause is logged; a caller who may see policy may see it, too.
    fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error, "an admin call failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", chain(error))
    }

    /// Adds where the refused things were written.
    pub(super) fn located(mut self, parsed: &[policy::Parsed]) -> Self {
        policy::attach_locations(&mut self.diagnostics, parsed);
        self
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            r#type: format!("urn:frontdoor:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            diagnostics: &self.diagnostics,
        };
        let mut response = (self.status, Json(&problem)).into_response();
        let media = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, media);
        let advice = match self.advice {
            Advice::None => None,
            Advice::Authenticate => Some((WWW_AUTHENTICATE, "Bearer realm=\"frontdoor admin\"")),
            Advice::TryAgain => Some((RETRY_AFTER, "1")),
        };
        if let Some((name, value)) = advice {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Invalid => Self::unauthorized(
                "the admin token is not valid: send `Authorization: Bearer TOKEN` with a token that was not revoked",
            ),
            Denied::Unconfirmed => Self::unavailable(&denied),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(diagnostics) => Self::invalid(diagnostics),
            Refusal::Precondition(detail) => {
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
            }
            Refusal::KeyReused => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", refusal.to_string())
            }
            Refusal::Contended => {
                let contended = Self::new(StatusCode::CONFLICT, "contended", refusal.to_string());
                Self { advice: Advice::TryAgain, ..contended }
            }
            Refusal::Catalog(error) => error.into(),
            Refusal::History(error) => error.into(),
            Refusal::Interrupted(_) => Self::internal(&refusal),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NoSuchVersion(_) => Self::not_found(error.to_string()),
            CatalogError::History(error) => error.into(),
            CatalogError::NotUnderstood { .. } | CatalogError::Interrupted(_) => Self::internal(&error),
        }
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        match &error {
            HistoryError::Store(StoreError::Unavailable { .. }) => Self::unavailable(&error),
            HistoryError::Unknown { commit_id } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                format!(
                    "the store did not say whether the change was committed: look for commit `{commit_id}` in the history before trying again"
                ),
            ),
            HistoryError::Store(_)
            | HistoryError::NotInitialised
            | HistoryError::Schema { .. }
            | HistoryError::Missing { .. }
            | HistoryError::Damaged { .. } => Self::internal(&error),
        }
    }
}

impl From<MintError> for ApiError {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Invalid(diagnostics) => Self::invalid(diagnostics),
            MintError::Expired(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "expired", error.to_string())
            }
            MintError::Random => Self::internal(&error),
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Name => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_name", error.to_string())
            }
            AccessError::NameTaken(_) => Self::new(StatusCode::CONFLICT, "name_taken", error.to_string()),
            AccessError::Last(_) => Self::new(StatusCode::CONFLICT, "last_token", error.to_string()),
            AccessError::Conflict => Self::new(StatusCode::CONFLICT, "contended", error.to_string()),
            AccessError::Unknown(_) => Self::not_found(error.to_string()),
            AccessError::Store(StoreError::Unavailable { .. }) => Self::unavailable(&error),
            AccessError::Store(_) | AccessError::RevokedFirst | AccessError::Random => Self::internal(&error),
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Query(detail) => Self::bad_request("invalid_query", detail),
            other => Self::internal(&other),
        }
    }
}
