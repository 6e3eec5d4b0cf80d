//! The kind `Quota`: how much whom.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{Name, Patterns, consumer::check_short, diagnostic::Report};

/// What an operator writes about a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaSpec {
    /// Who is limited. Omitted: everyone.
    #[serde(default, skip_serializing_if = "AppliesTo::is_everyone")]
    pub applies_to: AppliesTo,
    /// A bucket of its own for each combination of these. Omitted: one bucket for all together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<Dimension>,
    /// Which models asked for count. Omitted: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Patterns>,
    /// How much. At least one.
    pub limits: Limits,
}

/// Who is limited: all that is said must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppliesTo {
    /// Only this organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Only this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Only this application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Only the key with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
}

/// What a bucket is kept for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Each organisation.
    Organisation,
    /// Each team.
    Team,
    /// Each application.
    Application,
    /// Each key.
    Key,
    /// Each model asked for.
    Model,
}

/// How much. Each limit is above 0; to forbid a model, leave it out of the consumer's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls begun in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of input and output in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Calls at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
}

impl AppliesTo {
    pub(crate) fn is_everyone(&self) -> bool {
        *self == AppliesTo::default()
    }
}

impl QuotaSpec {
    pub(crate) fn check(&self, report: &mut Report) {
        let parts = [
            ("spec.applies_to.organisation", &self.applies_to.organisation),
            ("spec.applies_to.team", &self.applies_to.team),
            ("spec.applies_to.application", &self.applies_to.application),
        ];
        for (path, part) in parts {
            if let Some(text) = part {
                check_short(path, text, report);
            }
        }
        for (index, dimension) in self.per.iter().enumerate() {
            if self.per.iter().take(index).any(|earlier| earlier == dimension) {
                report.error(format_args!("spec.per[{index}]"), "duplicate", "named twice");
            }
        }
        if let Some(Err(message)) = self.models.as_ref().map(Patterns::check) {
            report.error("spec.models", "invalid_value", message);
        }
        if self.limits == Limits::default() {
            let message =
                "write at least one of `requests_per_minute`, `tokens_per_minute` and `concurrency`";
            report.error("spec.limits", "missing_field", message);
        }
    }
}
