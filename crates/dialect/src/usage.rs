//! What a call used, in one convention.
//!
//! OpenAI's `prompt_tokens` include cached tokens, Anthropic's `input_tokens` exclude them. Here the parts of the
//! input are disjoint, so that their sum is the whole.

/// Tokens used by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input that was neither read from nor written to a cache.
    pub input: u64,
    /// Input read from the provider's cache.
    pub cache_read: u64,
    /// Input written to the provider's cache.
    pub cache_write: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// All input.
    #[must_use]
    pub fn all_input(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// All tokens.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.all_input().saturating_add(self.output)
    }
}

/// A rough count of tokens for a length of text, for reservations and for calls that never told their usage.
///
/// Lengths are UTF-8 bytes: four bytes a token holds for English and code, and stays close for scripts whose
/// characters take three bytes.
#[must_use]
pub fn estimate_tokens(chars: u64) -> u64 {
    chars.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::{Usage, estimate_tokens};

    #[test]
    fn the_total_is_the_sum_of_disjoint_parts() {
        let usage = Usage { input: 5, cache_read: 7, cache_write: 11, output: 13, reasoning: 3 };
        assert_eq!(usage.all_input(), 23);
        assert_eq!(usage.total(), 36);
    }

    #[test]
    fn an_estimate_of_some_text_is_never_zero() {
        assert_eq!(estimate_tokens(0), 0);
        assert_eq!(estimate_tokens(1), 1);
        assert_eq!(estimate_tokens(4_000), 1_000);
    }
}
