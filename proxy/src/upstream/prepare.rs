//! What goes to a target: the call in the target's own words, where it goes, and its headers. Nothing is sent to it from here.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dialect::{Call, Fault, Operation, Outbound, TargetShape, Wire};
use http::{HeaderMap, Method, Uri};

use crate::frontend::Passage;
use crate::routing::Planned;
use crate::upstream::provider::{Health, Upstream};
use crate::upstream::trouble::Trouble;
use crate::upstream::{Dispatch, spoken};

/// A target with everything that is needed for an attempt.
pub(super) struct Ready {
    pub(super) upstream: Arc<Upstream>,
    pub(super) health: Arc<Health>,
    pub(super) wire: Wire,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
    pub(super) dropped: Vec<String>,
    pub(super) defaulted: Vec<(String, String)>,
}

impl Dispatch<'_> {
    /// Writes the call for a target, with the bytes of what it names by URL where policy lets the proxy fetch them.
    async fn encode(
        &self,
        call: &Call,
        shape: &TargetShape<'_>,
        upstream: &Upstream,
    ) -> Result<Outbound, Fault> {
        let Some(leave) = upstream.leave_to_fetch().filter(|_| call.operation == Operation::Chat) else {
            return dialect::encode_call(call, shape);
        };
        let mut request = call.request()?;
        let urls = request.remote_sources();
        if urls.is_empty() {
            return dialect::encode_call(call, shape);
        }
        for (url, fetched) in upstream.remote.fetch_all(urls, leave, self.deadline).await? {
            let data = STANDARD.encode(&fetched.bytes);
            request.put_in_place(&url, &fetched.media_type, &data);
        }
        dialect::encode_request(request, shape)
    }

    /// Encodes the call for a target. Nothing is sent to it.
    pub(super) async fn prepare(&self, planned: &Planned) -> Result<Ready, Trouble> {
        let provider = &planned.target.provider;
        let name = provider.name.as_str();
        let Some(upstream) = self.live.providers.get(&provider.fingerprint) else {
            return Err(Trouble::internal(name, "the provider is not alive in this runtime"));
        };
        let (call, model) = (&self.inbound.call, planned.upstream_model.as_str());
        if let Some(passage) = &self.inbound.passage {
            return self.pass(passage, upstream, upstream.native_health(model));
        }
        let health = upstream.health(model, self.clock.now());
        let quirks = upstream.quirks(&health, model);
        let mut shape = TargetShape {
            max_output_tokens: planned.model.max_output_tokens,
            max_tokens_field: spoken::max_tokens_field_of(provider),
            reasoning: planned.reasons(),
            on_unsupported: spoken::on_unsupported(self.plan.on_unsupported, provider),
            platform: spoken::platform_of(provider),
            quirks: quirks.as_deref(),
            ..TargetShape::new(upstream.spoken.dialect_for(call.dialect, call.operation), model)
        };
        let wire = shape.wire();
        let headers = upstream.headers(self.inbound, wire);
        // AWS knows no header for beta features: there they stand in the body.
        let betas = (wire.framing == dialect::Framing::AwsChunks).then(|| spoken::betas(&headers));
        shape.betas = betas.as_deref();
        let outbound = self
            .encode(call, &shape, upstream)
            .await
            .map_err(|fault: Fault| Trouble::before_sending(name, fault))?;
        let uri = upstream
            .uri(call, &shape, &health)
            .map_err(|_error| Trouble::internal(name, "the model's name does not make a URL"))?;
        upstream.budget.deposit(self.plan.retries.budget_percent);
        Ok(Ready {
            headers,
            upstream: Arc::clone(upstream),
            health,
            wire,
            method: Method::POST,
            uri,
            body: outbound.body,
            dropped: outbound.dropped,
            defaulted: outbound.defaulted,
        })
    }

    /// A call to the target's own API, as it is.
    fn pass(
        &self,
        passage: &Passage,
        upstream: &Arc<Upstream>,
        health: Arc<Health>,
    ) -> Result<Ready, Trouble> {
        let uri = upstream.passage_uri(passage).map_err(|_error| Trouble::no_url(upstream.name()))?;
        Ok(Ready {
            headers: upstream.passage_headers(&self.inbound.headers),
            upstream: Arc::clone(upstream),
            health,
            wire: upstream.spoken.dialect().into(),
            method: passage.method.clone(),
            uri,
            body: self.inbound.call.body.clone(),
            dropped: Vec::new(),
            defaulted: Vec::new(),
        })
    }
}
