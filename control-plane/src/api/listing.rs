//! Lists that stay the same while they are read: every page comes from the version that the first page was read at, which
//! the cursor carries. A cursor belongs to its filter.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use policy::{Kind, Resource, ResourceId};

use super::problem::ApiError;
use crate::catalog::Follower;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Which resources are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    kind: Option<String>,
    /// All must be there; without a value, any value will do.
    labels: Vec<(String, Option<String>)>,
}

/// One page, all as of one version.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) version: u64,
    pub(super) items: Vec<Arc<Resource>>,
    pub(super) next: Option<String>,
}

/// What the opaque text holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    version: u64,
    after: (String, String),
    filter: Filter,
}

impl Filter {
    /// Reads the labels: `NAME=VALUE` or `NAME`, several with commas between.
    pub(super) fn new(kind: Option<Kind>, labels: Option<&str>) -> Result<Self, ApiError> {
        let mut wanted = Vec::new();
        for label in labels.into_iter().flat_map(|labels| labels.split(',')) {
            let (name, value) = match label.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (label, None),
            };
            if name.is_empty() {
                let detail = "`label` takes NAME=VALUE or NAME, several with commas between";
                return Err(ApiError::bad_request("invalid_query", detail));
            }
            wanted.push((name.to_owned(), value));
        }
        Ok(Self { kind: kind.map(|kind| kind.to_string()), labels: wanted })
    }

    fn matches(&self, resource: &Resource) -> bool {
        let is_kind = self.kind.as_ref().is_none_or(|kind| *kind == resource.kind().to_string());
        is_kind
            && self.labels.iter().all(|(name, wanted)| {
                resource
                    .labels
                    .get(name)
                    .is_some_and(|found| wanted.as_ref().is_none_or(|wanted| wanted == found))
            })
    }
}

/// Reads one page.
pub(super) async fn page(
    catalog: &Follower,
    filter: &Filter,
    limit: Option<u32>,
    cursor: Option<&str>,
) -> Result<Page, ApiError> {
    let limit = match limit {
        None => DEFAULT_LIMIT,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    if !(1..=MAX_LIMIT).contains(&limit) {
        let detail = format!("`limit` is 1 to {MAX_LIMIT}");
        return Err(ApiError::bad_request("invalid_query", detail));
    }
    let cursor = cursor.map(|text| read_cursor(text, filter)).transpose()?;
    let (snapshot, after) = match cursor {
        None => (catalog.newest(), None),
        Some((version, after)) => (catalog.at(version).await?, Some(after)),
    };
    let mut items: Vec<Arc<Resource>> = snapshot
        .catalog
        .iter()
        .filter(|(id, resource)| after.as_ref().is_none_or(|after| *id > after) && filter.matches(resource))
        .take(limit.saturating_add(1))
        .map(|(_, resource)| Arc::clone(resource))
        .collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|last| {
        let after = (last.kind().to_string(), last.name.to_string());
        write_cursor(&Cursor { version: snapshot.version, after, filter: filter.clone() })
    });
    Ok(Page { version: snapshot.version, items, next })
}

fn write_cursor(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(crate::history::canonical_json(cursor))
}

fn read_cursor(text: &str, filter: &Filter) -> Result<(u64, ResourceId), ApiError> {
    let unusable = || {
        let detail = "`cursor` is not one of ours: pass `next` of the page before as it is, or start without";
        ApiError::bad_request("invalid_cursor", detail)
    };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_not_base64| unusable())?;
    let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_not_ours| unusable())?;
    if cursor.filter != *filter {
        let detail = "`cursor` belongs to a list with other filters: start without it";
        return Err(ApiError::bad_request("invalid_cursor", detail));
    }
    let kind = cursor.after.0.parse().map_err(|_unknown| unusable())?;
    let name = cursor.after.1.parse().map_err(|_unusable| unusable())?;
    Ok((cursor.version, ResourceId { kind, name }))
}
