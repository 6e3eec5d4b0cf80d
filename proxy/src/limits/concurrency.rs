//! How many calls of one bucket are under way. It must not know calls or quotas.

use std::sync::atomic::{AtomicU64, Ordering};

/// Calls under way.
#[derive(Debug, Default)]
pub(crate) struct Concurrency(AtomicU64);

impl Concurrency {
    /// Begins a call unless `limit` calls are under way; returns how many are then.
    pub(crate) fn begin(&self, limit: u64) -> Result<u64, u64> {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
                (running < limit).then_some(running + 1)
            })
            .map(|before| before + 1)
    }

    /// Ends a call that has begun.
    pub(crate) fn end(&self) {
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "only what began can end");
    }

    /// How many are under way.
    pub(crate) fn running(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_begins_only_while_there_is_room() {
        let concurrency = Concurrency::default();
        assert_eq!(concurrency.begin(2), Ok(1));
        assert_eq!(concurrency.begin(2), Ok(2));
        assert_eq!(concurrency.begin(2), Err(2));
        concurrency.end();
        assert_eq!(concurrency.begin(2), Ok(2));
    }

    #[test]
    fn a_lowered_limit_lets_running_calls_finish() {
        let concurrency = Concurrency::default();
        for _ in 0..3 {
            concurrency.begin(3).unwrap();
        }
        assert_eq!(concurrency.begin(1), Err(3));
        for _ in 0..3 {
            concurrency.end();
        }
        assert_eq!(concurrency.running(), 0);
        assert_eq!(concurrency.begin(1), Ok(1));
    }
}
