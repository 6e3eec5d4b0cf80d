//! Routes: their conditions, and whether their targets can serve.

use std::{collections::HashMap, sync::Arc};

use super::{Compiler, Models, hint_within, index_by_model};
use crate::{
    BackoffSpec, Condition, Name, Resource, RetriesSpec, RouteSpec, RuleSpec, Span,
    compiled::{Matched, Retries, Route, Rule, TargetRef},
    condition,
    diagnostic::{Report, hint},
};

/// Conditions by their source: equal ones are compiled once.
type Conditions<'r> = HashMap<&'r str, Result<Arc<Condition>, condition::Problem>>;

/// What a rule may refer to.
struct Known<'a> {
    group: &'a Name,
    selection_hint: &'static str,
    models: Models<'a>,
    findings: usize,
    conditions: &'a Conditions<'a>,
}

impl Compiler<'_> {
    pub(super) fn routes(&mut self) {
        let specs = std::mem::take(&mut self.route_specs);
        let mut ordered: Vec<(&Name, (&Resource, &RouteSpec))> = specs.into_iter().collect();
        ordered.sort_by_key(|(name, (_, spec))| (spec.order, *name));
        let conditions = compile_conditions(ordered.iter().map(|(_, (_, spec))| *spec));
        let models = Models { models: &self.parts.models, by_name: &self.parts.models_by_name };
        let mut routes = Vec::with_capacity(ordered.len());
        for (name, (resource, spec)) in &ordered {
            let mut report = Report::new(resource.id());
            let known = Known {
                group: self.name,
                selection_hint: self.selection_hint(),
                models,
                findings: self.findings.len(),
                conditions: &conditions,
            };
            let rules = spec.rules.iter().enumerate();
            let rules = rules.map(|(index, rule)| known.rule(rule, index, &mut report)).collect();
            check_reach(spec, &mut report);
            if let Some(patterns) = &spec.models {
                models.check_patterns(patterns, self.findings.len(), &mut report);
            }
            self.findings.append(&mut report.into_diagnostics());
            routes.push(Arc::new(Route { name: (*name).clone(), rules }));
        }
        self.parts.routes_by_model =
            index_by_model(ordered.iter().map(|(_, (_, spec))| spec.models.as_ref()));
        self.parts.routes = routes;
    }
}

fn compile_conditions<'r>(specs: impl Iterator<Item = &'r RouteSpec>) -> Conditions<'r> {
    let mut sources: Vec<&str> =
        specs.flat_map(|spec| spec.rules.iter()).filter_map(|rule| rule.when.as_deref()).collect();
    sources.sort_unstable();
    sources.dedup();
    let compiled = condition::compile_all(&sources);
    sources.into_iter().zip(compiled).collect()
}

/// Rules after one that always holds are never reached.
fn check_reach(spec: &RouteSpec, report: &mut Report) {
    let always = spec.rules.iter().position(|rule| rule.when.is_none());
    if let Some(index) = always.filter(|index| index + 1 < spec.rules.len()) {
        let message = format!("never reached: rule {} before it has no `when` and always holds", index + 1);
        report.warning(format_args!("spec.rules[{}]", index + 1), "unreachable_rule", message);
    }
}

impl Known<'_> {
    fn rule(&self, rule: &RuleSpec, index: usize, report: &mut Report) -> Rule {
        let path = format!("spec.rules[{index}]");
        let when = rule.when.as_deref().and_then(|source| match self.conditions.get(source) {
            Some(Ok(condition)) => Some(Arc::clone(condition)),
            Some(Err(problem)) => {
                report.error(format_args!("{path}.when"), problem.code, problem.message.clone());
                None
            }
            None => {
                report.error(format_args!("{path}.when"), "internal", "the condition was not compiled");
                None
            }
        });
        let targets = rule.targets.as_ref().map(|targets| {
            let resolved = targets.iter().enumerate().filter_map(|(position, target)| {
                let path = format!("{path}.targets[{position}]");
                self.resolve(&target.model, target.provider.as_ref(), target.weight, (&path, report))
            });
            resolved.collect()
        });
        let resolved = rule.fallbacks.iter().enumerate().filter_map(|(position, fallback)| {
            let path = format!("{path}.fallbacks[{position}]");
            self.resolve(&fallback.model, fallback.provider.as_ref(), None, (&path, report))
        });
        let fallbacks = resolved.collect();
        Rule {
            label: rule.name.as_ref().map_or_else(|| (index + 1).to_string(), ToString::to_string),
            when,
            strategy: rule.strategy.unwrap_or_default(),
            sticky_by: rule.sticky_by.clone(),
            targets,
            fallbacks,
            timeouts: rule.timeouts,
            retries: retries(&rule.retries),
            on_unsupported: rule.on_unsupported,
        }
    }

    fn resolve(
        &self,
        asked: &Name,
        provider: Option<&Name>,
        weight: Option<u32>,
        (path, report): (&str, &mut Report),
    ) -> Option<TargetRef> {
        let Some(Matched { model, star }) = self.models.find(asked) else {
            let hint = hint_within(self.findings, asked, self.models.names());
            let message =
                format!("no Model named `{asked}` in group `{}`{}{hint}", self.group, self.selection_hint);
            report.error(format_args!("{path}.model"), "dangling_reference", message);
            return None;
        };
        let mut at = model.targets.iter().map(|target| &target.provider.name);
        if let Some(provider) = provider
            && !at.any(|name| name == provider)
        {
            let names: Vec<&str> = model.targets.iter().map(|target| target.provider.name.as_str()).collect();
            let hint = hint(provider, names.iter().copied());
            let message = format!("Model `{}` has no target at Provider `{provider}`{hint}", model.name);
            report.error(format_args!("{path}.provider"), "dangling_reference", message);
            return None;
        }
        Some(TargetRef { asked: asked.clone(), model, star, provider: provider.cloned(), weight })
    }
}

fn retries(spec: &RetriesSpec) -> Retries {
    let default = Retries::default();
    let backoff: BackoffSpec = spec.backoff.unwrap_or_default();
    // Where only one end is authored, the other gives way.
    let (base, max) = match (backoff.base.map(Span::duration), backoff.max.map(Span::duration)) {
        (Some(base), Some(max)) => (base, max),
        (Some(base), None) => (base, default.backoff_max.max(base)),
        (None, Some(max)) => (default.backoff_base.min(max), max),
        (None, None) => (default.backoff_base, default.backoff_max),
    };
    Retries {
        attempts: spec.attempts.map_or(default.attempts, std::num::NonZeroU32::get),
        per_target: spec.per_target.map_or(default.per_target, std::num::NonZeroU32::get),
        backoff_base: base,
        backoff_max: max,
        budget_percent: spec.budget_percent.unwrap_or(default.budget_percent),
    }
}
