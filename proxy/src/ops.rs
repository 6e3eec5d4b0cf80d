//! What operators and machines ask a proxy: is it alive, is it ready, how is it doing, which policy is in force. No secrets.
//!
//! Served on the control thread, so that a scrape costs no call its latency. It must not know how any of it came about.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;
use lifecycle::Readiness;
use serde::Serialize;

use crate::runtime::Current;
use crate::telemetry::{Gauges, InFlight, Metrics};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What only the control plane's client knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The store that the policy came from; empty before the first contact.
    pub store_id: String,
    /// Whether the control plane is reached at this moment.
    pub is_connected: bool,
    /// Records lost since boot.
    pub dropped_records: u64,
}

/// Everything that is asked about.
#[derive(Clone)]
pub struct Ops {
    /// What the process still waits for.
    pub readiness: Readiness,
    /// The policy in force.
    pub current: Current,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Calls under way.
    pub in_flight: InFlight,
    /// Asks the control plane's client.
    pub link: Arc<dyn Fn() -> Link + Send + Sync>,
}

/// The effective policy, as `/policy` shows it.
#[derive(Debug, Serialize)]
struct Effective {
    version: u64,
    digest: String,
    group: String,
    store_id: String,
    connected: bool,
}

impl Service<Request<Incoming>> for Ops {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}

impl Ops {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let known = matches!(path, "/livez" | "/readyz" | "/metrics" | "/policy");
        if known && *method != Method::GET && *method != Method::HEAD {
            let mut response =
                respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this path is for GET alone\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/livez" => respond(StatusCode::OK, TEXT, "alive\n".to_owned()),
            "/readyz" => self.readyz(),
            "/metrics" => self.metrics(),
            "/policy" => self.policy(),
            _ => {
                let message = "no such path: there are /livez, /readyz, /metrics and /policy\n";
                respond(StatusCode::NOT_FOUND, TEXT, message.to_owned())
            }
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let mut pending = self.readiness.pending();
        if self.current.load().is_some_and(|runtime| !runtime.pepper.is_set()) {
            // There is a policy, but no key can be checked: every call would be refused.
            pending.push("pepper");
        }
        if pending.is_empty() {
            return respond(StatusCode::OK, TEXT, "ready\n".to_owned());
        }
        respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("waiting for: {}\n", pending.join(", ")))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let gauges = Gauges {
            in_flight: self.in_flight.count(),
            policy_version: self.current.load().map_or(0, |runtime| runtime.policy.version),
            dropped_records: (self.link)().dropped_records,
        };
        match self.metrics.encode(gauges) {
            Ok(text) => respond(StatusCode::OK, METRICS, text),
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "metrics could not be written\n".to_owned())
            }
        }
    }

    fn policy(&self) -> Response<Full<Bytes>> {
        let Some(runtime) = self.current.load() else {
            return respond(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "no policy has been received yet\n".to_owned(),
            );
        };
        let link = (self.link)();
        let effective = Effective {
            version: runtime.policy.version,
            digest: runtime.policy.digest.to_string(),
            group: runtime.policy.group.name.to_string(),
            store_id: link.store_id,
            connected: link.is_connected,
        };
        match serde_json::to_string(&effective) {
            Ok(text) => respond(StatusCode::OK, JSON, text),
            Err(error) => {
                tracing::error!(%error, "the effective policy could not be written");
                let message = "the effective policy could not be written\n";
                respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, message.to_owned())
            }
        }
    }
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ops").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::scene;

    fn ops() -> Ops {
        Ops {
            readiness: Readiness::new(),
            current: Current::default(),
            metrics: Arc::new(Metrics::new()),
            in_flight: InFlight::new(1),
            link: Arc::new(|| Link { store_id: "s_1".into(), is_connected: false, dropped_records: 7 }),
        }
    }

    async fn get(ops: &Ops, path: &str) -> (u16, String) {
        let response = ops.answer(&Method::GET, path);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_is_pending() {
        let ops = ops();
        let guard = ops.readiness.register("first policy");
        assert_eq!(get(&ops, "/livez").await, (200, "alive\n".to_owned()));
        assert_eq!(get(&ops, "/readyz").await, (503, "waiting for: first policy\n".to_owned()));
        drop(guard);
        assert_eq!(get(&ops, "/readyz").await, (200, "ready\n".to_owned()));
    }

    #[tokio::test]
    async fn a_proxy_that_cannot_check_keys_is_not_ready() {
        let ops = ops();
        let mut runtime = scene::runtime(scene::policy(42, ""), None);
        runtime.pepper = crate::identity::Pepper::default();
        let pepper = runtime.pepper.clone();
        ops.current.swap(Arc::new(runtime));
        assert_eq!(get(&ops, "/readyz").await, (503, "waiting for: pepper\n".to_owned()));
        pepper.set(scene::PEPPER);
        assert_eq!(get(&ops, "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn the_effective_policy_tells_version_digest_group_and_store_and_no_secret() {
        let ops = ops();
        assert_eq!(get(&ops, "/policy").await.0, 503);
        ops.current.swap(Arc::new(scene::runtime(scene::policy(42, ""), None)));
        let (status, text) = get(&ops, "/policy").await;
        assert_eq!(status, 200);
        let policy: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(policy["version"], 42);
        assert_eq!(policy["group"], "default");
        assert_eq!(policy["store_id"], "s_1");
        assert_eq!(policy["digest"].as_str().unwrap().len(), 64);
        assert!(!text.contains(&scene::hash("fd_one")));
    }

    #[tokio::test]
    async fn metrics_tell_what_is_read_when_asked() {
        let (status, text) = get(&ops(), "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("frontdoor_records_dropped 7"), "{text}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let ops = ops();
        assert_eq!(get(&ops, "/").await.0, 404);
        let refused = ops.answer(&Method::POST, "/policy");
        assert_eq!(refused.status(), 405);
        assert_eq!(refused.headers()[ALLOW], "GET, HEAD");
    }
}
