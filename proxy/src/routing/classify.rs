//! What a call needs from a target, and what is known about it when a rule asks. It must not know routes or targets' health.

use std::borrow::Cow;

use dialect::{Call, Dialect, Operation, Part, PartBody, Role};
use http::HeaderMap;
use policy::compiled;
use policy::{
    CallerFacts, Capability, Facts, Lookup, OperationName, Prices, ResponsesVia, StickyBy, TokenCounts,
};

use crate::frontend::Inbound;

/// The length of an answer that is assumed when the caller sets no cap: only to compare prices.
const USUAL_OUTPUT: u64 = 512;

/// What models are for that are not for conversations.
const OTHER_KINDS: [Capability; 6] = [
    Capability::Embeddings,
    Capability::Rerank,
    Capability::ImageGeneration,
    Capability::Transcription,
    Capability::Speech,
    Capability::Moderation,
];

/// What a call needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    dialect: Dialect,
    operation: Operation,
    /// The estimate of the input's tokens.
    pub(super) tokens: u64,
    output: Option<u32>,
    tools: u32,
    images: u32,
    stream: bool,
}

/// Who calls, with what came along.
pub(super) struct Caller<'a> {
    consumer: &'a compiled::Consumer,
    key_id: &'a str,
    inbound: &'a Inbound,
    headers: Headers<'a>,
}

/// Headers as conditions see them.
struct Headers<'a>(&'a HeaderMap);

impl Needs {
    pub(super) fn of(call: &Call) -> Self {
        let envelope = &call.envelope;
        Self {
            dialect: call.dialect,
            operation: call.operation,
            tokens: dialect::estimate_tokens(envelope.input_chars),
            output: envelope.max_output_tokens,
            tools: envelope.tools,
            images: envelope.images,
            stream: envelope.stream,
        }
    }

    /// Why a target cannot serve the call; `None` when it can, as far as policy tells.
    pub(super) fn unmet_by(
        &self,
        model: &compiled::Model,
        provider: &compiled::Provider,
    ) -> Option<Cow<'static, str>> {
        if let Some(reason) = self.unspoken_by(provider) {
            return Some(reason);
        }
        if let Some(window) = model.context_window {
            let needed = self.tokens.saturating_add(self.output.map_or(0, u64::from));
            if needed > u64::from(window) {
                let message = format!("about {needed} tokens do not fit into a context window of {window}");
                return Some(message.into());
            }
        }
        let has = |capability| model.capabilities.as_ref().is_none_or(|all| all.contains(capability));
        let Words { capability, capability_name, .. } = words(self.operation);
        // Whoever lists `tools` alone means a model that chats; only a list with another kind of model rules chat out.
        let is_other = model.capabilities.is_some() && OTHER_KINDS.into_iter().any(has);
        let can = has(capability) || (capability == Capability::Chat && !is_other);
        let lacks = [
            (!can, capability_name),
            (self.tools > 0 && !has(Capability::Tools), "tools"),
            (self.images > 0 && !has(Capability::Images), "images"),
            (self.stream && !has(Capability::Streaming), "streaming"),
        ];
        let (_, name) = lacks.into_iter().find(|(is_lacking, _)| *is_lacking)?;
        Some(format!("the model does not have the capability `{name}`").into())
    }

    /// Why the provider has no words for what is asked; `None` when it has.
    fn unspoken_by(&self, provider: &compiled::Provider) -> Option<Cow<'static, str>> {
        let Words { what, authored, .. } = words(self.operation);
        let served = provider.quirks.operations.as_ref();
        if authored.is_some_and(|name| served.is_some_and(|all| !all.contains(&name))) {
            return Some(format!("the provider does not serve {what}").into());
        }
        let theirs = provider.dialect;
        let is_openai = matches!(theirs, policy::Dialect::OpenAi | policy::Dialect::Responses);
        if self.operation.is_raw() {
            let is_same = match self.dialect {
                Dialect::OpenAi | Dialect::Responses => is_openai,
                ours => ours.as_str() == theirs.to_string(),
            };
            let message = || {
                format!(
                    "{what} pass through to providers of the caller's own dialect, and this one speaks {theirs}"
                )
            };
            return (!is_same).then(|| message().into());
        }
        let is_translated = provider.quirks.responses == Some(ResponsesVia::Translate);
        let lacks = match self.operation {
            Operation::Embeddings => theirs == policy::Dialect::Anthropic,
            Operation::Rerank => !is_openai && theirs != policy::Dialect::Cohere,
            Operation::CountTokens => theirs == policy::Dialect::Cohere || (is_openai && is_translated),
            _ => false,
        };
        lacks.then(|| format!("the provider's dialect has no {what}").into())
    }

    /// What the call would cost, in nano-USD, were the estimate right.
    pub(super) fn price(&self, prices: &Prices) -> i64 {
        let output = match self.operation {
            Operation::Chat => self.output.map_or(USUAL_OUTPUT, u64::from),
            _ => 0,
        };
        prices.cost(&TokenCounts { input: self.tokens, output, ..TokenCounts::default() }).0
    }

    fn modality(&self) -> &'static str {
        match self.operation {
            Operation::Embeddings => "embedding",
            Operation::ImageGeneration | Operation::ImageEdit => "image",
            Operation::Transcription | Operation::AudioTranslation | Operation::Speech => "audio",
            _ if self.images > 0 => "image",
            _ => "text",
        }
    }
}

/// The words for what is asked.
struct Words {
    /// For people.
    what: &'static str,
    /// In quirks.
    authored: Option<OperationName>,
    /// What a model must be able to do.
    capability: Capability,
    capability_name: &'static str,
}

const fn words(operation: Operation) -> Words {
    let (what, authored, capability, capability_name) = match operation {
        Operation::Chat => ("conversations", OperationName::Chat, Capability::Chat, "chat"),
        Operation::CountTokens => {
            ("counting of tokens", OperationName::CountTokens, Capability::Chat, "chat")
        }
        Operation::Embeddings => {
            ("embeddings", OperationName::Embeddings, Capability::Embeddings, "embeddings")
        }
        Operation::Rerank => ("reranking", OperationName::Rerank, Capability::Rerank, "rerank"),
        Operation::ImageGeneration => (
            "generated images",
            OperationName::ImageGeneration,
            Capability::ImageGeneration,
            "image_generation",
        ),
        Operation::ImageEdit => {
            ("edited images", OperationName::ImageEdit, Capability::ImageGeneration, "image_generation")
        }
        Operation::Transcription => {
            ("transcriptions", OperationName::Transcription, Capability::Transcription, "transcription")
        }
        Operation::AudioTranslation => (
            "translations of speech",
            OperationName::AudioTranslation,
            Capability::Transcription,
            "transcription",
        ),
        Operation::Speech => ("calls for speech", OperationName::Speech, Capability::Speech, "speech"),
        Operation::Moderation => {
            ("moderations", OperationName::Moderation, Capability::Moderation, "moderation")
        }
        Operation::Native => {
            return Words {
                what: "native calls",
                authored: None,
                capability: Capability::Chat,
                capability_name: "chat",
            };
        }
    };
    Words { what, authored: Some(authored), capability, capability_name }
}

impl<'a> Caller<'a> {
    pub(super) fn new(key: &'a compiled::Key, inbound: &'a Inbound) -> Self {
        let headers = Headers(&inbound.headers);
        Self { consumer: &key.consumer, key_id: key.id.as_str(), inbound, headers }
    }

    /// What a condition may ask about.
    pub(super) fn facts(&self, needs: &Needs) -> Facts<'_> {
        Facts {
            caller: CallerFacts {
                organisation: self.consumer.organisation.as_str(),
                team: self.consumer.team.as_str(),
                application: self.consumer.application.as_str(),
                key: self.key_id,
                labels: &self.consumer.labels,
            },
            tags: self.inbound.tags.as_map(),
            model: &self.inbound.call.envelope.model,
            headers: &self.headers,
            modality: needs.modality(),
            tools: needs.tools,
            stream: needs.stream,
            tokens: needs.tokens,
        }
    }

    /// What the call sticks by, all of it together; `None` when the call has none of it.
    pub(super) fn stickiness(&self, by: &[StickyBy]) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        let mut is_there = false;
        for one in by {
            let value: Option<Cow<'_, [u8]>> = match one {
                StickyBy::Caller | StickyBy::Key => Some(self.key_id.as_bytes().into()),
                StickyBy::Application => Some(self.consumer.application.as_bytes().into()),
                StickyBy::Team => Some(self.consumer.team.as_bytes().into()),
                StickyBy::Tag(name) => self.inbound.tags.as_map().get(name).map(|tag| tag.as_bytes().into()),
                StickyBy::Header(name) => {
                    self.inbound.headers.get(name.as_str()).map(|value| value.as_bytes().into())
                }
                StickyBy::Conversation => conversation(&self.inbound.call).map(Cow::Owned),
            };
            is_there |= value.is_some();
            key.extend_from_slice(value.as_deref().unwrap_or_default());
            key.push(0);
        }
        is_there.then_some(key)
    }
}

/// What stays the same through a conversation: everything up to the first user message, which every later call repeats.
fn conversation(call: &Call) -> Option<Vec<u8>> {
    if call.operation != Operation::Chat {
        return None;
    }
    let request = call.request().ok()?;
    let mut key = vec![u8::from(call.dialect == Dialect::Anthropic)];
    let mut is_there = false;
    for message in &request.messages {
        for part in &message.parts {
            add_part(part, &mut key);
        }
        if message.role == Role::User {
            is_there = true;
            break;
        }
    }
    is_there.then_some(key)
}

fn add_part(part: &Part, key: &mut Vec<u8>) {
    let text = match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) => text.as_str(),
        PartBody::ToolCall { id, .. } | PartBody::ToolResult { id, .. } => id.as_str(),
        PartBody::Image { .. }
        | PartBody::Document { .. }
        | PartBody::Audio { .. }
        | PartBody::Video { .. }
        | PartBody::Thinking { .. }
        | PartBody::RedactedThinking { .. }
        | PartBody::Opaque { .. } => "",
    };
    key.extend_from_slice(text.as_bytes());
    key.push(0);
}

impl Lookup for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.to_str().ok())
    }
}
