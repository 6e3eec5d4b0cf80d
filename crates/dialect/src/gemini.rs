//! Gemini, to and from the canonical form: the Gemini API, and Vertex AI's Gemini models. It must not know the other dialects.
//!
//! Fields are known in camel case and in snake case. The model and whether the answer is streamed stand in the path, not in the
//! body. Ids of tool calls are optional here: a call without one gets a name by its place, and a result without one belongs
//! to the first open call of its name.

pub(crate) mod answer;
pub(crate) mod cited;
pub(crate) mod emit;
pub(crate) mod error;
pub(crate) mod models;
pub(crate) mod odds;
pub(crate) mod parts;
pub(crate) mod probe;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod usage;
pub(crate) mod write;

use crate::{Dialect, StopReason};

/// Reads a reason to end. A call of a function that was never declared is a call all the same, if there is one: whoever
/// runs the functions tells the model so.
pub(crate) fn stop(word: &str, calls_tools: bool) -> (StopReason, Option<String>) {
    match StopReason::decode(Dialect::Gemini, word) {
        (StopReason::ToolUse, native) if !calls_tools => (StopReason::Failed, native),
        (reason, native) => (reason.with_tools(calls_tools), native),
    }
}
