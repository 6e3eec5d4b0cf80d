//! Who runs what: every proxy, the version it enforces since when, and its last refusal.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::operation::Operation;
use super::{Api, Routes, schema};
use crate::fleet::FleetEntry;
use crate::publish::Problem;

/// All proxies that any control plane of this store knows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct FleetList {
    /// The newest version there is.
    head: u64,
    items: Vec<FleetEntry>,
    /// Groups whose proxies cannot get the newest version, and why.
    #[schemars(schema_with = "schema::objects")]
    problems: Vec<Problem>,
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("listFleet", "/v1/fleet", "List proxies and the versions they enforce")
            .answers::<FleetList>(200)
            .at(list),
    ]
}

async fn list(State(api): State<Api>) -> Json<FleetList> {
    let problems = api.publisher.problems();
    Json(FleetList { head: api.catalog.newest().version, items: api.fleet.list(), problems })
}
