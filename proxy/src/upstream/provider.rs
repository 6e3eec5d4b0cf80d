//! A provider that is alive: its connections, its credential, its budget, and the health of each of its models.
//! It must not know calls other than by their headers.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dialect::{Dialect, MaxTokensField};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use lifecycle::Clock;
use parking_lot::RwLock;
use policy::compiled;
use policy::{Diagnostic, SecretRef, Severity};
use tokio::time::Instant;

use crate::exchange::Trace;
use crate::frontend::Inbound;
use crate::upstream::Parts;
use crate::upstream::breaker::{Breaker, BreakerRules};
use crate::upstream::client::{self, HttpClient, Protocol};
use crate::upstream::credential::{Credential, CredentialError};
use crate::upstream::latency::Latency;
use crate::upstream::retry::RetryBudget;

/// Models of one provider whose health is told apart; with patterns callers choose the names, so there must be an end.
const MODELS_TOLD_APART: usize = 1024;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// One provider.
#[derive(Debug)]
pub(super) struct Upstream {
    provider: Arc<compiled::Provider>,
    dialect: Dialect,
    base: Uri,
    /// What every request carries.
    headers: HeaderMap,
    credential: Option<(HeaderName, Credential)>,
    clients: Vec<OnceLock<HttpClient>>,
    tls: Arc<rustls::ClientConfig>,
    health: RwLock<HashMap<Box<str>, Arc<Health>>>,
    crowd: Arc<Health>,
    /// Repetitions at this provider.
    pub(super) budget: RetryBudget,
}

/// How one model of a provider is doing.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) breaker: Arc<Breaker>,
    pub(super) latency: Arc<Latency>,
}

impl Upstream {
    pub(super) fn build(provider: &Arc<compiled::Provider>, parts: &Parts) -> Result<Self, Box<Diagnostic>> {
        let refuse = |path: &'static str, code: &'static str, message: String| {
            Box::new(Diagnostic {
                severity: Severity::Error,
                resource: format!("Provider/{}", provider.name),
                path: path.to_owned(),
                location: None,
                code: code.into(),
                message,
            })
        };
        if let Some(SecretRef::Sealed(name)) = &provider.credential {
            let message = format!(
                "`sealed:{name}` cannot be opened by this proxy; use `env:NAME` or `file:/path` for the credential"
            );
            return Err(refuse("/spec/credential", "unsupported_secret", message));
        }
        let dialect = match provider.dialect {
            policy::Dialect::OpenAi => Dialect::OpenAi,
            policy::Dialect::Anthropic => Dialect::Anthropic,
            other => {
                let message = format!("this proxy does not speak `{other}` to providers");
                return Err(refuse("/spec/dialect", "unsupported_dialect", message));
            }
        };
        let base = provider.base_url.parse::<Uri>().map_err(|error| {
            let message = format!("`{}` is not a URL: {error}", provider.base_url);
            refuse("/spec/base_url", "invalid_value", message)
        })?;
        let headers = fixed_headers(provider, dialect)
            .map_err(|name| refuse("/spec/headers", "invalid_value", format!("`{name}` is not a header")))?;
        let credential = provider.credential.clone().map(|reference| {
            let (name, prefix) = dialect::credential_header(dialect);
            (HeaderName::from_static(name), Credential::new(reference, prefix, parts.read_env.clone()))
        });
        Ok(Self {
            base,
            dialect,
            headers,
            credential,
            clients: (0..parts.lanes.max(1)).map(|_| OnceLock::new()).collect(),
            tls: Arc::clone(&parts.tls),
            health: RwLock::default(),
            crowd: Arc::new(Health::new(&parts.clock)),
            budget: RetryBudget::new(),
            provider: Arc::clone(provider),
        })
    }

    pub(super) fn name(&self) -> &str {
        self.provider.name.as_str()
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn max_tokens_field(&self) -> Option<MaxTokensField> {
        self.provider.max_tokens_field.map(|field| match field {
            policy::MaxTokensField::MaxTokens => MaxTokensField::MaxTokens,
            policy::MaxTokensField::MaxCompletionTokens => MaxTokensField::MaxCompletionTokens,
        })
    }

    /// The URL of a path and query at this provider.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{}{path}", self.provider.base_url).parse()
    }

    /// How long a connection may take.
    pub(super) fn connect_limit(&self) -> Duration {
        let timeouts = self.provider.timeouts.or(policy::Timeouts::DEFAULT);
        timeouts.connect.map_or(Duration::from_secs(5), Duration::from)
    }

    /// The client of a lane, made when it is first needed: it belongs to the runtime that uses it.
    pub(super) fn client(&self, lane: usize) -> Option<&HttpClient> {
        let slot = self.clients.get(lane.checked_rem(self.clients.len())?)?;
        Some(slot.get_or_init(|| {
            let is_plain = self.base.scheme() == Some(&http::uri::Scheme::HTTP);
            let protocol = match (self.provider.http2, is_plain) {
                (false, _) => Protocol::Http1,
                (true, false) => Protocol::Http2,
                (true, true) => Protocol::PlainHttp2,
            };
            client::build(rustls::ClientConfig::clone(&self.tls), self.connect_limit(), protocol)
        }))
    }

    /// The headers of one request. Of the caller's own only those that the dialect names go along, and only to the same dialect:
    /// its key, hop-by-hop headers and ours cannot get here.
    pub(super) fn headers(&self, inbound: &Inbound, now: Instant) -> Result<HeaderMap, CredentialError> {
        let mut headers = self.headers.clone();
        if inbound.call.dialect == self.dialect {
            for name in dialect::forwarded_headers(self.dialect) {
                self.forward(&HeaderName::from_static(name), &inbound.headers, &mut headers);
            }
        }
        let accept = if inbound.call.envelope.stream { "text/event-stream" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        // Our own span is made of the record when the call is over, so the provider continues the caller's.
        if let Some(traceparent) = inbound.headers.get(&TRACEPARENT)
            && traceparent.to_str().is_ok_and(|text| Trace::parse(text).is_some())
        {
            headers.insert(TRACEPARENT, traceparent.clone());
        }
        if let Some((name, credential)) = &self.credential {
            headers.insert(name.clone(), credential.header(now)?);
        }
        Ok(headers)
    }

    /// Passes one of the caller's headers on. What policy has written stays: lists of beta features get the caller's beside it,
    /// anything else the caller cannot change.
    fn forward(&self, name: &HeaderName, from: &HeaderMap, to: &mut HeaderMap) {
        let is_authored = self.provider.headers.contains_key(name.as_str());
        if !from.contains_key(name) || (is_authored && !name.as_str().ends_with("-beta")) {
            return;
        }
        if !is_authored {
            to.remove(name);
        }
        for value in from.get_all(name) {
            to.append(name.clone(), value.clone());
        }
    }

    /// The health of a model, if it was ever called.
    pub(super) fn known_health(&self, model: &str) -> Option<Arc<Health>> {
        self.health.read().get(model).cloned()
    }

    /// The health of a model. Past the bound models share one.
    pub(super) fn health(&self, model: &str, now: Instant) -> Arc<Health> {
        if let Some(health) = self.known_health(model) {
            return health;
        }
        let mut all = self.health.write();
        if all.len() >= MODELS_TOLD_APART {
            return Arc::clone(&self.crowd);
        }
        let fresh = || {
            let breaker = Arc::new(Breaker::new(BreakerRules::default(), now));
            Arc::new(Health { breaker, latency: Arc::new(Latency::new(now)) })
        };
        Arc::clone(all.entry(model.into()).or_insert_with(fresh))
    }
}

impl Health {
    fn new(clock: &Clock) -> Self {
        let now = clock.now();
        Self {
            breaker: Arc::new(Breaker::new(BreakerRules::default(), now)),
            latency: Arc::new(Latency::new(now)),
        }
    }
}

/// What every request to a provider carries; on failure the name of the header that is none.
fn fixed_headers(provider: &compiled::Provider, dialect: Dialect) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("frontdoor/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in dialect::fixed_headers(dialect) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in &provider.headers {
        let header = HeaderName::try_from(name.as_str()).or(Err(name.clone()))?;
        headers.insert(header, HeaderValue::try_from(value.as_str()).or(Err(name.clone()))?);
    }
    Ok(headers)
}
