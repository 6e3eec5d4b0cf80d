//! Who may use a provider's own API, and which providers a call about something held may go to.
//!
//! Fails closed: a consumer names the providers that it may use natively, and a key that is narrowed to models may use none. What
//! it made through a model it may ask about again: responses and conversations of the providers of its models.

use std::sync::Arc;

use dialect::Dialect;
use policy::compiled::{Matched, Model, Provider, Target};
use policy::{Name, Policy, Prices, ResponsesVia};

use crate::affinity::Holder;
use crate::failure::{Failure, code};
use crate::frontend::passage::{CHOICE, Held, HeldKind, Passage};
use crate::identity::{Caller, Permitted};

/// What a caller may do, and with which providers: the passage becomes targets of a model that stands for it. `upstream_model` is
/// what the call says it is for.
pub fn permit_passage(
    policy: &Policy,
    caller: Caller,
    passage: &Passage,
    holder: Option<&Holder>,
    upstream_model: &str,
) -> Result<Permitted, Failure> {
    let question = Question { policy, caller: &caller, passage };
    let providers = match (&passage.provider, &passage.held) {
        (Some(name), held) => vec![question.named(name, held.as_ref())?],
        (None, Some(held)) => question.holders(held, holder)?,
        (None, None) => return Err(Failure::internal("a passage that leads nowhere")),
    };
    let asked = match (providers.as_slice(), &passage.held) {
        ([_, _, ..], Some(held)) => format!("providers/{}", held.operation()),
        _ => format!("providers/{}", providers.first().map_or("", |provider| provider.name.as_str())),
    };
    let name = match (asked.parse::<Name>(), providers.first()) {
        (Ok(name), _) => name,
        (Err(_too_long), Some(provider)) => provider.name.clone(),
        (Err(_), None) => return Err(Failure::internal("a passage without a provider")),
    };
    let targets = providers.into_iter().enumerate().map(|(position, provider)| {
        let prices = prices(policy, &provider, upstream_model);
        Arc::new(Target { provider, model: None, weight: 1, prices, position })
    });
    let model = Arc::new(Model {
        name,
        targets: targets.collect(),
        context_window: None,
        max_output_tokens: None,
        capabilities: None,
    });
    Ok(Permitted { caller, asked, matched: Matched { model, star: None } })
}

struct Question<'a> {
    policy: &'a Policy,
    caller: &'a Caller,
    passage: &'a Passage,
}

impl Question<'_> {
    /// The provider that the caller names.
    fn named(&self, name: &str, held: Option<&Held>) -> Result<Arc<Provider>, Failure> {
        let found = self.policy.provider(name);
        let is_permitted = self.policy.permits_provider(&self.caller.key, name)
            || found.is_some_and(|provider| held.is_some_and(|held| self.made_there(held, provider)));
        if !is_permitted {
            return Err(self.refusal(&format!("the provider `{name}`"), name));
        }
        let Some(provider) = found else {
            let message = format!("there is no provider `{name}`");
            return Err(Failure::caller(code::UNKNOWN_PROVIDER, 404, message));
        };
        match held.filter(|held| !self.speaks_of(held, provider)) {
            None => Ok(Arc::clone(provider)),
            Some(held) => {
                let (what, speaks) = (held.operation(), self.passage.dialect);
                let message = format!("the provider `{name}` has no {what} in the words of {speaks}");
                Err(Failure::caller(code::UNSUPPORTED, 400, message))
            }
        }
    }

    /// The providers that may hold what the call is about, the likeliest first.
    fn holders(&self, held: &Held, holder: Option<&Holder>) -> Result<Vec<Arc<Provider>>, Failure> {
        let what = held.operation();
        let may_be = |provider: &&Arc<Provider>| {
            self.speaks_of(held, provider)
                && (self.policy.permits_provider(&self.caller.key, &provider.name)
                    || self.made_there(held, provider))
        };
        let known = holder.and_then(|holder| self.policy.provider(&holder.provider)).filter(may_be);
        if let Some(provider) = known {
            return Ok(vec![Arc::clone(provider)]);
        }
        let all: Vec<Arc<Provider>> = self.policy.providers().filter(may_be).map(Arc::clone).collect();
        match (all.as_slice(), &held.id) {
            ([], _) => {
                let place = format!("{what} at any provider that speaks {}", self.passage.dialect);
                Err(self.refusal(&place, "NAME"))
            }
            ([_], _) | (_, Some(_)) => Ok(all),
            (several, None) => {
                let names: Vec<&str> = several.iter().map(|provider| provider.name.as_str()).collect();
                let message = format!(
                    "several providers have {what}: choose one with the header `{CHOICE}`, one of {}",
                    names.join(", ")
                );
                Err(Failure::caller(code::PROVIDER_NEEDED, 400, message).with_param(CHOICE))
            }
        }
    }

    /// Whether a provider has such things, in the caller's words.
    fn speaks_of(&self, held: &Held, provider: &Provider) -> bool {
        let is_hosted_elsewhere =
            matches!(provider.platform, policy::Platform::Vertex { .. } | policy::Platform::Bedrock { .. });
        let is_spoken = match self.passage.dialect {
            Dialect::OpenAi | Dialect::Responses => {
                matches!(provider.dialect, policy::Dialect::OpenAi | policy::Dialect::Responses)
            }
            Dialect::Anthropic => provider.dialect == policy::Dialect::Anthropic,
            Dialect::Gemini => provider.dialect == policy::Dialect::Gemini,
            Dialect::Bedrock | Dialect::Cohere => false,
        };
        let needs_responses = matches!(held.kind, HeldKind::Responses | HeldKind::Conversations);
        let has_responses = provider.quirks.responses != Some(ResponsesVia::Translate);
        is_spoken && !is_hosted_elsewhere && (has_responses || !needs_responses)
    }

    /// Whether the caller may have made such a thing by calling a model at the provider.
    fn made_there(&self, held: &Held, provider: &Provider) -> bool {
        let comes_of_calls = matches!(held.kind, HeldKind::Responses | HeldKind::Conversations);
        comes_of_calls
            && held.id.is_some()
            && self.policy.models().any(|model| {
                model.targets.iter().any(|target| target.provider.name == provider.name)
                    && self.policy.permits(&self.caller.key, &model.name)
            })
    }

    fn refusal(&self, what: &str, name: &str) -> Failure {
        let key = &self.caller.key;
        let consumer = &key.consumer.name;
        let message = if key.models.is_some() {
            format!(
                "this key may not use {what} natively, because it is narrowed to some models: make one that is not"
            )
        } else {
            format!(
                "this key may not use {what} natively: write `providers: [{name}]` into the spec of the Consumer `{consumer}`"
            )
        };
        Failure::policy(code::PROVIDER_NOT_PERMITTED, 403, message)
    }
}

/// What a model costs at a provider, where some Model resource says so.
fn prices(policy: &Policy, provider: &Provider, upstream_model: &str) -> Option<Prices> {
    let targets = policy.models().flat_map(|model| model.targets.iter().map(move |target| (model, target)));
    let mut costs = targets.filter_map(|(model, target)| {
        let is_it = target.provider.name == provider.name
            && target.model.as_deref().unwrap_or(model.name.as_str()) == upstream_model;
        target.prices.clone().filter(|_| is_it)
    });
    costs.next()
}
