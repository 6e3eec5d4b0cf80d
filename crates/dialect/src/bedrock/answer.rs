//! Whole answers, to and from the canonical form.

use crate::{Answer, Call, Fault};

/// Reads a body.
pub(crate) fn decode(_body: &[u8]) -> Result<Answer, Fault> {
    Err(super::untranslated())
}

/// Writes a body for the caller of `call`.
pub(crate) fn encode(_answer: &Answer, _call: &Call) -> Result<Vec<u8>, Fault> {
    Err(super::untranslated())
}
