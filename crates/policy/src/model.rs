//! The kind `Model`: a public name and the targets (models at providers) that serve it.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{Name, Prices, diagnostic::Report, limits};

/// What an operator writes about a model. The resource's name is what callers ask for; it may end in `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Where it is served, in order of preference.
    pub targets: Vec<TargetSpec>,
    /// Tokens that input and output may take together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<NonZeroU32>,
    /// Tokens that an answer may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<NonZeroU32>,
    /// What it can do. Omitted: not known, so that nothing is filtered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<Capability>>,
}

/// A model at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// The name of a `Provider`.
    pub provider: Name,
    /// What the provider calls the model. Omitted: the name asked for or, if this model's name is a pattern, what the `*` stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its share under the strategy `weighted`. Omitted: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// What it costs. Omitted: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

/// Something a model can do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Calls tools.
    Tools,
    /// Takes images.
    Images,
    /// Answers piece by piece.
    Streaming,
    /// Reasons before it answers.
    Reasoning,
    /// Answers in a given JSON schema.
    JsonSchema,
    /// Makes embeddings.
    Embeddings,
    /// Holds conversations.
    Chat,
    /// Orders documents by relevance.
    Rerank,
    /// Makes and changes images.
    ImageGeneration,
    /// Turns speech into text.
    Transcription,
    /// Turns text into speech.
    Speech,
    /// Judges content.
    Moderation,
}

impl ModelSpec {
    pub(crate) fn check(&self, report: &mut Report) {
        if self.targets.is_empty() {
            report.error("spec.targets", "invalid_value", "a model needs at least one target");
        }
        if self.targets.len() > limits::TARGETS {
            report.error("spec.targets", "too_large", format!("at most {} targets", limits::TARGETS));
        }
        for (index, target) in self.targets.iter().enumerate() {
            target.check(index, report);
        }
        if !self.targets.is_empty() && self.targets.iter().all(|target| target.weight == Some(0)) {
            report.error("spec.targets", "invalid_value", "at least one target needs a weight above 0");
        }
        if let (Some(output), Some(window)) = (self.max_output_tokens, self.context_window)
            && output > window
        {
            let message =
                format!("an answer of {output} tokens does not fit into a context window of {window}");
            report.error("spec.max_output_tokens", "invalid_value", message);
        }
        let capabilities = self.capabilities.as_deref().unwrap_or_default();
        for (index, capability) in capabilities.iter().enumerate() {
            if capabilities.iter().take(index).any(|earlier| earlier == capability) {
                report.error(format_args!("spec.capabilities[{index}]"), "duplicate", "named twice");
            }
        }
    }
}

impl TargetSpec {
    fn check(&self, index: usize, report: &mut Report) {
        if let Some(model) = &self.model
            && (model.is_empty()
                || model.chars().count() > limits::NAME_CHARS
                || model.chars().any(char::is_control))
        {
            let message =
                format!("the provider's name for a model has 1 to {} characters", limits::NAME_CHARS);
            report.error(format_args!("spec.targets[{index}].model"), "invalid_value", message);
        }
        check_weight(self.weight, format_args!("spec.targets[{index}].weight"), report);
    }
}

pub(crate) fn check_weight(weight: Option<u32>, path: std::fmt::Arguments<'_>, report: &mut Report) {
    if weight.is_some_and(|weight| weight > limits::WEIGHT) {
        report.error(path, "invalid_value", format!("a weight lies between 0 and {}", limits::WEIGHT));
    }
}
