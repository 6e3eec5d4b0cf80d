//! Requests, read into the canonical form.

use crate::{Fault, Request, losses::Loss};

/// Reads a body.
pub(crate) fn decode(_body: &[u8]) -> Result<Request, Fault> {
    Err(super::untranslated())
}

/// What is lost when a field of a request is left out.
pub(crate) fn loss(_name: &str, _value: &str) -> Loss {
    Loss::Meaning
}
