//! Policy with its references resolved: immutable, shared, and quick to ask on the path of a call.

mod index;
mod policy;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    AppliesTo, Auth, Capability, Condition, Dialect, Digest, Dimension, Fetch, Limits, MaxTokensField, Name,
    OnUnsupported, Patterns, Platform, Prices, Quirks, SecretRef, StickyBy, Strategy, Timeouts,
    UnlistedModels,
};

pub(crate) use index::NameIndex;
pub use policy::{Policy, QuotaSubject};
pub(crate) use policy::{PolicyParts, QuotaIndex};

/// The group whose policy this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: Name,
    /// How a call to a model is answered that the caller may not use.
    pub unlisted_models: UnlistedModels,
}

/// Where models are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: Name,
    /// How it speaks.
    pub dialect: Dialect,
    /// Where paths are appended to; without a trailing slash.
    pub base_url: String,
    /// Where its dialect is hosted.
    pub platform: Platform,
    /// Where its credential, a plain key, is found. Never together with `auth`.
    pub credential: Option<SecretRef>,
    /// How to sign in where a plain key will not do.
    pub auth: Option<Auth>,
    /// How it differs from what its dialect says; ask [`Quirks::for_model`].
    pub quirks: Quirks,
    /// What happens to a call that asks for what it cannot do, unless the rule says otherwise.
    pub on_unsupported: OnUnsupported,
    /// Leave to fetch images and documents for it.
    pub fetch: Option<Fetch>,
    /// Headers for every request.
    pub headers: BTreeMap<String, String>,
    /// As authored; complete with [`Timeouts::or`].
    pub timeouts: Timeouts,
    /// Whether to speak HTTP/2 to it.
    pub http2: bool,
    /// The field that limits output tokens, where the provider has a choice.
    pub max_tokens_field: Option<MaxTokensField>,
    /// Of the authored resource: connections and breakers live as long as it stays the same.
    pub fingerprint: Digest,
}

/// A public name and the targets that serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What callers ask for; may end in `*`.
    pub name: Name,
    /// In order of preference; never empty.
    pub targets: Vec<Arc<Target>>,
    /// Tokens of input and output together.
    pub context_window: Option<u32>,
    /// Tokens of an answer.
    pub max_output_tokens: Option<u32>,
    /// What it can do; nothing if that is not known.
    pub capabilities: Option<Capabilities>,
}

/// A model at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub provider: Arc<Provider>,
    /// What the provider calls it, if authored.
    pub model: Option<String>,
    /// Its share under the strategy `weighted`.
    pub weight: u32,
    /// What it costs, if known.
    pub prices: Option<Prices>,
    /// Its place among the model's targets.
    pub position: usize,
}

impl Target {
    /// What the provider calls the model: as authored, else what the `*` stands for, else the name asked for.
    pub fn upstream_name<'a>(&'a self, asked: &'a str, star: Option<&'a str>) -> Cow<'a, str> {
        Cow::Borrowed(self.model.as_deref().or(star).unwrap_or(asked))
    }
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Whether it can do this.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Capabilities(capabilities.into_iter().fold(0, |set, capability| set | (1 << capability as u8)))
    }
}

/// The model that a name asked for means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The model.
    pub model: Arc<Model>,
    /// What its `*` stands for, if it is a pattern.
    pub star: Option<String>,
}

/// Rules in order.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name.
    pub name: Name,
    /// Tried in this order; never empty.
    pub rules: Vec<Rule>,
}

/// One rule of a route.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its authored name, or else its number counted from 1.
    pub label: String,
    /// Holds always if there is none.
    pub when: Option<Arc<Condition>>,
    /// How targets are chosen.
    pub strategy: Strategy,
    /// What keeps calls together under the strategy `sticky`.
    pub sticky_by: Vec<StickyBy>,
    /// Which models serve; the model asked for if there are none.
    pub targets: Option<Vec<TargetRef>>,
    /// Tried in this order when all targets have failed.
    pub fallbacks: Vec<TargetRef>,
    /// As authored; overrides the provider's.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retries: Retries,
    /// What happens to a call that asks for what a target cannot do; overrides the provider's.
    pub on_unsupported: Option<OnUnsupported>,
}

/// A model that serves by a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRef {
    /// The name written in the rule; differs from the model's if that is a pattern.
    pub asked: Name,
    /// The model.
    pub model: Arc<Model>,
    /// What the model's `*` stands for, if it is a pattern.
    pub star: Option<String>,
    /// Only the model's target at this provider; it has one.
    pub provider: Option<Name>,
    /// Replaces the targets' own weights.
    pub weight: Option<u32>,
}

impl TargetRef {
    /// The model's targets which are meant; never empty.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        let is_meant = |target: &&Arc<Target>| {
            self.provider.as_ref().is_none_or(|provider| *provider == target.provider.name)
        };
        self.model.targets.iter().filter(is_meant)
    }
}

/// How often to try, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries over all targets, the first included.
    pub attempts: u32,
    /// Tries at one target.
    pub per_target: u32,
    /// The first rest between tries at one target.
    pub backoff_base: Duration,
    /// The longest rest.
    pub backoff_max: Duration,
    /// Retries may be at most this share of the calls.
    pub budget_percent: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Retries {
            attempts: 3,
            per_target: 2,
            backoff_base: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            budget_percent: 20,
        }
    }
}

/// One application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The resource's name.
    pub name: Name,
    /// Whom it belongs to.
    pub organisation: String,
    /// Who runs it.
    pub team: String,
    /// What it is called; the resource's name if not authored.
    pub application: String,
    /// The models it may use.
    pub models: Patterns,
    /// The providers it may use natively; none if there are no patterns.
    pub providers: Patterns,
    /// For conditions.
    pub labels: BTreeMap<String, String>,
}

/// A virtual key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id; the secret part is known by its hash alone.
    pub id: Name,
    /// Who calls with it.
    pub consumer: Arc<Consumer>,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Whether it was withdrawn.
    pub revoked: bool,
    /// Narrows the consumer's models.
    pub models: Option<Patterns>,
}

/// How much whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub name: Name,
    /// Of everything but the amounts: buckets live as long as it stays the same.
    pub identity: Digest,
    /// Who is limited.
    pub applies_to: AppliesTo,
    /// A bucket for each combination of these.
    pub per: Vec<Dimension>,
    /// Which models asked for count; all if there are none.
    pub models: Option<Patterns>,
    /// How much.
    pub limits: Limits,
}
