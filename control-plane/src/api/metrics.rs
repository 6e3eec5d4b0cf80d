//! What the control plane counts about its admin API, in Prometheus' format.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Counts calls. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Metrics {
    calls: Family<Call, Counter>,
    seconds: Family<Operation, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    operation: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// From a read out of memory to a change of many thousand resources.
const SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 2.5, 10.0];

impl Metrics {
    /// Registers what is counted.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        let metrics = Self { calls: Family::default(), seconds };
        registry.register("frontdoor_admin_calls", "Calls of the admin API", metrics.calls.clone());
        registry.register("frontdoor_admin_call_seconds", "Time to an answer", metrics.seconds.clone());
        metrics
    }

    pub(super) fn called(&self, operation: &'static str, status: u16, took: Duration) {
        self.calls.get_or_create(&Call { operation, status }).inc();
        self.seconds.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }
}
