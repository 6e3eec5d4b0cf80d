//! Streamed answers: one door for passing bytes through and for translating them.

use bytes::Bytes;

use crate::{Call, Dialect, ErrorShape, Fault, Summary};

/// A stream on its way from a provider to a caller.
#[derive(Debug)]
pub struct Relay {
    summary: Summary,
}

impl Relay {
    /// A relay for the answer to a call.
    #[must_use]
    pub fn new(_call: &Call, _upstream: Dialect) -> Self {
        Self { summary: Summary::default() }
    }

    /// Takes bytes of the provider and gives out what the caller gets for them. Only whole records are given out.
    ///
    /// # Errors
    /// The provider reported an error in band, or sent garbage. What stood before it was given out.
    pub fn push(&mut self, _chunk: Bytes, _out: &mut Vec<Bytes>) -> Result<(), Fault> {
        Err(Fault::unsupported("streams are not read yet"))
    }

    /// The provider's body has ended.
    ///
    /// # Errors
    /// It ended before its grammar allows: the answer was cut.
    pub fn finish(&mut self, _out: &mut Vec<Bytes>) -> Result<(), Fault> {
        Err(Fault::unsupported("streams are not read yet"))
    }

    /// Whether content was given out: from then on no other provider can take over silently.
    #[must_use]
    pub fn has_content(&self) -> bool {
        false
    }

    /// What is known so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary.clone()
    }

    /// Ends the stream with an error in band, in the caller's dialect.
    pub fn abort(&mut self, _error: &ErrorShape<'_>, _out: &mut Vec<Bytes>) {}
}
