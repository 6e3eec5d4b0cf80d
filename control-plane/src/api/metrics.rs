//! What the control plane counts, in Prometheus' format: calls of the admin API as they happen, the state of the rooms
//! when somebody asks.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Rooms;
use crate::catalog::Follower;
use crate::fleet::Fleet;
use crate::publish::Publisher;
use crate::usage::Ledger;

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

/// Asks the rooms when somebody asks for the metrics.
#[derive(Debug)]
struct State {
    catalog: Follower,
    publisher: Publisher,
    fleet: Fleet,
    ledger: Ledger,
}

/// Adds the state of the rooms to what is counted.
pub(super) fn register_rooms(rooms: &mut Rooms) {
    rooms.registry.register_collector(Box::new(State {
        catalog: rooms.catalog.clone(),
        publisher: rooms.publisher.clone(),
        fleet: rooms.fleet.clone(),
        ledger: rooms.ledger.clone(),
    }));
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let snapshot = self.catalog.newest();
        let gauges = [
            ("frontdoor_policy_version", "The newest version read from the store", snapshot.version),
            ("frontdoor_policy_resources", "Resources in that version", count(snapshot.catalog.len())),
            ("frontdoor_proxies_connected", "Proxies connected here", count(self.fleet.connected_here())),
            (
                "frontdoor_publish_problems",
                "Groups that cannot get the newest version",
                count(self.publisher.problems().len()),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counts = self.ledger.counts();
        let counters = [
            ("frontdoor_usage_records", "Call records counted", counts.counted),
            ("frontdoor_usage_repeated_records", "Call records that were known already", counts.repeated),
            ("frontdoor_usage_refused_records", "Call records that could not be kept", counts.refused),
            ("frontdoor_usage_failed_writes", "Reports that could not be written", counts.failed_writes),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
