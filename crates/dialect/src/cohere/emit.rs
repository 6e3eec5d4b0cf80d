//! Events, written as a stream.

use crate::{Call, Event, Fault, relay::Encode};

/// Writes events, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {}

impl Encoder {
    /// Writes for the caller of a call.
    pub(crate) fn new(_call: &Call) -> Self {
        Self {}
    }
}

impl Encode for Encoder {
    fn encode(&mut self, _event: Event, _out: &mut Vec<u8>) -> Result<(), Fault> {
        Err(super::untranslated())
    }
}
