//! One per-minute limit of one bucket, in atomics: a token bucket that can go into debt.
//!
//! It is kept as the moment at which the bucket will be full again ("generic cell rate algorithm"), because one number can be
//! changed by one compare-and-swap. What is used decays at `limit / 60` units a second; a call may begin while what is used,
//! its own estimate included, is within the limit. Real use may exceed the estimate: that is debt, and later calls wait for it.
//! It must not know calls, quotas or what a unit is. Time is an argument: nanoseconds since any fixed moment.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The window every limit is authored for.
const WINDOW_NS: i64 = 60_000_000_000;

/// What is used of one limit.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// The bucket is full from this moment on. Below the present: full, and nothing is saved up.
    full_at_ns: AtomicI64,
    /// The limit that `full_at_ns` was computed with; 0 until first used.
    limit: AtomicU64,
}

/// What a call has taken, to be given back or settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    units: u64,
    cost_ns: i64,
    /// When all of it will have decayed.
    gone_at_ns: i64,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There will be room after this time.
    For(Duration),
    /// More was asked for than the limit ever allows.
    Forever,
}

/// What a bucket looks like, for the headers that callers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Units that a call could take now.
    pub(crate) remaining: u64,
    /// Until nothing is used any more.
    pub(crate) reset: Duration,
}

impl Rate {
    /// Takes `units`, when what is used stays within `limit`.
    pub(crate) fn take(&self, now_ns: i64, limit: u64, units: u64) -> Result<Taken, Full> {
        if units > limit {
            return Err(Full::Forever);
        }
        self.adopt(now_ns, limit);
        let cost_ns = cost_ns(units, limit);
        let mut full_at_ns = self.full_at_ns.load(Ordering::Acquire);
        loop {
            let gone_at_ns = full_at_ns.max(now_ns).saturating_add(cost_ns);
            let over_ns = gone_at_ns - now_ns - WINDOW_NS;
            if over_ns > 0 {
                return Err(Full::For(duration(over_ns)));
            }
            match self.swap(full_at_ns, gone_at_ns) {
                Ok(()) => return Ok(Taken { units, cost_ns, gone_at_ns }),
                Err(moved) => full_at_ns = moved,
            }
        }
    }

    /// Gives back what a call took that did not start after all.
    pub(crate) fn undo(&self, taken: Taken) {
        self.full_at_ns.fetch_sub(taken.cost_ns, Ordering::AcqRel);
    }

    /// Replaces the estimate by what was really used. What decayed in the meantime is not given back: it belonged to a minute that is over.
    pub(crate) fn settle(&self, now_ns: i64, taken: Taken, used: u64) {
        if used == taken.units {
            return;
        }
        let real_ns = cost_ns(used, self.limit.load(Ordering::Acquire).max(1));
        let change_ns = real_ns - taken.cost_ns;
        if change_ns < 0 {
            let undecayed_ns = (taken.gone_at_ns - now_ns).clamp(0, taken.cost_ns);
            self.full_at_ns.fetch_sub((-change_ns).min(undecayed_ns), Ordering::AcqRel);
            return;
        }
        let mut full_at_ns = self.full_at_ns.load(Ordering::Acquire);
        while let Err(moved) = self.swap(full_at_ns, full_at_ns.max(now_ns).saturating_add(change_ns)) {
            full_at_ns = moved;
        }
    }

    /// What is left under `limit`.
    pub(crate) fn level(&self, now_ns: i64, limit: u64) -> Level {
        self.adopt(now_ns, limit);
        let used_ns = (self.full_at_ns.load(Ordering::Acquire) - now_ns).max(0);
        let left_ns = u128::try_from((WINDOW_NS - used_ns).max(0)).unwrap_or(0);
        let remaining = left_ns * u128::from(limit) / WINDOW_NS.unsigned_abs() as u128;
        Level { remaining: u64::try_from(remaining).unwrap_or(u64::MAX), reset: duration(used_ns) }
    }

    /// Whether nothing is used, so that forgetting the bucket loses nothing.
    pub(crate) fn is_idle(&self, now_ns: i64) -> bool {
        self.full_at_ns.load(Ordering::Acquire) <= now_ns
    }

    /// Keeps the units used when the limit was edited. A settlement racing the edit may be counted at the older rate.
    fn adopt(&self, now_ns: i64, limit: u64) {
        let old = self.limit.load(Ordering::Acquire);
        if old == limit {
            return;
        }
        if self.limit.compare_exchange(old, limit, Ordering::AcqRel, Ordering::Acquire).is_err() || old == 0 {
            return;
        }
        let mut full_at_ns = self.full_at_ns.load(Ordering::Acquire);
        while full_at_ns > now_ns {
            let used_ns = i128::from(full_at_ns - now_ns) * i128::from(old) / i128::from(limit.max(1));
            let scaled = now_ns.saturating_add(i64::try_from(used_ns).unwrap_or(i64::MAX));
            match self.swap(full_at_ns, scaled) {
                Ok(()) => return,
                Err(moved) => full_at_ns = moved,
            }
        }
    }

    fn swap(&self, from: i64, to: i64) -> Result<(), i64> {
        self.full_at_ns.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}

/// How long `units` take to decay. Rounded down, so that exactly `limit` units fit into one window; at least 1 when anything is used.
fn cost_ns(units: u64, limit: u64) -> i64 {
    if units == 0 {
        return 0;
    }
    let cost = u128::from(units) * u128::from(WINDOW_NS.unsigned_abs()) / u128::from(limit.max(1));
    // A century of debt is as good as any: beyond it the moment could overflow.
    i64::try_from(cost).unwrap_or(i64::MAX).clamp(1, i64::MAX / 4)
}

fn duration(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}

#[cfg(test)]
mod tests;
