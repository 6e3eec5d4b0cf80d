//! How the proxy is doing, counted record by record for the pulse. It must not know what a record is used for besides.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::exchange::Record;

/// Four buckets for each doubling: a quantile is off by at most an eighth or so.
const BUCKETS: usize = 160;

/// Counters since boot, and times to the first byte since the last pulse.
#[derive(Debug)]
pub(super) struct Vitals {
    calls: AtomicU64,
    errors: AtomicU64,
    first_byte: [AtomicU32; BUCKETS],
}

/// What a pulse tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) p99_ms: u32,
}

impl Vitals {
    pub(super) fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            first_byte: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }

    /// Counts one call. What the caller did wrong is no error of ours.
    pub(super) fn count(&self, record: &Record) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if record.status >= 500 {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if record.first_byte_us > 0
            && let Some(bucket) = self.first_byte.get(bucket_of(record.first_byte_us))
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads the counters and begins a new time for the quantile.
    pub(super) fn read(&self) -> Reading {
        let counts: Vec<u32> =
            self.first_byte.iter().map(|bucket| bucket.swap(0, Ordering::Relaxed)).collect();
        Reading {
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            p99_ms: p99(&counts),
        }
    }
}

fn p99(counts: &[u32]) -> u32 {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let above = total / 100;
    let mut seen = 0;
    for (bucket, count) in counts.iter().enumerate().rev() {
        seen += u64::from(*count);
        if seen > above {
            return u32::try_from(ceiling_of(bucket).div_ceil(1000)).unwrap_or(u32::MAX);
        }
    }
    0
}

/// The doubling, and the two bits below the leading one.
fn bucket_of(micros: u64) -> usize {
    let micros = micros.max(4);
    let doubling = micros.ilog2();
    let quarter = (micros >> (doubling - 2)) & 3;
    let bucket = u64::from(doubling - 2) * 4 + quarter;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn ceiling_of(bucket: usize) -> u64 {
    let (doubling, quarter) = (bucket / 4, bucket as u64 % 4);
    ((5 + quarter) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(status: u16, first_byte_us: u64) -> Record {
        Record { status, first_byte_us, ..Record::default() }
    }

    #[test]
    fn a_value_lies_in_the_bucket_that_ends_at_or_above_it() {
        for micros in [4, 5, 7, 8, 9, 100, 999, 1_000, 123_456, 60_000_000] {
            let ceiling = ceiling_of(bucket_of(micros));
            assert!(ceiling >= micros && ceiling <= micros * 5 / 4, "{micros}: {ceiling}");
        }
    }

    #[test]
    fn a_pulse_tells_the_99th_percentile_since_the_last_one() {
        let vitals = Vitals::new();
        for _ in 0..990 {
            vitals.count(&call(200, 10_000));
        }
        for _ in 0..10 {
            vitals.count(&call(502, 2_000_000));
        }
        let reading = vitals.read();
        assert_eq!((reading.calls, reading.errors), (1_000, 10));
        assert!((10..13).contains(&reading.p99_ms), "{reading:?}");
        vitals.count(&call(200, 2_000_000));
        assert!((2_000..2_600).contains(&vitals.read().p99_ms));
        assert_eq!(vitals.read().p99_ms, 0);
    }
}
