//! How a call goes out: spliced on the same dialect, through the canonical form otherwise.

use crate::{Call, Fault, Outbound, TargetShape};

/// Writes a call for a target.
///
/// # Errors
/// The target has no word for something in the call; the fault names the field.
pub fn encode_call(_call: &Call, _target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    Err(Fault::unsupported("calls are not written yet"))
}
