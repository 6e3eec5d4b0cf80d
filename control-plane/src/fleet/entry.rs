//! One proxy as the fleet lists it: the JSON of the admin API and of the store.

use serde::{Deserialize, Serialize};

/// What is known of one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FleetEntry {
    /// Stable for one data directory.
    pub proxy_id: String,
    /// The group whose policy it gets.
    pub group: String,
    /// Where applications reach it; for people.
    pub address: String,
    /// Its build.
    pub build: String,
    /// New for every process start.
    pub boot_id: String,
    /// Whether a control plane holds its stream now.
    pub connected: bool,
    /// When the stream opened, or was lost, in milliseconds since 1970.
    pub connected_since_ms: u64,
    /// The version it enforces; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The digest of that version's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What it said last about the newest version it was offered.
    pub phase: ProxyPhase,
    /// Since when that holds, in milliseconds since 1970.
    pub since_ms: u64,
    /// How long its last activation took, in microseconds.
    #[serde(default)]
    pub took_us: u64,
    /// The last version it refused or gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<Refusal>,
    /// Something about this proxy that a person should look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Calls in flight at its last pulse.
    #[serde(default)]
    pub inflight: u32,
    /// Calls since its start.
    #[serde(default)]
    pub calls: u64,
    /// Failed calls since its start.
    #[serde(default)]
    pub errors: u64,
    /// 99th percentile of the time to the first byte before its last pulse.
    #[serde(default)]
    pub p99_ms: u32,
    /// Call records its spool had to drop since its start.
    #[serde(default)]
    pub dropped_records: u64,
    /// The control plane that holds, or last held, its stream.
    pub server_id: String,
}

/// What a proxy said about the newest version it was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyPhase {
    /// Nothing yet.
    #[default]
    None,
    /// It has all bodies.
    Received,
    /// It has compiled them.
    Staged,
    /// It enforces the version.
    Active,
    /// It refused the version and keeps the one before.
    Rejected,
    /// It enforced the version and went back to the one before.
    Reverted,
}

/// A version that a proxy refused or gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Refusal {
    /// The version.
    pub version: u64,
    /// The digest of its manifest.
    pub digest: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// True when it had been active and was given up.
    pub reverted: bool,
    /// Why.
    pub diagnostics: Vec<RefusalDiagnostic>,
}

/// One reason, as the proxy sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RefusalDiagnostic {
    /// For example `Route/support`; empty for the version as a whole.
    pub resource: String,
    /// The place inside the resource.
    pub path: String,
    /// Stable and of few values.
    pub code: String,
    /// For people.
    pub message: String,
}
