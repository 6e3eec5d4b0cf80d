//! The live side of quotas: buckets that come and go with their callers and survive policy versions, and what a call holds of them.
//!
//! A bucket is found by the quota's identity and dimension values, never by version, so a new version resets nothing; an edited
//! limit keeps what was used. A quota of which more than the amounts changed begins anew: its old buckets mean something else.
//! Buckets that nobody uses are forgotten when room is needed.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifecycle::Clock;
use parking_lot::RwLock;
use policy::compiled::Quota;
use policy::{Digest, Dimension, Name, Policy};
use tokio::time::Instant;

use crate::failure::{Failure, code};
use crate::frontend::Inbound;
use crate::identity::Permitted;
use crate::limits::concurrency::Concurrency;
use crate::limits::rate::{Rate, Taken};

/// Buckets are spread over this many locks.
const SHARDS: usize = 16;
/// Buckets in use of one quota and shard; with all shards a million callers.
const MAX_BUCKETS: usize = 65_536;
/// A shard is swept when it has grown to this, and again whenever it has doubled since.
const FIRST_SWEEP: usize = 256;
/// What a model's answers are taken for before one was seen.
const FIRST_OUTPUT_GUESS: u64 = 256;

/// The live side of all quotas. Cloning is cheap and shares the buckets.
#[derive(Debug, Clone)]
pub struct Live {
    origin: Instant,
    quotas: HashMap<Digest, Arc<Buckets>>,
    outputs: Arc<RwLock<HashMap<Name, Arc<AtomicU64>>>>,
}

/// The buckets of one quota.
#[derive(Debug)]
struct Buckets {
    hasher: RandomState,
    shards: [RwLock<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<String, Arc<Bucket>>,
    sweep_at: usize,
}

/// What is used by one combination of dimension values.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// The dimension values, such as `team=support,key=k_1`; empty for a quota without dimensions.
    pub(super) label: String,
    pub(super) requests: Rate,
    pub(super) tokens: Rate,
    pub(super) concurrency: Concurrency,
}

impl Live {
    /// The live side of `policy`, keeping what `previous` counted.
    pub fn build(policy: &Policy, previous: Option<&Self>, clock: &Clock) -> Self {
        let quotas = policy.quotas().map(|quota| {
            let kept = previous.and_then(|previous| previous.quotas.get(&quota.identity));
            (quota.identity, kept.map_or_else(|| Arc::new(Buckets::new()), Arc::clone))
        });
        Self {
            origin: previous.map_or_else(|| clock.now(), |previous| previous.origin),
            quotas: quotas.collect(),
            outputs: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.outputs)),
        }
    }

    /// How many tokens the call may need: what the input seems to be with a margin, and the most output that is likely.
    pub(super) fn estimate(&self, permitted: &Permitted, inbound: &Inbound) -> u64 {
        let envelope = &inbound.call.envelope;
        // Counting is free.
        if inbound.call.operation == dialect::Operation::CountTokens {
            return 0;
        }
        if inbound.call.operation == dialect::Operation::Native && envelope.model.is_empty() {
            // What names no model does not make one work, unless the provider reads more of it than we do.
            return if is_json(&inbound.headers) { body_tokens(&inbound.call.body) } else { 0 };
        }
        let input = dialect::estimate_tokens(envelope.input_chars);
        let input = input.saturating_add(input.saturating_mul(15).div_ceil(100));
        if matches!(inbound.call.operation, dialect::Operation::Embeddings | dialect::Operation::Rerank) {
            return input;
        }
        let model = &permitted.matched().model;
        let caps = [envelope.max_output_tokens, model.max_output_tokens];
        let cap = caps.into_iter().flatten().map(u64::from).min().unwrap_or(u64::MAX);
        let guess =
            self.output_guess(&model.name).map_or(FIRST_OUTPUT_GUESS, |guess| guess.load(Ordering::Relaxed));
        let answers = u64::from(envelope.n.max(1));
        input.saturating_add(guess.min(cap).saturating_mul(answers))
    }

    /// The bucket that counts for this call.
    pub(super) fn bucket(
        &self,
        quota: &Quota,
        permitted: &Permitted,
        clock: &Clock,
    ) -> Result<Arc<Bucket>, Failure> {
        let Some(buckets) = self.quotas.get(&quota.identity) else {
            return Err(Failure::internal(format!("quota `{}` has no live part", quota.name)));
        };
        let now_ns = ns_since(self.origin, clock);
        buckets.get(&label(&quota.per, permitted), now_ns).ok_or_else(|| {
            let message = format!("quota `{}` has too many callers at once to tell them apart", quota.name);
            Failure::policy(code::RATE_LIMITED, 429, message).with_retry_after(Some(super::CONCURRENCY_REST))
        })
    }

    /// An empty reservation.
    pub(super) fn reservation(&self, clock: &Clock) -> Reservation {
        Reservation {
            origin: self.origin,
            clock: clock.clone(),
            outputs: Arc::clone(&self.outputs),
            holds: Vec::new(),
            is_begun: false,
        }
    }

    fn output_guess(&self, model: &Name) -> Option<Arc<AtomicU64>> {
        self.outputs.read().get(model).map(Arc::clone)
    }

    #[cfg(test)]
    pub(super) fn count_buckets(&self) -> usize {
        let shards = self.quotas.values().flat_map(|buckets| &buckets.shards);
        shards.map(|shard| shard.read().buckets.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn sweep(&self, clock: &Clock) {
        let shards = self.quotas.values().flat_map(|buckets| &buckets.shards);
        shards.for_each(|shard| shard.write().forget_idle(ns_since(self.origin, clock)));
    }
}

impl Buckets {
    fn new() -> Self {
        Self { hasher: RandomState::new(), shards: Default::default() }
    }

    /// `None` when there is no room for another bucket.
    fn get(&self, label: &str, now_ns: i64) -> Option<Arc<Bucket>> {
        let hash = self.hasher.hash_one(label);
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        let shard = self.shards.get(usize::try_from(hash % shards).unwrap_or(0))?;
        if let Some(bucket) = shard.read().buckets.get(label) {
            return Some(Arc::clone(bucket));
        }
        let mut shard = shard.write();
        shard.sweep(now_ns);
        if shard.buckets.len() >= MAX_BUCKETS && !shard.buckets.contains_key(label) {
            return None;
        }
        let fresh = || Arc::new(Bucket { label: label.to_owned(), ..Bucket::default() });
        Some(Arc::clone(shard.buckets.entry(label.to_owned()).or_insert_with(fresh)))
    }
}

impl Shard {
    /// Forgets buckets that hold nothing, at a cost that growth has paid for.
    fn sweep(&mut self, now_ns: i64) {
        if self.buckets.len() < self.sweep_at.clamp(FIRST_SWEEP, MAX_BUCKETS) {
            return;
        }
        self.forget_idle(now_ns);
        self.sweep_at = self.buckets.len().saturating_mul(2);
    }

    fn forget_idle(&mut self, now_ns: i64) {
        self.buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1 || !bucket.is_idle(now_ns));
    }
}

impl Bucket {
    fn is_idle(&self, now_ns: i64) -> bool {
        self.concurrency.running() == 0 && self.requests.is_idle(now_ns) && self.tokens.is_idle(now_ns)
    }
}

/// What one call holds of one bucket.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pub(super) requests: Option<Taken>,
    pub(super) tokens: Option<Taken>,
    pub(super) has_slot: bool,
}

/// What one call holds of all buckets on its path. Dropping it gives back what must be given back.
#[derive(Debug)]
pub(super) struct Reservation {
    origin: Instant,
    clock: Clock,
    outputs: Arc<RwLock<HashMap<Name, Arc<AtomicU64>>>>,
    holds: Vec<(Arc<Bucket>, Hold)>,
    /// The call passed every quota: from now on it counts as a request, whatever becomes of it.
    is_begun: bool,
}

impl Reservation {
    pub(super) fn now_ns(&self) -> i64 {
        ns_since(self.origin, &self.clock)
    }

    pub(super) fn hold(&mut self, bucket: Arc<Bucket>, hold: Hold) {
        self.holds.push((bucket, hold));
    }

    pub(super) fn begin(&mut self) {
        self.is_begun = true;
    }

    /// Counts the real use instead of the estimate, and learns from it how long this model's answers are.
    pub(super) fn settle(mut self, model: &Name, total_tokens: u64, output_tokens: u64) {
        let now_ns = self.now_ns();
        for (bucket, hold) in &mut self.holds {
            if let Some(taken) = hold.tokens.take() {
                bucket.tokens.settle(now_ns, taken, total_tokens);
            }
        }
        let known = self.outputs.read().get(model).map(Arc::clone);
        let guess = known.unwrap_or_else(|| {
            let mut outputs = self.outputs.write();
            let fresh = || Arc::new(AtomicU64::new(FIRST_OUTPUT_GUESS));
            Arc::clone(outputs.entry(model.clone()).or_insert_with(fresh))
        });
        learn(&guess, output_tokens);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let now_ns = self.now_ns();
        for (bucket, hold) in &self.holds {
            if hold.has_slot {
                bucket.concurrency.end();
            }
            if let Some(taken) = hold.tokens {
                bucket.tokens.settle(now_ns, taken, 0);
            }
            if let Some(taken) = hold.requests.filter(|_| !self.is_begun) {
                bucket.requests.undo(taken);
            }
        }
    }
}

/// The dimension values of a call's bucket. A model is the resource that was matched, not the name that was asked for: callers
/// could invent those.
fn label(per: &[Dimension], permitted: &Permitted) -> String {
    let key = permitted.caller().key();
    let mut label = String::new();
    for dimension in per {
        let (name, value): (&str, &str) = match dimension {
            Dimension::Organisation => ("organisation", &key.consumer.organisation),
            Dimension::Team => ("team", &key.consumer.team),
            Dimension::Application => ("application", &key.consumer.application),
            Dimension::Key => ("key", &key.id),
            Dimension::Model => ("model", &permitted.matched().model.name),
        };
        let separator = if label.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _infallible = write!(label, "{separator}{name}={value}");
    }
    label
}

/// Moves towards the length that nine of ten answers stay below, without keeping any of them.
fn learn(guess: &AtomicU64, output_tokens: u64) {
    let _always = guess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |guess| {
        let step = guess / 32 + 1;
        let moved = if output_tokens > guess {
            guess.saturating_add(step.saturating_mul(9))
        } else {
            guess.saturating_sub(step)
        };
        Some(moved.max(1))
    });
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let value = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.to_ascii_lowercase().contains("json"))
}

fn body_tokens(body: &[u8]) -> u64 {
    dialect::estimate_tokens(u64::try_from(body.len()).unwrap_or(u64::MAX))
}

fn ns_since(origin: Instant, clock: &Clock) -> i64 {
    i64::try_from(clock.now().saturating_duration_since(origin).as_nanos()).unwrap_or(i64::MAX)
}
