//! The door itself: every call is counted, and a call that needs a token goes no further without one. It must not know
//! what is asked.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::problem::ApiError;
use super::{Api, body};
use crate::access::Principal;

/// What the door must know of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    /// The operation's id, a metric label.
    pub(super) operation: &'static str,
    /// Anyone may call.
    pub(super) is_open: bool,
}

/// Lets a call in or refuses it, and counts it either way.
pub(super) async fn pass(
    State((api, door)): State<(Api, Door)>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = api.clock.now();
    let admitted = if door.is_open { Ok(None) } else { authenticate(&api, request.headers()).map(Some) };
    let mut response = match admitted {
        Ok(principal) => {
            if let Some(principal) = principal {
                request.extensions_mut().insert(principal);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    let took: Duration = api.clock.now().saturating_duration_since(began);
    api.metrics.called(door.operation, response.status().as_u16(), took);
    response.headers_mut().entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn authenticate(api: &Api, headers: &HeaderMap) -> Result<Principal, ApiError> {
    let header = body::single(headers, &AUTHORIZATION)?;
    let presented = header.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let Some(presented) = presented else {
        return Err(ApiError::unauthorized(
            "an admin token is needed: send `Authorization: Bearer TOKEN`; the first one is in DATA/admin-token",
        ));
    };
    Ok(api.access.authenticate(presented)?)
}
