//! What the history keeps, as canonical JSON: keys sorted, no spaces. The JSON is the truth that hashes cover.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::HistoryError;

/// The store's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Made once, never changed: another id is another store.
    pub store_id: String,
    /// The layout of everything else.
    pub schema: u32,
    /// When the store was initialised, in milliseconds since 1970.
    pub created_ms: u64,
}

impl Meta {
    /// What the first commit's hash covers in place of a predecessor: the chain is anchored to this store.
    #[must_use]
    pub fn genesis_hash(&self) -> String {
        sha256_hex(&canonical_json(self))
    }
}

/// The newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Our own counter: strictly increasing, never the store's revision.
    pub version: u64,
    /// The commit that made it.
    pub commit_id: String,
    /// Names the blob that lists all resources of the version.
    pub manifest_digest: String,
    /// The hash of that commit.
    pub history_tip: String,
}

/// One change of the policy: who, when, why and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The version it made.
    pub version: u64,
    /// Its own id, made by whoever committed.
    pub commit_id: String,
    /// The version before it.
    pub parent: u64,
    /// Who.
    pub author: String,
    /// Why.
    pub message: String,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// SHA-256 of `changes` as canonical JSON, and the name of the blob that holds them.
    pub change_digest: String,
    /// SHA-256 of the version's manifest, and the name of the blob that holds it.
    pub manifest_digest: String,
    /// The parent's `hash`.
    pub previous_hash: String,
    /// SHA-256 of this commit as canonical JSON without `hash` and `changes`: the latter are covered by `change_digest`.
    pub hash: String,
    /// What changed. Kept in a blob of its own, because a change may be larger than one value of the store.
    #[serde(default)]
    pub changes: Vec<ChangedResource>,
}

impl Commit {
    /// The commit as it is stored: without its changes.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut record = to_value(self);
        remove(&mut record, "changes");
        write(&record)
    }

    /// The hash that the commit's other fields call for.
    #[must_use]
    pub fn computed_hash(&self) -> String {
        let mut record = to_value(self);
        remove(&mut record, "changes");
        remove(&mut record, "hash");
        sha256_hex(&write(&record))
    }
}

/// What a commit did to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangedResource {
    /// The resource's kind.
    pub kind: String,
    /// The resource's name.
    pub name: String,
    /// What was done.
    pub op: Operation,
    /// SHA-256 of the body before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// SHA-256 of the body after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What was done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// It is new.
    Created,
    /// Its body is another.
    Updated,
    /// It is gone.
    Deleted,
}

/// Every resource of a version. Invariant, kept by [`Manifest::new`] and checked on reading: sorted by kind and name, none twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The resources.
    pub entries: Vec<ManifestEntry>,
}

/// One resource of a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestEntry {
    /// The resource's kind.
    pub kind: String,
    /// The resource's name.
    pub name: String,
    /// SHA-256 of its body, and the name of the blob that holds it.
    pub sha256: String,
    /// The body's length in bytes.
    pub size: u64,
}

impl Manifest {
    /// A manifest in its one order. Of entries with equal kind and name the last one counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = ManifestEntry>) -> Self {
        let by_name: std::collections::BTreeMap<_, _> =
            entries.into_iter().map(|entry| ((entry.kind.clone(), entry.name.clone()), entry)).collect();
        Self { entries: by_name.into_values().collect() }
    }

    /// SHA-256 of its canonical JSON.
    #[must_use]
    pub fn digest(&self) -> String {
        sha256_hex(&canonical_json(self))
    }

    /// What turns `self` into `new`, sorted by kind and name.
    #[must_use]
    pub fn changes_to(&self, new: &Self) -> Vec<ChangedResource> {
        let name = |entry: &ManifestEntry| (entry.kind.clone(), entry.name.clone());
        let before: std::collections::BTreeMap<_, _> =
            self.entries.iter().map(|entry| (name(entry), &entry.sha256)).collect();
        let after: std::collections::BTreeMap<_, _> =
            new.entries.iter().map(|entry| (name(entry), &entry.sha256)).collect();
        let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changed = names.into_iter().filter_map(|id| {
            let (before, after) = (before.get(id).copied(), after.get(id).copied());
            let op = match (before, after) {
                (None, _) => Operation::Created,
                (Some(_), None) => Operation::Deleted,
                (Some(before), Some(after)) if before == after => return None,
                (Some(_), Some(_)) => Operation::Updated,
            };
            Some(ChangedResource {
                kind: id.0.clone(),
                name: id.1.clone(),
                op,
                before: before.cloned(),
                after: after.cloned(),
            })
        });
        changed.collect()
    }
}

/// SHA-256 as 64 hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A record as canonical JSON: keys sorted, no spaces.
#[must_use]
pub fn canonical_json<T: Serialize>(record: &T) -> Vec<u8> {
    write(&to_value(record))
}

/// Reads a record; `what` names it in the error.
pub(super) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, HistoryError> {
    serde_json::from_slice(bytes)
        .map_err(|error| HistoryError::Damaged { what: what.to_owned(), reason: error.to_string() })
}

#[expect(
    clippy::expect_used,
    reason = "the records are plain structs with text keys, which always become JSON"
)]
fn to_value<T: Serialize>(record: &T) -> serde_json::Value {
    let mut value = serde_json::to_value(record).expect("a record becomes JSON");
    value.sort_all_objects();
    value
}

fn write(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn remove(value: &mut serde_json::Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
}
