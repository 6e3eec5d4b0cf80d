//! The laws of `crates/dialect/tests/fuzz`, for the fuzz targets: a package of its own, since only a nightly compiler builds it.

#[path = "../../crates/dialect/tests/fuzz/laws.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "some of it is for those who make inputs")]
mod laws;

/// Panics when the law of this name does not hold for an input.
pub fn hold(name: &str, input: &[u8]) {
    let (_, law) = laws::LAWS.iter().find(|(known, _)| *known == name).expect("a law has a name");
    law(input);
}
