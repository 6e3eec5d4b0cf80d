//! The tokenizer of the fast path.
