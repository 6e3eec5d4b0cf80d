//! The proxy's side of the conversation with the control plane.

pub mod data_dir;
pub mod last_good;
pub mod spool;
