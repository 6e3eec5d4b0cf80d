//! How the proxy authorises itself at a provider: one [`Authorizer`] for each, asked once for every request that is sent.
//!
//! It must not know calls, plans or breakers: a request goes in, the same request comes out with what proves who we are.

use bytes::Bytes;
use http::{HeaderName, Request};
use lifecycle::Clock;
use policy::compiled;
use policy::{Diagnostic, SecretRef, Severity};

use crate::upstream::Parts;
use crate::upstream::credential::{Credential, CredentialError};

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
}

impl Authorizer {
    /// Finds the way that a provider's resource asks for. Secrets are looked up when they are first needed.
    pub(super) fn build(provider: &compiled::Provider, parts: &Parts) -> Result<Self, Box<Diagnostic>> {
        let Some(reference) = provider.credential.clone() else {
            return Ok(Self { way: Way::Open });
        };
        if let SecretRef::Sealed(name) = &reference {
            let message = format!(
                "`sealed:{name}` cannot be opened by this proxy; use `env:NAME` or `file:/path` for the credential"
            );
            return Err(refuse(provider, "/spec/credential", "unsupported_secret", message));
        }
        let (name, prefix) = key_header(provider);
        let key = Credential::new(reference, prefix, parts.read_env.clone());
        Ok(Self { way: Way::Key(HeaderName::from_static(name), key) })
    }

    /// Authorises one request, which must be complete: method, URI, headers and `body` may be signed. Ready at once unless a token
    /// has to be fetched.
    #[expect(clippy::unused_async, reason = "tokens are fetched here")]
    pub(super) async fn authorize<B>(
        &self,
        request: &mut Request<B>,
        _body: &Bytes,
        clock: &Clock,
    ) -> Result<Used, AuthError> {
        match &self.way {
            Way::Open => Ok(Used(0)),
            Way::Key(name, key) => {
                let value = key.header(clock.now()).map_err(AuthError::Key)?;
                request.headers_mut().insert(name.clone(), value);
                Ok(Used(0))
            }
        }
    }

    /// Tells that the provider answered 401 or 403 to a request authorised with `used`. True: there is or will be another
    /// credential, so one more try is worth it. False: the credential is to be given up.
    pub(super) const fn rejected(&self, _used: Used, _clock: &Clock) -> bool {
        match &self.way {
            Way::Open | Way::Key(..) => false,
        }
    }
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

fn refuse(
    provider: &compiled::Provider,
    path: &'static str,
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
