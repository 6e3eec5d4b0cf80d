//! The proxy: the one door through which an application's calls reach AI models. It decides which model serves a call,
//! limits it, fails it over and accounts for it, by a policy that a control plane pushes to it.
//!
//! A call walks `listener` → `frontend` → `pipeline` → `identity`, `limits`, `guard`, `cache`, `routing`, `upstream`,
//! `settle`; `exchange` is what it carries along and leaves behind as exactly one record.
//!
//! Deliberately absent: any knowledge of the store or of the control plane's insides; rules (they live in `policy`);
//! wire formats of models (they live in `dialect`).

pub mod affinity;
mod app;
pub mod cache;
pub mod control;
pub mod exchange;
pub mod failure;
pub mod frontend;
pub mod guard;
pub mod identity;
pub mod limits;
pub mod listener;
pub mod ops;
pub mod pipeline;
pub mod routing;
pub mod runtime;
pub mod settings;
pub mod settle;
pub mod telemetry;
pub mod upstream;

pub use app::{Running, run, start};
pub use settings::Settings;

#[cfg(test)]
mod scene;
