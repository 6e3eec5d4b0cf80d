//! The kind `Route`: rules in order, the first whose condition holds decides which targets serve a call.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Name, OnUnsupported, Patterns, Span, Timeouts, diagnostic::Report, limits, model::check_weight,
    text::text_newtype,
};

/// What an operator writes about a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// The models asked for to which it applies. Omitted: every model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Patterns>,
    /// Routes are tried by ascending order, then by name.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub order: i32,
    /// Tried in the order written. If none holds, the next route is tried.
    pub rules: Vec<RuleSpec>,
}

/// One rule of a route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// What it is called in explanations. Omitted: its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// A CEL condition over `caller`, `tags`, `model`, `headers`, `modality`, `tools`, `stream` and `tokens`. Omitted: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// How targets are chosen. Omitted: `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// What keeps calls together under the strategy `sticky`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sticky_by: Vec<StickyBy>,
    /// Which models serve. Omitted: the model asked for, with all its targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<RouteTargetSpec>>,
    /// Tried in this order when all targets have failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<FallbackSpec>,
    /// How long to wait for what; overrides the provider's.
    #[serde(default, skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// How often to try.
    #[serde(default, skip_serializing_if = "RetriesSpec::is_empty")]
    pub retries: RetriesSpec,
    /// What happens to a call that asks for what a target cannot do; overrides the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unsupported: Option<OnUnsupported>,
}

/// How targets are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// In the order written.
    #[default]
    Priority,
    /// At random, by weight.
    Weighted,
    /// The one expected to answer first.
    LeastLatency,
    /// The one that costs least.
    Cheapest,
    /// The same one for the same caller or conversation.
    Sticky,
}

/// What keeps calls together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StickyBy {
    /// The application of the caller within its team and organisation.
    Caller,
    /// The key.
    Key,
    /// The application's name.
    Application,
    /// The team.
    Team,
    /// A tag: `tag:NAME`.
    Tag(String),
    /// A header in lower case: `header:NAME`.
    Header(String),
    /// The beginning of the conversation.
    Conversation,
}

/// A model that serves by a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTargetSpec {
    /// The name of a `Model`, or a name that a pattern `Model` stands for.
    pub model: Name,
    /// Only the model's target at this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
    /// Its share under the strategy `weighted`. Omitted: the target's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// A model that serves when all targets have failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FallbackSpec {
    /// The name of a `Model`, or a name that a pattern `Model` stands for.
    pub model: Name,
    /// Only the model's target at this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
}

/// How often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetriesSpec {
    /// Tries over all targets, the first included. Omitted: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<NonZeroU32>,
    /// Tries at one target. Omitted: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_target: Option<NonZeroU32>,
    /// How long to rest between tries at one target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<BackoffSpec>,
    /// Retries may be at most this share of the calls. Omitted: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_percent: Option<u32>,
}

/// How long to rest between tries: doubling from `base` to `max`, with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackoffSpec {
    /// The first rest. Omitted: 100ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Span>,
    /// The longest rest. Omitted: 2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Span>,
}

impl RetriesSpec {
    fn is_empty(&self) -> bool {
        *self == RetriesSpec::default()
    }

    fn check(&self, path: &str, report: &mut Report) {
        for (name, number) in [("attempts", self.attempts), ("per_target", self.per_target)] {
            if number.is_some_and(|number| number.get() > limits::ATTEMPTS) {
                report.error(
                    format_args!("{path}.{name}"),
                    "invalid_value",
                    format!("at most {}", limits::ATTEMPTS),
                );
            }
        }
        if self.budget_percent.is_some_and(|percent| percent > 100) {
            report.error(
                format_args!("{path}.budget_percent"),
                "invalid_value",
                "a percentage lies between 0 and 100",
            );
        }
        let backoff = self.backoff.unwrap_or_default();
        if let (Some(base), Some(max)) = (backoff.base, backoff.max)
            && base > max
        {
            report.error(
                format_args!("{path}.backoff"),
                "invalid_value",
                format!("`base` {base} is above `max` {max}"),
            );
        }
    }
}

impl RouteSpec {
    pub(crate) fn check(&self, report: &mut Report) {
        if let Some(Err(message)) = self.models.as_ref().map(Patterns::check) {
            report.error("spec.models", "invalid_value", message);
        }
        if self.rules.is_empty() {
            report.error("spec.rules", "invalid_value", "a route needs at least one rule");
        }
        if self.rules.len() > limits::RULES {
            report.error("spec.rules", "too_large", format!("at most {} rules", limits::RULES));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            rule.check(&format!("spec.rules[{index}]"), report);
            let is_taken = |earlier: &RuleSpec| earlier.name.is_some() && earlier.name == rule.name;
            if self.rules.iter().take(index).any(is_taken) {
                report.error(
                    format_args!("spec.rules[{index}].name"),
                    "duplicate",
                    "another rule has this name",
                );
            }
        }
    }
}

impl RuleSpec {
    fn check(&self, path: &str, report: &mut Report) {
        if self.when.as_ref().is_some_and(|when| when.len() > limits::CONDITION_BYTES) {
            let message = format!("a condition has at most {} bytes", limits::CONDITION_BYTES);
            report.error(format_args!("{path}.when"), "too_large", message);
        }
        let strategy = self.strategy.unwrap_or_default();
        match (strategy == Strategy::Sticky, self.sticky_by.is_empty()) {
            (true, true) => {
                let message =
                    "the strategy `sticky` needs to know by what, such as `sticky_by: [conversation]`";
                report.error(format_args!("{path}.sticky_by"), "missing_field", message);
            }
            (false, false) => {
                let message =
                    "only the strategy `sticky` heeds this; write `strategy: sticky` or remove the field";
                report.error(format_args!("{path}.sticky_by"), "invalid_value", message);
            }
            (true, false) | (false, true) => {}
        }
        let targets = self.targets.as_deref().unwrap_or_default();
        if self.targets.is_some() && targets.is_empty() {
            let message = "the list is empty; omit it to let the model asked for serve";
            report.error(format_args!("{path}.targets"), "invalid_value", message);
        }
        if targets.len() > limits::TARGETS || self.fallbacks.len() > limits::TARGETS {
            report.error(
                path,
                "too_large",
                format!("at most {} targets and as many fallbacks", limits::TARGETS),
            );
        }
        for (index, target) in targets.iter().enumerate() {
            check_served(&target.model, format_args!("{path}.targets[{index}].model"), report);
            check_weight(target.weight, format_args!("{path}.targets[{index}].weight"), report);
        }
        if !targets.is_empty() && targets.iter().all(|target| target.weight == Some(0)) {
            report.error(
                format_args!("{path}.targets"),
                "invalid_value",
                "at least one target needs a weight above 0",
            );
        }
        for (index, fallback) in self.fallbacks.iter().enumerate() {
            check_served(&fallback.model, format_args!("{path}.fallbacks[{index}].model"), report);
        }
        self.timeouts.check(&format!("{path}.timeouts"), report);
        self.retries.check(&format!("{path}.retries"), report);
    }
}

fn check_served(model: &Name, path: fmt::Arguments<'_>, report: &mut Report) {
    if model.is_pattern() {
        report.error(path, "invalid_value", "a target is one model; write its whole name");
    }
}

impl FromStr for StickyBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str| {
            let is_fine = !name.is_empty()
                && name.len() <= limits::SHORT_TEXT_CHARS
                && name.bytes().all(|byte| byte.is_ascii_graphic());
            is_fine.then(|| name.to_owned()).ok_or_else(|| "after the colon comes a name".to_owned())
        };
        match (text, text.split_once(':')) {
            ("caller", _) => Ok(StickyBy::Caller),
            ("key", _) => Ok(StickyBy::Key),
            ("application", _) => Ok(StickyBy::Application),
            ("team", _) => Ok(StickyBy::Team),
            ("conversation", _) => Ok(StickyBy::Conversation),
            (_, Some(("tag", tag))) => name(tag).map(StickyBy::Tag),
            (_, Some(("header", header))) => {
                let header = name(header)?.to_ascii_lowercase();
                if crate::condition::is_hidden_header(&header) {
                    return Err(format!("`{header}` carries a credential and cannot be used"));
                }
                Ok(StickyBy::Header(header))
            }
            _ => {
                let known =
                    ["caller", "key", "application", "team", "conversation", "tag:NAME", "header:NAME"];
                Err(format!("`{text}` is not known{}", crate::diagnostic::hint(text, known)))
            }
        }
    }
}

impl fmt::Display for StickyBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StickyBy::Caller => f.write_str("caller"),
            StickyBy::Key => f.write_str("key"),
            StickyBy::Application => f.write_str("application"),
            StickyBy::Team => f.write_str("team"),
            StickyBy::Conversation => f.write_str("conversation"),
            StickyBy::Tag(name) => write!(f, "tag:{name}"),
            StickyBy::Header(name) => write!(f, "header:{name}"),
        }
    }
}

text_newtype!(StickyBy, "StickyBy", "`caller`, `key`, `application`, `team`, `conversation`, `tag:NAME` or `header:NAME`", {
    "type": "string",
    "pattern": "^(caller|key|application|team|conversation|tag:.+|header:.+)$"
});

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}
