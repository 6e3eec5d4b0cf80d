//! OpenAI chat completions, to and from the canonical form.
//!
//! Compatible servers differ in many small ways (a missing index, usage in another place, reasoning under another
//! name); what is read here is the union of what they write. It must not know the other dialect.

pub(crate) mod answer;
pub(crate) mod emit;
pub(crate) mod error;
pub(crate) mod parts;
pub(crate) mod probe;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod usage;
pub(crate) mod write;
