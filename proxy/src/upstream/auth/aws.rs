//! AWS: where credentials come from. Signing with them is `aws/sign.rs`.
//!
//! The sources are asked over our own client instead of with `aws-config`, which would bring its own client stack (two majors of hyper and http,
//! a second TLS set-up, three generated service clients): each source is one or two requests. Signing is done by `aws-sigv4`, which is small
//! and knows the corners of the canonical request. Not there: single sign-on sessions and `credential_process`, because they need a person or a
//! program; both are refused with what to do instead.

use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::Request;
use policy::SecretRef;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::fetch::Fetcher;
use super::source::{Places, SourceError};
use super::token::{Fresh, Life, Source};

mod profile;
pub(super) mod sign;
mod sts;

/// Credentials of a profile are looked at again after this; tools that log in write them anew.
const PROFILE: Duration = Duration::from_secs(5);
/// What an endpoint gives without telling its end is asked for again after this.
const ENDLESS: Duration = Duration::from_secs(300);
/// A secret in a file is looked at again after this, like a plain key.
const STATIC: Duration = Duration::from_secs(1);
/// Variables do not change.
const ENVIRONMENT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Which credentials are asked for.
pub(super) enum Ask {
    /// What the usual chain finds first: variables, web identity, profile, container, instance.
    Environment,
    /// Keys whose references are authored.
    Static { access_key_id: SecretRef, secret_access_key: SecretRef, session_token: Option<SecretRef> },
    /// A profile of the shared files; the one of `AWS_PROFILE` if none is named.
    Profile(Option<String>),
    /// A role for a token that the platform has put into a file.
    WebIdentity { role_arn: Option<String>, token_file: Option<String> },
    /// The role of the machine.
    Instance,
}

/// The source of AWS credentials of one provider.
pub(super) struct Aws {
    pub(super) ask: Ask,
    pub(super) region: String,
    pub(super) places: Places,
    pub(super) fetcher: Fetcher,
}

/// What the metadata endpoints answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
    expiration: Option<String>,
}

impl Source for Aws {
    type Value = Credentials;

    async fn fetch(&self, now_ms: u64) -> Result<Fresh<Credentials>, SourceError> {
        match &self.ask {
            Ask::Environment => self.chain(now_ms).await,
            Ask::Static { access_key_id, secret_access_key, session_token } => {
                self.authored(access_key_id, secret_access_key, session_token.as_ref())
            }
            Ask::Profile(name) => profile::fetch(self, name.as_deref(), now_ms).await,
            Ask::WebIdentity { role_arn, token_file } => {
                self.web_identity(role_arn.as_deref(), token_file.as_deref()).await
            }
            Ask::Instance => self.instance().await,
        }
    }
}

impl Aws {
    /// The usual chain. A source that is set up and fails ends it: going on would act as somebody else.
    async fn chain(&self, now_ms: u64) -> Result<Fresh<Credentials>, SourceError> {
        match self.environment() {
            Err(SourceError::Absent(_)) => {}
            found => return found,
        }
        if self.places.env("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            return self.web_identity(None, None).await.map_err(SourceError::required);
        }
        match profile::fetch(self, None, now_ms).await {
            Err(SourceError::Absent(_)) => {}
            found => return found,
        }
        match self.container().await {
            Err(SourceError::Absent(_)) => {}
            found => return found,
        }
        self.instance().await.map_err(|error| {
            SourceError::broken(format!(
                "no AWS credentials found: `AWS_ACCESS_KEY_ID`, `AWS_WEB_IDENTITY_TOKEN_FILE` and \
                 `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` are not set, there is no profile, and {error}; set up one of them"
            ))
        })
    }

    fn environment(&self) -> Result<Fresh<Credentials>, SourceError> {
        let id = self.places.need_env("AWS_ACCESS_KEY_ID", "")?;
        let secret = self.places.need_env("AWS_SECRET_ACCESS_KEY", ", or unset `AWS_ACCESS_KEY_ID`");
        let secret = secret.map_err(SourceError::required)?;
        let value =
            credentials(&id, &secret, self.places.env("AWS_SESSION_TOKEN").as_deref(), "environment")?;
        Ok(Fresh { value, life: Life::LookAgainAfter(ENVIRONMENT) })
    }

    fn authored(
        &self,
        id: &SecretRef,
        secret: &SecretRef,
        session: Option<&SecretRef>,
    ) -> Result<Fresh<Credentials>, SourceError> {
        let session = session.map(|session| self.places.secret(session)).transpose()?;
        let (id, secret) = (self.places.secret(id)?, self.places.secret(secret)?);
        let value = credentials(&id, &secret, session.as_ref().map(|session| session.as_str()), "static")?;
        Ok(Fresh { value, life: Life::LookAgainAfter(STATIC) })
    }

    async fn web_identity(
        &self,
        role_arn: Option<&str>,
        token_file: Option<&str>,
    ) -> Result<Fresh<Credentials>, SourceError> {
        let file = self.places.authored_or_env(token_file, "token_file", "AWS_WEB_IDENTITY_TOKEN_FILE")?;
        let role = self.places.authored_or_env(role_arn, "role_arn", "AWS_ROLE_ARN")?;
        let role = sts::Role { session: self.places.env("AWS_ROLE_SESSION_NAME"), ..sts::Role::named(&role) };
        sts::assume_role_with_web_identity(self, &role, &file).await
    }

    /// ECS and EKS pod identity.
    async fn container(&self) -> Result<Fresh<Credentials>, SourceError> {
        let relative = self.places.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let url = match relative {
            Some(relative) => format!("http://169.254.170.2{relative}"),
            None => self.places.need_env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")?,
        };
        let token = match self.places.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(self.places.token_file(&file).map_err(SourceError::required)?),
            None => self.places.env("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Zeroizing::new),
        };
        let mut request = Request::get(self.fetcher.place(&url)?).header("accept", "application/json");
        if let Some(token) = &token {
            request = request.header("authorization", token.as_str());
        }
        let asked = async {
            let said = self.fetcher.ask(finish(request)?).await?.ok()?;
            read_found(said.json()?, "container")
        };
        asked.await.map_err(|error| error.required().within("the container's credentials"))
    }

    /// The metadata service of EC2, version 2.
    async fn instance(&self) -> Result<Fresh<Credentials>, SourceError> {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        if self.places.env("AWS_EC2_METADATA_DISABLED").is_some_and(|set| set.eq_ignore_ascii_case("true")) {
            return Err(SourceError::absent("`AWS_EC2_METADATA_DISABLED` is set"));
        }
        let base = self.places.env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.as_deref().unwrap_or("http://169.254.169.254").trim_end_matches('/');
        let place = |path: &str| self.fetcher.place(&format!("{base}{path}"));
        let asked = async {
            let request = Request::put(place("/latest/api/token")?)
                .header("x-aws-ec2-metadata-token-ttl-seconds", "300");
            let said = self.fetcher.ask(finish(request)?).await?.ok()?;
            let session = said.text()?.trim();
            let ask = |path: String| {
                let request = Request::get(place(&path)?).header("x-aws-ec2-metadata-token", session);
                finish(request)
            };
            let roles = self.fetcher.ask(ask(ROLES.to_owned())?).await?;
            if roles.status == http::StatusCode::NOT_FOUND {
                return Err(SourceError::absent("this machine has no role; attach an instance profile"));
            }
            let roles = roles.ok()?;
            let role = roles.text()?.lines().next().unwrap_or_default().trim();
            if role.is_empty()
                || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
            {
                return roles.garbage("the name of a role");
            }
            let said = self.fetcher.ask(ask(format!("{ROLES}{role}"))?).await?.ok()?;
            read_found(said.json()?, "instance")
        };
        asked.await.map_err(|error: SourceError| error.within("the instance's metadata service"))
    }
}

fn finish(request: http::request::Builder) -> Result<Request<Bytes>, SourceError> {
    // The error of the builder is dropped on purpose: it could quote the token.
    request
        .body(Bytes::new())
        .map_err(|_unsaid| SourceError::broken("what is to be sent does not fit into a header"))
}

fn read_found(found: Found, provider: &'static str) -> Result<Fresh<Credentials>, SourceError> {
    if found.code.as_deref().is_some_and(|code| code != "Success") {
        return Err(SourceError::broken("the answer is not a success"));
    }
    let (Some(id), Some(secret)) = (found.access_key_id, found.secret_access_key) else {
        return Err(SourceError::broken("the answer holds no credentials"));
    };
    let value = credentials(&id, &secret, found.token.as_ref().map(|token| token.as_str()), provider)?;
    let life = match found.expiration {
        None => Life::LookAgainAfter(ENDLESS),
        Some(at) => Life::Until(read_time(&at)?),
    };
    Ok(Fresh { value, life })
}

/// Checks that the parts can be sent, and puts them together.
fn credentials(
    id: &str,
    secret: &str,
    session: Option<&str>,
    source: &'static str,
) -> Result<Credentials, SourceError> {
    let is_sendable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let (id, secret, session) = (id.trim(), secret.trim(), session.map(str::trim));
    if !is_sendable(id) || !is_sendable(secret) || !session.is_none_or(is_sendable) {
        return Err(SourceError::broken(format!(
            "the AWS credentials of the source `{source}` are malformed"
        )));
    }
    Ok(Credentials::new(id, secret, session.map(str::to_owned), None, source))
}

/// A time such as `2026-11-21T17:00:00Z`, in milliseconds since 1970.
fn read_time(text: &str) -> Result<u64, SourceError> {
    let wrong = || SourceError::broken("the answer's time of expiry is not a time");
    let time: jiff::Timestamp = text.trim().parse().or(Err(wrong()))?;
    u64::try_from(time.as_millisecond()).or(Err(wrong()))
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.ask {
            Ask::Environment => "aws environment",
            Ask::Static { .. } => "aws static",
            Ask::Profile(_) => "aws profile",
            Ask::WebIdentity { .. } => "aws web_identity",
            Ask::Instance => "aws instance",
        })
    }
}

#[cfg(test)]
mod tests;
