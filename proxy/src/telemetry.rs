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

/// How many calls are under way. Each data thread counts its own, so that they do not fight over one cache line.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<[Arc<AtomicI64>]>);

impl InFlight {
    /// Nothing under way on any of `lanes` threads.
    pub fn new(lanes: usize) -> Self {
        Self((0..lanes.max(1)).map(|_| Arc::default()).collect())
    }

    /// Counts one call of a thread until the guard is dropped.
    pub fn begin(&self, lane: usize) -> InFlightGuard {
        let counter = self.0.get(lane).or_else(|| self.0.first()).map(Arc::clone).unwrap_or_default();
        counter.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(counter)
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        self.0.iter().map(|lane| lane.load(Ordering::Relaxed)).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_as_under_way_for_as_long_as_its_guard_lives_whatever_its_lane() {
        let in_flight = InFlight::new(2);
        let guards = [in_flight.begin(0), in_flight.begin(1), in_flight.begin(7)];
        assert_eq!(in_flight.count(), 3);
        drop(guards);
        assert_eq!(in_flight.count(), 0);
    }
}
