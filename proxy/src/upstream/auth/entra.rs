//! Microsoft Entra: access tokens for Azure's models. Three flows, each of one request, so no SDK.
//!
//! Not there: Azure Arc and Service Fabric, whose managed identities need a file's challenge or a pinned certificate; they are refused.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use policy::SecretRef;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::fetch::{Fetcher, Said};
use super::google::bearer;
use super::source::{Places, SourceError, form, percent_encode};
use super::token::{Fresh, Life, Source};

/// What the tokens are good for.
const RESOURCE: &str = "https://cognitiveservices.azure.com";
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Which credentials are asked for.
#[derive(Debug)]
pub(super) enum Ask {
    /// An application with a secret.
    ClientSecret(SecretRef),
    /// A token that the platform has put into a file, exchanged for ours.
    WorkloadIdentity {
        /// The file; that of `AZURE_FEDERATED_TOKEN_FILE` if none is authored.
        token_file: Option<String>,
    },
    /// The identity of the machine or the app service.
    ManagedIdentity,
}

/// The source of Entra tokens of one provider.
pub(super) struct Entra {
    pub(super) ask: Ask,
    /// The directory; that of `AZURE_TENANT_ID` if none is authored.
    pub(super) tenant: Option<String>,
    /// The application; that of `AZURE_CLIENT_ID` if none is authored. Of a managed identity the one that is meant; the machine's own
    /// if none is authored.
    pub(super) client_id: Option<String>,
    pub(super) places: Places,
    pub(super) fetcher: Fetcher,
}

/// What the token endpoints answer; some write numbers as text.
#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
    expires_in: Option<Number>,
    expires_on: Option<Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    fn value(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl Source for Entra {
    type Value = HeaderValue;

    async fn fetch(&self, now_ms: u64) -> Result<Fresh<HeaderValue>, SourceError> {
        match &self.ask {
            Ask::ClientSecret(secret) => {
                self.grant(&[("client_secret", &self.places.secret(secret)?)], now_ms).await
            }
            Ask::WorkloadIdentity { token_file } => {
                let file = self.places.authored_or_env(
                    token_file.as_deref(),
                    "token_file",
                    "AZURE_FEDERATED_TOKEN_FILE",
                )?;
                let token = self.places.token_file(&file)?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                self.grant(&[("client_assertion_type", kind), ("client_assertion", &token)], now_ms).await
            }
            Ask::ManagedIdentity => self.managed_identity(now_ms).await,
        }
    }
}

impl Entra {
    /// Asks the directory, with what proves who we are.
    async fn grant(&self, proof: &[(&str, &str)], now_ms: u64) -> Result<Fresh<HeaderValue>, SourceError> {
        let tenant = self.places.authored_or_env(self.tenant.as_deref(), "tenant", "AZURE_TENANT_ID")?;
        let client =
            self.places.authored_or_env(self.client_id.as_deref(), "client_id", "AZURE_CLIENT_ID")?;
        let authority = self.places.env("AZURE_AUTHORITY_HOST");
        let authority =
            authority.as_deref().unwrap_or("https://login.microsoftonline.com").trim_end_matches('/');
        let mut url = format!("{authority}/");
        percent_encode(&tenant, &mut url);
        url.push_str("/oauth2/v2.0/token");
        let mut fields = vec![("grant_type", "client_credentials"), ("client_id", &client), ("scope", SCOPE)];
        fields.extend_from_slice(proof);
        let request = Request::post(self.fetcher.place(&url)?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::copy_from_slice(form(&fields).as_bytes()))
            .map_err(|_unsaid| SourceError::broken("the token request cannot be written"))?;
        granted(&self.fetcher.ask(request).await?.ok()?, now_ms)
    }

    /// Asks the app service, if we run in one, or else the machine's metadata service.
    async fn managed_identity(&self, now_ms: u64) -> Result<Fresh<HeaderValue>, SourceError> {
        let mut fields = vec![("resource", RESOURCE)];
        fields.extend(self.client_id.as_deref().map(|client| ("client_id", client)));
        let request = match self.places.env("IDENTITY_ENDPOINT") {
            Some(endpoint) => {
                let header = self.places.need_env(
                    "IDENTITY_HEADER",
                    "; Azure Arc and Service Fabric, which have only `IDENTITY_ENDPOINT`, are not supported",
                )?;
                if self.places.env("IDENTITY_SERVER_THUMBPRINT").is_some() {
                    return Err(SourceError::broken(
                        "the managed identities of Service Fabric are not supported; use a workload identity",
                    ));
                }
                fields.push(("api-version", "2019-08-01"));
                let url = format!("{endpoint}?{}", *form(&fields));
                Request::get(self.fetcher.place(&url)?).header("x-identity-header", header)
            }
            None => {
                fields.push(("api-version", "2018-02-01"));
                let base = self.places.env("AZURE_POD_IDENTITY_AUTHORITY_HOST");
                let base = base.as_deref().unwrap_or("http://169.254.169.254").trim_end_matches('/');
                let url = format!("{base}/metadata/identity/oauth2/token?{}", *form(&fields));
                Request::get(self.fetcher.place(&url)?).header("metadata", "true")
            }
        };
        let request = request
            .body(Bytes::new())
            .map_err(|_unsaid| SourceError::broken("`IDENTITY_HEADER` does not fit into a header"))?;
        let asked = async { granted(&self.fetcher.ask(request).await?.ok()?, now_ms) };
        asked.await.map_err(|error: SourceError| error.within("the managed identity"))
    }
}

fn granted(said: &Said, now_ms: u64) -> Result<Fresh<HeaderValue>, SourceError> {
    let granted: Granted = said.json()?;
    let within =
        granted.expires_in.as_ref().and_then(Number::value).map(|seconds| Life::seconds(now_ms, seconds));
    let at = granted.expires_on.as_ref().and_then(Number::value).map(|seconds| Life::seconds(0, seconds));
    let Some(life) = within.or(at) else {
        return said.garbage("a token with its end");
    };
    Ok(Fresh { value: bearer(&granted.access_token)?, life })
}

impl fmt::Debug for Entra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.ask {
            Ask::ClientSecret(_) => "entra client_secret",
            Ask::WorkloadIdentity { .. } => "entra workload_identity",
            Ask::ManagedIdentity => "entra managed_identity",
        })
    }
}

#[cfg(test)]
mod tests;
