//! Sense together: the resources of a group become a [`Policy`], or findings about how they do not fit each other.

mod routes;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    ConsumerSpec, Diagnostic, Digest, GroupSpec, KeySpec, Manifest, ModelSpec, Name, Pattern, Patterns,
    Policy, ProviderSpec, QuotaSpec, Resource, ResourceId, RouteSpec, Spec,
    compiled::{
        Consumer, Group, Key, Matched, Model, NameIndex, PolicyParts, Provider, Quota, QuotaIndex,
        QuotaSubject, Target,
    },
    diagnostic::{Report, has_errors, hint},
    limits,
    provider::Resolved,
    resource::canonical_bytes,
};

/// A policy and what is probably not meant.
#[derive(Debug)]
pub struct Compiled {
    /// What proxies enforce.
    pub policy: Policy,
    /// Findings that do not refuse it.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles what [`crate::Catalog::select`] gives for a group. All findings are reported at once.
pub fn compile(group: &Name, version: u64, resources: &[Arc<Resource>]) -> Result<Compiled, Vec<Diagnostic>> {
    if resources.len() > limits::RESOURCES {
        let mut report = Report::new(format_args!("Group/{group}"));
        let message =
            format!("at most {} resources in one version, these are {}", limits::RESOURCES, resources.len());
        report.error("", "too_large", message);
        return Err(report.into_diagnostics());
    }
    let mut compiler = Compiler::sort(group, resources);
    let bodies: Vec<Vec<u8>> = resources.iter().map(|resource| resource.canonical()).collect();
    compiler.check_sizes(resources, &bodies);
    compiler.providers();
    compiler.models();
    compiler.consumers();
    compiler.keys();
    compiler.quotas();
    compiler.routes();
    let Compiler { group: settings, parts, findings, .. } = compiler;
    if has_errors(&findings) {
        return Err(findings);
    }
    let entries =
        resources.iter().zip(&bodies).map(|(resource, body)| crate::Entry::of(resource, body)).collect();
    let digest = Manifest::new(group, entries).digest();
    let group = Group { name: group.clone(), unlisted_models: settings.unlisted_models.unwrap_or_default() };
    Ok(Compiled { policy: Policy::new(version, digest, group, parts), warnings: findings })
}

/// Resources of one kind, by name.
type ByName<'r, S> = BTreeMap<&'r Name, (&'r Resource, &'r S)>;

struct Compiler<'r> {
    name: &'r Name,
    group: GroupSpec,
    provider_specs: ByName<'r, ProviderSpec>,
    model_specs: ByName<'r, ModelSpec>,
    route_specs: ByName<'r, RouteSpec>,
    consumer_specs: ByName<'r, ConsumerSpec>,
    key_specs: ByName<'r, KeySpec>,
    quota_specs: ByName<'r, QuotaSpec>,
    providers_by_name: HashMap<&'r Name, Arc<Provider>>,
    parts: PolicyParts,
    findings: Vec<Diagnostic>,
}

impl<'r> Compiler<'r> {
    fn sort(name: &'r Name, resources: &'r [Arc<Resource>]) -> Compiler<'r> {
        let mut compiler = Compiler {
            name,
            group: GroupSpec::default(),
            provider_specs: BTreeMap::new(),
            model_specs: BTreeMap::new(),
            route_specs: BTreeMap::new(),
            consumer_specs: BTreeMap::new(),
            key_specs: BTreeMap::new(),
            quota_specs: BTreeMap::new(),
            providers_by_name: HashMap::new(),
            parts: PolicyParts::default(),
            findings: Vec::new(),
        };
        let mut seen: HashSet<ResourceId> = HashSet::with_capacity(resources.len());
        for resource in resources {
            if !seen.insert(resource.id()) {
                compiler.find(resource, |report| report.error("name", "duplicate", "it is there twice"));
                continue;
            }
            let name = &resource.name;
            match &resource.spec {
                Spec::Provider(spec) => drop(compiler.provider_specs.insert(name, (resource, spec.as_ref()))),
                Spec::Model(spec) => drop(compiler.model_specs.insert(name, (resource, spec))),
                Spec::Route(spec) => drop(compiler.route_specs.insert(name, (resource, spec))),
                Spec::Consumer(spec) => drop(compiler.consumer_specs.insert(name, (resource, spec))),
                Spec::Key(spec) => drop(compiler.key_specs.insert(name, (resource, spec))),
                Spec::Quota(spec) => drop(compiler.quota_specs.insert(name, (resource, spec))),
                Spec::Group(spec) if name == compiler.name => compiler.group = spec.clone(),
                Spec::Group(_) => {
                    let message = format!("it is not part of the group `{}`", compiler.name);
                    compiler.find(resource, |report| report.error("name", "invalid_value", message));
                }
            }
        }
        compiler
    }

    fn find(&mut self, about: &Resource, find: impl FnOnce(&mut Report)) {
        let mut report = Report::new(about.id());
        find(&mut report);
        self.findings.append(&mut report.into_diagnostics());
    }

    fn check_sizes(&mut self, resources: &[Arc<Resource>], bodies: &[Vec<u8>]) {
        for (resource, body) in resources.iter().zip(bodies) {
            if body.len() > limits::RESOURCE_BYTES {
                let message = format!(
                    "a resource has at most {} bytes, this has {}",
                    limits::RESOURCE_BYTES,
                    body.len()
                );
                self.find(resource, |report| report.error("", "too_large", message));
            }
        }
    }

    fn providers(&mut self) {
        for (name, (resource, spec)) in std::mem::take(&mut self.provider_specs) {
            let mut report = Report::new(resource.id());
            let resolved = spec.resolve(&mut report);
            self.findings.append(&mut report.into_diagnostics());
            let Some(Resolved { dialect, base_url, platform, auth, spec }) = resolved else { continue };
            let provider = Arc::new(Provider {
                name: name.clone(),
                dialect,
                base_url,
                platform,
                credential: spec.credential,
                auth,
                quirks: spec.quirks,
                on_unsupported: spec.on_unsupported.unwrap_or_default(),
                fetch: spec.fetch,
                headers: spec.headers,
                timeouts: spec.timeouts,
                http2: spec.http2,
                max_tokens_field: spec.max_tokens_field,
                fingerprint: resource.digest(),
            });
            self.providers_by_name.insert(name, Arc::clone(&provider));
            self.parts.providers.push(provider);
        }
    }

    fn models(&mut self) {
        for (name, (resource, spec)) in std::mem::take(&mut self.model_specs) {
            let mut targets = Vec::with_capacity(spec.targets.len());
            for (position, target) in spec.targets.iter().enumerate() {
                let Some(provider) = self.providers_by_name.get(&target.provider).map(Arc::clone) else {
                    let message =
                        self.missing("Provider", &target.provider, self.providers_by_name.keys().copied());
                    let path = format!("spec.targets[{position}].provider");
                    self.find(resource, |report| report.error(path, "dangling_reference", message));
                    continue;
                };
                let (model, prices) = (target.model.clone(), target.prices.clone());
                let weight = target.weight.unwrap_or(1);
                targets.push(Arc::new(Target { provider, model, weight, prices, position }));
            }
            // Also with a missing target, so that routes to this model are not reported as well.
            let position = self.parts.models.len();
            self.parts.models_by_name.insert(&name.clone().into(), position);
            self.parts.models.push(Arc::new(Model {
                name: name.clone(),
                targets,
                context_window: spec.context_window.map(std::num::NonZeroU32::get),
                max_output_tokens: spec.max_output_tokens.map(std::num::NonZeroU32::get),
                capabilities: spec.capabilities.as_ref().map(|list| list.iter().copied().collect()),
            }));
        }
    }

    fn consumers(&mut self) {
        for (name, (resource, spec)) in &self.consumer_specs {
            self.parts.consumers.push(Arc::new(Consumer {
                name: (*name).clone(),
                organisation: spec.organisation.clone(),
                team: spec.team.clone(),
                application: spec.application.clone().unwrap_or_else(|| name.to_string()),
                models: spec.models.clone(),
                providers: spec.providers.clone().unwrap_or_default(),
                labels: resource.labels.clone(),
            }));
        }
        let known = Models { models: &self.parts.models, by_name: &self.parts.models_by_name };
        for (resource, spec) in self.consumer_specs.values() {
            let mut report = Report::new(resource.id());
            known.check_patterns(&spec.models, self.findings.len(), &mut report);
            self.check_providers(spec, &mut report);
            self.findings.append(&mut report.into_diagnostics());
        }
    }

    /// A pattern that means no provider is probably misspelt.
    fn check_providers(&self, spec: &ConsumerSpec, report: &mut Report) {
        for (index, pattern) in spec.providers.iter().flatten().enumerate() {
            let mut known = self.providers_by_name.keys();
            if !known.any(|name| pattern.matches(name)) {
                let names = self.providers_by_name.keys().map(|name| name.as_str());
                let hint = hint_within(self.findings.len(), pattern.as_str(), names);
                let message = format!("no Provider is meant by `{pattern}`{hint}");
                report.warning(format_args!("spec.providers[{index}]"), "matches_nothing", message);
            }
        }
    }

    fn keys(&mut self) {
        let consumers: HashMap<&Name, Arc<Consumer>> =
            self.consumer_specs.keys().copied().zip(self.parts.consumers.iter().map(Arc::clone)).collect();
        let mut holders: HashMap<Digest, &Name> = HashMap::new();
        for (name, (resource, spec)) in std::mem::take(&mut self.key_specs) {
            let Some(consumer) = consumers.get(&spec.consumer) else {
                let message = self.missing("Consumer", &spec.consumer, consumers.keys().copied());
                self.find(resource, |report| report.error("spec.consumer", "dangling_reference", message));
                continue;
            };
            if let Some(other) = holders.insert(spec.hash, name) {
                let message = format!("the key `{other}` has the same hash; a key is one caller's alone");
                self.find(resource, |report| report.error("spec.hash", "duplicate", message));
                continue;
            }
            let key = Key {
                id: name.clone(),
                consumer: Arc::clone(consumer),
                expires_ms: spec.expires.map(crate::Timestamp::as_unix_millis),
                revoked: spec.revoked,
                models: spec.models.clone(),
            };
            self.parts.keys.insert(*spec.hash.as_bytes(), Arc::new(key));
        }
    }

    fn quotas(&mut self) {
        let mut index = QuotaIndex::default();
        let present = Present::of(&self.parts);
        for (name, (resource, spec)) in std::mem::take(&mut self.quota_specs) {
            // What decides which calls share a bucket; a changed amount keeps the buckets.
            let shape =
                serde_json::json!({"applies_to": spec.applies_to, "per": spec.per, "models": spec.models});
            let quota = Quota {
                name: name.clone(),
                identity: Digest::of(&[name.as_bytes(), b"\n", &canonical_bytes(&shape)].concat()),
                applies_to: spec.applies_to.clone(),
                per: spec.per.clone(),
                models: spec.models.clone(),
                limits: spec.limits,
            };
            if let Some((path, message)) = present.nobody(&quota, self.findings.len()) {
                self.find(resource, |report| report.warning(path, "matches_nothing", message));
            }
            index.insert(&quota, self.parts.quotas.len());
            self.parts.quotas.push(Arc::new(quota));
        }
        self.parts.quotas_by_subject = index;
    }

    /// ``no Provider named `x` `` with the nearest known name, and the group, whose selectors may have left it out.
    fn missing<'n>(&self, kind: &str, name: &Name, known: impl IntoIterator<Item = &'n Name>) -> String {
        let hint = hint_within(self.findings.len(), name, known.into_iter().map(Name::as_str));
        format!("no {kind} named `{name}` in group `{}`{}{hint}", self.name, self.selection_hint())
    }

    /// What a group does not select is not there.
    fn selection_hint(&self) -> &'static str {
        if self.group.select.is_some() { ", or the group does not select it" } else { "" }
    }
}

/// Findings beyond this number come without a suggestion, as finding one means looking at every name.
const HINTED_FINDINGS: usize = 100;

fn hint_within<'n>(findings: usize, word: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    if findings < HINTED_FINDINGS { hint(word, known) } else { String::new() }
}

/// The models of a group, sorted by name.
#[derive(Clone, Copy)]
struct Models<'a> {
    models: &'a [Arc<Model>],
    by_name: &'a NameIndex,
}

impl Models<'_> {
    fn find(&self, asked: &str) -> Option<Matched> {
        let model = |positions: &[usize]| self.models.get(*positions.first()?).map(Arc::clone);
        if let Some(model) = model(self.by_name.exact(asked)) {
            return Some(Matched { model, star: None });
        }
        let (positions, star) = self.by_name.longest(asked)?;
        Some(Matched { model: model(positions)?, star: Some(star.to_owned()) })
    }

    /// Whether some name could mean a model and match the pattern.
    fn overlap(&self, pattern: &Pattern) -> bool {
        let Some(prefix) = pattern.prefix() else {
            return self.find(pattern.as_str()).is_some();
        };
        let first = self.models.partition_point(|model| model.name.as_str() < prefix);
        self.models.get(first).is_some_and(|model| model.name.starts_with(prefix))
            || self.by_name.longest(prefix).is_some()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|model| model.name.as_str())
    }

    /// A pattern that means no model is probably misspelt.
    fn check_patterns(&self, patterns: &Patterns, findings: usize, report: &mut Report) {
        for (index, pattern) in patterns.iter().enumerate() {
            if !self.overlap(pattern) {
                let hint = hint_within(findings, pattern.as_str(), self.names());
                let message = format!("no Model is meant by `{pattern}`{hint}");
                report.warning(format_args!("spec.models[{index}]"), "matches_nothing", message);
            }
        }
    }
}

/// Who can call at all, to tell quotas that limit nobody.
struct Present {
    organisations: HashSet<String>,
    teams: HashSet<String>,
    applications: HashSet<String>,
    keys: HashMap<String, Arc<Key>>,
    /// Each consumer under every choice of what to say about it.
    together: HashSet<[Option<String>; 3]>,
}

impl Present {
    fn of(parts: &PolicyParts) -> Present {
        let part = |read: fn(&Consumer) -> &String| {
            parts.consumers.iter().map(|found| read(found).clone()).collect()
        };
        let choices = |found: &Arc<Consumer>| {
            let said = [found.organisation.clone(), found.team.clone(), found.application.clone()].map(Some);
            [[true, true, true], [true, true, false], [true, false, true], [false, true, true]].map(|kept| {
                let mut said = said.clone();
                said.iter_mut().zip(kept).filter(|(_, is_kept)| !is_kept).for_each(|(part, _)| *part = None);
                said
            })
        };
        Present {
            organisations: part(|consumer| &consumer.organisation),
            teams: part(|consumer| &consumer.team),
            applications: part(|consumer| &consumer.application),
            keys: parts.keys.values().map(|key| (key.id.to_string(), Arc::clone(key))).collect(),
            together: parts.consumers.iter().flat_map(choices).collect(),
        }
    }

    /// Where and why a quota limits nobody.
    fn nobody(&self, quota: &Quota, findings: usize) -> Option<(&'static str, String)> {
        let who = &quota.applies_to;
        let unknown = |what: &str, name: &str, known: &HashSet<String>| {
            format!(
                "no Consumer has the {what} `{name}`{}",
                hint_within(findings, name, known.iter().map(String::as_str))
            )
        };
        match (&who.organisation, &who.team, &who.application, &who.key) {
            (Some(name), ..) if !self.organisations.contains(name) => {
                Some(("spec.applies_to.organisation", unknown("organisation", name, &self.organisations)))
            }
            (_, Some(name), ..) if !self.teams.contains(name) => {
                Some(("spec.applies_to.team", unknown("team", name, &self.teams)))
            }
            (_, _, Some(name), _) if !self.applications.contains(name) => {
                Some(("spec.applies_to.application", unknown("application", name, &self.applications)))
            }
            (.., Some(id)) => match self.keys.get(id.as_str()) {
                None => Some(("spec.applies_to.key", format!("no Key has the id `{id}`"))),
                Some(key) if !quota.covers(&QuotaSubject::from(key.as_ref())) => {
                    Some(("spec.applies_to", "the key belongs to another caller".to_owned()))
                }
                Some(_) => None,
            },
            (organisation, team, application, None) => {
                let said = [organisation.clone(), team.clone(), application.clone()];
                let is_combined = said.iter().flatten().count() > 1;
                let nobody = is_combined && !self.together.contains(&said);
                nobody.then(|| ("spec.applies_to", "no Consumer has all of this together".to_owned()))
            }
        }
    }
}

/// Things by the names of the models they are about.
fn index_by_model<'s>(things: impl Iterator<Item = Option<&'s crate::Patterns>>) -> NameIndex {
    let mut index = NameIndex::default();
    for (position, patterns) in things.enumerate() {
        index.insert_all(patterns, position);
    }
    index
}

#[cfg(test)]
mod tests;
