//! Decides which targets may serve a call, and in which order they are tried.
//!
//! Routes for the model asked are gone through in order; the first rule whose condition holds decides. Its targets are filtered by
//! what the call needs, ordered by the rule's strategy, and followed by the fallbacks. Every target looked at is recorded with the
//! reason for its place, the rejected ones too. A condition that cannot be computed counts as one that does not hold, and is recorded.
//! It must not call anybody.

use std::borrow::Cow;
use std::sync::Arc;

use policy::compiled::{self, Matched, Rule, TargetRef};
use policy::{OnUnsupported, Policy, Strategy, Timeouts};
use tokio::time::Instant;

use crate::exchange::{Candidate, Decided, Exchange};
use crate::failure::{Failure, code};
use crate::frontend::Inbound;
use crate::limits::Admitted;
use crate::routing::classify::{Caller, Needs};
use crate::routing::rank::{Contender, Fitness, Order};
use crate::runtime::Runtime;
use crate::upstream::breaker::Standing;
use crate::upstream::retry::RetryRules;

mod classify;
pub mod rank;

/// How many reasons a refusal tells.
const REASONS_TOLD: usize = 4;

/// Where a call may go, in order. Only [`plan`] makes one.
#[derive(Debug)]
pub struct Plan {
    pub(crate) targets: Vec<Planned>,
    pub(crate) timeouts: Timeouts,
    pub(crate) retries: RetryRules,
    /// What the rule says of fields that a target has no word for.
    pub(crate) on_unsupported: Option<OnUnsupported>,
}

/// A target of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) model: Arc<compiled::Model>,
    pub(crate) target: Arc<compiled::Target>,
    pub(crate) upstream_model: String,
    weight: u32,
}

impl Planned {
    /// A target by itself, for tests of what comes after routing.
    #[cfg(test)]
    pub(crate) fn of(model: &Arc<compiled::Model>, target: &Arc<compiled::Target>) -> Self {
        let upstream_model = target.upstream_name(model.name.as_str(), None).into_owned();
        Self { model: Arc::clone(model), target: Arc::clone(target), upstream_model, weight: target.weight }
    }

    /// Whether the model reasons, where policy says so.
    pub(crate) fn reasons(&self) -> Option<bool> {
        self.model.capabilities.as_ref().map(|all| all.contains(policy::Capability::Reasoning))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.target.provider.fingerprint == other.target.provider.fingerprint
            && self.upstream_model == other.upstream_model
    }

    fn candidate(&self, rank: u32, reason: Cow<'static, str>) -> Candidate {
        Candidate {
            model: self.model.name.to_string(),
            provider: self.target.provider.name.to_string(),
            upstream_model: self.upstream_model.clone(),
            rank,
            reason,
        }
    }
}

/// Decides where the call may go. What was decided is in the exchange, also when nothing was found.
pub fn plan(
    runtime: &Runtime,
    admitted: &Admitted,
    inbound: &Inbound,
    exchange: &mut Exchange,
) -> Result<Plan, Failure> {
    let question = Question {
        policy: &runtime.policy,
        live: &runtime.upstreams,
        caller: &Caller::new(admitted.caller().key(), inbound),
        matched: admitted.matched(),
        inbound,
        needs: Needs::of(&inbound.call),
        now: exchange.clock().now(),
    };
    let (plan, decided) = question.answer(&mut fastrand::f64);
    exchange.decide(decided);
    plan
}

/// Everything a decision depends on but chance.
struct Question<'a> {
    policy: &'a Policy,
    live: &'a crate::upstream::Live,
    caller: &'a Caller<'a>,
    matched: &'a Matched,
    inbound: &'a Inbound,
    needs: Needs,
    now: Instant,
}

/// The targets looked at so far.
#[derive(Default)]
struct Found {
    kept: Vec<Planned>,
    rejected: Vec<Candidate>,
}

impl Found {
    /// The targets that a rule names with one entry.
    fn add_all(&mut self, reference: &TargetRef, needs: &Needs) {
        for target in reference.targets() {
            let asked = reference.asked.as_str();
            let planned = Planned {
                model: Arc::clone(&reference.model),
                target: Arc::clone(target),
                upstream_model: target.upstream_name(asked, reference.star.as_deref()).into_owned(),
                weight: reference.weight.unwrap_or(target.weight),
            };
            self.add(planned, needs);
        }
    }

    /// Keeps a target that can serve the call and was not named before.
    fn add(&mut self, planned: Planned, needs: &Needs) {
        if self.kept.iter().any(|kept| kept.is_same(&planned)) {
            self.rejected.push(planned.candidate(0, "rejected: named already".into()));
        } else if let Some(reason) = needs.unmet_by(&planned.model, &planned.target.provider) {
            self.rejected.push(planned.candidate(0, format!("rejected: {reason}").into()));
        } else {
            self.kept.push(planned);
        }
    }
}

impl Question<'_> {
    fn answer(&self, random: &mut dyn FnMut() -> f64) -> (Result<Plan, Failure>, Decided) {
        let mut found = Found::default();
        let (route, rule) = self.rule(&mut found);
        self.collect(rule, &mut found);
        let mut candidates = Vec::with_capacity(found.kept.len() + found.rejected.len());
        let mut targets = self.order(rule, &found.kept, &mut candidates, random);
        self.append_fallbacks(rule, &mut targets, &mut candidates, &mut found.rejected);
        self.prefer_holder(&mut targets, &mut candidates);
        candidates.append(&mut found.rejected);
        let plan = if targets.is_empty() {
            Err(self.no_target(&candidates))
        } else {
            Ok(Plan {
                timeouts: rule.map(|rule| rule.timeouts).unwrap_or_default(),
                retries: match (rule, &self.inbound.passage) {
                    (Some(rule), _) => RetryRules::from(&rule.retries),
                    (None, None) => RetryRules::default(),
                    (None, Some(_)) => RetryRules::each_once(targets.len()),
                },
                on_unsupported: rule.and_then(|rule| rule.on_unsupported),
                targets,
            })
        };
        let decided = Decided {
            route: route.map(|route| route.name.to_string()).unwrap_or_default(),
            rule: rule.map(|rule| rule.label.clone()).unwrap_or_default(),
            strategy: strategy_name(rule.map_or(Strategy::Priority, |rule| rule.strategy)),
            candidates,
        };
        (plan, decided)
    }

    /// The first rule that holds. What could not be computed is noted among the rejected.
    fn rule(&self, found: &mut Found) -> (Option<&compiled::Route>, Option<&Rule>) {
        if self.inbound.passage.is_some() {
            // The provider is chosen already.
            return (None, None);
        }
        for route in self.policy.routes_for(&self.inbound.call.envelope.model) {
            for rule in &route.rules {
                let Some(condition) = &rule.when else { return (Some(route), Some(rule)) };
                match condition.evaluate(&self.caller.facts(&self.needs)) {
                    Ok(true) => return (Some(route), Some(rule)),
                    Ok(false) => {}
                    Err(error) => found.rejected.push(Candidate {
                        reason: format!(
                            "rule `{}` of route `{}` not taken: its condition cannot be computed: {error}",
                            rule.label, route.name
                        )
                        .into(),
                        ..Candidate::default()
                    }),
                }
            }
        }
        (None, None)
    }

    /// The rule's own targets, or those of the model asked.
    fn collect(&self, rule: Option<&Rule>, found: &mut Found) {
        let Some(targets) = rule.and_then(|rule| rule.targets.as_ref()) else {
            let asked = self.inbound.call.envelope.model.as_str();
            for target in &self.matched.model.targets {
                let upstream_model = target.upstream_name(asked, self.matched.star.as_deref()).into_owned();
                let planned = Planned {
                    model: Arc::clone(&self.matched.model),
                    target: Arc::clone(target),
                    upstream_model,
                    weight: target.weight,
                };
                found.add(planned, &self.needs);
            }
            return;
        };
        for reference in targets {
            found.add_all(reference, &self.needs);
        }
    }

    fn order(
        &self,
        rule: Option<&Rule>,
        kept: &[Planned],
        candidates: &mut Vec<Candidate>,
        random: &mut dyn FnMut() -> f64,
    ) -> Vec<Planned> {
        let sticky = rule.and_then(|rule| self.caller.stickiness(&rule.sticky_by));
        let order = match rule.map_or(Strategy::Priority, |rule| rule.strategy) {
            Strategy::Priority => Order::Priority,
            Strategy::Weighted => Order::Weighted,
            Strategy::LeastLatency => Order::LeastLatency,
            Strategy::Cheapest => Order::Cheapest,
            Strategy::Sticky => Order::Sticky(sticky.as_deref()),
        };
        let identities: Vec<String> = match order {
            Order::Sticky(_) => kept.iter().map(identity).collect(),
            _ => Vec::new(),
        };
        let contenders: Vec<Contender<'_>> = kept
            .iter()
            .enumerate()
            .map(|(index, planned)| Contender {
                identity: identities.get(index).map_or("", String::as_str),
                weight: planned.weight,
                fitness: self.fitness(planned),
                latency: match order {
                    Order::LeastLatency => {
                        self.live.latency(&planned.target, &planned.upstream_model, self.now)
                    }
                    _ => 0.0,
                },
                price: planned.target.prices.as_ref().map(|prices| self.needs.price(prices)),
            })
            .collect();
        let places = rank::rank(order, &contenders, random);
        let mut targets = Vec::with_capacity(kept.len());
        for place in places {
            if let Some(planned) = kept.get(place.index) {
                candidates.push(planned.candidate(rank_of(targets.len()), place.reason));
                targets.push(planned.clone());
            }
        }
        targets
    }

    /// The fallbacks, as written, after everything else.
    fn append_fallbacks(
        &self,
        rule: Option<&Rule>,
        targets: &mut Vec<Planned>,
        candidates: &mut Vec<Candidate>,
        rejected: &mut Vec<Candidate>,
    ) {
        let Some(rule) = rule else { return };
        let mut found = Found::default();
        for fallback in &rule.fallbacks {
            found.add_all(fallback, &self.needs);
        }
        for planned in found.kept {
            if targets.iter().any(|earlier| earlier.is_same(&planned)) {
                rejected.push(planned.candidate(0, "rejected: named already".into()));
            } else {
                candidates.push(planned.candidate(rank_of(targets.len()), "fallback".into()));
                targets.push(planned);
            }
        }
        rejected.append(&mut found.rejected);
    }

    /// Whoever holds what the call mentions comes first: elsewhere it would make no sense.
    fn prefer_holder(&self, targets: &mut [Planned], candidates: &mut [Candidate]) {
        let Some(holder) = &self.inbound.holder else { return };
        let is_holder = |planned: &Planned| *planned.target.provider.name.as_str() == *holder.provider;
        let Some(at) = targets.iter().position(is_holder).filter(|at| *at > 0) else { return };
        if let Some(front) = targets.get_mut(..=at) {
            front.rotate_right(1);
        }
        for candidate in candidates.iter_mut().filter(|candidate| candidate.rank > 0) {
            let rank = usize::try_from(candidate.rank).unwrap_or(usize::MAX);
            if rank == at + 1 {
                candidate.rank = 1;
                candidate.reason = "holds what the call mentions".into();
            } else if rank <= at {
                candidate.rank += 1;
            }
        }
    }

    fn fitness(&self, planned: &Planned) -> Fitness {
        match self.live.standing(&planned.target, &planned.upstream_model, self.now) {
            Standing::Closed | Standing::ProbeDue => Fitness::Well,
            Standing::Probing => Fitness::Probing,
            Standing::Resting(left) => Fitness::Resting(left),
            Standing::Cooling(left) => Fitness::Cooling(left),
        }
    }

    /// Nothing can serve the call. When every target said so because of the call, the call is at fault.
    fn no_target(&self, candidates: &[Candidate]) -> Failure {
        let asked = &self.inbound.call.envelope.model;
        let reasons: Vec<String> = candidates
            .iter()
            .filter(|candidate| !candidate.provider.is_empty())
            .take(REASONS_TOLD)
            .map(|candidate| {
                let reason = candidate.reason.strip_prefix("rejected: ").unwrap_or(&candidate.reason);
                format!("`{}` at `{}`: {reason}", candidate.upstream_model, candidate.provider)
            })
            .collect();
        if reasons.is_empty() {
            return Failure::policy(code::NO_TARGET, 503, format!("no target serves the model `{asked}`"));
        }
        let message = format!("no target of the model `{asked}` can serve this call: {}", reasons.join("; "));
        Failure::policy(code::NO_TARGET, 400, message)
    }
}

/// What makes a target the same one across proxies and versions.
fn identity(planned: &Planned) -> String {
    format!("{}/{}", planned.target.provider.name, planned.upstream_model)
}

/// Ranks count from 1.
fn rank_of(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX).saturating_add(1)
}

fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Priority => "priority",
        Strategy::Weighted => "weighted",
        Strategy::LeastLatency => "least_latency",
        Strategy::Cheapest => "cheapest",
        Strategy::Sticky => "sticky",
    }
}

#[cfg(test)]
mod tests;
