//! Bedrock's Converse, to and from the canonical form. It must not know the other dialects.

use crate::{Dialect, Signature};

pub(crate) mod answer;
pub(crate) mod emit;
pub(crate) mod error;
pub(crate) mod family;
mod media;
pub(crate) mod parts;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod usage;
pub(crate) mod write;

/// A seal as it stands in a field of this dialect.
fn carried(signature: &Signature) -> Signature {
    Signature::new(Dialect::Bedrock, signature.carry(Dialect::Bedrock))
}
