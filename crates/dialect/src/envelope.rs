//! The envelope of a call: what routing and accounting need, read in one pass over the body.

use crate::{Dialect, Fault, Operation};

/// What routing and accounting need to know of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// The model asked for.
    pub model: String,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether an OpenAI-style caller asked for the usage chunk at the end of the stream.
    pub wants_usage: bool,
    /// The cap on output, when it is a plain number.
    pub max_output_tokens: Option<u32>,
    /// The length of all text in UTF-8 bytes, tools and system prompts included, images and documents not.
    pub input_chars: u64,
    /// How many tools are offered.
    pub tools: u32,
    /// How many images are in the call.
    pub images: u32,
    /// How many answers are asked for.
    pub n: u32,
}

impl Envelope {
    pub(crate) fn scan(_dialect: Dialect, _operation: Operation, _body: &[u8]) -> Result<Self, Fault> {
        Err(Fault::unsupported("calls are not read yet"))
    }
}
