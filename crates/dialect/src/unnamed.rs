//! Answers of providers that tell neither an id nor a model: the caller's SDK wants both.

use std::hash::{DefaultHasher, Hasher};

use crate::{Call, Dialect};

/// What the caller is told instead.
#[derive(Debug)]
pub(crate) struct Unnamed {
    caller: Dialect,
    model: String,
}

impl Unnamed {
    pub(crate) fn new(call: &Call) -> Self {
        Self { caller: call.dialect, model: call.envelope.model.clone() }
    }

    /// Puts names where there are none: the model that was asked for, and an id that is made of what the answer says.
    pub(crate) fn fill(&self, id: &mut String, model: &mut String, said: &[u8]) {
        if model.is_empty() {
            model.clone_from(&self.model);
        }
        if id.is_empty() {
            let mut hasher = DefaultHasher::new();
            hasher.write(said);
            let prefix = match self.caller {
                Dialect::OpenAi => "chatcmpl-",
                Dialect::Responses => "resp_",
                Dialect::Anthropic => "msg_",
                Dialect::Gemini | Dialect::Bedrock | Dialect::Cohere => "",
            };
            *id = format!("{prefix}{:016x}", hasher.finish());
        }
    }
}
