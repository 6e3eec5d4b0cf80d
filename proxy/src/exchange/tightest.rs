//! The limits that callers are told of: of all that apply, the one with the least left.

use std::time::Duration;

use dialect::{Limit, LimitState};

/// The tightest limits seen so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tightest(LimitState);

impl Tightest {
    /// Considers a limit on calls.
    pub fn requests(&mut self, limit: u64, remaining: u64, reset: Duration) {
        narrow(&mut self.0.requests, Limit { limit, remaining, reset });
    }

    /// Considers a limit on tokens.
    pub fn tokens(&mut self, limit: u64, remaining: u64, reset: Duration) {
        narrow(&mut self.0.tokens, Limit { limit, remaining, reset });
    }

    /// What to tell.
    pub fn state(&self) -> &LimitState {
        &self.0
    }
}

fn narrow(tightest: &mut Option<Limit>, limit: Limit) {
    if tightest.is_none_or(|known| (limit.remaining, known.reset) < (known.remaining, limit.reset)) {
        *tightest = Some(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_with_the_least_left_is_told_and_of_equals_the_one_that_resets_last() {
        let mut tightest = Tightest::default();
        tightest.requests(100, 60, Duration::from_secs(24));
        tightest.requests(50, 10, Duration::from_secs(48));
        tightest.requests(500, 300, Duration::from_secs(1));
        assert_eq!(tightest.state().requests.unwrap().limit, 50);
        tightest.requests(10, 10, Duration::from_secs(60));
        assert_eq!(tightest.state().requests.unwrap().limit, 10);
        assert_eq!(tightest.state().tokens, None);
    }
}
