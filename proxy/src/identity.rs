//! Who calls: a virtual key becomes a [`Caller`], and what that caller asks for becomes [`Permitted`] or a refusal.
//!
//! Fails closed. A missing, malformed, unknown, expired or revoked key answers alike, after the same work: one keyed hash and one
//! look-up by it. Nothing here compares a secret byte by byte: what is looked up is a hash that nobody outside can steer.
//! It must not know how a key is made, and it keeps none.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use dialect::{Call, Dialect};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use policy::compiled::{Key, Matched};
use policy::{Policy, UnlistedModels};

use crate::failure::{Failure, code};
use crate::frontend::Tags;

/// Where SDKs put a key that is no bearer token: Anthropic's, Google's and Azure's.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "x-goog-api-key", "api-key"];
/// Names are at most 253 characters, so nothing longer is a model.
const MAX_MODEL_NAME: usize = 256;
/// How many names a refusal suggests.
const SUGGESTIONS: usize = 3;

/// What keys are hashed with. The control plane hands it out, so it arrives some time after start; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pepper(Arc<ArcSwapOption<hmac::Key>>);

impl Pepper {
    /// Hashes with `secret` from now on.
    pub fn set(&self, secret: &[u8]) {
        self.0.store(Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret))));
    }

    /// Whether keys can be checked at all.
    pub fn is_set(&self) -> bool {
        self.0.load().is_some()
    }

    fn hash(&self, key: &[u8]) -> Option<[u8; 32]> {
        let pepper = self.0.load();
        let tag = hmac::sign(pepper.as_ref()?, key);
        tag.as_ref().try_into().ok()
    }
}

/// The authenticated party of a call.
#[derive(Debug, Clone)]
pub struct Caller {
    key: Arc<Key>,
    tags: Tags,
}

impl Caller {
    /// The key that was shown, with its consumer.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// What the caller attached to the call.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }
}

/// A caller with a model that it may use and that exists.
#[derive(Debug)]
pub struct Permitted {
    caller: Caller,
    asked: String,
    matched: Matched,
}

impl Permitted {
    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The name that was asked for.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// What the name means.
    pub fn matched(&self) -> &Matched {
        &self.matched
    }

    /// What the first target speaks.
    pub fn dialect(&self) -> Dialect {
        let first = self.matched.model.targets.first();
        let named = first.and_then(|target| Dialect::named(&target.provider.dialect.to_string()));
        named.unwrap_or(Dialect::OpenAi)
    }
}

/// Finds out who calls. `query_key` is the key that Google's callers may write into the query; `now_ms` is wall time.
pub fn identify(
    policy: &Policy,
    pepper: &Pepper,
    headers: &HeaderMap,
    query_key: Option<&str>,
    now_ms: u64,
) -> Result<Caller, Failure> {
    let presented = presented(headers).or(query_key.map(str::as_bytes));
    let Some(hash) = pepper.hash(presented.unwrap_or_default()) else {
        return Err(not_ready("the proxy has not yet received what it checks keys with"));
    };
    let found = policy.key(&hash);
    let valid = found
        .filter(|key| presented.is_some() && !key.revoked && key.expires_ms.is_none_or(|at| now_ms < at));
    let Some(key) = valid else {
        let message = "invalid key: send a valid Frontdoor key as `authorization: Bearer KEY`, or as `x-api-key`, \
            `x-goog-api-key` or `api-key`";
        return Err(Failure::caller(code::INVALID_KEY, 401, message));
    };
    Ok(Caller { key: Arc::clone(key), tags: Tags::parse(headers)? })
}

/// Whether this caller may use the model that the call asks for.
pub fn permit(policy: &Policy, caller: Caller, call: &Call) -> Result<Permitted, Failure> {
    let asked = call.envelope.model.as_str();
    let matched = resolve(policy, &caller, asked)?;
    Ok(Permitted { caller, asked: asked.to_owned(), matched })
}

/// What a name means to this caller.
pub fn resolve(policy: &Policy, caller: &Caller, asked: &str) -> Result<Matched, Failure> {
    if asked.len() > MAX_MODEL_NAME {
        let message = format!("the name of the model is longer than {MAX_MODEL_NAME} bytes");
        return Err(Failure::caller(code::INVALID_REQUEST, 400, message).with_param("model"));
    }
    let is_permitted = policy.permits(&caller.key, asked);
    let is_hidden = policy.group.unlisted_models == UnlistedModels::Hide;
    if !is_permitted && !is_hidden {
        // The same answer whether or not such a model exists: the refusal must not tell.
        let message = format!("this key may not use the model `{asked}`");
        return Err(Failure::policy(code::MODEL_NOT_PERMITTED, 403, message).with_param("model"));
    }
    policy.model(asked).filter(|_| is_permitted).ok_or_else(|| unknown_model(policy, caller, asked))
}

/// The refusal for a name that this caller cannot know a model by.
fn unknown_model(policy: &Policy, caller: &Caller, asked: &str) -> Failure {
    let nearest = policy.nearest(&caller.key, asked, SUGGESTIONS);
    let mut message = format!("the model `{asked}` does not exist or this key may not use it");
    if !nearest.is_empty() {
        message.push_str("; nearest names: ");
        message.push_str(&nearest.join(", "));
    }
    Failure::policy(code::UNKNOWN_MODEL, 404, message).with_param("model")
}

/// The refusal while there is nothing to decide by.
pub fn not_ready(message: &str) -> Failure {
    Failure::policy(code::POLICY_NOT_READY, 503, message)
        .with_retry_after(Some(std::time::Duration::from_secs(1)))
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
    });
    let named = || KEY_HEADERS.iter().find_map(|name| headers.get(*name));
    bearer.or_else(|| named().map(|value| value.as_bytes().trim_ascii()))
}

mod native;

pub use native::permit_passage;

#[cfg(test)]
mod tests;
