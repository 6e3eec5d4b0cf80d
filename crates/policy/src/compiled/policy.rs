//! The whole of a group's policy, and the questions a proxy asks of it.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{Consumer, Group, Key, Matched, Model, NameIndex, Provider, Quota, Route};
use crate::{Digest, Patterns, diagnostic::nearest};

/// What proxies of a group enforce. Immutable; share it in an `Arc`.
pub struct Policy {
    /// The version that was compiled.
    pub version: u64,
    /// Of the manifest: equal content has an equal digest, whatever the version.
    pub digest: Digest,
    /// Whose policy it is.
    pub group: Group,
    parts: PolicyParts,
}

/// What `compile` has put together.
#[derive(Default)]
pub(crate) struct PolicyParts {
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) models: Vec<Arc<Model>>,
    pub(crate) models_by_name: NameIndex,
    /// By order, then name.
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) routes_by_model: NameIndex,
    pub(crate) consumers: Vec<Arc<Consumer>>,
    pub(crate) keys: HashMap<[u8; 32], Arc<Key>>,
    pub(crate) quotas: Vec<Arc<Quota>>,
    pub(crate) quotas_by_subject: QuotaIndex,
}

/// Who calls, for quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSubject<'a> {
    /// Whom the consumer belongs to.
    pub organisation: &'a str,
    /// Who runs it.
    pub team: &'a str,
    /// What it is called.
    pub application: &'a str,
    /// The key's id.
    pub key: &'a str,
}

impl<'a> From<&'a Key> for QuotaSubject<'a> {
    fn from(key: &'a Key) -> Self {
        let consumer = &key.consumer;
        QuotaSubject {
            organisation: &consumer.organisation,
            team: &consumer.team,
            application: &consumer.application,
            key: &key.id,
        }
    }
}

/// Positions of quotas by the narrowest thing that each names.
#[derive(Debug, Default)]
pub(crate) struct QuotaIndex {
    by_key: HashMap<String, Vec<usize>>,
    by_application: HashMap<String, Vec<usize>>,
    by_team: HashMap<String, Vec<usize>>,
    by_organisation: HashMap<String, Vec<usize>>,
    everyone: Vec<usize>,
}

impl QuotaIndex {
    pub(crate) fn insert(&mut self, quota: &Quota, position: usize) {
        let who = &quota.applies_to;
        let (map, name) = if let Some(key) = &who.key {
            (&mut self.by_key, key.as_str())
        } else if let Some(application) = &who.application {
            (&mut self.by_application, application.as_str())
        } else if let Some(team) = &who.team {
            (&mut self.by_team, team.as_str())
        } else if let Some(organisation) = &who.organisation {
            (&mut self.by_organisation, organisation.as_str())
        } else {
            self.everyone.push(position);
            return;
        };
        map.entry(name.to_owned()).or_default().push(position);
    }

    /// The positions that may apply, ascending.
    fn candidates(&self, subject: &QuotaSubject<'_>) -> Vec<usize> {
        let mut found = self.everyone.clone();
        let parts = [
            (&self.by_key, subject.key),
            (&self.by_application, subject.application),
            (&self.by_team, subject.team),
            (&self.by_organisation, subject.organisation),
        ];
        for (map, name) in parts {
            found.extend(map.get(name).into_iter().flatten());
        }
        found.sort_unstable();
        found
    }
}

impl Quota {
    /// Whether calls of this caller to this model count.
    pub fn applies(&self, subject: &QuotaSubject<'_>, asked: &str) -> bool {
        self.covers(subject) && self.models.as_ref().is_none_or(|models| models.matches(asked))
    }

    /// Whether calls of this caller count, to some model.
    pub fn covers(&self, subject: &QuotaSubject<'_>) -> bool {
        let is = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
        let who = &self.applies_to;
        is(who.organisation.as_deref(), subject.organisation)
            && is(who.team.as_deref(), subject.team)
            && is(who.application.as_deref(), subject.application)
            && is(who.key.as_deref(), subject.key)
    }
}

impl Policy {
    pub(crate) fn new(version: u64, digest: Digest, group: Group, parts: PolicyParts) -> Policy {
        Policy { version, digest, group, parts }
    }

    /// The key with this hash. Neither expiry nor revocation is judged here.
    pub fn key(&self, hash: &[u8; 32]) -> Option<&Arc<Key>> {
        self.parts.keys.get(hash)
    }

    /// The model that a name means: the one of exactly this name, else the one with the longest matching pattern.
    pub fn model(&self, asked: &str) -> Option<Matched> {
        let model = |positions: &[usize]| self.parts.models.get(*positions.first()?).map(Arc::clone);
        if let Some(model) = model(self.parts.models_by_name.exact(asked)) {
            return Some(Matched { model, star: None });
        }
        let (positions, star) = self.parts.models_by_name.longest(asked)?;
        Some(Matched { model: model(positions)?, star: Some(star.to_owned()) })
    }

    /// Whether a key may ask for this name, which need not exist.
    pub fn permits(&self, key: &Key, asked: &str) -> bool {
        key.consumer.models.matches(asked) && key.models.as_ref().is_none_or(|models| models.matches(asked))
    }

    /// Whether a key may use a provider's own API. There any model can be asked for in words we do not read, so a key that is
    /// narrowed to some models may not.
    pub fn permits_provider(&self, key: &Key, name: &str) -> bool {
        let is_every = |models: &Patterns| models.iter().any(|pattern| pattern.as_str() == "*");
        key.models.as_ref().is_none_or(is_every) && key.consumer.providers.matches(name)
    }

    /// The models with exact names that a key may ask for, by name.
    pub fn visible_models(&self, key: &Key) -> Vec<&Model> {
        let models = self.parts.models.iter().map(AsRef::as_ref);
        models.filter(|model: &&Model| !model.name.is_pattern() && self.permits(key, &model.name)).collect()
    }

    /// The up to `n` names most like `asked` that a key may ask for.
    pub fn nearest(&self, key: &Key, asked: &str, n: usize) -> Vec<String> {
        let known = self.visible_models(key).into_iter().map(|model| model.name.as_str());
        nearest(asked, known, n).into_iter().map(str::to_owned).collect()
    }

    /// The routes for a name, in the order in which they are tried.
    pub fn routes_for(&self, asked: &str) -> impl Iterator<Item = &Arc<Route>> {
        self.parts
            .routes_by_model
            .all(asked)
            .into_iter()
            .filter_map(|position| self.parts.routes.get(position))
    }

    /// The quotas that limit a call, by name.
    pub fn quotas_for(&self, subject: &QuotaSubject<'_>, asked: &str) -> impl Iterator<Item = &Arc<Quota>> {
        let candidates = self.parts.quotas_by_subject.candidates(subject);
        candidates
            .into_iter()
            .filter_map(|position| self.parts.quotas.get(position))
            .filter(move |quota| quota.applies(subject, asked))
    }

    /// All providers, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.parts.providers.iter()
    }

    /// All models, patterns included, by name.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.parts.models.iter()
    }

    /// All routes in the order in which they are tried.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.parts.routes.iter()
    }

    /// All consumers, by name.
    pub fn consumers(&self) -> impl Iterator<Item = &Arc<Consumer>> {
        self.parts.consumers.iter()
    }

    /// All quotas, by name.
    pub fn quotas(&self) -> impl Iterator<Item = &Arc<Quota>> {
        self.parts.quotas.iter()
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.parts.keys.values()
    }

    /// One provider.
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        let found = self.parts.providers.binary_search_by(|provider| provider.name.as_str().cmp(name));
        found.ok().and_then(|position| self.parts.providers.get(position))
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("group", &self.group.name)
            .field("version", &self.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
