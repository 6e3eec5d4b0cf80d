//! The kind `Group`: which proxies get what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Kind, Resource, diagnostic::Report};

/// What an operator writes about a group of proxies. The group `default` exists even when it is not authored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    /// What its proxies get: whatever any of these selects. Omitted: everything. Keys follow their consumers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<Vec<Selector>>,
    /// How a call to a model is answered which this caller may not use or which does not exist. Omitted: `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted_models: Option<UnlistedModels>,
}

/// Selects resources: all that is said must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Of one of these kinds. Omitted: of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Kind>>,
    /// With all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How a call to a model is answered that the caller may not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnlistedModels {
    /// 403: it exists, but not for you.
    #[default]
    Refuse,
    /// 404, as if it did not exist.
    Hide,
}

impl Selector {
    /// Whether `resource` is selected.
    pub fn selects(&self, resource: &Resource) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&resource.kind()))
            && self.labels.iter().all(|(key, value)| resource.labels.get(key) == Some(value))
    }
}

impl GroupSpec {
    pub(crate) fn check(&self, report: &mut Report) {
        let selectors = self.select.as_deref().unwrap_or_default();
        if self.select.is_some() && selectors.is_empty() {
            report.error(
                "spec.select",
                "invalid_value",
                "the list is empty and selects nothing; omit it to select everything",
            );
        }
        for (index, selector) in selectors.iter().enumerate() {
            let kinds = selector.kinds.as_deref().unwrap_or_default();
            if selector.kinds.is_some() && kinds.is_empty() {
                let message = "the list is empty and selects nothing; omit it to select every kind";
                report.error(format_args!("spec.select[{index}].kinds"), "invalid_value", message);
            }
            for (position, kind) in kinds.iter().enumerate() {
                if matches!(kind, Kind::Key | Kind::Group) {
                    let message = match kind {
                        Kind::Key => "keys follow their consumers and cannot be selected",
                        _ => "a proxy gets its own group and no other; groups cannot be selected",
                    };
                    report.error(
                        format_args!("spec.select[{index}].kinds[{position}]"),
                        "invalid_value",
                        message,
                    );
                }
            }
            if selector == &Selector::default() {
                let message = "it says nothing and selects everything; omit `select` instead";
                report.error(format_args!("spec.select[{index}]"), "invalid_value", message);
            }
        }
    }
}
