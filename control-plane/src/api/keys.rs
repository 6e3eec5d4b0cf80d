//! Virtual keys: made here, shown once, revoked for good. They are resources, so making and revoking one is a change with
//! its commit.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use policy::{Change, Kind, Name, Resource, ResourceId, Spec};

use super::body::{Document, IDEMPOTENCY_KEY, Strict};
use super::changes::{self, Effect};
use super::listing::{self, Filter};
use super::operation::Operation;
use super::problem::ApiError;
use super::{Api, Routes};
use crate::access::Principal;
use crate::admission::{Precondition, Wanted};
use crate::keys::{self, KeyOrder};

/// How often a revocation is tried again when the key is changed at the same time.
const ATTEMPTS: usize = 5;

/// What a key is wanted for.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    /// The application that will present it.
    consumer: String,
    /// RFC 3339; a key without it does not expire.
    expires: Option<String>,
    /// Narrows the consumer's models.
    models: Option<Vec<String>>,
    /// For people.
    note: Option<String>,
}

/// A new key. This is the only time it is shown.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct MadeKey {
    /// Names the key from now on.
    id: String,
    /// What the application presents.
    key: String,
    consumer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// The version from which on it is good.
    version: u64,
}

/// A key as it may be shown.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct ShownKey {
    id: String,
    consumer: String,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<serde_json::Value>,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Which keys.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyQuery {
    /// At most this many, up to 1000.
    limit: Option<u32>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// One page of keys, all as of one version.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct KeyPage {
    version: u64,
    items: Vec<ShownKey>,
    /// Pass it as `cursor`; null on the last page.
    next: Option<String>,
}

/// A key that is not good any more.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct RevokedKey {
    id: String,
    revoked: bool,
    /// The version from which on it is refused.
    version: u64,
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("listKeys", "/v1/keys", "List virtual keys")
            .query::<KeyQuery>()
            .answers::<KeyPage>(200)
            .at(list),
        Operation::post("createKey", "/v1/keys", "Make a virtual key; it is shown once")
            .takes::<KeyBody>()
            .answers::<MadeKey>(201)
            .at(create),
        Operation::delete("revokeKey", "/v1/keys/{id}", "Revoke a virtual key for good")
            .answers::<RevokedKey>(200)
            .at(revoke),
    ]
}

async fn list(State(api): State<Api>, Strict(query): Strict<KeyQuery>) -> Result<Json<KeyPage>, ApiError> {
    let filter = Filter::new(Some(Kind::Key), None)?;
    let page = listing::page(&api.catalog, &filter, query.limit, query.cursor.as_deref()).await?;
    let items = page.items.iter().filter_map(|resource| shown(resource)).collect();
    Ok(Json(KeyPage { version: page.version, items, next: page.next }))
}

async fn create(
    State(api): State<Api>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    document: Document,
) -> Result<Response, ApiError> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        let detail = "Idempotency-Key is not taken here: a key is shown once and its text is kept nowhere, so it could not be answered again";
        return Err(ApiError::bad_request("idempotency_not_possible", detail));
    }
    let body: KeyBody = document.json()?;
    let expires = body.expires.clone();
    let order =
        KeyOrder { consumer: body.consumer, expires: body.expires, models: body.models, note: body.note };
    let minted = keys::mint(&api.pepper, order, api.clock.unix_ms())?;
    let (id, consumer) =
        (minted.resource.name.to_string(), consumer_of(&minted.resource).unwrap_or_default());
    let effect = Effect {
        message: Some(format!("create key {id} for {consumer}")),
        wanted: Wanted::Apply(vec![Change::Put(Arc::new(minted.resource))]),
        preconditions: Vec::new(),
        is_dry_run: false,
        fingerprint: Vec::new().into(),
    };
    let admitted = changes::admit(&api, &principal, &headers, effect).await?;
    let version = admitted.outcome.version;
    Ok((StatusCode::CREATED, Json(MadeKey { id, key: minted.text, consumer, expires, version }))
        .into_response())
}

async fn revoke(
    State(api): State<Api>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RevokedKey>, ApiError> {
    let unknown = || ApiError::not_found(format!("no key has the id `{name}`: GET /v1/keys lists them"));
    let parsed: Result<Name, _> = name.parse();
    let id = ResourceId { kind: Kind::Key, name: parsed.map_err(|_not_a_name| unknown())? };
    for attempt in 1.. {
        let snapshot = api.catalog.refresh().await?;
        let (Some(found), Some(digest)) = (snapshot.catalog.get(&id), snapshot.digest_of(&id)) else {
            return Err(unknown());
        };
        let mut resource = Resource::clone(found);
        let Spec::Key(key) = &mut resource.spec else { return Err(unknown()) };
        if key.revoked {
            return Ok(Json(RevokedKey { id: name, revoked: true, version: snapshot.version }));
        }
        key.revoked = true;
        let effect = Effect {
            wanted: Wanted::Apply(vec![Change::Put(Arc::new(resource))]),
            preconditions: vec![Precondition::Matches(id.clone(), vec![digest.to_owned()])],
            message: Some(format!("revoke key {name}")),
            is_dry_run: false,
            fingerprint: format!("revoke {name}").into_bytes().into(),
        };
        match changes::admit(&api, &principal, &headers, effect).await {
            Ok(admitted) => {
                let version = admitted.outcome.version;
                return Ok(Json(RevokedKey { id: name, revoked: true, version }));
            }
            Err(error) if error.status() == StatusCode::PRECONDITION_FAILED && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Err(unknown())
}

fn consumer_of(resource: &Resource) -> Option<String> {
    shown(resource).map(|key| key.consumer)
}

fn shown(resource: &Resource) -> Option<ShownKey> {
    let Spec::Key(key) = &resource.spec else { return None };
    Some(ShownKey {
        id: resource.name.to_string(),
        consumer: key.consumer.to_string(),
        created: key.created.to_string(),
        expires: key.expires.as_ref().map(ToString::to_string),
        models: key.models.as_ref().and_then(|models| serde_json::to_value(models).ok()),
        revoked: key.revoked,
        note: key.note.clone(),
    })
}
