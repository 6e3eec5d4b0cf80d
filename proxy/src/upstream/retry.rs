//! What to do after a failed attempt: the table of classes, as one pure function, and the budget that keeps retries a share of live traffic.
//!
//! | class | same target | next target | health |
//! |---|---|---|---|
//! | unreachable (connect, DNS, TLS, reset before the first byte) | once, jittered | yes | yes |
//! | overdue (no first byte in time) | no | yes | yes |
//! | transient (408, 425, 5xx, 529, embedded) | with backoff, `Retry-After` as floor | yes | yes |
//! | rate limited | only when `Retry-After` is at most 5 s | yes | cooldown until the reset |
//! | quota or credit exhausted | no | yes | long cooldown |
//! | credential | no | yes, at once | cooldown |
//! | model not found | no | yes | no |
//! | too large | no | only one that fits | no |
//! | unsupported by the target, or the target is not usable here | no | yes, at once, free | no |
//! | invalid request, filtered | no | no | no |
//!
//! The budget limits repetitions at the same provider: a failover to another provider multiplies nobody's load and is what
//! the fallbacks were written for, so it does not draw on the budget. Time and randomness are arguments.

use std::time::Duration;

use parking_lot::Mutex;

/// The longest `Retry-After` that is waited for while the caller waits.
pub const INLINE_CAP: Duration = Duration::from_secs(5);

/// Why an attempt failed, as far as retrying is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// No byte of an answer came: connect, DNS, TLS, reset.
    Unreachable,
    /// No first byte within the time allowed.
    Overdue,
    /// The provider failed: 408, 425, 5xx, 529, an error in a 200, an answer that makes no sense.
    Transient,
    /// 429 with the prospect of a reset.
    RateLimited,
    /// 429 or 402 that only money or an administrator ends.
    QuotaExhausted,
    /// 401, 403: our key, not the caller's.
    Credential,
    /// The provider does not know the model.
    NotFound,
    /// 413 or the context window.
    TooLarge,
    /// The target cannot express the request, or cannot be used from here; nothing was sent.
    Unsupported,
    /// 400, 422: the request would fail anywhere.
    Invalid,
    /// The provider's own content filter refused.
    Filtered,
}

/// What a failed attempt does to the standing of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toll {
    /// The target is well.
    None,
    /// Counts against its health.
    Failure,
    /// The target is to be left alone for this long.
    Cooldown(Duration),
}

/// Everything the decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// Why the last attempt failed.
    pub class: Class,
    /// What the provider asked for.
    pub retry_after: Option<Duration>,
    /// What the provider said of retrying, with `x-should-retry`.
    pub should_retry: Option<bool>,
    /// Attempts made at this target, the failed one included.
    pub tries_here: u32,
    /// Attempts made at all targets.
    pub tries: u32,
    /// Whether the plan has another target.
    pub has_next: bool,
    /// Until the call's deadline.
    pub time_left: Duration,
    /// Between 0 and 1.
    pub jitter: f64,
}

/// How often and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRules {
    /// Attempts over all targets.
    pub attempts: u32,
    /// Attempts at one target.
    pub per_target: u32,
    /// The first backoff.
    pub base: Duration,
    /// The longest backoff.
    pub max: Duration,
    /// Repetitions as a share of live traffic, in percent.
    pub budget_percent: u32,
}

impl From<&policy::compiled::Retries> for RetryRules {
    fn from(authored: &policy::compiled::Retries) -> Self {
        Self {
            attempts: authored.attempts,
            per_target: authored.per_target,
            base: authored.backoff_base,
            max: authored.backoff_max,
            budget_percent: authored.budget_percent,
        }
    }
}

impl RetryRules {
    /// Every target gets one try: for calls of which nobody knows what a second one would do.
    pub fn each_once(targets: usize) -> Self {
        Self { attempts: u32::try_from(targets).unwrap_or(u32::MAX).max(1), per_target: 1, ..Self::default() }
    }
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 3,
            per_target: 2,
            base: Duration::from_millis(100),
            max: Duration::from_secs(2),
            budget_percent: 20,
        }
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same target again after this delay, if the budget grants it.
    SameTarget(Duration),
    /// The next target, at once.
    NextTarget,
    /// No more attempts.
    GiveUp,
}

/// The table of this module. `budget` is asked only when everything else speaks for the same target.
pub fn decide(situation: &Situation, rules: &RetryRules, budget: impl FnOnce() -> bool) -> Next {
    if matches!(situation.class, Class::Invalid | Class::Filtered) {
        return Next::GiveUp;
    }
    let spent = situation.tries >= rules.attempts;
    // Nothing was sent to a target that cannot be used, so moving on is free.
    if spent && situation.class != Class::Unsupported {
        return Next::GiveUp;
    }
    let elsewhere = if situation.has_next { Next::NextTarget } else { Next::GiveUp };
    match delay_here(situation, rules) {
        Some(delay) if delay < situation.time_left && budget() => Next::SameTarget(delay),
        Some(_) | None => elsewhere,
    }
}

/// How long to wait before the same target is tried again; `None` when it should not be.
fn delay_here(situation: &Situation, rules: &RetryRules) -> Option<Duration> {
    let most = match situation.class {
        Class::Unreachable => rules.per_target.min(2),
        Class::Transient => rules.per_target,
        Class::RateLimited if situation.retry_after.is_some() => rules.per_target,
        _ => return None,
    };
    let floor = situation.retry_after.unwrap_or_default();
    if situation.tries_here >= most || floor > INLINE_CAP || situation.should_retry == Some(false) {
        return None;
    }
    Some(backoff(rules, situation.tries_here, situation.jitter).max(floor))
}

/// Full jitter: anything between nothing and the doubled-each-time ceiling.
fn backoff(rules: &RetryRules, tries_here: u32, jitter: f64) -> Duration {
    let doublings = tries_here.saturating_sub(1).min(16);
    let ceiling = rules.base.saturating_mul(1 << doublings).min(rules.max);
    ceiling.mul_f64(jitter.clamp(0.0, 1.0))
}

/// What the failure does to the target.
pub fn toll(class: Class, retry_after: Option<Duration>) -> Toll {
    const LONGEST: Duration = Duration::from_secs(3600);
    match class {
        Class::Unreachable | Class::Overdue | Class::Transient => Toll::Failure,
        Class::RateLimited => Toll::Cooldown(retry_after.unwrap_or(Duration::from_secs(1)).min(LONGEST)),
        Class::QuotaExhausted => Toll::Cooldown(retry_after.unwrap_or(Duration::from_secs(300)).min(LONGEST)),
        Class::Credential => Toll::Cooldown(Duration::from_secs(30)),
        Class::NotFound | Class::TooLarge | Class::Unsupported | Class::Invalid | Class::Filtered => {
            Toll::None
        }
    }
}

/// Repetitions as a share of live traffic: every call pays a share of a token in, every repetition takes one out.
#[derive(Debug)]
pub struct RetryBudget {
    /// In hundredths of a token, so that a percentage adds exactly.
    hundredths: Mutex<u64>,
}

/// Enough for a quiet proxy to repeat at all.
const BUDGET_FLOOR: u64 = 10 * 100;
/// What a busy proxy can save up for a bad moment.
const BUDGET_CEILING: u64 = 100 * 100;

impl RetryBudget {
    /// Starts with the floor.
    pub const fn new() -> Self {
        Self { hundredths: Mutex::new(BUDGET_FLOOR) }
    }

    /// A call arrived.
    pub fn deposit(&self, percent: u32) {
        let mut hundredths = self.hundredths.lock();
        *hundredths = hundredths.saturating_add(u64::from(percent)).min(BUDGET_CEILING);
    }

    /// Takes one repetition out, if there is one.
    pub fn withdraw(&self) -> bool {
        let mut hundredths = self.hundredths.lock();
        match hundredths.checked_sub(100) {
            Some(left) => {
                *hundredths = left;
                true
            }
            None => false,
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
