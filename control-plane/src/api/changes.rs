//! Several documents as one atomic change, and going back to an older version. Other modules of the API hand their
//! writes to [`admit`], so that every write is recorded, checked and answered alike.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use policy::{Change, Diagnostic, Name, Resource, ResourceId, Severity};

use super::body::{Document, IDEMPOTENCY_KEY, Media, Strict, single};
use super::operation::Operation;
use super::problem::ApiError;
use super::resources::parse_kind;
use super::{Api, Routes, schema};
use crate::access::Principal;
use crate::admission::{Admitted, IdempotencyKey, Outcome, Precondition, Request, Wanted};

const MAX_MESSAGE_BYTES: usize = 4096;
const MAX_KEY_BYTES: usize = 255;
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// How a change is decided.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeQuery {
    /// Decide only.
    #[serde(default)]
    dry_run: bool,
    /// Written into the history, when the body has no `message`.
    message: Option<String>,
}

/// Several documents and deletions: all of them or none.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// Written into the history.
    message: Option<String>,
    /// Created, or replaced where they exist.
    #[serde(default)]
    #[schemars(schema_with = "schema::resources")]
    documents: Vec<Box<RawValue>>,
    /// Deleted; they must exist.
    #[serde(default)]
    delete: Vec<DeleteBody>,
}

/// A resource by its name.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteBody {
    kind: String,
    name: String,
}

/// Which version to go back to.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    /// Its content becomes the content of a new version. Keys stay as they are.
    version: u64,
    /// Written into the history.
    message: Option<String>,
}

/// How a rollback is decided.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct RollbackQuery {
    /// Decide only.
    #[serde(default)]
    dry_run: bool,
}

/// A write, ready to be decided.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) wanted: Wanted,
    pub(super) preconditions: Vec<Precondition>,
    pub(super) message: Option<String>,
    pub(super) is_dry_run: bool,
    /// Everything that decides the outcome, beside message and dry run.
    pub(super) fingerprint: Bytes,
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::post("change", "/v1/changes", "Make one atomic change of several documents")
            .heeds(&["Idempotency-Key"])
            .query::<ChangeQuery>()
            .takes::<ChangeBody>()
            .yaml()
            .large()
            .answers::<Outcome>(200)
            .at(change),
        Operation::post("rollback", "/v1/rollback", "Make a new version with the content of an older one")
            .heeds(&["Idempotency-Key"])
            .query::<RollbackQuery>()
            .takes::<RollbackBody>()
            .answers::<Outcome>(200)
            .at(rollback),
    ]
}

/// Has a write decided and, unless it is a dry run, committed.
pub(super) async fn admit(
    api: &Api,
    principal: &Principal,
    headers: &HeaderMap,
    effect: Effect,
) -> Result<Admitted, ApiError> {
    let message = effect.message.map(checked_message).transpose()?;
    let idempotency = idempotency(principal, headers, &effect.fingerprint, message.as_deref())?;
    let request = Request {
        change: effect.wanted,
        preconditions: effect.preconditions,
        author: principal.name().to_owned(),
        message,
        is_dry_run: effect.is_dry_run,
        idempotency,
    };
    Ok(api.admission.admit(request).await?)
}

/// What became of a write.
pub(super) fn answer(admitted: &Admitted) -> Response {
    let mut response = Json(&admitted.outcome).into_response();
    if admitted.is_replay {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

async fn change(
    State(api): State<Api>,
    Extension(principal): Extension<Principal>,
    Strict(query): Strict<ChangeQuery>,
    headers: HeaderMap,
    document: Document,
) -> Result<Response, ApiError> {
    let fingerprint = document.bytes.clone();
    let read = tokio::task::spawn_blocking(move || read_change(&document)).await;
    let Read { changes, message, parsed } = read.map_err(|lost| {
        ApiError::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("reading the change: {lost}"),
        )
    })??;
    let message = match (message, query.message) {
        (Some(_), Some(_)) => {
            let detail = "`message` is in the body and in the query: give it once";
            return Err(ApiError::bad_request("message_twice", detail));
        }
        (one, other) => one.or(other),
    };
    let effect = Effect {
        wanted: Wanted::Apply(changes),
        preconditions: Vec::new(),
        message,
        is_dry_run: query.dry_run,
        fingerprint,
    };
    let admitted = admit(&api, &principal, &headers, effect).await.map_err(|error| error.located(&parsed))?;
    Ok(answer(&admitted))
}

async fn rollback(
    State(api): State<Api>,
    Extension(principal): Extension<Principal>,
    Strict(query): Strict<RollbackQuery>,
    headers: HeaderMap,
    document: Document,
) -> Result<Response, ApiError> {
    let body: RollbackBody = document.json()?;
    let target = api.catalog.at(body.version).await?;
    let effect = Effect {
        wanted: Wanted::Rollback(target),
        preconditions: Vec::new(),
        message: Some(body.message.unwrap_or_else(|| format!("roll back to version {}", body.version))),
        is_dry_run: query.dry_run,
        fingerprint: format!("rollback {}", body.version).into_bytes().into(),
    };
    Ok(answer(&admit(&api, &principal, &headers, effect).await?))
}

/// A change as it came.
#[derive(Debug)]
struct Read {
    changes: Vec<Change>,
    message: Option<String>,
    /// Where the parts were written, when the body is YAML.
    parsed: Vec<policy::Parsed>,
}

fn read_change(document: &Document) -> Result<Read, ApiError> {
    let read = match document.media {
        Media::Yaml => {
            let parsed = policy::parse_located("body", document.text()?).map_err(ApiError::invalid)?;
            let put = |parsed: &policy::Parsed| Change::Put(Arc::new(parsed.resource.clone()));
            Read { changes: parsed.iter().map(put).collect(), message: None, parsed }
        }
        Media::Json => {
            let body: ChangeBody = document.json()?;
            let mut changes = read_documents(&body.documents)?;
            for deleted in &body.delete {
                changes.push(Change::Delete(read_id(deleted)?));
            }
            Read { changes, message: body.message, parsed: Vec::new() }
        }
    };
    if read.changes.is_empty() {
        let detail = "there is nothing to change: give `documents` to create or replace, or `delete`";
        return Err(ApiError::bad_request("empty_change", detail));
    }
    Ok(read)
}

/// Reads all documents and tells what is wrong with all of them, each with its place in the list.
fn read_documents(documents: &[Box<RawValue>]) -> Result<Vec<Change>, ApiError> {
    let mut changes = Vec::with_capacity(documents.len());
    let mut wrong: Vec<Diagnostic> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        match policy::parse_resource(document.get().as_bytes()) {
            Ok(resource) => changes.push(Change::Put(Arc::<Resource>::new(resource))),
            Err(diagnostics) => wrong.extend(diagnostics.into_iter().map(|mut diagnostic| {
                diagnostic.location.get_or_insert_with(|| format!("documents[{index}]"));
                diagnostic
            })),
        }
    }
    if wrong.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(ApiError::invalid(wrong));
    }
    Ok(changes)
}

fn read_id(body: &DeleteBody) -> Result<ResourceId, ApiError> {
    let kind = parse_kind(&body.kind)?;
    let name: Result<Name, _> = body.name.parse();
    let name = name.map_err(|error| {
        ApiError::bad_request("invalid_name", format!("`{}` cannot name a resource: {error}", body.name))
    })?;
    Ok(ResourceId { kind, name })
}

fn checked_message(message: String) -> Result<String, ApiError> {
    let is_text = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if message.len() <= MAX_MESSAGE_BYTES && message.chars().all(is_text) {
        return Ok(message);
    }
    let detail = format!("`message` has at most {MAX_MESSAGE_BYTES} bytes and no control characters");
    Err(ApiError::bad_request("invalid_message", detail))
}

fn idempotency(
    principal: &Principal,
    headers: &HeaderMap,
    fingerprint: &[u8],
    message: Option<&str>,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(key) = single(headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let detail = format!("Idempotency-Key has 1 to {MAX_KEY_BYTES} bytes");
        return Err(ApiError::bad_request("invalid_header", detail));
    }
    let message: Cow<'_, str> = message.map_or(Cow::Borrowed(""), Cow::Borrowed);
    Ok(Some(IdempotencyKey::new(principal.token_id(), key, &[fingerprint, message.as_bytes()])))
}
