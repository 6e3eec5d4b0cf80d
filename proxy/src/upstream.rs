//! Tries the targets of a plan until one answers.

pub mod breaker;
pub mod latency;
pub mod retry;
