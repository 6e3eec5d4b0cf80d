//! Whole answers: passed on unchanged on the same dialect, through the canonical form otherwise.

use bytes::Bytes;

use crate::{Call, Dialect, Fault, StopReason, Usage};

/// What is known of an answer, whole or so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// What was used, as far as the provider told.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub stop: Option<StopReason>,
    /// The length of everything written, in UTF-8 bytes, for estimates.
    pub output_chars: u64,
    /// The model that answered, in the provider's words.
    pub upstream_model: Option<String>,
    /// Whether the answer came to its proper end.
    pub complete: bool,
}

/// Passes a whole answer on.
///
/// # Errors
/// The answer is an error hidden in a success, or no answer at all.
pub fn relay_answer(_call: &Call, _upstream: Dialect, _body: Bytes) -> Result<(Bytes, Summary), Fault> {
    Err(Fault::unsupported("answers are not read yet"))
}
