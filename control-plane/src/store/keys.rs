//! The layout of the store: one function per key, one constant per prefix. Nobody else writes a key by hand.
//!
//! Numbers are zero-padded to 20 digits, so that key order is number order. Keys never hold a secret: tokens appear as
//! their SHA-256.

/// Every key begins with this.
pub const ROOT: &str = "/frontdoor/v1/";
/// `{store_id, schema, created}`, written once.
pub const META: &str = "/frontdoor/v1/meta";
/// The only compare-and-swap point: `{version, commit_id, manifest_digest, history_tip}`.
pub const HEAD: &str = "/frontdoor/v1/head";
/// 32 random bytes that key the hashes of virtual keys, written once.
pub const PEPPER: &str = "/frontdoor/v1/pepper";
/// All blobs.
pub const BLOBS: &str = "/frontdoor/v1/blob/";
/// All commits.
pub const COMMITS: &str = "/frontdoor/v1/commit/";
/// All groups' targets.
pub const GROUPS: &str = "/frontdoor/v1/group/";
/// All rollouts.
pub const ROLLOUTS: &str = "/frontdoor/v1/rollout/";
/// All drafts.
pub const DRAFTS: &str = "/frontdoor/v1/draft/";
/// All sealed secrets.
pub const SECRETS: &str = "/frontdoor/v1/secret/";
/// All durable quota state.
pub const QUOTA: &str = "/frontdoor/v1/quota/";
/// All enrolment tokens.
pub const ENROLMENTS: &str = "/frontdoor/v1/enrol/";
/// All idempotency records.
pub const IDEMPOTENCY: &str = "/frontdoor/v1/idempotency/";
/// All living control planes.
pub const INSTANCES: &str = "/frontdoor/v1/instance/";
/// All elections.
pub const LEADERS: &str = "/frontdoor/v1/leader/";
/// All admin tokens.
pub const TOKENS: &str = "/frontdoor/v1/token/";

/// An immutable body, by its digest.
#[must_use]
pub fn blob(sha256: &str) -> String {
    format!("{BLOBS}{sha256}")
}

/// One part of a body too large for one value.
#[must_use]
pub fn blob_part(sha256: &str, part: u64) -> String {
    format!("{BLOBS}{sha256}/{part:020}")
}

/// A commit, by the version it made.
#[must_use]
pub fn commit(version: u64) -> String {
    format!("{COMMITS}{version:020}")
}

/// The version in a commit's key.
#[must_use]
pub fn commit_version(key: &str) -> Option<u64> {
    key.strip_prefix(COMMITS)?.parse().ok()
}

/// A group's target and stable version.
#[must_use]
pub fn group(name: &str) -> String {
    format!("{GROUPS}{name}")
}

/// A staged rollout.
#[must_use]
pub fn rollout(id: &str) -> String {
    format!("{ROLLOUTS}{id}")
}

/// A change that waits for approval.
#[must_use]
pub fn draft(id: &str) -> String {
    format!("{DRAFTS}{id}")
}

/// One principal's approval of a draft.
#[must_use]
pub fn draft_approval(id: &str, principal: &str) -> String {
    format!("{DRAFTS}{id}/approval/{principal}")
}

/// One version of a sealed secret.
#[must_use]
pub fn secret(name: &str, number: u64) -> String {
    format!("{SECRETS}{name}/{number:020}")
}

/// Durable quota state.
#[must_use]
pub fn quota(path: &str) -> String {
    format!("{QUOTA}{path}")
}

/// An enrolment token, by its SHA-256; its lease is the token's life.
#[must_use]
pub fn enrolment(token_sha256: &str) -> String {
    format!("{ENROLMENTS}{token_sha256}")
}

/// The outcome kept for an idempotency key, under a lease of 24 hours. The caller's key is hashed, so that any text will do.
#[must_use]
pub fn idempotency(key_sha256: &str) -> String {
    format!("{IDEMPOTENCY}{key_sha256}")
}

/// A living control plane, under its lease.
#[must_use]
pub fn instance(id: &str) -> String {
    format!("{INSTANCES}{id}")
}

/// Who holds a role, under the holder's lease.
#[must_use]
pub fn leader(role: &str) -> String {
    format!("{LEADERS}{role}")
}

/// An admin token's record, by its id: the token itself appears only hashed, inside.
#[must_use]
pub fn token(id: &str) -> String {
    format!("{TOKENS}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_sort_by_version() {
        let mut keys: Vec<_> = [100, 2, 30, u64::MAX, 1].map(commit).into();
        keys.sort();
        let versions: Vec<_> = keys.iter().map(|key| commit_version(key)).collect();
        assert_eq!(versions, [1, 2, 30, 100, u64::MAX].map(Some));
    }

    #[test]
    fn every_key_is_below_the_root() {
        let keys = [
            META.to_owned(),
            HEAD.to_owned(),
            blob("ab"),
            blob_part("ab", 1),
            commit(1),
            group("default"),
            rollout("r"),
            draft("d"),
            draft_approval("d", "p"),
            secret("s", 1),
            quota("q"),
            enrolment("e"),
            idempotency("i"),
            instance("i"),
            leader("l"),
            token("t"),
        ];
        assert!(keys.iter().all(|key| key.starts_with(ROOT)), "{keys:?}");
    }
}
