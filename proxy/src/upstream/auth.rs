//! How the proxy authorises itself at a provider: one [`Authorizer`] for each, asked once for every request that is sent.
//!
//! A plain key stands in a header and costs nothing. Clouds want a signature over the request (AWS) or a short-lived token (Google, Entra);
//! what those are made of is fetched from the [`source`]s in `aws`, `google` and `entra`, and kept by [`token`]. Nothing here reads the
//! environment but through the port of `settings.rs`, and files are read only when a credential is fetched.
//!
//! It must not know calls, plans or breakers: a request goes in, the same request comes out with what proves who we are.

use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, Request};
use lifecycle::Clock;
use policy::compiled;
use policy::{Auth, AwsAuth, AwsSource, EntraAuth, EntraSource, GoogleAuth, GoogleSource, Platform};
use policy::{Diagnostic, SecretRef, Severity};

use crate::upstream::Parts;
use crate::upstream::auth::aws::Aws;
use crate::upstream::auth::aws::sign::{Scope, SignError, sign};
use crate::upstream::auth::entra::Entra;
use crate::upstream::auth::fetch::Fetcher;
use crate::upstream::auth::google::Google;
use crate::upstream::auth::source::Places;
use crate::upstream::auth::token::{Held, Source, TokenError, Tokens};
use crate::upstream::credential::{Credential, CredentialError};

mod aws;
mod entra;
mod fetch;
mod google;
mod source;
mod token;

/// What Bedrock's requests are signed for.
const SERVICE: &str = "bedrock";
const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// What authorises the requests to one provider.
#[derive(Debug)]
pub(super) struct Authorizer {
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// The provider needs nothing.
    Open,
    /// A key that stands in a header as it is.
    Key(HeaderName, Credential),
    /// A signature for a region.
    Aws(Box<str>, Box<Tokens<Aws>>),
    /// A token of Google.
    Google(Box<Tokens<Google>>),
    /// A token of Microsoft Entra.
    Entra(Box<Tokens<Entra>>),
}

/// Which credential a request was authorised with, for [`Authorizer::rejected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used(u64);

/// Why a request could not be authorised. Its text is for the record and the caller: it names neither variables nor paths, which
/// stand in the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthError {
    /// The key cannot be found.
    #[error("its credential cannot be used; the proxy's log says why")]
    Key(#[source] CredentialError),
    /// The source of tokens gave none.
    #[error("no token can be had for it; the proxy's log says why")]
    Token(#[source] TokenError),
    /// The request does not fit into a signature.
    #[error("the request to it cannot be signed")]
    Unsigned(#[source] SignError),
}

impl Authorizer {
    /// Finds the way that a provider's resource asks for. Secrets are looked up, and tokens fetched, when they are first needed.
    pub(super) fn build(provider: &compiled::Provider, parts: &Parts) -> Result<Self, Box<Diagnostic>> {
        let refuse = |path: &str, code, message| Err(refusal(provider, path, code, message));
        for (path, reference) in references(provider) {
            if let SecretRef::Sealed(name) = reference {
                let message = format!(
                    "`sealed:{name}` cannot be opened by this proxy; use `env:NAME` or `file:/path` for the credential"
                );
                return refuse(path, "unsupported_secret", message);
            }
        }
        let name = provider.name.as_str();
        let places = Places::new(parts.read_env.clone());
        let fetcher = |endpoint: &Option<String>| Fetcher::new(&parts.tls, endpoint.as_deref());
        let missing =
            |path: &str, field: &str| refuse(path, "missing_field", format!("this source needs `{field}`"));
        let way = match (&provider.auth, &provider.credential) {
            (None, None) => Way::Open,
            (None, Some(reference)) => {
                let (header, prefix) = key_header(provider);
                let key = Credential::new(reference.clone(), prefix, parts.read_env.clone());
                Way::Key(HeaderName::from_static(header), key)
            }
            (Some(Auth::Aws(auth)), _) => {
                let Platform::Bedrock { region } = &provider.platform else {
                    let message = "a signature is for a region of AWS; write `aws: {region: …}` as well";
                    return refuse("/spec/auth/aws", "contradiction", message.to_owned());
                };
                let Some(ask) = ask_aws(auth) else {
                    return missing("/spec/auth/aws", "access_key_id` and `secret_access_key");
                };
                let aws = Aws { ask, region: region.clone(), places, fetcher: fetcher(&auth.endpoint) };
                Way::Aws(region.as_str().into(), Box::new(Tokens::new(name, aws)))
            }
            (Some(Auth::Google(auth)), _) => {
                let Some(ask) = ask_google(auth) else {
                    return missing("/spec/auth/google/key", "key");
                };
                let google = Google { ask, places, fetcher: fetcher(&auth.endpoint) };
                Way::Google(Box::new(Tokens::new(name, google)))
            }
            (Some(Auth::Entra(auth)), _) => {
                let Some(ask) = ask_entra(auth) else {
                    return missing("/spec/auth/entra/client_secret", "client_secret");
                };
                let (tenant, client_id) = (auth.tenant.clone(), auth.client_id.clone());
                let entra = Entra { ask, tenant, client_id, places, fetcher: fetcher(&auth.endpoint) };
                Way::Entra(Box::new(Tokens::new(name, entra)))
            }
        };
        Ok(Self { way })
    }

    /// Authorises one request, which must be complete: method, URI, headers and `body` may be signed. Ready at once unless a token
    /// has to be fetched.
    pub(super) async fn authorize<B>(
        &self,
        request: &mut Request<B>,
        body: &Bytes,
        clock: &Clock,
    ) -> Result<Used, AuthError> {
        match &self.way {
            Way::Open => Ok(Used(0)),
            Way::Key(name, key) => {
                let value = key.header(clock.now()).map_err(AuthError::Key)?;
                request.headers_mut().insert(name.clone(), value);
                Ok(Used(0))
            }
            Way::Aws(region, tokens) => {
                let held = held(tokens, clock).await?;
                let scope = Scope { region, service: SERVICE };
                sign(request, body, &held.value, scope, clock.unix_ms()).map_err(AuthError::Unsigned)?;
                Ok(Used(held.generation))
            }
            Way::Google(tokens) => {
                let held = held(tokens, clock).await?;
                let headers = request.headers_mut();
                headers.insert(AUTHORIZATION, held.value.bearer.clone());
                // Who pays may be authored as a header.
                if let Some(project) = &held.value.quota_project
                    && !headers.contains_key(&QUOTA_PROJECT)
                {
                    headers.insert(QUOTA_PROJECT, project.clone());
                }
                Ok(Used(held.generation))
            }
            Way::Entra(tokens) => {
                let held = held(tokens, clock).await?;
                request.headers_mut().insert(AUTHORIZATION, held.value.clone());
                Ok(Used(held.generation))
            }
        }
    }

    /// Whether a refusal may quote what was signed, a session's token with it.
    pub(super) const fn signs(&self) -> bool {
        matches!(self.way, Way::Aws(..))
    }

    /// Tells that the provider answered 401 or 403 to a request authorised with `used`. True: there is or will be another
    /// credential, so one more try is worth it. False: the credential is to be given up.
    pub(super) fn rejected(&self, used: Used, clock: &Clock) -> bool {
        match &self.way {
            Way::Open | Way::Key(..) => false,
            Way::Aws(_, tokens) => tokens.rejected(used.0, clock),
            Way::Google(tokens) => tokens.rejected(used.0, clock),
            Way::Entra(tokens) => tokens.rejected(used.0, clock),
        }
    }
}

/// The credential, without waiting if it is there. The fetch has a place of its own in memory, because almost no call needs it.
async fn held<S: Source>(tokens: &Tokens<S>, clock: &Clock) -> Result<Arc<Held<S::Value>>, AuthError> {
    match tokens.ready(clock) {
        Some(held) => Ok(held),
        None => Box::pin(tokens.get(clock)).await.map_err(AuthError::Token),
    }
}

fn ask_aws(auth: &AwsAuth) -> Option<aws::Ask> {
    Some(match auth.source {
        AwsSource::Environment => aws::Ask::Environment,
        AwsSource::Static => aws::Ask::Static {
            access_key_id: auth.access_key_id.clone()?,
            secret_access_key: auth.secret_access_key.clone()?,
            session_token: auth.session_token.clone(),
        },
        AwsSource::Profile => aws::Ask::Profile(auth.profile.clone()),
        AwsSource::WebIdentity => {
            aws::Ask::WebIdentity { role_arn: auth.role_arn.clone(), token_file: auth.token_file.clone() }
        }
        AwsSource::Instance => aws::Ask::Instance,
    })
}

fn ask_google(auth: &GoogleAuth) -> Option<google::Ask> {
    Some(match auth.source {
        GoogleSource::ApplicationDefault => google::Ask::ApplicationDefault,
        GoogleSource::ServiceAccount => google::Ask::ServiceAccount(auth.key.clone()?),
        GoogleSource::WorkloadIdentity => google::Ask::WorkloadIdentity(auth.key.clone()?),
        GoogleSource::Metadata => google::Ask::Metadata,
    })
}

fn ask_entra(auth: &EntraAuth) -> Option<entra::Ask> {
    Some(match auth.source {
        EntraSource::ClientSecret => entra::Ask::ClientSecret(auth.client_secret.clone()?),
        EntraSource::WorkloadIdentity => entra::Ask::WorkloadIdentity { token_file: auth.token_file.clone() },
        EntraSource::ManagedIdentity => entra::Ask::ManagedIdentity,
    })
}

/// Every reference to a secret, and where it is written.
fn references(provider: &compiled::Provider) -> impl Iterator<Item = (&'static str, &SecretRef)> {
    let mut all = vec![("/spec/credential", provider.credential.as_ref())];
    match &provider.auth {
        Some(Auth::Aws(aws)) => all.extend([
            ("/spec/auth/aws/access_key_id", aws.access_key_id.as_ref()),
            ("/spec/auth/aws/secret_access_key", aws.secret_access_key.as_ref()),
            ("/spec/auth/aws/session_token", aws.session_token.as_ref()),
        ]),
        Some(Auth::Google(google)) => all.push(("/spec/auth/google/key", google.key.as_ref())),
        Some(Auth::Entra(entra)) => {
            all.push(("/spec/auth/entra/client_secret", entra.client_secret.as_ref()))
        }
        None => {}
    }
    all.into_iter().filter_map(|(path, reference)| Some((path, reference?)))
}

/// The header for a plain key, and what stands before the key in it.
const fn key_header(provider: &compiled::Provider) -> (&'static str, &'static str) {
    use policy::{Dialect, Platform};
    match (&provider.platform, provider.dialect) {
        (Platform::Azure { .. }, _) => ("api-key", ""),
        (Platform::Direct, Dialect::Anthropic) => ("x-api-key", ""),
        (Platform::Direct, Dialect::Gemini) => ("x-goog-api-key", ""),
        (Platform::Direct, Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock | Dialect::Cohere)
        | (Platform::Vertex { .. } | Platform::Bedrock { .. }, _) => ("authorization", "Bearer "),
    }
}

fn refusal(
    provider: &compiled::Provider,
    path: &str,
    code: &'static str,
    message: String,
) -> Box<Diagnostic> {
    Box::new(Diagnostic {
        severity: Severity::Error,
        resource: format!("Provider/{}", provider.name),
        path: path.to_owned(),
        location: None,
        code: code.into(),
        message,
    })
}

#[cfg(test)]
mod tests;
