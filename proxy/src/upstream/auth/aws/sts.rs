//! AWS's token service: a role for credentials, or for a token of somebody whom AWS trusts.

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;

use super::sign::{self, Scope};
use super::{Aws, credentials, read_time};
use crate::upstream::auth::fetch::element;
use crate::upstream::auth::source::{SourceError, form};
use crate::upstream::auth::token::{Fresh, Life};

/// A role and how it is assumed.
#[derive(Debug, Default)]
pub(super) struct Role {
    pub(super) arn: String,
    /// What the session is called in AWS's audit trail.
    pub(super) session: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) duration_seconds: Option<String>,
}

impl Role {
    pub(super) fn named(arn: &str) -> Self {
        Self { arn: arn.to_owned(), ..Self::default() }
    }

    fn fields<'a>(&'a self, action: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut fields = vec![
            ("Action", action),
            ("Version", "2011-06-15"),
            ("RoleArn", self.arn.as_str()),
            ("RoleSessionName", self.session.as_deref().unwrap_or("frontdoor")),
        ];
        fields.extend(self.external_id.as_deref().map(|id| ("ExternalId", id)));
        fields.extend(self.duration_seconds.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        fields
    }
}

/// Assumes a role with credentials.
pub(super) async fn assume_role(
    aws: &Aws,
    with: &Credentials,
    role: &Role,
    now_ms: u64,
) -> Result<Fresh<Credentials>, SourceError> {
    let body = form(&role.fields("AssumeRole"));
    let mut request = request(aws, &body)?;
    let scope = Scope { region: &aws.region, service: "sts" };
    sign::sign(&mut request, body.as_bytes(), with, scope, now_ms)
        .map_err(|error| SourceError::broken(error.to_string()))?;
    assume(aws, request, "assume_role").await
}

/// Assumes a role with the token in a file, which is read anew each time: the platform replaces it.
pub(super) async fn assume_role_with_web_identity(
    aws: &Aws,
    role: &Role,
    token_file: &str,
) -> Result<Fresh<Credentials>, SourceError> {
    let token = aws.places.token_file(token_file).map_err(SourceError::required)?;
    let mut fields = role.fields("AssumeRoleWithWebIdentity");
    fields.push(("WebIdentityToken", &token));
    let request = request(aws, &form(&fields))?;
    assume(aws, request, "web_identity").await
}

fn request(aws: &Aws, body: &str) -> Result<Request<Bytes>, SourceError> {
    let suffix = if aws.region.starts_with("cn-") { ".cn" } else { "" };
    let url = aws.fetcher.place(&format!("https://sts.{}.amazonaws.com{suffix}/", aws.region))?;
    Request::post(url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .map_err(|error| SourceError::broken(error.to_string()))
}

async fn assume(
    aws: &Aws,
    request: Request<Bytes>,
    source: &'static str,
) -> Result<Fresh<Credentials>, SourceError> {
    let asked = async {
        let said = aws.fetcher.ask(request).await?.ok()?;
        let xml = said.text()?;
        let part = |name: &str| element(xml, name);
        let (Some(id), Some(secret), Some(session), Some(end)) =
            (part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken"), part("Expiration"))
        else {
            return said.garbage("a set of credentials");
        };
        let value = credentials(id, secret, Some(session), source)?;
        Ok(Fresh { value, life: Life::Until(read_time(end)?) })
    };
    asked.await.map_err(|error: SourceError| error.required().within("AWS's token service"))
}
