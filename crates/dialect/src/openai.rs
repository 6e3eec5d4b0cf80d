//! One dialect to and from the canonical form.

pub(crate) mod error;
pub(crate) mod request;
