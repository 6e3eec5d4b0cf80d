//! The kind `Consumer`: one application of a team of an organisation, and which models it may use.

use serde::{Deserialize, Serialize};

use crate::{Patterns, diagnostic::Report, limits};

/// What an operator writes about a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSpec {
    /// Whom it belongs to.
    pub organisation: String,
    /// Who runs it.
    pub team: String,
    /// What it is called in usage and conditions. Omitted: the resource's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The models it may use: exact names, or beginnings followed by `*`.
    pub models: Patterns,
    /// The providers whose own API it may use under `/providers/NAME/`, files and batches included. Omitted: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Option<Patterns>,
}

impl ConsumerSpec {
    pub(crate) fn check(&self, report: &mut Report) {
        check_short("spec.organisation", &self.organisation, report);
        check_short("spec.team", &self.team, report);
        if let Some(application) = &self.application {
            check_short("spec.application", application, report);
        }
        if let Err(message) = self.models.check() {
            report.error("spec.models", "invalid_value", message);
        }
        if self.providers.as_ref().is_some_and(Patterns::is_empty) {
            let message =
                "the list is empty and means no provider; remove the field, or write `[\"*\"]` for every one";
            report.error("spec.providers", "invalid_value", message);
        } else if let Some(Err(message)) = self.providers.as_ref().map(Patterns::check) {
            report.error("spec.providers", "invalid_value", message);
        }
    }
}

/// A short text that appears in usage, logs and conditions.
pub(crate) fn check_short(path: &str, text: &str, report: &mut Report) {
    let is_fine = !text.is_empty()
        && text.chars().count() <= limits::SHORT_TEXT_CHARS
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if !is_fine {
        let message = format!(
            "1 to {} characters, without surrounding spaces or control characters",
            limits::SHORT_TEXT_CHARS
        );
        report.error(path, "invalid_value", message);
    }
}
