//! Tries the targets of a plan, in order, until one answers: encode, send, judge, retry or fail over, and commit to an answer.
//!
//! A streamed answer is committed to only when its first content is there, so that everything before that can fail over without
//! the caller noticing; after that a failure ends the stream in band. Dropping the future of [`dispatch`], or the answer's stream,
//! drops the request to the provider.
//!
//! An open breaker steers calls away but never refuses one that has nowhere else to go: when every target rests, the best of them
//! is tried once. It must not know why the plan is as it is, nor what the caller pays for it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dialect::Summary;
use http::HeaderMap;
use lifecycle::Clock;
use policy::compiled;
use policy::{Diagnostic, Digest, Policy, Prices};
use tokio::time::Instant;

use crate::exchange::{Attempt, Exchange};
use crate::failure::Failure;
use crate::frontend::Inbound;
use crate::routing::{Plan, Planned};
use crate::upstream::attempt::{Opened, Success, Try};
use crate::upstream::breaker::{Pass, Standing};
use crate::upstream::prepare::Ready;
use crate::upstream::provider::{Health, Upstream};
use crate::upstream::retry::{Class, Next, Situation, Toll};
use crate::upstream::trouble::Trouble;

pub use client::trust;
pub use credential::ReadEnv;
pub use raw::RawAnswer;
pub use stream::{AnswerStream, Broken, Ending};

mod attempt;
mod auth;
pub mod breaker;
mod client;
pub mod credential;
mod encoding;
pub mod latency;
mod native;
mod prepare;
mod provider;
mod pull;
mod raw;
mod remote;
pub mod retry;
mod spoken;
mod stream;
mod trouble;

/// What the room needs to come alive.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The process's time.
    pub clock: Clock,
    /// How many threads serve calls: each has its own connections.
    pub lanes: usize,
    /// Whom to trust; see [`trust`].
    pub tls: Arc<rustls::ClientConfig>,
    /// The environment.
    pub read_env: ReadEnv,
}

/// The providers of a policy with their connections, breakers and budgets.
#[derive(Debug, Default)]
pub struct Live {
    providers: HashMap<Digest, Arc<Upstream>>,
}

/// What answered.
#[derive(Debug)]
pub struct Answer {
    /// Who answered.
    pub target: Served,
    /// The provider's headers that the caller may see.
    pub headers: HeaderMap,
    /// The answer in the caller's dialect.
    pub body: AnswerBody,
    /// Fields of the call that the target has no word for.
    pub dropped: Vec<String>,
    /// Fields that got a value the caller did not choose.
    pub defaulted: Vec<(String, String)>,
}

/// Who answered.
#[derive(Debug, Clone)]
pub struct Served {
    /// The Model resource.
    pub model: String,
    /// The Provider resource.
    pub provider: String,
    /// The name sent upstream.
    pub upstream_model: String,
    /// What it costs there, where known.
    pub prices: Option<Prices>,
}

/// An answer, whole or under way.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole {
        /// The body.
        bytes: Bytes,
        /// What is known of it.
        summary: Summary,
    },
    /// Its beginning, with the rest to come.
    Stream(AnswerStream),
    /// The provider's own bytes, as they come.
    Raw(RawAnswer),
}

impl Live {
    /// Brings a policy's providers to life. One whose resource did not change keeps its connections, breakers and budget.
    pub fn build(policy: &Policy, previous: Option<&Self>, parts: &Parts) -> Result<Self, Vec<Diagnostic>> {
        let mut providers = HashMap::new();
        let mut diagnostics = Vec::new();
        for provider in policy.providers() {
            let kept = previous.and_then(|previous| previous.providers.get(&provider.fingerprint));
            match kept
                .map_or_else(|| Upstream::build(provider, parts).map(Arc::new), |one| Ok(Arc::clone(one)))
            {
                Ok(upstream) => {
                    providers.insert(provider.fingerprint, upstream);
                }
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        if diagnostics.is_empty() { Ok(Self { providers }) } else { Err(diagnostics) }
    }

    /// How a target stands, for ranking.
    pub fn standing(&self, target: &compiled::Target, upstream_model: &str, now: Instant) -> Standing {
        self.health(target, upstream_model).map_or(Standing::Closed, |health| health.breaker.standing(now))
    }

    /// What another call to a target is expected to cost in time, for ranking.
    pub fn latency(&self, target: &compiled::Target, upstream_model: &str, now: Instant) -> f64 {
        self.health(target, upstream_model).map_or(0.0, |health| health.latency.cost(now))
    }

    fn health(&self, target: &compiled::Target, upstream_model: &str) -> Option<Arc<Health>> {
        self.providers.get(&target.provider.fingerprint)?.known_health(upstream_model)
    }
}

/// Gets an answer from the first target of the plan that gives one.
pub async fn dispatch(
    live: &Live,
    plan: &Plan,
    inbound: &Inbound,
    exchange: &mut Exchange,
) -> Result<Answer, Failure> {
    Dispatch::new(live, plan, inbound, exchange).run().await
}

/// One call on its way along the plan.
struct Dispatch<'a> {
    live: &'a Live,
    plan: &'a Plan,
    inbound: &'a Inbound,
    exchange: &'a mut Exchange,
    clock: Clock,
    deadline: Instant,
    tries: u32,
    troubles: Vec<Trouble>,
    /// Targets that the call was too large for.
    too_small: Vec<usize>,
}

/// What a target's part of the loop came to.
enum Turn {
    Answered(Box<Answer>),
    NextTarget,
    GiveUp,
}

impl<'a> Dispatch<'a> {
    fn new(live: &'a Live, plan: &'a Plan, inbound: &'a Inbound, exchange: &'a mut Exchange) -> Self {
        let provider =
            plan.targets.first().map(|planned| planned.target.provider.timeouts).unwrap_or_default();
        let total = plan.timeouts.or(provider).or(policy::Timeouts::DEFAULT).total;
        let total = total.map_or(Duration::from_secs(600), Duration::from);
        Self {
            live,
            plan,
            inbound,
            clock: exchange.clock().clone(),
            deadline: exchange.accepted_at() + total,
            exchange,
            tries: 0,
            troubles: Vec::new(),
            too_small: Vec::new(),
        }
    }

    async fn run(mut self) -> Result<Answer, Failure> {
        let plan = self.plan;
        for (at, planned) in plan.targets.iter().enumerate() {
            match self.turn(at, planned).await {
                Turn::Answered(answer) => return Ok(*answer),
                Turn::NextTarget => {}
                Turn::GiveUp => break,
            }
        }
        Err(trouble::failure(self.troubles, self.inbound.call.envelope.continues.as_deref()))
    }

    /// Everything that happens at one target.
    async fn turn(&mut self, at: usize, planned: &Planned) -> Turn {
        if !self.fits(planned) {
            self.note(planned, "skipped", "no larger than a target the call was too large for");
            return Turn::NextTarget;
        }
        let ready = match self.prepare(planned).await {
            Ok(ready) => ready,
            Err(trouble) => {
                self.note(planned, trouble.outcome, trouble.detail());
                return match self.next(at, 0, trouble) {
                    Next::GiveUp => Turn::GiveUp,
                    Next::SameTarget(_) | Next::NextTarget => Turn::NextTarget,
                };
            }
        };
        let is_last = at + 1 >= self.plan.targets.len();
        let mut tries_here = 0;
        loop {
            let pass = match self.enter(at, &ready.health, tries_here) {
                Ok(pass) => pass,
                Err(standing) => {
                    self.note(planned, "skipped", standing_text(standing));
                    return Turn::NextTarget;
                }
            };
            tries_here += 1;
            self.tries += 1;
            let trouble = match self.attempt(planned, &ready, pass, (tries_here == 1, is_last)).await {
                Ok(success) => return Turn::Answered(Box::new(answer(planned, ready, success))),
                Err(trouble) => trouble,
            };
            if trouble.is_ours() {
                // Nothing was sent.
                self.tries -= 1;
            }
            match self.next(at, tries_here, trouble) {
                Next::SameTarget(delay) => tokio::time::sleep(delay).await,
                Next::NextTarget => return Turn::NextTarget,
                Next::GiveUp => return Turn::GiveUp,
            }
        }
    }

    /// One attempt, recorded whatever its ending.
    async fn attempt(
        &mut self,
        planned: &Planned,
        ready: &Ready,
        pass: Pass,
        (renews, is_last): (bool, bool),
    ) -> Result<Success, Trouble> {
        let began = self.clock.now();
        let provider = &planned.target.provider;
        let timeouts = self.plan.timeouts.or(provider.timeouts).or(policy::Timeouts::DEFAULT);
        let request_id = self.exchange.request_id().to_owned();
        let one = Try {
            upstream: &ready.upstream,
            health: &ready.health,
            call: &self.inbound.call,
            wire: ready.wire,
            method: &ready.method,
            uri: &ready.uri,
            body: &ready.body,
            headers: &ready.headers,
            renews,
            is_last,
            lane: self.exchange.lane(),
            request_id: &request_id,
            clock: &self.clock,
            timeouts,
            deadline: self.deadline,
        };
        let mut recording = Recording::begin(self.exchange, planned);
        let result = attempt::attempt(one).await;
        let now = self.clock.now();
        match &result {
            Ok(success) => {
                recording.end(success.status, "ok", Cow::Borrowed(""));
                // A native caller gets the provider's failures as they are, and they are failures all the same.
                if success.status >= 500 {
                    pass.failed(now);
                } else {
                    ready.health.latency.record(now.saturating_duration_since(began), now);
                    pass.succeeded(now);
                }
            }
            Err(trouble) => {
                recording.end(trouble.status, trouble.outcome, trouble.detail());
                match retry::toll(trouble.class, trouble.retry_after) {
                    // The target had no part in it.
                    _ if trouble.is_ours() => drop(pass),
                    Toll::None => pass.succeeded(now),
                    Toll::Failure => pass.failed(now),
                    Toll::Cooldown(pause) => {
                        ready.health.breaker.cool_until(now + pause);
                        drop(pass);
                    }
                }
            }
        }
        result
    }

    /// The table's verdict on a failed attempt, which is kept for the end.
    fn next(&mut self, at: usize, tries_here: u32, trouble: Trouble) -> Next {
        if trouble.class == Class::TooLarge {
            self.too_small.push(at);
        }
        let rest = self.plan.targets.get(at + 1..).unwrap_or_default();
        let situation = Situation {
            class: trouble.class,
            retry_after: trouble.retry_after,
            should_retry: trouble.should_retry,
            tries_here,
            tries: self.tries,
            has_next: rest.iter().any(|planned| self.fits(planned)),
            time_left: self.deadline.saturating_duration_since(self.clock.now()),
            jitter: fastrand::f64(),
        };
        self.troubles.push(trouble);
        if situation.time_left.is_zero() {
            return Next::GiveUp;
        }
        let upstream = self
            .plan
            .targets
            .get(at)
            .and_then(|one| self.live.providers.get(&one.target.provider.fingerprint));
        let budget = || upstream.is_some_and(|upstream| upstream.budget.withdraw());
        retry::decide(&situation, &self.plan.retries, budget)
    }

    /// Permission to call a target. Without any other target that would take the call, the first one must.
    fn enter(&self, at: usize, health: &Arc<Health>, tries_here: u32) -> Result<Pass, Standing> {
        let now = self.clock.now();
        health.breaker.enter(now).or_else(|standing| {
            let rest = self.plan.targets.get(at + 1..).unwrap_or_default();
            let is_well = |one: &Planned| {
                self.fits(one) && !self.live.standing(&one.target, &one.upstream_model, now).is_open()
            };
            if self.tries == 0 && tries_here == 0 && !rest.iter().any(is_well) {
                Ok(health.breaker.enter_regardless())
            } else {
                Err(standing)
            }
        })
    }

    /// Whether a call that was too large for some targets has a chance at this one.
    fn fits(&self, planned: &Planned) -> bool {
        self.too_small.iter().filter_map(|at| self.plan.targets.get(*at)).all(|small| {
            match (small.model.context_window, planned.model.context_window) {
                (Some(small), Some(this)) => this > small,
                _ => small.upstream_model != planned.upstream_model,
            }
        })
    }

    /// Writes down that a target got no request.
    fn note(&mut self, planned: &Planned, outcome: &'static str, detail: impl Into<Cow<'static, str>>) {
        Recording::begin(self.exchange, planned).end(0, outcome, detail.into());
    }
}

/// Writes an attempt down when it ends, also when its end is that the caller left.
struct Recording<'a> {
    exchange: &'a mut Exchange,
    attempt: Attempt,
}

impl<'a> Recording<'a> {
    fn begin(exchange: &'a mut Exchange, planned: &Planned) -> Self {
        let attempt = Attempt {
            provider: planned.target.provider.name.to_string(),
            upstream_model: planned.upstream_model.clone(),
            started_us: exchange.elapsed_us(),
            outcome: "abandoned",
            ..Attempt::default()
        };
        Self { exchange, attempt }
    }

    fn end(&mut self, status: u16, outcome: &'static str, detail: Cow<'static, str>) {
        self.attempt.status = status;
        self.attempt.outcome = outcome;
        self.attempt.detail = detail;
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let mut attempt = std::mem::take(&mut self.attempt);
        attempt.took_us = self.exchange.elapsed_us().saturating_sub(attempt.started_us);
        self.exchange.attempted(attempt);
    }
}

fn answer(planned: &Planned, ready: Ready, success: Success) -> Answer {
    Answer {
        target: Served {
            model: planned.model.name.to_string(),
            provider: planned.target.provider.name.to_string(),
            upstream_model: planned.upstream_model.clone(),
            prices: planned.target.prices.clone(),
        },
        headers: success.headers,
        body: match success.opened {
            Opened::Whole { bytes, summary } => AnswerBody::Whole { bytes, summary },
            Opened::Stream(stream) => AnswerBody::Stream(*stream),
            Opened::Raw(raw) => AnswerBody::Raw(*raw),
        },
        dropped: ready.dropped,
        defaulted: ready.defaulted,
    }
}

fn standing_text(standing: Standing) -> &'static str {
    match standing {
        Standing::Closed | Standing::ProbeDue => "",
        Standing::Probing => "breaker half open, a probe is on its way",
        Standing::Resting(_) => "breaker open",
        Standing::Cooling(_) => "asked for a pause",
    }
}

#[cfg(test)]
mod tests;
