//! The control plane: keeps the policy and its history, and brings each version to every proxy.

pub mod history;
pub mod store;
pub mod usage;
