//! Cohere chat, to and from the canonical form. It must not know the other dialects.

use crate::Fault;

pub(crate) mod answer;
pub(crate) mod emit;
pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod write;

/// What is refused because this dialect is not translated.
fn untranslated() -> Fault {
    Fault::unsupported("Cohere chat cannot be translated yet")
}
