//! Anthropic messages, to and from the canonical form. It must not know the other dialect.

pub(crate) mod answer;
pub(crate) mod citation;
pub(crate) mod effort;
pub(crate) mod emit;
pub(crate) mod error;
pub(crate) mod parts;
pub(crate) mod probe;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod usage;
pub(crate) mod write;
