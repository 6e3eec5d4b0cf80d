//! Where HTTP ends and calls begin: paths become surfaces, bodies become calls, answers and failures become responses in the
//! caller's own dialect. It must not know keys, limits, targets or providers.

pub mod tags;

use dialect::Call;
use http::HeaderMap;

pub use tags::Tags;

/// A call as it came in: what the caller wrote, decoded no further than routing and accounting need.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The call in its own dialect.
    pub call: Call,
    /// The caller's headers.
    pub headers: HeaderMap,
    /// The caller's attribution.
    pub tags: Tags,
}
