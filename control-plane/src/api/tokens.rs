//! Admin tokens: made here, shown once, revoked at once.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::body::Document;
use super::operation::Operation;
use super::problem::ApiError;
use super::{Api, Routes};
use crate::access::Token;

/// Whom the token is for.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    /// Written into the history as the author: letters, digits and . _ @ -
    name: String,
}

/// A new token. This is the only time it is shown.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct MadeToken {
    /// Names the token when it is revoked.
    id: String,
    name: String,
    /// RFC 3339.
    created: String,
    /// What its holder presents.
    token: String,
}

/// All tokens, oldest first.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct TokenList {
    items: Vec<Token>,
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("listTokens", "/v1/tokens", "List admin tokens").answers::<TokenList>(200).at(list),
        Operation::post("createToken", "/v1/tokens", "Make an admin token; it is shown once")
            .takes::<TokenBody>()
            .answers::<MadeToken>(201)
            .at(create),
        Operation::delete("revokeToken", "/v1/tokens/{id}", "Revoke an admin token")
            .answers::<Token>(200)
            .at(revoke),
    ]
}

async fn list(State(api): State<Api>) -> Json<TokenList> {
    Json(TokenList { items: api.access.list() })
}

async fn create(State(api): State<Api>, document: Document) -> Result<Response, ApiError> {
    let body: TokenBody = document.json()?;
    let made = api.access.create(&body.name).await?;
    let Token { id, name, created, .. } = made.token;
    Ok((StatusCode::CREATED, Json(MadeToken { id, name, created, token: made.text })).into_response())
}

async fn revoke(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Token>, ApiError> {
    Ok(Json(api.access.revoke(&id).await?))
}
