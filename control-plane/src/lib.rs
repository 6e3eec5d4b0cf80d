//! The control plane: keeps the policy and its history, and brings each version to every proxy.

pub mod access;
pub mod admission;
pub mod api;
pub mod app;
pub mod catalog;
pub mod discovery;
pub mod fleet;
pub mod grpc;
pub mod history;
pub mod keys;
pub mod process;
pub mod publish;
pub mod settings;
pub mod store;
pub mod usage;

pub use app::{Running, start};
pub use process::run;
pub use settings::{Process, Secret, Settings};
