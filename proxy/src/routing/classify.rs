//! What a call needs from a target, and what is known about it when a rule asks. It must not know routes or targets' health.

use std::borrow::Cow;

use dialect::{Call, Dialect, Operation, Part, PartBody, Role};
use http::HeaderMap;
use policy::compiled;
use policy::{CallerFacts, Capability, Facts, Lookup, Prices, StickyBy, TokenCounts};

use crate::frontend::Inbound;

/// The length of an answer that is assumed when the caller sets no cap: only to compare prices.
const USUAL_OUTPUT: u64 = 512;

/// What a call needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
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
        if self.operation == Operation::Embeddings && provider.dialect == policy::Dialect::Anthropic {
            return Some("the provider's dialect has no embeddings".into());
        }
        if let Some(window) = model.context_window {
            let needed = self.tokens.saturating_add(self.output.map_or(0, u64::from));
            if needed > u64::from(window) {
                let message = format!("about {needed} tokens do not fit into a context window of {window}");
                return Some(message.into());
            }
        }
        let has = |capability| model.capabilities.as_ref().is_none_or(|all| all.contains(capability));
        let is_chat = self.operation == Operation::Chat;
        // Whoever lists `tools` alone means a model that chats; only a list of embeddings without chat rules chat out.
        let lacks_chat =
            model.capabilities.is_some() && has(Capability::Embeddings) && !has(Capability::Chat);
        let lacks = [
            (is_chat && lacks_chat, "chat"),
            (!is_chat && !has(Capability::Embeddings), "embeddings"),
            (self.tools > 0 && !has(Capability::Tools), "tools"),
            (self.images > 0 && !has(Capability::Images), "images"),
            (self.stream && !has(Capability::Streaming), "streaming"),
        ];
        let (_, name) = lacks.into_iter().find(|(is_lacking, _)| *is_lacking)?;
        Some(format!("the model does not have the capability `{name}`").into())
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
