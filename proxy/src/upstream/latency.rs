//! How slow a target feels now: a peak-sensitive moving average of the time to the first byte, times the calls in flight.
//!
//! A slow answer counts at once, a fast one only gradually, and an old peak decays with time, so that a target which was
//! slow is tried again. It must not know what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The time after which a sample has lost about two thirds of its weight.
const DECAY: Duration = Duration::from_secs(10);

/// One target's latency.
#[derive(Debug)]
pub struct Latency {
    average: Mutex<Average>,
    in_flight: AtomicU32,
}

#[derive(Debug)]
struct Average {
    micros: f64,
    at: Instant,
}

/// An attempt in flight; counted until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    latency: Arc<Latency>,
}

impl Latency {
    /// Nothing known yet: an unknown target is worth a try, so it costs nothing.
    pub fn new(now: Instant) -> Self {
        Self { average: Mutex::new(Average { micros: 0.0, at: now }), in_flight: AtomicU32::new(0) }
    }

    /// Counts an attempt as in flight.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { latency: Arc::clone(self) }
    }

    /// Learns from an attempt that took `took`.
    pub fn record(&self, took: Duration, now: Instant) {
        let micros = took.as_secs_f64() * 1e6;
        let mut average = self.average.lock();
        let kept = average.weight_of_the_past(now);
        average.micros =
            if micros > average.micros { micros } else { average.micros * kept + micros * (1.0 - kept) };
        average.at = now;
    }

    /// What another call is expected to cost there: microseconds times the calls it would share the target with.
    pub fn cost(&self, now: Instant) -> f64 {
        let average = self.average.lock();
        let micros = average.micros * average.weight_of_the_past(now);
        drop(average);
        (micros + 1.0) * f64::from(self.in_flight.load(Ordering::Relaxed).saturating_add(1))
    }

    /// How many attempts are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Average {
    fn weight_of_the_past(&self, now: Instant) -> f64 {
        (-(now.saturating_duration_since(self.at).as_secs_f64() / DECAY.as_secs_f64())).exp()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.latency.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_counts_at_once_and_a_fast_one_gradually() {
        let latency = Latency::new(Instant::now());
        latency.record(Duration::from_millis(10), Instant::now());
        latency.record(Duration::from_millis(500), Instant::now());
        assert!(latency.cost(Instant::now()) > 499_000.0);

        advance(Duration::from_secs(1)).await;
        latency.record(Duration::from_millis(10), Instant::now());
        let cost = latency.cost(Instant::now());
        assert!(cost > 400_000.0 && cost < 499_000.0, "{cost}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_peak_decays_so_that_the_target_is_tried_again() {
        let latency = Latency::new(Instant::now());
        latency.record(Duration::from_secs(1), Instant::now());
        advance(Duration::from_secs(60)).await;
        assert!(latency.cost(Instant::now()) < 5_000.0);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_in_flight_make_a_target_dearer_until_they_end() {
        let latency = Arc::new(Latency::new(Instant::now()));
        latency.record(Duration::from_millis(100), Instant::now());
        let alone = latency.cost(Instant::now());
        let first = latency.begin();
        let second = latency.begin();
        assert!(latency.cost(Instant::now()) > alone * 2.9);
        drop((first, second));
        assert_eq!(latency.in_flight(), 0);
    }
}
