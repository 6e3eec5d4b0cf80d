//! Keeps calls away from a target that is failing, and lets one probe at a time find out whether it is well again.
//!
//! A breaker steers, it does not refuse: what happens to a call whose every target rests is decided by `upstream`.
//! It must not know what a call is; it is told of outcomes and of the time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerRules {
    /// Opens after this many failures in a row.
    pub consecutive_failures: u32,
    /// Opens when at least this share of a window's calls failed …
    pub error_share: f64,
    /// … provided that the window saw this many calls.
    pub least_calls: u32,
    /// The length of a window.
    pub window: Duration,
    /// The first rest; doubles with every failed probe.
    pub rest: Duration,
    /// The longest rest.
    pub longest_rest: Duration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            error_share: 0.5,
            least_calls: 20,
            window: Duration::from_secs(10),
            rest: Duration::from_secs(5),
            longest_rest: Duration::from_secs(60),
        }
    }
}

/// How a target stands, for ranking. Asking changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Takes calls.
    Closed,
    /// Has rested; the next call would be its probe.
    ProbeDue,
    /// A probe is on its way; others wait for its verdict.
    Probing,
    /// Takes no calls for this long.
    Resting(Duration),
    /// Asked us to come back later, for example with a 429.
    Cooling(Duration),
}

impl Standing {
    /// Whether a call should be sent there while another target is to be had.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Probing | Self::Resting(_) | Self::Cooling(_))
    }
}

/// One target's breaker.
#[derive(Debug)]
pub struct Breaker {
    rules: BreakerRules,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    in_a_row: u32,
    window_began: Instant,
    calls: u32,
    failures: u32,
    /// Set while open: when the rest ends.
    rests_until: Option<Instant>,
    next_rest: Duration,
    probing: bool,
    cools_until: Option<Instant>,
}

/// The permission to make one attempt. Tell it how the attempt ended; dropped without a verdict (the caller hung up) it counts as nothing.
#[derive(Debug)]
#[must_use = "the breaker learns from the verdict"]
pub struct Pass {
    breaker: Arc<Breaker>,
    is_probe: bool,
    judged: bool,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(rules: BreakerRules, now: Instant) -> Self {
        let state = State {
            in_a_row: 0,
            window_began: now,
            calls: 0,
            failures: 0,
            rests_until: None,
            next_rest: rules.rest,
            probing: false,
            cools_until: None,
        };
        Self { rules, state: Mutex::new(state) }
    }

    /// How the target stands now.
    pub fn standing(&self, now: Instant) -> Standing {
        let state = self.state.lock();
        if let Some(left) = state.cools_until.and_then(|until| time_left(until, now)) {
            return Standing::Cooling(left);
        }
        match state.rests_until {
            None => Standing::Closed,
            Some(until) => match time_left(until, now) {
                Some(left) => Standing::Resting(left),
                None if state.probing => Standing::Probing,
                None => Standing::ProbeDue,
            },
        }
    }

    /// Permission for one attempt, or how the target stands instead. The first to enter after a rest is the probe.
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass, Standing> {
        let standing = self.standing(now);
        if standing.is_open() {
            return Err(standing);
        }
        let mut state = self.state.lock();
        let is_probe = state.rests_until.is_some();
        if is_probe && state.probing {
            return Err(Standing::Probing);
        }
        state.probing = is_probe;
        drop(state);
        Ok(Pass { breaker: Arc::clone(self), is_probe, judged: false })
    }

    /// Permission without asking, for a call that has nowhere else to go.
    pub fn enter_regardless(self: &Arc<Self>) -> Pass {
        Pass { breaker: Arc::clone(self), is_probe: false, judged: false }
    }

    /// Keeps calls away until `until`, because the target asked for it. A later end wins.
    pub fn cool_until(&self, until: Instant) {
        let mut state = self.state.lock();
        state.cools_until = Some(state.cools_until.map_or(until, |earlier| earlier.max(until)));
    }

    fn succeeded(&self, is_probe: bool, now: Instant) {
        let mut state = self.state.lock();
        state.in_a_row = 0;
        if state.rests_until.is_some() && !is_probe {
            // An answer to a call from before the opening, or one sent regardless: the probe decides.
            return;
        }
        if is_probe {
            state.rests_until = None;
            state.probing = false;
            state.next_rest = self.rules.rest;
            state.begin_window(now);
            return;
        }
        state.count(now, self.rules.window, false);
    }

    fn failed(&self, is_probe: bool, now: Instant) {
        let mut state = self.state.lock();
        state.in_a_row = state.in_a_row.saturating_add(1);
        if is_probe {
            state.probing = false;
            state.open(now, self.rules.longest_rest);
            return;
        }
        if state.rests_until.is_some() {
            return;
        }
        state.count(now, self.rules.window, true);
        let too_many = state.calls >= self.rules.least_calls
            && f64::from(state.failures) >= f64::from(state.calls) * self.rules.error_share;
        if state.in_a_row >= self.rules.consecutive_failures || too_many {
            state.open(now, self.rules.longest_rest);
        }
    }
}

impl State {
    fn begin_window(&mut self, now: Instant) {
        self.window_began = now;
        self.calls = 0;
        self.failures = 0;
    }

    fn count(&mut self, now: Instant, window: Duration, failed: bool) {
        if now.saturating_duration_since(self.window_began) >= window {
            self.begin_window(now);
        }
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(failed));
    }

    fn open(&mut self, now: Instant, longest: Duration) {
        self.rests_until = Some(now + self.next_rest);
        self.next_rest = (self.next_rest * 2).min(longest);
        self.begin_window(now);
    }
}

impl Pass {
    /// Whether this attempt decides on reopening the target.
    pub const fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The target did its part, also when it refused the request for good reason.
    pub fn succeeded(mut self, now: Instant) {
        self.judged = true;
        self.breaker.succeeded(self.is_probe, now);
    }

    /// The target failed in a way that says something about its health.
    pub fn failed(mut self, now: Instant) {
        self.judged = true;
        self.breaker.failed(self.is_probe, now);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.judged && self.is_probe {
            self.breaker.state.lock().probing = false;
        }
    }
}

fn time_left(until: Instant, now: Instant) -> Option<Duration> {
    until.checked_duration_since(now).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
