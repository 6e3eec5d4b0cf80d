//! The admin API: JSON over HTTP for people and tools. The only module that names `axum`. It authenticates, decodes
//! strictly, asks the rooms and renders their answers; it must not decide anything about policy.
//!
//! What it serves is one list of operations ([`routes`]), from which both the router and the OpenAPI document are made.

mod auth;
mod body;
mod changes;
mod fleet;
mod history;
mod keys;
mod listener;
mod listing;
mod metrics;
mod openapi;
mod operation;
mod ops;
mod problem;
mod resources;
mod schema;
mod tokens;
mod usage;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use http::{Method, Uri};
use prometheus_client::registry::Registry;

use lifecycle::{Clock, Readiness};

use self::operation::Route;
use self::problem::ApiError;
use crate::access::Access;
use crate::admission::Admission;
use crate::catalog::Follower;
use crate::fleet::Fleet;
use crate::keys::Pepper;
use crate::publish::Publisher;
use crate::store::Store;
use crate::usage::Ledger;

pub use self::listener::{ListenError, bind, serve, server_tls};
pub use self::metrics::Metrics;

/// What the API asks. Every field is a handle to a room.
pub struct Rooms {
    /// Who may call.
    pub access: Access,
    /// Decides writes.
    pub admission: Admission,
    /// Serves reads.
    pub catalog: Follower,
    /// Holds the history.
    pub store: Arc<dyn Store>,
    /// Makes keys' hashes.
    pub pepper: Pepper,
    /// What each group gets.
    pub publisher: Publisher,
    /// Who runs what.
    pub fleet: Fleet,
    /// What was used.
    pub ledger: Ledger,
    /// Whether the process can serve.
    pub readiness: Readiness,
    /// Counts calls.
    pub metrics: Metrics,
    /// Everything that is counted.
    pub registry: Registry,
    /// What time it is.
    pub clock: Clock,
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

/// The rooms, and the document that describes what is served.
#[derive(Debug)]
struct Served {
    rooms: Rooms,
    openapi: serde_json::Value,
}

impl std::ops::Deref for Served {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.rooms
    }
}

type Api = Arc<Served>;
type Routes = Vec<Route>;

/// Everything that is served.
fn routes() -> Routes {
    [
        ops::routes(),
        openapi::routes(),
        schema::routes(),
        resources::routes(),
        changes::routes(),
        history::routes(),
        keys::routes(),
        tokens::routes(),
        fleet::routes(),
        usage::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Makes the router that serves the API.
pub fn router(rooms: Rooms) -> Router {
    let routes = routes();
    let openapi = openapi::document(routes.iter().map(|route| &route.operation));
    let mut rooms = rooms;
    metrics::register_rooms(&mut rooms);
    let api: Api = Arc::new(Served { rooms, openapi });
    let mut router = Router::new();
    for route in routes {
        router = route.attach(router, &api);
    }
    router.method_not_allowed_fallback(wrong_method).fallback(no_such_path).with_state(api)
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at `{}`: /openapi.json lists what there is", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(format!(
        "`{}` does not take {method}: /openapi.json lists what it takes",
        uri.path()
    ))
}

#[cfg(test)]
mod tests;
