//! Single resources and lists of them. The resource document is the body, its digest the ETag. Reads come from the
//! snapshot; a write is a change like any other, with its commit.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::{ETAG, IF_NONE_MATCH, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use policy::{Change, Diagnostic, Kind, Name, Op, Resource, ResourceDiff, ResourceId};

use super::body::{Document, Media, Strict, etags, preconditions, single};
use super::changes::{self, Effect};
use super::listing::{self, Filter};
use super::operation::Operation;
use super::problem::ApiError;
use super::{Api, Routes, schema};
use crate::access::Principal;
use crate::admission::{Outcome, Precondition, Wanted};

/// Which resources, and which page of them.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only this kind.
    kind: Option<String>,
    /// Only with these labels: `NAME=VALUE` or just `NAME`, several with commas between.
    label: Option<String>,
    /// At most this many, up to 1000.
    limit: Option<u32>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// One page of resources, all as of one version.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct ResourcePage {
    /// The version they are from.
    version: u64,
    #[schemars(schema_with = "schema::resources")]
    items: Vec<Arc<Resource>>,
    /// Pass it as `cursor`; null on the last page.
    next: Option<String>,
}

/// How a write is recorded, and whether it is one.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteQuery {
    /// Decide only.
    #[serde(default)]
    dry_run: bool,
    /// Written into the history.
    message: Option<String>,
}

/// The resource a path names.
#[derive(Debug)]
struct Named(ResourceId);

const PATH: &str = "/v1/resources/{kind}/{name}";

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("listResources", "/v1/resources", "List resources")
            .query::<ListQuery>()
            .answers::<ResourcePage>(200)
            .at(list),
        Operation::get("getResource", PATH, "Read one resource")
            .heeds(&["If-None-Match"])
            .answers::<schema::AnyResource>(200)
            .at(get),
        Operation::put("putResource", PATH, "Create or replace one resource")
            .heeds(&["If-Match", "If-None-Match", "Idempotency-Key"])
            .query::<WriteQuery>()
            .takes::<schema::AnyResource>()
            .yaml()
            .answers::<Outcome>(200)
            .at(put),
        Operation::delete("deleteResource", PATH, "Delete one resource")
            .heeds(&["If-Match", "Idempotency-Key"])
            .query::<WriteQuery>()
            .answers::<Outcome>(200)
            .at(delete),
    ]
}

async fn list(State(api): State<Api>, Strict(query): Strict<ListQuery>) -> Result<Response, ApiError> {
    let kind = query.kind.as_deref().map(parse_kind).transpose()?;
    let filter = Filter::new(kind, query.label.as_deref())?;
    let page = listing::page(&api.catalog, &filter, query.limit, query.cursor.as_deref()).await?;
    Ok(Json(ResourcePage { version: page.version, items: page.items, next: page.next }).into_response())
}

async fn get(State(api): State<Api>, Named(id): Named, headers: HeaderMap) -> Result<Response, ApiError> {
    let snapshot = api.catalog.newest();
    let (Some(resource), Some(digest)) = (snapshot.catalog.get(&id), snapshot.digest_of(&id)) else {
        return Err(ApiError::not_found(format!("{id} does not exist in version {}", snapshot.version)));
    };
    let tag = [(ETAG, etag(digest)?)];
    let is_known = match single(&headers, &IF_NONE_MATCH)? {
        None => false,
        Some(text) if text.trim() == "*" => true,
        Some(text) => etags(text)?.iter().any(|known| known == digest),
    };
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Json(resource.as_ref())).into_response())
}

async fn put(
    State(api): State<Api>,
    Extension(principal): Extension<Principal>,
    Named(id): Named,
    Strict(query): Strict<WriteQuery>,
    headers: HeaderMap,
    document: Document,
) -> Result<Response, ApiError> {
    let resource = Arc::new(only(&document, &id)?);
    let tag = etag(&resource.digest().to_string())?;
    let fingerprint = [b"put".as_slice(), id.to_string().as_bytes(), &document.bytes].concat();
    let effect = Effect {
        wanted: Wanted::Apply(vec![Change::Put(resource)]),
        preconditions: preconditions(&headers, &id)?,
        message: query.message,
        is_dry_run: query.dry_run,
        fingerprint: fingerprint.into(),
    };
    let admitted = changes::admit(&api, &principal, &headers, effect).await?;
    let is_created = |diff: &ResourceDiff| diff.op == Op::Created && diff.resource == id;
    let is_new = admitted.outcome.committed && admitted.outcome.changes.iter().any(is_created);
    let mut response = changes::answer(&admitted);
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
        if let Ok(location) = HeaderValue::from_str(&format!("/v1/resources/{}/{}", id.kind, id.name)) {
            response.headers_mut().insert(LOCATION, location);
        }
    }
    response.headers_mut().insert(ETAG, tag);
    Ok(response)
}

async fn delete(
    State(api): State<Api>,
    Extension(principal): Extension<Principal>,
    Named(id): Named,
    Strict(query): Strict<WriteQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let preconditions = preconditions(&headers, &id)?;
    if preconditions.contains(&Precondition::Absent(id.clone())) {
        let detail = "If-None-Match has no meaning for a deletion: send If-Match with the ETag";
        return Err(ApiError::bad_request("invalid_header", detail));
    }
    let has_key = headers.contains_key(super::body::IDEMPOTENCY_KEY);
    if preconditions.is_empty() && !has_key {
        let newest = api.catalog.refresh().await?;
        if newest.digest_of(&id).is_none() {
            let detail = format!("{id} does not exist in version {}", newest.version);
            return Err(ApiError::not_found(detail));
        }
    }
    let effect = Effect {
        fingerprint: format!("delete {id}").into_bytes().into(),
        wanted: Wanted::Apply(vec![Change::Delete(id)]),
        preconditions,
        message: query.message,
        is_dry_run: query.dry_run,
    };
    Ok(changes::answer(&changes::admit(&api, &principal, &headers, effect).await?))
}

/// The one resource in a body, which must be the one the path names.
fn only(document: &Document, id: &ResourceId) -> Result<Resource, ApiError> {
    let resource = match document.media {
        Media::Json => policy::parse_resource(&document.bytes).map_err(ApiError::invalid)?,
        Media::Yaml => {
            let mut resources =
                policy::parse_documents("body", document.text()?).map_err(ApiError::invalid)?;
            match (resources.pop(), resources.is_empty()) {
                (Some(only), true) => only,
                (_, _) => {
                    let detail = "exactly one document belongs here: send several to POST /v1/changes";
                    return Err(ApiError::bad_request("one_document", detail));
                }
            }
        }
    };
    if resource.id() == *id {
        return Ok(resource);
    }
    let message = format!("the path names {id} and the document {}: make them the same", resource.id());
    Err(ApiError::invalid(vec![Diagnostic {
        severity: policy::Severity::Error,
        resource: resource.id().to_string(),
        path: "name".to_owned(),
        location: None,
        code: "name_mismatch".into(),
        message,
    }]))
}

pub(super) fn parse_kind(text: &str) -> Result<Kind, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request("unknown_kind", error))
}

fn etag(digest: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(&format!("\"{digest}\""))
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))
}

impl FromRequestParts<Api> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, api).await;
        let Path((kind, name)) =
            path.map_err(|bad| ApiError::bad_request("invalid_path", bad.body_text()))?;
        let kind = parse_kind(&kind)?;
        let name: Name = name.parse().map_err(|error| {
            ApiError::bad_request("invalid_name", format!("`{name}` cannot name a resource: {error}"))
        })?;
        Ok(Self(ResourceId { kind, name }))
    }
}
