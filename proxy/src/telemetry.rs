//! What operators see of calls: every record becomes metrics and, with a collector, exactly one span.
//!
//! Names follow the OpenTelemetry conventions for generative AI. Labels come from closed sets: what the policy names and our own
//! codes, never what a caller wrote. It must not know where records go afterwards.

mod metrics;
mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::exchange::{Record, RecordSink};

pub use metrics::{Gauges, Metrics};

/// Counts and traces each record, then hands it on.
pub struct Recorder {
    metrics: Arc<Metrics>,
    tracer: Option<lifecycle::Tracer>,
    next: Arc<dyn RecordSink>,
}

impl Recorder {
    /// Counts into `metrics`, makes a span when there is a tracer, hands on to `next`.
    pub fn new(metrics: Arc<Metrics>, tracer: Option<lifecycle::Tracer>, next: Arc<dyn RecordSink>) -> Self {
        Self { metrics, tracer, next }
    }
}

impl RecordSink for Recorder {
    fn put(&self, record: Record) {
        self.metrics.observe(&record);
        if let Some(tracer) = &self.tracer {
            span::export(tracer, &record);
        }
        self.next.put(record);
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("is_tracing", &self.tracer.is_some()).finish_non_exhaustive()
    }
}

/// How many calls are under way.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<AtomicI64>);

impl InFlight {
    /// Counts one call until the guard is dropped.
    pub fn begin(&self) -> InFlightGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(Arc::clone(&self.0))
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One call under way.
#[derive(Debug)]
#[must_use = "the call counts as under way until this is dropped"]
pub struct InFlightGuard(Arc<AtomicI64>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
