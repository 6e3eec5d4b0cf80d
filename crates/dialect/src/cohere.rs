//! Cohere's chat, to and from the canonical form. It must not know the other dialects.

pub(crate) mod answer;
pub(crate) mod emit;
pub(crate) mod error;
pub(crate) mod parts;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod usage;
pub(crate) mod write;
