//! How a provider is spoken to: what of its resource the dialects have to know, in their words.
//!
//! It must not know calls other than by what they ask, nor how anything is sent.

use std::sync::Arc;

use dialect::{Clamp, Dialect, MaxTokensField, OnUnsupported, Operation, Platform, Quirks, StreamUsage};
use policy::compiled::Provider;
use policy::{ResponsesVia, StreamUsage as Reported};

/// How a provider is spoken to. Read off its resource once.
#[derive(Debug)]
pub(super) struct Spoken {
    dialect: Dialect,
    /// Whether it has OpenAI's Responses beside chat completions.
    has_responses: bool,
    /// What holds for all of its models; `None` when nothing does.
    quirks: Option<Arc<Quirks>>,
    /// Whether some models differ from that.
    differs_by_model: bool,
}

impl Spoken {
    pub(super) fn of(provider: &Provider) -> Self {
        Self {
            dialect: dialect_of(provider.dialect),
            has_responses: has_responses(provider),
            quirks: in_words(&provider.quirks),
            differs_by_model: provider.quirks.models.is_some(),
        }
    }

    /// What the provider itself speaks.
    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is spoken to it for a call: of the two that OpenAI has, the caller's own where the provider has both.
    pub(super) fn dialect_for(&self, caller: Dialect, operation: Operation) -> Dialect {
        match (self.dialect, caller, operation) {
            (Dialect::OpenAi, _, Operation::CountTokens) | (Dialect::OpenAi, Dialect::Responses, _)
                if self.has_responses =>
            {
                Dialect::Responses
            }
            // Everything but conversations is OpenAI's one API.
            (Dialect::Responses, _, operation)
                if !matches!(operation, Operation::Chat | Operation::CountTokens) =>
            {
                Dialect::OpenAi
            }
            (own, _, _) => own,
        }
    }

    /// How it differs from its dialect for one model.
    pub(super) fn quirks(&self, provider: &Provider, model: &str) -> Option<Arc<Quirks>> {
        if self.differs_by_model { in_words(&provider.quirks.for_model(model)) } else { self.quirks.clone() }
    }
}

/// Whether calls of OpenAI's Responses reach the provider as they are.
fn has_responses(provider: &Provider) -> bool {
    match provider.dialect {
        policy::Dialect::Responses => true,
        policy::Dialect::OpenAi => provider.quirks.responses != Some(ResponsesVia::Translate),
        policy::Dialect::Anthropic
        | policy::Dialect::Gemini
        | policy::Dialect::Bedrock
        | policy::Dialect::Cohere => false,
    }
}

pub(super) const fn dialect_of(authored: policy::Dialect) -> Dialect {
    match authored {
        policy::Dialect::OpenAi => Dialect::OpenAi,
        policy::Dialect::Responses => Dialect::Responses,
        policy::Dialect::Anthropic => Dialect::Anthropic,
        policy::Dialect::Gemini => Dialect::Gemini,
        policy::Dialect::Bedrock => Dialect::Bedrock,
        policy::Dialect::Cohere => Dialect::Cohere,
    }
}

/// Where the provider's dialect is hosted.
pub(super) fn platform_of(provider: &Provider) -> Platform<'_> {
    match &provider.platform {
        policy::Platform::Direct => Platform::Direct,
        policy::Platform::Azure { api_version } => Platform::Azure { api_version },
        policy::Platform::Vertex { project, location } => Platform::Vertex { project, location },
        policy::Platform::Bedrock { .. } => Platform::Bedrock,
    }
}

pub(super) fn max_tokens_field_of(provider: &Provider) -> Option<MaxTokensField> {
    provider.max_tokens_field.map(|field| match field {
        policy::MaxTokensField::MaxTokens => MaxTokensField::MaxTokens,
        policy::MaxTokensField::MaxCompletionTokens => MaxTokensField::MaxCompletionTokens,
    })
}

/// What happens to what the target has no word for: the rule's say comes first.
pub(super) fn on_unsupported(rule: Option<policy::OnUnsupported>, provider: &Provider) -> OnUnsupported {
    match rule.unwrap_or(provider.on_unsupported) {
        policy::OnUnsupported::Refuse => OnUnsupported::Refuse,
        policy::OnUnsupported::Drop => OnUnsupported::Drop,
    }
}

/// Authored quirks as the dialects know them; `None` when there are none.
fn in_words(authored: &policy::Quirks) -> Option<Arc<Quirks>> {
    let number = |number: &serde_json::Number| number.as_f64();
    let clamp = |range: &policy::Clamp| Clamp {
        min: range.min.as_ref().and_then(number),
        max: range.max.as_ref().and_then(number),
    };
    let quirks = Quirks {
        unsupported: authored.unsupported.clone().unwrap_or_default(),
        only: authored.only.clone().unwrap_or_default(),
        clamp: authored.clamp.iter().flatten().map(|(field, range)| (field.clone(), clamp(range))).collect(),
        rename: authored.rename.clone().unwrap_or_default(),
        stream_usage: match authored.stream_usage.unwrap_or_default() {
            Reported::Option => StreamUsage::Option,
            Reported::Always => StreamUsage::Always,
            Reported::Missing => StreamUsage::Missing,
        },
        no_developer_role: authored.developer_role == Some(false),
        required_tool_choice: authored.required_tool_choice.clone(),
        tool_call_id_length: authored.tool_call_id_length,
        no_image_urls: authored.image_urls == Some(false),
        lists: authored.lists.clone().unwrap_or_default(),
        alternating_roles: authored.alternating_roles.unwrap_or_default(),
        reasoning_field: authored.reasoning_field.clone(),
    };
    (quirks != Quirks::default()).then(|| Arc::new(quirks))
}

/// The beta features of all headers that ask for some, separated by commas.
pub(super) fn betas(headers: &http::HeaderMap) -> String {
    let asked = headers.get_all("anthropic-beta").into_iter().filter_map(|value| value.to_str().ok());
    asked.collect::<Vec<_>>().join(",")
}
