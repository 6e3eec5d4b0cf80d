//! The one place where time comes from. Everything that depends on time takes a [`Clock`], so that a test can decide what time it is.
//!
//! It must not know what the time is used for; sleeping stays with `tokio::time`, which a test pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A source of monotonic and of wall time. Cloning is cheap, and a clone of a manual clock moves with the original.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Tokio(Arc<Origin>),
    Manual(Arc<Manual>),
}

/// Where a clock that does not follow the system began.
#[derive(Debug)]
struct Origin {
    instant: Instant,
    unix_ms: u64,
}

#[derive(Debug)]
struct Manual {
    origin: Origin,
    advanced_ns: AtomicU64,
}

impl Clock {
    /// The machine's own time. The monotonic half obeys a paused tokio clock; the wall half does not.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Both halves follow tokio's clock, the wall half starting at `start_unix_ms`: for tests that pause and advance tokio's time.
    pub fn tokio(start_unix_ms: u64) -> Self {
        Self(Source::Tokio(Arc::new(Origin { instant: Instant::now(), unix_ms: start_unix_ms })))
    }

    /// Stands still at `start_unix_ms` until [`Clock::advance`] is called.
    pub fn manual(start_unix_ms: u64) -> Self {
        let origin = Origin { instant: Instant::now(), unix_ms: start_unix_ms };
        Self(Source::Manual(Arc::new(Manual { origin, advanced_ns: AtomicU64::new(0) })))
    }

    /// Monotonic time, for measuring and for deadlines.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System | Source::Tokio(_) => Instant::now(),
            Source::Manual(manual) => manual.origin.instant + manual.advanced(),
        }
    }

    /// Wall time in milliseconds since 1970, for what is shown or stored. A system clock set before 1970 reads as 0.
    pub fn unix_ms(&self) -> u64 {
        match &self.0 {
            Source::System => system_unix_ms(),
            Source::Tokio(origin) => origin.unix_ms.saturating_add(whole_ms(origin.instant.elapsed())),
            Source::Manual(manual) => manual.origin.unix_ms.saturating_add(whole_ms(manual.advanced())),
        }
    }

    /// Moves a manual clock and all its clones forward. Other clocks move by themselves and ignore this.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let by_ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            manual.advanced_ns.fetch_add(by_ns, Ordering::AcqRel);
        }
    }
}

impl Manual {
    fn advanced(&self) -> Duration {
        Duration::from_nanos(self.advanced_ns.load(Ordering::Acquire))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else is told to take")]
fn system_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}

/// Milliseconds of a duration; the end of `u64` is 584 million years away.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_takes_its_clones_along() {
        let clock = Clock::manual(1_000);
        let clone = clock.clone();
        let before = clone.now();
        assert_eq!(clone.unix_ms(), 1_000);

        clock.advance(Duration::from_millis(250));
        assert_eq!(clone.unix_ms(), 1_250);
        assert_eq!(clone.now() - before, Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tokio_clock_follows_the_paused_clock_in_both_halves() {
        let clock = Clock::tokio(5_000);
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.unix_ms(), 8_000);
        assert_eq!(clock.now() - before, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_measures_by_the_paused_clock() {
        let clock = Clock::system();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now() - before, Duration::from_secs(3));
        assert!(clock.unix_ms() > 1_700_000_000_000);
    }
}
