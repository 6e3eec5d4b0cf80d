//! Streams, read into events.

use crate::{Event, Fault, relay::Decode};

/// Reads records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Decoder {}

impl Decode for Decoder {
    fn push(&mut self, _name: &[u8], _data: &[u8], _events: &mut Vec<Event>) -> Result<(), Fault> {
        Err(super::untranslated())
    }

    fn finish(&mut self, _events: &mut Vec<Event>) -> bool {
        false
    }
}
