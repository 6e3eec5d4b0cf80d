//! A workload outside of Google that another party vouches for: its token is exchanged for one of Google's.

use bytes::Bytes;
use http::Request;
use serde::Deserialize;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::{Google, SCOPE, Token, aws_subject};
use crate::upstream::auth::source::SourceError;

/// The settings of such a workload (`"type": "external_account"`), as far as they are needed.
#[derive(Deserialize)]
pub(super) struct ExternalAccount {
    pub(super) audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    pub(super) credential_source: CredentialSource,
    pub(super) quota_project_id: Option<String>,
}

/// Where the other party's token is.
#[derive(Deserialize)]
pub(super) struct CredentialSource {
    file: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    format: Option<Format>,
    pub(super) environment_id: Option<String>,
    pub(super) region_url: Option<String>,
    pub(super) regional_cred_verification_url: Option<String>,
}

/// How it is written there.
#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// Exchanges the workload's token, and acts as a service account if the settings name one.
pub(super) async fn token(
    google: &Google,
    account: &ExternalAccount,
    now_ms: u64,
) -> Result<Token, SourceError> {
    let subject = subject(google, account, now_ms).await?;
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", &account.audience),
        ("scope", SCOPE),
        ("subject_token_type", &account.subject_token_type),
        ("subject_token", &subject),
    ];
    let exchanged = google.grant(&account.token_url, &fields, now_ms).await;
    let exchanged = exchanged.map_err(|error| error.within("exchanging the workload's token"))?;
    match &account.service_account_impersonation_url {
        None => Ok(exchanged),
        Some(url) => google.impersonate(url, &[], &exchanged.secret).await,
    }
}

/// The other party's token, read anew each time: it is short-lived.
async fn subject(
    google: &Google,
    account: &ExternalAccount,
    now_ms: u64,
) -> Result<Zeroizing<String>, SourceError> {
    let from = &account.credential_source;
    if let Some(environment) = &from.environment_id {
        return aws_subject::token(google, account, environment, now_ms).await;
    }
    let (text, place) = match (&from.file, &from.url) {
        (Some(file), _) => {
            (google.places.file(file).map_err(SourceError::required)?, format!("the file `{file}`"))
        }
        (None, Some(url)) => {
            (ask(google, url, &from.headers).await?, "the answer of `credential_source.url`".to_owned())
        }
        (None, None) => {
            return Err(SourceError::broken(
                "`credential_source` names neither a file nor a URL; programs and certificates are not used here",
            ));
        }
    };
    let token = match &from.format {
        Some(format) if format.kind == "json" => {
            let field = format.subject_token_field_name.as_deref().unwrap_or("access_token");
            let missing =
                || SourceError::broken(format!("{place} is not JSON with the text field `{field}`"));
            let json: serde_json::Value = serde_json::from_str(&text).map_err(|_unsaid| missing())?;
            Zeroizing::new(json.get(field).and_then(|token| token.as_str()).ok_or_else(missing)?.to_owned())
        }
        Some(_) | None => Zeroizing::new(text.trim().to_owned()),
    };
    if token.is_empty() { Err(SourceError::broken(format!("{place} holds no token"))) } else { Ok(token) }
}

async fn ask(
    google: &Google,
    url: &str,
    headers: &BTreeMap<String, String>,
) -> Result<Zeroizing<String>, SourceError> {
    let mut request = Request::get(google.fetcher.place(url)?);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Bytes::new())
        .map_err(|_unsaid| SourceError::broken("`credential_source.headers` cannot be written"))?;
    let said = google.fetcher.ask(request).await.map_err(SourceError::required)?.ok()?;
    Ok(Zeroizing::new(said.text()?.to_owned()))
}
