//! For whoever runs the process: is it alive, is it ready, what does it count. Open to anyone who can reach the port, so
//! nothing here tells policy.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::problem::ApiError;
use super::{Api, Routes, operation::Operation};

/// Whether the process can serve.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Ready {
    /// It can.
    ready: bool,
    /// What it still waits for.
    pending: Vec<&'static str>,
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("livez", "/livez", "Whether the process is alive").open().text().at(livez),
        Operation::get("readyz", "/readyz", "Whether the process can serve")
            .open()
            .answers::<Ready>(200)
            .at(readyz),
        Operation::get("metrics", "/metrics", "Counters in Prometheus' format").open().text().at(metrics),
    ]
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(api): State<Api>) -> Response {
    let pending = api.readiness.pending();
    let status = if pending.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(Ready { ready: pending.is_empty(), pending })).into_response()
}

async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &api.registry).map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("metrics cannot be written: {error}"),
        )
    })?;
    let media = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(CONTENT_TYPE, media)], text).into_response())
}
