//! The decision record of one call as JSON: who asked for what, what served, why, at which cost.
//!
//! It is the ledger's stored form and what an auditor reads. It holds no prompt, no answer and no key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One call, whatever its ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestRecord {
    /// The id that the caller saw in `x-request-id`.
    pub request_id: String,
    /// When the call was accepted, RFC 3339.
    pub started: String,
    /// From acceptance to the last byte, in microseconds.
    pub duration_us: u64,
    /// Until the first byte of the answer; absent when none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// Who asked.
    pub caller: CallerRecord,
    /// `chat`, `messages`, `embeddings`, `models`.
    pub operation: String,
    /// The dialect that the caller spoke.
    pub dialect: String,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// The model name in the request.
    pub asked_model: String,
    /// What served; absent for a call that reached no provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<ServedRecord>,
    /// The HTTP status that the caller saw.
    pub status: u32,
    /// `ok`, the failure's stable code, or `client_gone`.
    pub code: String,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_reason: String,
    /// Tokens by class.
    pub tokens: TokenRecord,
    /// True when the provider gave no usage and the proxy counted.
    pub estimated: bool,
    /// Exact cost in nano-USD; absent when no price was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano_usd: Option<i64>,
    /// The policy version that decided.
    pub policy_version: u64,
    /// The proxy's group.
    pub group: String,
    /// Why the call went where it went.
    pub decision: DecisionRecord,
    /// Which proxy reported this, and where in its spool.
    pub source: SourceRecord,
}

/// The party that asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerRecord {
    /// Organisation of the consumer.
    pub organisation: String,
    /// Team of the consumer.
    pub team: String,
    /// Application of the consumer.
    pub application: String,
    /// The key's id, never the key.
    pub key: String,
    /// Tags that the caller put on the call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The target that served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServedRecord {
    /// The `Model` resource.
    pub model: String,
    /// The provider.
    pub provider: String,
    /// The name sent upstream.
    pub upstream_model: String,
}

/// Tokens by class; the input classes do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Input that no cache knew.
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

/// Why the call went where it went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRecord {
    /// The route that matched; empty when none did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// The rule that held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// How its targets were ordered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// Every target that was considered, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateRecord>,
    /// The tries, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<TryRecord>,
    /// The limits that were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitRecord>,
    /// Why the call was refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refusal: String,
}

/// One target that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidateRecord {
    /// The `Model` resource.
    pub model: String,
    /// The provider.
    pub provider: String,
    /// The name it has upstream.
    pub upstream_model: String,
    /// Place in the order of tries from 1; absent for a rejected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Why it was ranked so, or why it was rejected.
    pub reason: String,
}

/// One try at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TryRecord {
    /// The provider.
    pub provider: String,
    /// The name sent upstream.
    pub upstream_model: String,
    /// Since the call was accepted, in microseconds.
    pub started_us: u64,
    /// In microseconds.
    pub took_us: u64,
    /// The provider's HTTP status; absent when no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
    /// `ok` or the class of the fault.
    pub outcome: String,
    /// Text safe to show.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// One limit that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRecord {
    /// The `Quota` resource.
    pub quota: String,
    /// For example `requests_per_minute`.
    pub limit: String,
    /// The bucket's dimension values.
    pub bucket: String,
    /// The most the bucket allows.
    pub ceiling: i64,
    /// What was left.
    pub remaining: i64,
    /// Whether the call got in.
    pub admitted: bool,
}

/// Where the record came from; with these four a record is counted once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceRecord {
    /// The proxy.
    pub proxy_id: String,
    /// Its process start.
    pub boot_id: String,
    /// The lane of its spool.
    pub lane: u32,
    /// The place in that lane.
    pub sequence: u64,
}
