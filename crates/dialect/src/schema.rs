//! JSON Schema and the subsets of it that targets understand.
//!
//! Rewriting keeps what a schema accepts: a keyword that a target does not know is said in other words, or else refused with
//! its place. Fields stay in order, since models write their answers in it. It must not know where in a call a schema stands.

mod gemini;
mod tree;

pub(crate) use gemini::from_gemini;
