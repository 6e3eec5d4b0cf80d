//! A provider that is alive: how it is spoken to, its connections, its credential, its budget, and what is known of each of its models.
//! It must not know calls other than by their headers.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dialect::{Call, Dialect, Framing, Operation, Quirks, TargetShape, Wire};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use parking_lot::RwLock;
use policy::compiled;
use policy::{Diagnostic, Severity};
use tokio::time::Instant;

use crate::exchange::Trace;
use crate::frontend::Inbound;
use crate::upstream::Parts;
use crate::upstream::auth::Authorizer;
use crate::upstream::breaker::{Breaker, BreakerRules};
use crate::upstream::client::{self, HttpClient, Protocol};
use crate::upstream::latency::Latency;
use crate::upstream::remote::Fetcher;
use crate::upstream::retry::RetryBudget;
use crate::upstream::spoken::Spoken;

/// Models of one provider whose health is told apart; with patterns callers choose the names, so there must be an end.
const MODELS_TOLD_APART: usize = 1024;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// One provider.
#[derive(Debug)]
pub(super) struct Upstream {
    provider: Arc<compiled::Provider>,
    pub(super) spoken: Spoken,
    base: Uri,
    /// What every request carries.
    headers: HeaderMap,
    pub(super) authorizer: Authorizer,
    pub(super) remote: Fetcher,
    clients: Vec<OnceLock<HttpClient>>,
    tls: Arc<rustls::ClientConfig>,
    health: RwLock<HashMap<Box<str>, Arc<Health>>>,
    crowd: Arc<Health>,
    /// Repetitions at this provider.
    pub(super) budget: RetryBudget,
}

/// How one model of a provider is doing, and what every call to it has in common.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) breaker: Arc<Breaker>,
    pub(super) latency: Arc<Latency>,
    /// How the provider differs from its dialect for this model; nothing for the crowd, which has no model.
    quirks: Option<Arc<Quirks>>,
    /// Where its conversations go, by what is spoken and whether the answer is streamed.
    chats: [OnceLock<Uri>; 4],
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
        let spoken = Spoken::of(provider);
        let authorizer = Authorizer::build(provider, parts)?;
        let base = provider.base_url.parse::<Uri>().map_err(|error| {
            let message = format!("`{}` is not a URL: {error}", provider.base_url);
            refuse("/spec/base_url", "invalid_value", message)
        })?;
        let headers = fixed_headers(provider, spoken.dialect())
            .map_err(|name| refuse("/spec/headers", "invalid_value", format!("`{name}` is not a header")))?;
        Ok(Self {
            base,
            spoken,
            headers,
            authorizer,
            remote: Fetcher::new(&parts.tls),
            clients: (0..parts.lanes.max(1)).map(|_| OnceLock::new()).collect(),
            tls: Arc::clone(&parts.tls),
            health: RwLock::default(),
            crowd: Arc::new(Health::new(parts.clock.now(), None)),
            budget: RetryBudget::new(),
            provider: Arc::clone(provider),
        })
    }

    pub(super) fn name(&self) -> &str {
        self.provider.name.as_str()
    }

    /// Whether policy lets the proxy fetch what calls to this provider name by URL.
    pub(super) fn leave_to_fetch(&self) -> Option<&policy::Fetch> {
        self.provider.fetch.as_ref()
    }

    /// Its resource.
    pub(super) fn provider(&self) -> &compiled::Provider {
        &self.provider
    }

    /// Its address.
    pub(super) const fn base(&self) -> &Uri {
        &self.base
    }

    /// What every request to it carries.
    pub(super) const fn fixed_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// How the provider differs from its dialect for one model.
    pub(super) fn quirks(&self, health: &Arc<Health>, model: &str) -> Option<Arc<Quirks>> {
        if Arc::ptr_eq(health, &self.crowd) {
            return self.spoken.quirks(&self.provider, model);
        }
        health.quirks.clone()
    }

    /// Where a call goes. Conversations of one model all go to the same few places, which are worked out once.
    pub(super) fn uri(
        &self,
        call: &Call,
        shape: &TargetShape<'_>,
        health: &Arc<Health>,
    ) -> Result<Uri, http::uri::InvalidUri> {
        if call.operation != Operation::Chat || Arc::ptr_eq(health, &self.crowd) {
            return self.below(&dialect::endpoint(call, shape));
        }
        let is_responses = shape.dialect == Dialect::Responses;
        let place = health.chats.get(usize::from(is_responses) * 2 + usize::from(call.envelope.stream));
        if let Some(uri) = place.and_then(OnceLock::get) {
            return Ok(uri.clone());
        }
        let uri = self.below(&dialect::endpoint(call, shape))?;
        Ok(place.map_or_else(|| uri.clone(), |place| place.get_or_init(|| uri.clone()).clone()))
    }

    /// The URL of a path and query at this provider.
    pub(super) fn below(&self, path: &str) -> Result<Uri, http::uri::InvalidUri> {
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

    /// The headers of one request, but for what authorises it. Of the caller's own only those that the dialect names go along,
    /// and only to the same dialect: its key, hop-by-hop headers and ours cannot get here.
    pub(super) fn headers(&self, inbound: &Inbound, wire: Wire) -> HeaderMap {
        let mut headers = self.headers.clone();
        if inbound.call.dialect == wire.dialect {
            for name in dialect::forwarded_headers(wire.dialect) {
                self.forward(&HeaderName::from_static(name), &inbound.headers, &mut headers);
            }
        }
        if inbound.call.operation.is_raw() {
            // The bytes are the caller's own, and so is what is wanted for them. What they are they must be there as well: read as
            // anything but a form or JSON they could name another model.
            let is_form = |value: &&HeaderValue| {
                let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
                kind.eq_ignore_ascii_case("multipart/form-data")
            };
            if let Some(form) = inbound.headers.get(CONTENT_TYPE).filter(is_form) {
                headers.insert(CONTENT_TYPE, form.clone());
            }
            if let Some(wanted) = inbound.headers.get(ACCEPT) {
                headers.insert(ACCEPT, wanted.clone());
            }
        } else {
            headers.insert(ACCEPT, HeaderValue::from_static(accepted(inbound.call.envelope.stream, wire)));
        }
        // Our own span is made of the record when the call is over, so the provider continues the caller's.
        if let Some(traceparent) = inbound.headers.get(&TRACEPARENT)
            && traceparent.to_str().is_ok_and(|text| Trace::parse(text).is_some())
        {
            headers.insert(TRACEPARENT, traceparent.clone());
        }
        headers
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

    /// The health of what a native call names. Nobody has checked that it is a model, so it gets none of its own.
    pub(super) fn native_health(&self, model: &str) -> Arc<Health> {
        self.known_health(model).unwrap_or_else(|| Arc::clone(&self.crowd))
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
        let fresh = || Arc::new(Health::new(now, self.spoken.quirks(&self.provider, model)));
        Arc::clone(all.entry(model.into()).or_insert_with(fresh))
    }
}

impl Health {
    fn new(now: Instant, quirks: Option<Arc<Quirks>>) -> Self {
        Self {
            breaker: Arc::new(Breaker::new(BreakerRules::default(), now)),
            latency: Arc::new(Latency::new(now)),
            quirks,
            chats: Default::default(),
        }
    }
}

/// How an answer is wanted.
const fn accepted(stream: bool, wire: Wire) -> &'static str {
    match (stream, wire.framing) {
        (false, _) => "application/json",
        (true, Framing::Sse) => "text/event-stream",
        (true, Framing::AwsEvents | Framing::AwsChunks) => "application/vnd.amazon.eventstream",
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
