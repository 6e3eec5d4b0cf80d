//! The Prometheus side of telemetry. One look-up finds all the series of a record; the rest is atomics.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::exchange::Record;
use crate::failure::code;

/// Series are made of names in the policy, so they are few; this is against a policy that renames everything for years.
const MAX_SERIES: usize = 10_000;
const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// All metrics of one proxy.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    gauges: GaugeSet,
    hasher: RandomState,
    /// By hash of the labels; a collision is settled by comparing them.
    series: RwLock<HashMap<u64, Arc<Series>>>,
}

/// What is not counted from records but read when someone looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Calls under way.
    pub in_flight: i64,
    /// The version in force; 0 for none.
    pub policy_version: u64,
    /// Records lost since boot.
    pub dropped_records: u64,
}

#[derive(Debug, Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

#[derive(Debug)]
struct Families {
    duration: Family<CallLabels, Histogram, Buckets>,
    first_chunk: Family<CallLabels, Histogram, Buckets>,
    tokens: Family<TokenLabels, Histogram, Buckets>,
    calls: Family<OutcomeLabels, Counter>,
    failures: Family<CodeLabels, Counter>,
    cost: Family<ServedLabels, Counter<f64, AtomicU64>>,
    unpriced: Family<ServedLabels, Counter>,
    unknown: Family<ServedLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
}

#[derive(Debug, Default)]
struct GaugeSet {
    in_flight: Gauge,
    policy_version: Gauge<u64, AtomicU64>,
    dropped_records: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    error_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    gen_ai_token_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    operation: &'static str,
    provider: String,
    model: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServedLabels {
    provider: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    provider: String,
    outcome: &'static str,
}

/// Everything that a record with these labels touches.
#[derive(Debug)]
struct Series {
    labels: OutcomeLabels,
    duration: Histogram,
    calls: Counter,
    failures: Option<Counter>,
    /// Only for calls that a provider served.
    served: Option<ServedSeries>,
}

#[derive(Debug)]
struct ServedSeries {
    first_chunk: Histogram,
    input: Histogram,
    output: Histogram,
    cost: Counter<f64, AtomicU64>,
    unpriced: Counter,
    unknown: Counter,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let families = Families {
            duration: Family::new_with_constructor(Buckets(&SECONDS)),
            first_chunk: Family::new_with_constructor(Buckets(&SECONDS)),
            tokens: Family::new_with_constructor(Buckets(&TOKENS)),
            calls: Family::default(),
            failures: Family::default(),
            cost: Family::default(),
            unpriced: Family::default(),
            unknown: Family::default(),
            attempts: Family::default(),
        };
        let gauges = GaugeSet::default();
        let mut registry = Registry::default();
        families.register(&mut registry);
        gauges.register(&mut registry);
        Self { registry, families, gauges, hasher: RandomState::new(), series: RwLock::default() }
    }

    /// Counts one finished call.
    pub fn observe(&self, record: &Record) {
        let series = self.series(record);
        series.calls.inc();
        if let Some(failures) = &series.failures {
            failures.inc();
        }
        series.duration.observe(seconds(record.duration_us));
        if let Some(served) = &series.served {
            served.observe(record);
        }
        // A call served by the first try is the rule: only the others are worth a look-up of their own.
        if record.decision.attempts.len() > 1 || record.code != code::OK {
            for attempt in &record.decision.attempts {
                let labels = AttemptLabels { provider: attempt.provider.clone(), outcome: attempt.outcome };
                self.families.attempts.get_or_create(&labels).inc();
            }
        }
    }

    /// The text that Prometheus reads.
    pub fn encode(&self, gauges: Gauges) -> Result<String, std::fmt::Error> {
        self.gauges.in_flight.set(gauges.in_flight);
        self.gauges.policy_version.set(gauges.policy_version);
        self.gauges.dropped_records.set(gauges.dropped_records);
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    fn series(&self, record: &Record) -> Arc<Series> {
        let key = (record.operation, &*record.provider, &*record.model, record.code);
        let hash = self.hasher.hash_one(key);
        if let Some(series) = self.series.read().get(&hash)
            && series.labels.key() == key
        {
            return Arc::clone(series);
        }
        let mut all = self.series.write();
        let has_room = all.len() < MAX_SERIES;
        let name = |name: &str| if has_room { name.to_owned() } else { "other".to_owned() };
        let labels = OutcomeLabels {
            operation: record.operation,
            provider: name(&record.provider),
            model: name(&record.model),
            code: record.code,
        };
        let series = Arc::new(self.families.series(labels));
        if has_room {
            all.insert(hash, Arc::clone(&series));
        }
        series
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ServedSeries {
    fn observe(&self, record: &Record) {
        if record.first_byte_us > 0 {
            self.first_chunk.observe(seconds(record.first_byte_us));
        }
        if record.tokens.total() > 0 {
            self.input.observe(approximate(record.tokens.all_input()));
            self.output.observe(approximate(record.tokens.output));
        }
        if record.unknown_events > 0 {
            self.unknown.inc_by(u64::from(record.unknown_events));
        }
        if record.priced {
            self.cost.inc_by(approximate(u64::try_from(record.cost_nano_usd).unwrap_or(0)) / 1e9);
        } else {
            self.unpriced.inc();
        }
    }
}

impl OutcomeLabels {
    fn key(&self) -> (&'static str, &str, &str, &'static str) {
        (self.operation, &self.provider, &self.model, self.code)
    }
}

impl Families {
    fn register(&self, registry: &mut Registry) {
        let duration = self.duration.clone();
        registry.register(
            "gen_ai_client_operation_duration_seconds",
            "Time from acceptance to the last byte",
            duration,
        );
        registry.register(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Time from acceptance to the first byte of an answer",
            self.first_chunk.clone(),
        );
        registry.register("gen_ai_client_token_usage", "Tokens of answered calls", self.tokens.clone());
        registry.register("frontdoor_calls", "Finished calls by outcome", self.calls.clone());
        registry.register("frontdoor_failures", "Calls without a full answer by code", self.failures.clone());
        registry.register(
            "frontdoor_cost_usd",
            "What answered calls cost, where prices are known",
            self.cost.clone(),
        );
        let unpriced = self.unpriced.clone();
        registry.register("frontdoor_unpriced_calls", "Answered calls whose price is not known", unpriced);
        registry.register(
            "frontdoor_unknown_events",
            "Events and blocks of providers that the proxy did not know, and passed or skipped",
            self.unknown.clone(),
        );
        registry.register(
            "frontdoor_attempts",
            "Tries at providers of calls that took several or failed",
            self.attempts.clone(),
        );
    }

    fn series(&self, labels: OutcomeLabels) -> Series {
        let OutcomeLabels { operation, provider, model, code } = labels.clone();
        // The conventions know `chat` where our records tell the surfaces apart.
        let operation_name = super::span::operation_name(operation);
        let error_type = if code == code::OK { "" } else { code };
        let call = CallLabels {
            gen_ai_operation_name: operation_name,
            gen_ai_provider_name: provider.clone(),
            gen_ai_request_model: model,
            error_type,
        };
        let duration = self.duration.get_or_create_owned(&call);
        let served = (!provider.is_empty()).then(|| self.served_series(call));
        Series {
            duration,
            calls: self.calls.get_or_create_owned(&labels),
            failures: (code != code::OK).then(|| self.failures.get_or_create_owned(&CodeLabels { code })),
            served,
            labels,
        }
    }

    fn served_series(&self, call: CallLabels) -> ServedSeries {
        let first_chunk = self.first_chunk.get_or_create_owned(&call);
        let CallLabels { gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model, .. } = call;
        let served =
            ServedLabels { provider: gen_ai_provider_name.clone(), model: gen_ai_request_model.clone() };
        let mut tokens = TokenLabels {
            gen_ai_operation_name,
            gen_ai_provider_name,
            gen_ai_request_model,
            gen_ai_token_type: "input",
        };
        let input = self.tokens.get_or_create_owned(&tokens);
        tokens.gen_ai_token_type = "output";
        ServedSeries {
            first_chunk,
            input,
            output: self.tokens.get_or_create_owned(&tokens),
            cost: self.cost.get_or_create_owned(&served),
            unpriced: self.unpriced.get_or_create_owned(&served),
            unknown: self.unknown.get_or_create_owned(&served),
        }
    }
}

impl GaugeSet {
    fn register(&self, registry: &mut Registry) {
        registry.register("frontdoor_calls_in_flight", "Calls under way", self.in_flight.clone());
        registry.register(
            "frontdoor_policy_version",
            "The policy version in force",
            self.policy_version.clone(),
        );
        registry.register(
            "frontdoor_records_dropped",
            "Call records lost since the process began",
            self.dropped_records.clone(),
        );
    }
}

fn seconds(us: u64) -> f64 {
    approximate(us) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point; counts beyond 2^53 do not occur")]
const fn approximate(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
