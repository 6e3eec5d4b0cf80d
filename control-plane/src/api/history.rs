//! Reading the history: who changed what and when, what differs between versions, and whether the chain is intact.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use policy::ResourceDiff;

use super::body::Strict;
use super::operation::Operation;
use super::problem::ApiError;
use super::resources::parse_kind;
use super::{Api, Routes, schema};
use crate::history::{self, ChainReport, ChangedResource, Commit};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;
/// How many commits one call looks through for those of one resource.
const MAX_SCAN: usize = 5_000;
const SCAN_PAGE: usize = 50;
/// A page ends early once its commits changed this many resources.
const MAX_CHANGES: usize = 20_000;

/// Which commits, newest first.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    /// Only commits that changed a resource of this kind.
    kind: Option<String>,
    /// Only commits that changed the resource of this name; needs `kind`.
    name: Option<String>,
    /// At most this many, up to 500.
    limit: Option<u32>,
    /// Only commits older than this version: the `next` of the page before.
    before: Option<u64>,
}

/// One page of commits, newest first.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct HistoryPage {
    #[schemars(schema_with = "schema::commits")]
    items: Vec<Commit>,
    /// Pass it as `before`; null when there is nothing older.
    next: Option<u64>,
}

/// One commit and what it changed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Shown {
    #[schemars(schema_with = "schema::commit")]
    commit: Commit,
    /// The difference to its parent.
    #[schemars(schema_with = "schema::diffs")]
    changes: Vec<ResourceDiff>,
}

/// The difference between two versions.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Difference {
    #[schemars(schema_with = "schema::diffs")]
    changes: Vec<ResourceDiff>,
}

/// Which part of the chain.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    /// The first version; 1 when absent.
    from: Option<u64>,
    /// The last version; the newest when absent.
    to: Option<u64>,
}

/// Whether the history is the one that was written.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Verified {
    /// Every commit is as it was written.
    intact: bool,
    /// How many commits were checked, when intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    commits: Option<u64>,
    /// The hash of the last one, when intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    tip: Option<String>,
    /// The first version that is not as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// How that shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("listHistory", "/v1/history", "List commits, newest first")
            .query::<HistoryQuery>()
            .answers::<HistoryPage>(200)
            .at(list),
        Operation::get("getCommit", "/v1/history/{version}", "Read one commit and what it changed")
            .answers::<Shown>(200)
            .at(show),
        Operation::get("diffVersions", "/v1/history/{version}/diff/{other}", "Compare two versions")
            .answers::<Difference>(200)
            .at(diff),
        Operation::get("verify", "/v1/verify", "Check the chain of commits")
            .query::<VerifyQuery>()
            .answers::<Verified>(200)
            .at(verify),
    ]
}

async fn list(
    State(api): State<Api>,
    Strict(query): Strict<HistoryQuery>,
) -> Result<Json<HistoryPage>, ApiError> {
    let limit = query.limit.map_or(DEFAULT_LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::bad_request("invalid_query", format!("`limit` is 1 to {MAX_LIMIT}")));
    }
    if query.name.is_some() && query.kind.is_none() {
        return Err(ApiError::bad_request("invalid_query", "`name` needs `kind` beside it"));
    }
    let kind = query.kind.as_deref().map(parse_kind).transpose()?.map(|kind| kind.to_string());
    let is_wanted = |commit: &Commit| {
        let names = |change: &ChangedResource| {
            kind.as_ref().is_none_or(|kind| *kind == change.kind)
                && query.name.as_ref().is_none_or(|name| *name == change.name)
        };
        kind.is_none() || commit.changes.iter().any(names)
    };
    let (mut items, mut before, mut scanned, mut changes) = (Vec::new(), query.before, 0, 0);
    while items.len() < limit && scanned < MAX_SCAN && changes < MAX_CHANGES {
        let commits = history::list_commits(api.store.as_ref(), before, SCAN_PAGE.min(limit)).await?;
        if commits.is_empty() {
            return Ok(Json(HistoryPage { items, next: None }));
        }
        for commit in commits {
            before = Some(commit.version);
            scanned += 1;
            if is_wanted(&commit) {
                changes += commit.changes.len();
                items.push(commit);
            }
            if items.len() == limit || changes >= MAX_CHANGES {
                break;
            }
        }
    }
    Ok(Json(HistoryPage { items, next: before.filter(|oldest| *oldest > 1) }))
}

async fn show(State(api): State<Api>, path: Result<Path<u64>, PathError>) -> Result<Json<Shown>, ApiError> {
    let Path(version) = path.map_err(no_version)?;
    if version == 0 {
        return Err(ApiError::not_found("version 0 is the empty beginning: no commit made it"));
    }
    let commit = history::read_commit(api.store.as_ref(), version).await?;
    let commit = commit.ok_or_else(|| ApiError::not_found(format!("version {version} does not exist")))?;
    let changes = difference(&api, commit.parent, version).await?;
    Ok(Json(Shown { commit, changes }))
}

async fn diff(
    State(api): State<Api>,
    path: Result<Path<(u64, u64)>, PathError>,
) -> Result<Json<Difference>, ApiError> {
    let Path((one, other)) = path.map_err(no_version)?;
    Ok(Json(Difference { changes: difference(&api, one, other).await? }))
}

async fn verify(
    State(api): State<Api>,
    Strict(query): Strict<VerifyQuery>,
) -> Result<Json<Verified>, ApiError> {
    let (from, to) = (query.from.unwrap_or(1), query.to.unwrap_or(u64::MAX));
    let none = Verified { intact: true, commits: None, tip: None, version: None, reason: None };
    Ok(Json(match history::verify_chain(api.store.as_ref(), from, to).await? {
        ChainReport::Intact { commits, tip } => Verified { commits: Some(commits), tip: Some(tip), ..none },
        ChainReport::Broken { version, reason } => {
            Verified { intact: false, version: Some(version), reason: Some(reason), ..none }
        }
    }))
}

type PathError = axum::extract::rejection::PathRejection;

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn no_version(rejection: PathError) -> ApiError {
    ApiError::bad_request(
        "invalid_version",
        format!("a version is a whole number: {}", rejection.body_text()),
    )
}

async fn difference(api: &Api, one: u64, other: u64) -> Result<Vec<ResourceDiff>, ApiError> {
    let (one, other) = (api.catalog.at(one).await?, api.catalog.at(other).await?);
    Ok(policy::diff(&one.catalog, &other.catalog))
}
