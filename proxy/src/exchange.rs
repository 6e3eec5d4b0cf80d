//! What a call carries along from its first byte to its last, and the one record it leaves.
//!
//! Invariant: an [`Exchange`] hands exactly one [`Record`] to its sink, when it is dropped. Until an ending is noted the record
//! says that the caller has gone, because that is the only way to be dropped without one, apart from a panic of ours.
//! It must not know any room: rooms write what they decided through its methods.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dialect::{Envelope, Usage};
use lifecycle::Clock;
use policy::Policy;
use policy::compiled::Key;
use tokio::time::Instant;

use crate::failure::{Failure, code};
use crate::telemetry::InFlightGuard;

pub use tightest::Tightest;
pub use trace::Trace;

mod tightest;
mod trace;

/// Status written down for a caller who left before an answer: nobody sees it on the wire.
const CLIENT_GONE_STATUS: u16 = 499;
/// As many characters as the policy allows a name.
const LONGEST_NAME: usize = 253;

/// Takes the finished records. Never blocks: what does not fit is dropped and counted.
pub trait RecordSink: Send + Sync {
    /// Takes one record.
    fn put(&self, record: Record);
}

/// What is left of one call, whatever its ending. Never a prompt, an answer or a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// UUID version 7, also in the answer's headers.
    pub request_id: String,
    /// The trace that the caller is in.
    pub trace: Trace,
    /// Unix time in milliseconds at which the call was accepted.
    pub started_ms: u64,
    /// From acceptance to the last byte.
    pub duration_us: u64,
    /// From acceptance to the first byte of the answer; 0 when none was sent.
    pub first_byte_us: u64,
    /// The policy that decided; 0 when there was none.
    pub policy_version: u64,
    /// The proxy's group.
    pub group: String,
    /// Who called. Empty until identified.
    pub organisation: String,
    /// See `organisation`.
    pub team: String,
    /// See `organisation`.
    pub application: String,
    /// The key's id, never the key.
    pub key_id: String,
    /// The caller's own attribution.
    pub tags: BTreeMap<String, String>,
    /// `chat`, `messages`, `embeddings`, `models`.
    pub operation: &'static str,
    /// How the caller speaks.
    pub dialect: &'static str,
    /// Whether the caller asked for a stream.
    pub streamed: bool,
    /// The name the caller asked for.
    pub asked_model: String,
    /// The Model resource that served.
    pub model: String,
    /// The provider that served.
    pub provider: String,
    /// The name sent upstream.
    pub upstream_model: String,
    /// The model the provider says it was.
    pub response_model: String,
    /// The HTTP status the caller saw.
    pub status: u16,
    /// `ok`, the failure's code, or `client_gone`.
    pub code: &'static str,
    /// Why the model stopped, where known.
    pub stop_reason: Cow<'static, str>,
    /// Events and blocks of the provider that the proxy did not know. For the metrics; the ledger does not keep it.
    pub unknown_events: u32,
    /// What was used.
    pub tokens: Usage,
    /// True when the provider gave no usage and the proxy counted.
    pub estimated: bool,
    /// Nano-USD. Meaningless unless `priced`.
    pub cost_nano_usd: i64,
    /// False: no price was known; the cost is not zero but unknown.
    pub priced: bool,
    /// Why the call went where it went.
    pub decision: Decision,
}

/// Why a call went where it went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// The route that decided; empty for none.
    pub route: String,
    /// Its rule.
    pub rule: String,
    /// How the targets were ordered.
    pub strategy: &'static str,
    /// Every target looked at.
    pub candidates: Vec<Candidate>,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// Every limit looked at.
    pub limits: Vec<LimitCheck>,
    /// The code of a refusal before any try; empty for none.
    pub refusal: &'static str,
}

/// What routing decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decided {
    /// The route that decided; empty for none.
    pub route: String,
    /// Its rule.
    pub rule: String,
    /// How the targets were ordered.
    pub strategy: &'static str,
    /// Every target looked at.
    pub candidates: Vec<Candidate>,
}

/// One target that routing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    /// The Model resource.
    pub model: String,
    /// The provider.
    pub provider: String,
    /// The name it has there.
    pub upstream_model: String,
    /// Place in the order of tries from 1; 0 when rejected.
    pub rank: u32,
    /// Why it was ranked so, or why it was rejected.
    pub reason: Cow<'static, str>,
}

/// One try at a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempt {
    /// The provider.
    pub provider: String,
    /// The name sent upstream.
    pub upstream_model: String,
    /// When it began, from acceptance.
    pub started_us: u64,
    /// How long it took until its outcome was known.
    pub took_us: u64,
    /// 0 when no answer came.
    pub status: u16,
    /// `ok` or the class of the fault.
    pub outcome: &'static str,
    /// Text safe to show: never an upstream body.
    pub detail: Cow<'static, str>,
}

/// One limit that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitCheck {
    /// The Quota resource.
    pub quota: String,
    /// `requests_per_minute`, `tokens_per_minute` or `concurrency`.
    pub limit: &'static str,
    /// The bucket's dimension values, for example `team=support`.
    pub bucket: String,
    /// What the limit allows.
    pub ceiling: i64,
    /// What was left after this call.
    pub remaining: i64,
    /// Whether the call passed it.
    pub admitted: bool,
}

/// Carried along by one call. One pointer wide, so that passing it on is free.
pub struct Exchange(Box<Open>);

struct Open {
    /// Taken by the drop alone.
    record: Option<Record>,
    clock: Clock,
    accepted_at: Instant,
    lane: usize,
    sink: Arc<dyn RecordSink>,
    limits: Tightest,
    in_flight: Option<InFlightGuard>,
}

impl Exchange {
    /// Begins a call that thread `lane` has accepted.
    pub fn begin(clock: &Clock, lane: usize, sink: Arc<dyn RecordSink>) -> Self {
        let started_ms = clock.unix_ms();
        let record = Record {
            request_id: request_id(started_ms),
            started_ms,
            code: code::CLIENT_GONE,
            status: CLIENT_GONE_STATUS,
            ..Record::default()
        };
        let accepted_at = clock.now();
        let (limits, in_flight) = (Tightest::default(), None);
        Self(Box::new(Open {
            record: Some(record),
            clock: clock.clone(),
            accepted_at,
            lane,
            sink,
            limits,
            in_flight,
        }))
    }

    /// The call's id.
    pub fn request_id(&self) -> &str {
        self.0.record.as_ref().map_or("", |record| &record.request_id)
    }

    /// The time this call lives by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// When the call was accepted: deadlines count from here.
    pub fn accepted_at(&self) -> Instant {
        self.0.accepted_at
    }

    /// Time since acceptance in microseconds, the unit of every duration in the record.
    pub fn elapsed_us(&self) -> u64 {
        micros(self.0.clock.now().saturating_duration_since(self.0.accepted_at))
    }

    /// Which data thread serves the call, from 0: connections to providers are pooled per lane.
    pub fn lane(&self) -> usize {
        self.0.lane
    }

    /// Writes down which policy decides.
    pub fn decided_by(&mut self, policy: &Policy) {
        self.note(|record| {
            record.policy_version = policy.version;
            record.group = policy.group.name.to_string();
        });
    }

    /// Writes down who calls.
    pub fn identified(&mut self, key: &Key, tags: &BTreeMap<String, String>) {
        self.note(|record| {
            record.organisation.clone_from(&key.consumer.organisation);
            record.team.clone_from(&key.consumer.team);
            record.application.clone_from(&key.consumer.application);
            record.key_id = key.id.to_string();
            record.tags.clone_from(tags);
        });
    }

    /// Writes down what was asked for.
    pub fn asked(&mut self, envelope: &Envelope) {
        self.note(|record| {
            record.streamed = envelope.stream;
            record.asked_model = shortened(&envelope.model);
        });
    }

    /// Writes down that the proxy answered by itself.
    pub fn answered(&mut self) {
        self.note(|record| {
            record.code = code::OK;
            record.status = 200;
        });
    }

    /// Writes down what routing decided.
    pub fn decide(&mut self, decided: Decided) {
        let Decided { route, rule, strategy, candidates } = decided;
        self.note(|record| {
            record.decision.route = route;
            record.decision.rule = rule;
            record.decision.strategy = strategy;
            record.decision.candidates = candidates;
        });
    }

    /// Writes down one try.
    pub fn attempted(&mut self, attempt: Attempt) {
        self.note(|record| record.decision.attempts.push(attempt));
    }

    /// Writes down one limit that was looked at.
    pub fn limit(&mut self, check: LimitCheck) {
        self.note(|record| record.decision.limits.push(check));
    }

    /// The limits that the caller will be told of.
    pub fn limit_state(&mut self) -> &mut Tightest {
        &mut self.0.limits
    }

    /// Counts the call as under way for as long as the exchange lives.
    pub fn count_in(&mut self, guard: InFlightGuard) {
        self.0.in_flight = Some(guard);
    }

    /// Writes the failure down as the ending.
    pub fn refused(&mut self, failure: &Failure) {
        self.note(|record| {
            record.code = failure.code;
            record.status = failure.status;
            if record.decision.attempts.is_empty() {
                record.decision.refusal = failure.code;
            }
        });
    }

    /// What is written so far.
    pub fn record(&self) -> Option<&Record> {
        self.0.record.as_ref()
    }

    /// Writes into the record.
    pub(crate) fn note(&mut self, write: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.0.record {
            write(record);
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("record", &self.0.record)
            .field("lane", &self.0.lane)
            .finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            if std::thread::panicking() {
                // The only other way to get here without an ending.
                record.code = code::INTERNAL;
                record.status = 500;
            }
            record.duration_us = micros(self.clock.now().saturating_duration_since(self.accepted_at));
            self.sink.put(record);
        }
    }
}

/// A caller may ask for any name; the record keeps as much of it as a name can have.
fn shortened(model: &str) -> String {
    if model.len() <= LONGEST_NAME { model.to_owned() } else { model.chars().take(LONGEST_NAME).collect() }
}

/// Whole microseconds; the end of `u64` is half a million years away.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// UUID version 7. Its random part needs to be unique, not secret, so a fast generator fills it.
pub(crate) fn request_id(unix_ms: u64) -> String {
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid().hyphenated().to_string()
}

#[cfg(test)]
mod tests;
