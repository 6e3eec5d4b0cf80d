//! How a proxy proves to a cloud who it is, where a plain key will not do. It must not know secrets, only where they are found.

use serde::{Deserialize, Serialize};

use super::{Dialect, Platform, address, is_default};
use crate::{SecretRef, diagnostic::Report};

/// What an operator writes: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthSpec {
    /// AWS: requests are signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsAuth>,
    /// Google Cloud: short-lived tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google: Option<GoogleAuth>,
    /// Microsoft Entra ID: short-lived tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entra: Option<EntraAuth>,
}

/// How a proxy proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Requests are signed (SigV4).
    Aws(AwsAuth),
    /// A Google access token as bearer.
    Google(GoogleAuth),
    /// A token of Microsoft Entra ID as bearer.
    Entra(EntraAuth),
}

/// AWS credentials to sign with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsAuth {
    /// Where they come from. Omitted: `environment`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: AwsSource,
    /// For `static`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<SecretRef>,
    /// For `static`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<SecretRef>,
    /// For `static`, with temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretRef>,
    /// For `profile`. Omitted: `AWS_PROFILE` of the proxy's environment, or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// For `web_identity`: whose credentials the token is exchanged for. Omitted: `AWS_ROLE_ARN` of the proxy's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// For `web_identity`: the file with the token. Omitted: `AWS_WEB_IDENTITY_TOKEN_FILE` of the proxy's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// The token or metadata server instead of AWS's own. `https://`, or `http://` to loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Where AWS credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AwsSource {
    /// The first that is there, as the official SDKs look: environment variables, web identity, profile, container, instance.
    #[default]
    Environment,
    /// Written here as references.
    Static,
    /// A profile of the shared credentials file.
    Profile,
    /// A token of an OpenID provider, such as a Kubernetes service account's.
    WebIdentity,
    /// The metadata service of the machine.
    Instance,
}

/// A Google identity.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoogleAuth {
    /// Where it comes from. Omitted: `application_default`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: GoogleSource,
    /// For `service_account` and `workload_identity`: the JSON that Google Cloud gives for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretRef>,
    /// The token or metadata server instead of Google's own. `https://`, or `http://` to loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Where a Google identity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GoogleSource {
    /// `GOOGLE_APPLICATION_CREDENTIALS`, the file that `gcloud` writes, or the metadata server.
    #[default]
    ApplicationDefault,
    /// The key of a service account.
    ServiceAccount,
    /// A token of another identity provider, exchanged.
    WorkloadIdentity,
    /// The metadata server of the machine.
    Metadata,
}

/// An identity of Microsoft Entra ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntraAuth {
    /// Where it comes from.
    pub source: EntraSource,
    /// The directory. Needed for `client_secret`; omitted for `workload_identity`: `AZURE_TENANT_ID` of the proxy's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The application. Needed for `client_secret`; omitted for `workload_identity`: `AZURE_CLIENT_ID` of the proxy's environment;
    /// omitted for `managed_identity`: the machine's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// For `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretRef>,
    /// For `workload_identity`: the file with the token. Omitted: `AZURE_FEDERATED_TOKEN_FILE` of the proxy's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// The token or metadata server instead of Microsoft's own. `https://`, or `http://` to loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Where an identity of Microsoft Entra ID comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntraSource {
    /// An application's secret.
    ClientSecret,
    /// A token of another identity provider, such as a Kubernetes service account's, exchanged.
    WorkloadIdentity,
    /// The metadata service of the machine.
    ManagedIdentity,
}

/// A field: its name, whether it is written, and the sources that heed it.
type Heeded<S> = (&'static str, bool, &'static [S]);

impl AuthSpec {
    /// The one way that is written; nothing if what is written makes no sense, which is then reported.
    pub(super) fn resolve(&self, dialect: Dialect, platform: &Platform, report: &mut Report) -> Option<Auth> {
        let auth = match (&self.aws, &self.google, &self.entra) {
            (Some(aws), None, None) => Auth::Aws(aws.clone()),
            (None, Some(google), None) => Auth::Google(google.clone()),
            (None, None, Some(entra)) => Auth::Entra(entra.clone()),
            (None, None, None) => {
                let message = "name one of `aws`, `google` and `entra`, such as `auth: {aws: {}}`";
                report.error("spec.auth", "missing_field", message);
                return None;
            }
            _ => {
                report.error("spec.auth", "contradiction", "one of `aws`, `google` and `entra`, not several");
                return None;
            }
        };
        match &auth {
            Auth::Aws(aws) => aws.check(platform, report),
            Auth::Google(google) => google.check(dialect, platform, report),
            Auth::Entra(entra) => entra.check(dialect, platform, report),
        }
        Some(auth)
    }
}

impl AwsAuth {
    fn check(&self, platform: &Platform, report: &mut Report) {
        if !matches!(platform, Platform::Bedrock { .. }) {
            let message = "a signature is for a region of AWS; write `aws: {region: …}` as well, or a `credential` instead";
            report.error("spec.auth.aws", "contradiction", message);
        }
        let source = self.source;
        heed(
            source,
            "spec.auth.aws",
            report,
            &[
                ("access_key_id", self.access_key_id.is_some(), &[AwsSource::Static]),
                ("secret_access_key", self.secret_access_key.is_some(), &[AwsSource::Static]),
                ("session_token", self.session_token.is_some(), &[AwsSource::Static]),
                ("profile", self.profile.is_some(), &[AwsSource::Profile]),
                ("role_arn", self.role_arn.is_some(), &[AwsSource::WebIdentity]),
                ("token_file", self.token_file.is_some(), &[AwsSource::WebIdentity]),
            ],
        );
        if source == AwsSource::Static {
            need(
                self.access_key_id.is_some(),
                "spec.auth.aws.access_key_id",
                "env:AWS_ACCESS_KEY_ID",
                report,
            );
            let example = "env:AWS_SECRET_ACCESS_KEY";
            need(self.secret_access_key.is_some(), "spec.auth.aws.secret_access_key", example, report);
        }
        check_text(self.profile.as_deref(), "spec.auth.aws.profile", report);
        let is_arn = |arn: &str| arn.starts_with("arn:aws") && arn.contains(":role/") && is_short(arn);
        if self.role_arn.as_deref().is_some_and(|arn| !is_arn(arn)) {
            let message = "a role is written as `arn:aws:iam::123456789012:role/NAME`";
            report.error("spec.auth.aws.role_arn", "invalid_value", message);
        }
        check_file(self.token_file.as_deref(), "spec.auth.aws.token_file", report);
        check_endpoint(self.endpoint.as_deref(), "spec.auth.aws.endpoint", report);
    }
}

impl GoogleAuth {
    fn check(&self, dialect: Dialect, platform: &Platform, report: &mut Report) {
        if !matches!(platform, Platform::Vertex { .. }) && dialect != Dialect::Gemini {
            let message = "Google's tokens are for Vertex; write `vertex: {project: …, location: …}` as well, or a `credential` instead";
            report.error("spec.auth.google", "contradiction", message);
        }
        let keyed = [GoogleSource::ServiceAccount, GoogleSource::WorkloadIdentity];
        heed(
            self.source,
            "spec.auth.google",
            report,
            &[("key", self.key.is_some(), &[GoogleSource::ServiceAccount, GoogleSource::WorkloadIdentity])],
        );
        if keyed.contains(&self.source) {
            need(self.key.is_some(), "spec.auth.google.key", "file:/run/secrets/google.json", report);
        }
        check_endpoint(self.endpoint.as_deref(), "spec.auth.google.endpoint", report);
    }
}

impl EntraAuth {
    fn check(&self, dialect: Dialect, platform: &Platform, report: &mut Report) {
        let is_elsewhere = matches!(platform, Platform::Vertex { .. } | Platform::Bedrock { .. });
        if is_elsewhere || !matches!(dialect, Dialect::OpenAi | Dialect::Responses | Dialect::Anthropic) {
            let message = "tokens of Entra ID are for models on Azure; write `azure: {api_version: …}` with `dialect: openai`";
            report.error("spec.auth.entra", "contradiction", message);
        }
        use EntraSource::{ClientSecret, ManagedIdentity, WorkloadIdentity};
        heed(
            self.source,
            "spec.auth.entra",
            report,
            &[
                ("tenant", self.tenant.is_some(), &[ClientSecret, WorkloadIdentity]),
                ("client_id", self.client_id.is_some(), &[ClientSecret, WorkloadIdentity, ManagedIdentity]),
                ("client_secret", self.client_secret.is_some(), &[ClientSecret]),
                ("token_file", self.token_file.is_some(), &[WorkloadIdentity]),
            ],
        );
        if self.source == ClientSecret {
            let example = "00000000-0000-0000-0000-000000000000";
            need(self.tenant.is_some(), "spec.auth.entra.tenant", example, report);
            need(self.client_id.is_some(), "spec.auth.entra.client_id", example, report);
            let example = "env:AZURE_CLIENT_SECRET";
            need(self.client_secret.is_some(), "spec.auth.entra.client_secret", example, report);
        }
        // Both become part of a URL or a form.
        for (text, path) in
            [(&self.tenant, "spec.auth.entra.tenant"), (&self.client_id, "spec.auth.entra.client_id")]
        {
            let is_id = |text: &str| {
                is_short(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
            };
            if text.as_deref().is_some_and(|text| !is_id(text)) {
                report.error(path, "invalid_value", "an id has letters, digits, hyphens and dots");
            }
        }
        check_file(self.token_file.as_deref(), "spec.auth.entra.token_file", report);
        check_endpoint(self.endpoint.as_deref(), "spec.auth.entra.endpoint", report);
    }
}

/// Reports fields that the source does not look at: whoever wrote them meant another one.
fn heed<S: Copy + PartialEq + Serialize>(source: S, path: &str, report: &mut Report, fields: &[Heeded<S>]) {
    for (name, is_written, sources) in fields {
        if *is_written && !sources.contains(&source) {
            let heeding: Vec<String> = sources.iter().map(|source| format!("`{}`", word(source))).collect();
            let message = format!(
                "the source `{}` does not look at it; write `source: {}` or remove the field",
                word(&source),
                heeding.join(" or ").replace('`', "")
            );
            report.error(format_args!("{path}.{name}"), "contradiction", message);
        }
    }
}

/// A source as it is written.
fn word(source: &impl Serialize) -> String {
    let word = serde_json::to_value(source).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

fn need(is_written: bool, path: &str, example: &str, report: &mut Report) {
    if !is_written {
        let name = path.rsplit('.').next().unwrap_or(path);
        let message = format!("this source needs it; write `{name}: {example}`");
        report.error(path, "missing_field", message);
    }
}

fn is_short(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2048 && !text.chars().any(char::is_control)
}

fn check_text(text: Option<&str>, path: &str, report: &mut Report) {
    if text.is_some_and(|text| !is_short(text) || text.len() > 256) {
        report.error(path, "invalid_value", "1 to 256 characters without control characters");
    }
}

fn check_file(file: Option<&str>, path: &str, report: &mut Report) {
    if file.is_some_and(|file| !file.starts_with('/') || !is_short(file)) {
        report.error(path, "invalid_value", "an absolute path, such as `/var/run/secrets/token`");
    }
}

fn check_endpoint(endpoint: Option<&str>, path: &str, report: &mut Report) {
    if let Some(Err(message)) = endpoint.map(address::check_endpoint) {
        report.error(path, "invalid_value", message);
    }
}
