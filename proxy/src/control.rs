//! The proxy's side of the conversation with the control plane.

pub mod spool;
