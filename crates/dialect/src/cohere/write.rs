//! Canonical requests, written in this dialect.

use crate::{Fault, Request, TargetShape, losses::Losses};

/// Writes a body.
pub(crate) fn write(
    _request: Request,
    _target: &TargetShape<'_>,
    _losses: &mut Losses,
) -> Result<Vec<u8>, Fault> {
    Err(super::untranslated())
}
