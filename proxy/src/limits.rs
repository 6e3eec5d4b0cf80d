//! May this call start: every quota that applies is asked, in atomics, and what the call may need is reserved.
//!
//! [`Admitted`] is the proof. Dropping it ends the call for all limits and gives back the tokens that were reserved; settling it
//! first replaces the estimate by what was really used. It must not know targets, providers or prices.

mod concurrency;
mod live;
mod rate;

use std::time::Duration;

use policy::Policy;
use policy::compiled::{Matched, Quota, QuotaSubject};

use crate::exchange::{Exchange, LimitCheck};
use crate::failure::{Failure, code};
use crate::frontend::Inbound;
use crate::identity::{Caller, Permitted};
use crate::limits::live::{Bucket, Hold, Reservation};
use crate::limits::rate::Full;

pub use live::Live;

/// When a caller refused for concurrency should come again: nobody knows when a call ends, but they end all the time.
const CONCURRENCY_REST: Duration = Duration::from_secs(1);

/// A call that may start. Has no public constructor, so no road leads to a provider around the limits.
#[derive(Debug)]
pub struct Admitted {
    permitted: Permitted,
    reservation: Reservation,
}

impl Admitted {
    /// Who calls.
    pub fn caller(&self) -> &Caller {
        self.permitted.caller()
    }

    /// The name of the model that was asked for.
    pub fn asked(&self) -> &str {
        self.permitted.asked()
    }

    /// What that name means.
    pub fn matched(&self) -> &Matched {
        self.permitted.matched()
    }

    /// Replaces the estimate by what was really used and ends the call for all limits.
    pub fn settle(self, total_tokens: u64, output_tokens: u64) {
        let Self { permitted, reservation } = self;
        reservation.settle(&permitted.matched().model.name, total_tokens, output_tokens);
    }
}

/// Walks the quotas that apply. The first that refuses ends the walk, and what was taken before it is given back.
pub fn admit(
    policy: &Policy,
    live: &Live,
    permitted: Permitted,
    inbound: &Inbound,
    exchange: &mut Exchange,
) -> Result<Admitted, Failure> {
    let estimate = live.estimate(&permitted, inbound);
    let mut reservation = live.reservation(exchange.clock());
    let key = std::sync::Arc::clone(permitted.caller().key());
    let subject = QuotaSubject::from(key.as_ref());
    for quota in policy.quotas_for(&subject, permitted.asked()) {
        let bucket = live.bucket(quota, &permitted, exchange.clock())?;
        let mut walk = Walk { quota, bucket: &bucket, exchange, now_ns: reservation.now_ns() };
        let mut hold = Hold::default();
        let taken = walk.take(&mut hold, estimate);
        reservation.hold(bucket, hold);
        taken?;
    }
    reservation.begin();
    Ok(Admitted { permitted, reservation })
}

/// One step of the walk: one quota, one bucket.
struct Walk<'a> {
    quota: &'a Quota,
    bucket: &'a Bucket,
    exchange: &'a mut Exchange,
    now_ns: i64,
}

impl Walk<'_> {
    fn take(&mut self, hold: &mut Hold, estimate: u64) -> Result<(), Failure> {
        let limits = self.quota.limits;
        if let Some(limit) = limits.concurrency.map(|limit| u64::from(limit.get())) {
            let begun = self.bucket.concurrency.begin(limit);
            let running = begun.unwrap_or_else(|running| running);
            self.check("concurrency", limit, limit.saturating_sub(running), begun.is_ok());
            begun.map_err(|_running| self.too_many_at_once(limit))?;
            hold.has_slot = true;
        }
        if let Some(limit) = limits.requests_per_minute.map(|limit| u64::from(limit.get())) {
            let taken = self.bucket.requests.take(self.now_ns, limit, 1);
            let level = self.bucket.requests.level(self.now_ns, limit);
            self.check("requests_per_minute", limit, level.remaining, taken.is_ok());
            self.exchange.limit_state().requests(limit, level.remaining, level.reset);
            hold.requests = Some(taken.map_err(|full| self.too_many_requests(limit, full))?);
        }
        if let Some(limit) = limits.tokens_per_minute.map(|limit| u64::from(limit.get())) {
            let taken = self.bucket.tokens.take(self.now_ns, limit, estimate);
            let level = self.bucket.tokens.level(self.now_ns, limit);
            self.check("tokens_per_minute", limit, level.remaining, taken.is_ok());
            self.exchange.limit_state().tokens(limit, level.remaining, level.reset);
            hold.tokens = Some(taken.map_err(|full| self.too_many_tokens(limit, estimate, full))?);
        }
        Ok(())
    }

    fn check(&mut self, limit: &'static str, ceiling: u64, remaining: u64, admitted: bool) {
        self.exchange.limit(LimitCheck {
            quota: self.quota.name.to_string(),
            limit,
            bucket: self.bucket.label.clone(),
            ceiling: i64::try_from(ceiling).unwrap_or(i64::MAX),
            remaining: i64::try_from(remaining).unwrap_or(i64::MAX),
            admitted,
        });
    }

    fn too_many_at_once(&self, limit: u64) -> Failure {
        let message = format!("quota {} allows {limit} calls at the same time", self.name());
        Failure::policy(code::CONCURRENCY_LIMITED, 429, message).with_retry_after(Some(CONCURRENCY_REST))
    }

    fn too_many_requests(&self, limit: u64, full: Full) -> Failure {
        let message = format!("quota {} allows {limit} calls per minute", self.name());
        refused(message, full)
    }

    fn too_many_tokens(&self, limit: u64, estimate: u64, full: Full) -> Failure {
        let hint = match full {
            Full::For(_) => "",
            Full::Forever => ": shorten the input or lower the cap on output",
        };
        let name = self.name();
        let message =
            format!("quota {name} allows {limit} tokens per minute, and this call may need {estimate}{hint}");
        refused(message, full)
    }

    /// The quota as a caller can recognise it.
    fn name(&self) -> String {
        match self.bucket.label.as_str() {
            "" => format!("`{}`", self.quota.name),
            label => format!("`{}` ({label})", self.quota.name),
        }
    }
}

fn refused(message: String, full: Full) -> Failure {
    match full {
        Full::For(wait) => {
            let message = format!("{message}; there is room again in {:.1} s", wait.as_secs_f64());
            Failure::policy(code::RATE_LIMITED, 429, message).with_retry_after(Some(wait))
        }
        Full::Forever => Failure::policy(code::RATE_LIMITED, 429, message),
    }
}

#[cfg(test)]
mod tests;
