//! Google: access tokens for Vertex, from a service account, a federated workload, the metadata server, or what the machine's usual places hold.
//!
//! Asked over our own client instead of with `google-cloud-auth`, which needs reqwest: each flow is one request, or two in a row, and the
//! one signature is in aws-lc-rs, which is here already. Not there: external accounts with an executable or a certificate, which are refused.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use policy::SecretRef;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::fetch::{Fetcher, Said};
use super::source::{Places, SourceError, form};
use super::token::{Fresh, Life, Source};

mod aws_subject;
mod external;
mod jwt;

/// What the tokens are good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Where `gcloud auth application-default login` writes.
const WELL_KNOWN: &str = ".config/gcloud/application_default_credentials.json";

/// Which credentials are asked for.
#[derive(Debug)]
pub(super) enum Ask {
    /// What the usual places hold: the file of `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's file, the metadata server.
    ApplicationDefault,
    /// The key of a service account.
    ServiceAccount(SecretRef),
    /// The settings of a federated workload.
    WorkloadIdentity(SecretRef),
    /// The service account of the machine.
    Metadata,
}

/// The source of Google tokens of one provider.
pub(super) struct Google {
    pub(super) ask: Ask,
    pub(super) places: Places,
    pub(super) fetcher: Fetcher,
}

/// An access token as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GoogleToken {
    pub(super) bearer: HeaderValue,
    /// Who pays, if not the project of the account.
    pub(super) quota_project: Option<HeaderValue>,
}

/// A credential file of Google. Fields that no flow needs are left alone.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum KeyFile {
    ServiceAccount(jwt::ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    ExternalAccount(Box<external::ExternalAccount>),
    ImpersonatedServiceAccount(Impersonated),
    #[serde(other)]
    Unknown,
}

/// What a person who has logged in leaves behind.
#[derive(Deserialize)]
struct AuthorizedUser {
    client_id: String,
    client_secret: Zeroizing<String>,
    refresh_token: Zeroizing<String>,
    quota_project_id: Option<String>,
}

/// A service account that somebody else acts as.
#[derive(Deserialize)]
struct Impersonated {
    service_account_impersonation_url: String,
    source_credentials: Box<KeyFile>,
    #[serde(default)]
    delegates: Vec<String>,
    quota_project_id: Option<String>,
}

/// What token servers answer.
#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
    expires_in: serde_json::Number,
}

/// A token that was granted, and its end.
struct Token {
    secret: Zeroizing<String>,
    life: Life,
}

impl Source for Google {
    type Value = GoogleToken;

    async fn fetch(&self, now_ms: u64) -> Result<Fresh<GoogleToken>, SourceError> {
        match &self.ask {
            Ask::Metadata => self.metadata(now_ms).await,
            Ask::ServiceAccount(key) => match self.authored(key)? {
                file @ KeyFile::ServiceAccount(_) => self.file(file, now_ms).await,
                _ => Err(SourceError::broken(format!("`{key}` is not the key of a service account"))),
            },
            Ask::WorkloadIdentity(key) => match self.authored(key)? {
                file @ KeyFile::ExternalAccount(_) => self.file(file, now_ms).await,
                _ => Err(SourceError::broken(format!(
                    "`{key}` does not hold the settings of a federated workload (`\"type\": \"external_account\"`)"
                ))),
            },
            Ask::ApplicationDefault => self.application_default(now_ms).await,
        }
    }
}

impl Google {
    async fn application_default(&self, now_ms: u64) -> Result<Fresh<GoogleToken>, SourceError> {
        if let Some(path) = self.places.env("GOOGLE_APPLICATION_CREDENTIALS") {
            let text = self.places.file(&path).map_err(SourceError::required)?;
            return self.file(read(&text, &format!("the file `{path}`"))?, now_ms).await;
        }
        let usual = match self.places.env("CLOUDSDK_CONFIG") {
            Some(directory) => Ok(format!("{directory}/application_default_credentials.json")),
            None => self.places.below_home(WELL_KNOWN),
        };
        match usual.and_then(|path| Ok((self.places.file(&path)?, path))) {
            Ok((text, path)) => return self.file(read(&text, &format!("the file `{path}`"))?, now_ms).await,
            Err(SourceError::Absent(_)) => {}
            Err(error) => return Err(error),
        }
        self.metadata(now_ms).await.map_err(|error| match error {
            SourceError::Absent(what) => SourceError::broken(format!(
                "no Google credentials found: `GOOGLE_APPLICATION_CREDENTIALS` is not set, there is no file of gcloud, and {what}; set up one of them"
            )),
            broken @ SourceError::Broken(_) => broken,
        })
    }

    fn authored(&self, key: &SecretRef) -> Result<KeyFile, SourceError> {
        read(&self.places.secret(key)?, &format!("`{key}`"))
    }

    async fn file(&self, file: KeyFile, now_ms: u64) -> Result<Fresh<GoogleToken>, SourceError> {
        let project = match &file {
            KeyFile::AuthorizedUser(user) => user.quota_project_id.clone(),
            KeyFile::ExternalAccount(account) => account.quota_project_id.clone(),
            KeyFile::ImpersonatedServiceAccount(one) => one.quota_project_id.clone(),
            KeyFile::ServiceAccount(_) | KeyFile::Unknown => None,
        };
        let token = match &file {
            KeyFile::ImpersonatedServiceAccount(one) => {
                let base = self.direct(&one.source_credentials, now_ms).await?;
                self.impersonate(&one.service_account_impersonation_url, &one.delegates, &base.secret).await?
            }
            direct => self.direct(direct, now_ms).await?,
        };
        token.into_fresh(project.as_deref())
    }

    /// The token of a file that is not an impersonation.
    async fn direct(&self, file: &KeyFile, now_ms: u64) -> Result<Token, SourceError> {
        match file {
            KeyFile::ServiceAccount(account) => {
                let assertion = account.assertion(now_ms)?;
                let fields = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.as_str()),
                ];
                self.grant(account.token_uri.as_deref().unwrap_or(TOKEN_URI), &fields, now_ms).await
            }
            KeyFile::AuthorizedUser(user) => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("client_id", &user.client_id),
                    ("client_secret", &user.client_secret),
                    ("refresh_token", &user.refresh_token),
                ];
                self.grant(TOKEN_URI, &fields, now_ms).await
            }
            KeyFile::ExternalAccount(account) => external::token(self, account, now_ms).await,
            KeyFile::ImpersonatedServiceAccount(_) => Err(SourceError::broken(
                "an impersonation of an impersonation is not followed; use `delegates`",
            )),
            KeyFile::Unknown => Err(SourceError::broken(
                "the credential file has a type that is not known; use a key of a service account, the settings of a federated workload, or gcloud's own file",
            )),
        }
    }

    /// Asks a token server with a form.
    async fn grant(&self, url: &str, fields: &[(&str, &str)], now_ms: u64) -> Result<Token, SourceError> {
        let request = Request::post(self.fetcher.place(url)?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::copy_from_slice(form(fields).as_bytes()));
        let request =
            request.map_err(|_unsaid| SourceError::broken("the token request cannot be written"))?;
        let said = self.fetcher.ask(request).await.map_err(SourceError::required)?.ok()?;
        granted(&said, now_ms)
    }

    /// The default service account of the machine.
    async fn metadata(&self, now_ms: u64) -> Result<Fresh<GoogleToken>, SourceError> {
        let host = self.places.env("GCE_METADATA_HOST");
        let host = host.as_deref().unwrap_or("metadata.google.internal");
        let query = form(&[("scopes", SCOPE)]);
        let url =
            format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token?{}", *query);
        let request = Request::get(self.fetcher.place(&url)?)
            .header("metadata-flavor", "Google")
            .body(Bytes::new())
            .map_err(|_unsaid| SourceError::broken("the metadata request cannot be written"))?;
        let asked = async {
            let said = self.fetcher.ask(request).await?.ok()?;
            if said.headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
                return said.garbage("from a metadata server");
            }
            granted(&said, now_ms)?.into_fresh(None)
        };
        asked.await.map_err(|error: SourceError| error.within("Google's metadata server"))
    }

    /// A token of a service account, for the token of somebody who may act as it.
    async fn impersonate(&self, url: &str, delegates: &[String], base: &str) -> Result<Token, SourceError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Impersonation {
            access_token: Zeroizing<String>,
            expire_time: String,
        }
        let body =
            serde_json::json!({"scope": [SCOPE], "delegates": delegates, "lifetime": "3600s"}).to_string();
        let request = Request::post(self.fetcher.place(url)?)
            .header(CONTENT_TYPE, "application/json")
            .header("authorization", bearer(base)?)
            .body(Bytes::from(body))
            .map_err(|_unsaid| SourceError::broken("the request to impersonate cannot be written"))?;
        let asked = async {
            let granted: Impersonation = self.fetcher.ask(request).await?.ok()?.json()?;
            let wrong = || SourceError::broken("the answer's time of expiry is not a time");
            let end: jiff::Timestamp = granted.expire_time.parse().or(Err(wrong()))?;
            let end_ms = u64::try_from(end.as_millisecond()).or(Err(wrong()))?;
            Ok(Token { secret: granted.access_token, life: Life::Until(end_ms) })
        };
        asked.await.map_err(|error: SourceError| error.required().within("impersonating the service account"))
    }
}

impl Token {
    fn into_fresh(self, project: Option<&str>) -> Result<Fresh<GoogleToken>, SourceError> {
        let unfit = || SourceError::broken("`quota_project_id` does not fit into a header");
        let project = project.map(|project| HeaderValue::try_from(project).or(Err(unfit()))).transpose()?;
        let value = GoogleToken { bearer: bearer(&self.secret)?, quota_project: project };
        Ok(Fresh { value, life: self.life })
    }
}

fn granted(said: &Said, now_ms: u64) -> Result<Token, SourceError> {
    let granted: Granted = said.json()?;
    let Some(seconds) = granted.expires_in.as_u64() else {
        return said.garbage("a token with its end");
    };
    Ok(Token { secret: granted.access_token, life: Life::seconds(now_ms, seconds) })
}

/// A token as it stands in a header.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, SourceError> {
    // The error is dropped on purpose: it could quote the token.
    let unfit = || SourceError::broken("the token is empty or does not fit into a header");
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unfit());
    }
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::try_from(text.as_str()).map_err(|_unsaid| unfit())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a credential file. What is wrong is told by place only: the reason could quote a secret.
fn read(text: &str, place: &str) -> Result<KeyFile, SourceError> {
    serde_json::from_str(text).map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        SourceError::broken(format!("{place} is not a credential file of Google (see {at})"))
    })
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.ask {
            Ask::ApplicationDefault => "google application_default",
            Ask::ServiceAccount(_) => "google service_account",
            Ask::WorkloadIdentity(_) => "google workload_identity",
            Ask::Metadata => "google metadata",
        })
    }
}

#[cfg(test)]
mod tests;
