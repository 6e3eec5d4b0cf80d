//! The simulator's own pages under `/__simulator`: what it billed, what it saw, and the script.

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::AnswerBody;
use crate::script::Script;
use crate::server::{Simulator, json_response};

/// Whether a path is one of the simulator's own.
pub(crate) fn is_for(path: &str) -> bool {
    path == "/__simulator" || path.starts_with("/__simulator/")
}

/// Answers one request to the simulator itself.
pub(crate) fn answer(simulator: &Simulator, parts: &Parts, body: &Bytes) -> Response<AnswerBody> {
    match (parts.method.as_str(), parts.uri.path()) {
        ("GET", "/__simulator/ledger") => page(StatusCode::OK, &json!({"rows": simulator.ledger.rows()})),
        ("GET", "/__simulator/requests") => page(StatusCode::OK, &json!({"requests": simulator.seen.list()})),
        ("GET", "/__simulator/script") => page(StatusCode::OK, &json!(simulator.script.current())),
        ("POST", "/__simulator/script") => match Script::parse(body) {
            Ok(script) => {
                simulator.script.replace(script);
                page(StatusCode::OK, &json!(simulator.script.current()))
            }
            Err(reason) => page(
                StatusCode::BAD_REQUEST,
                &json!({"error": format!("the script was not taken: {reason}")}),
            ),
        },
        ("DELETE", "/__simulator/script") => {
            simulator.script.replace(Script::default());
            page(StatusCode::OK, &json!(Script::default()))
        }
        ("DELETE", "/__simulator") => {
            simulator.reset();
            page(StatusCode::OK, &json!({}))
        }
        _ => page(
            StatusCode::NOT_FOUND,
            &json!({"error": "there are: GET /__simulator/ledger, GET /__simulator/requests, GET, POST and DELETE /__simulator/script, DELETE /__simulator"}),
        ),
    }
}

impl Simulator {
    /// Forgets script, ledger, requests and what was stored.
    pub(crate) fn reset(&self) {
        self.script.replace(Script::default());
        self.ledger.reset();
        self.seen.reset();
        self.shelf.reset();
    }
}

fn page(status: StatusCode, content: &Value) -> Response<AnswerBody> {
    json_response(status, Bytes::from(content.to_string()))
}
