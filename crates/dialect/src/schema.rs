//! JSON Schema and the subsets of it that targets understand.
//!
//! Rewriting keeps what a schema accepts. A keyword that a target does not know is said by others; a bound that cannot be said
//! so stands in words in the description, and is told; everything else is refused with its place. Fields stay in order, since
//! models write their answers in it. It must not know where in a call a schema stands.

mod fit;
mod gemini;
mod merge;
mod rewrite;
mod tree;

use crate::{Fault, canonical::Json, losses::Losses};

pub(crate) use fit::fit;
pub(crate) use gemini::from_gemini;

/// The subsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subset {
    /// Gemini's older one, in OpenAPI's words.
    GeminiOpenApi,
    /// Gemini's newer one: nearly everything may be sent.
    GeminiJson,
    /// OpenAI's, where it promises to keep to a schema.
    OpenAiStrict,
    /// Anthropic's, where it promises to keep to a schema; Bedrock's is the same.
    Anthropic,
}

/// Rewrites a schema that stands at a place for a target.
///
/// # Errors
/// The schema is none, or says what the target has no word for; the fault names the keyword's place.
pub(crate) fn rewrite(
    schema: &Json,
    subset: Subset,
    place: &str,
    losses: &mut Losses,
) -> Result<Json, Fault> {
    if subset == Subset::GeminiJson && !rewrite::is_needed(schema) {
        return Ok(schema.clone());
    }
    let root = tree::Tree::read(schema, place)?;
    rewrite::Rewriter::new(&root, subset, losses).root(place)?.write()
}

#[cfg(test)]
mod tests;
