//! Promises of the history, kept on the store in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lifecycle::Clock;
use proptest::prelude::*;

use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{MAX_VALUE_BYTES, StoreError};

type World = BTreeMap<String, String>;

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Clock::manual(1_000)))
}

async fn initialised() -> (Arc<MemoryStore>, Head) {
    let store = store();
    initialise(&*store, "store-1", 1_000).await.expect("a fresh store");
    let head = read_head(&*store).await.expect("a head");
    (store, head)
}

fn manifest_of(world: &World) -> Manifest {
    Manifest::new(world.iter().map(|(name, body)| ManifestEntry {
        kind: "Route".to_owned(),
        name: name.clone(),
        sha256: sha256_hex(body.as_bytes()),
        size: body.len() as u64,
    }))
}

fn change(id: &str, before: &Manifest, after: Manifest) -> NewCommit {
    NewCommit {
        commit_id: id.to_owned(),
        author: "ada".to_owned(),
        message: format!("make {id}"),
        time_ms: 2_000,
        changes: before.changes_to(&after),
        manifest: after,
        alongside: Alongside::default(),
    }
}

async fn must_commit(store: &MemoryStore, head: &Head, new: NewCommit) -> Head {
    match commit(store, head, new).await.expect("a working store") {
        CommitOutcome::Committed { head, .. } => head,
        CommitOutcome::Conflict => panic!("nobody else commits here"),
    }
}

/// Commits versions 1..=count, each with one more route.
async fn with_commits(count: u64) -> (Arc<MemoryStore>, Head) {
    let (store, mut head) = initialised().await;
    let mut world = World::new();
    for version in 1..=count {
        let before = manifest_of(&world);
        world.insert(format!("route-{version:03}"), format!("body {version}"));
        head = must_commit(&store, &head, change(&format!("c{version}"), &before, manifest_of(&world))).await;
    }
    (store, head)
}

async fn overwrite(store: &MemoryStore, key: &str, value: impl Into<Bytes>) {
    let txn = Txn { puts: vec![Put::new(key, value)], ..Txn::named("tamper") };
    assert!(matches!(store.txn(txn).await, Ok(TxnOutcome::Committed { .. })));
}

#[tokio::test]
async fn of_two_control_planes_that_initialise_at_once_both_see_one_store() {
    let store = store();
    let (first, second) = tokio::join!(initialise(&*store, "a", 1), initialise(&*store, "b", 2));
    let first = first.expect("one writes");
    assert_eq!(first, second.expect("the other reads"));
    assert_eq!(initialise(&*store, "c", 3).await.expect("later ones read"), first);
    assert_eq!(read_head(&*store).await.expect("a head").version, 0);
}

#[tokio::test]
async fn a_store_of_another_schema_is_refused() {
    let (store, _) = initialised().await;
    overwrite(&store, keys::META, r#"{"created_ms":1,"schema":99,"store_id":"x"}"#).await;
    assert!(matches!(initialise(&*store, "a", 1).await, Err(HistoryError::Schema { found: 99 })));
}

#[tokio::test]
async fn reading_a_store_that_was_never_initialised_says_so() {
    assert!(matches!(read_head(&*store()).await, Err(HistoryError::NotInitialised)));
}

#[tokio::test]
async fn a_commit_reads_back_whole() {
    let (store, head) = with_commits(3).await;
    assert_eq!(head.version, 3);
    let read = read_commit(&*store, 3).await.expect("readable").expect("present");
    assert_eq!((read.parent, read.author.as_str(), read.message.as_str()), (2, "ada", "make c3"));
    assert_eq!(read.changes.len(), 1);
    assert_eq!(read.changes[0].op, Operation::Created);
    assert_eq!(read.hash, head.history_tip);
    assert_eq!(manifest(&*store, &head.manifest_digest).await.expect("readable").entries.len(), 3);
    assert_eq!(read_commit(&*store, 4).await.expect("readable"), None);
}

#[tokio::test]
async fn of_two_commits_on_one_head_only_the_first_is_made() {
    let (store, head) = initialised().await;
    let empty = Manifest::default();
    let world = World::from([("a".to_owned(), "1".to_owned())]);
    must_commit(&store, &head, change("first", &empty, manifest_of(&world))).await;
    let second = commit(&*store, &head, change("second", &empty, manifest_of(&world))).await;
    assert_eq!(second.expect("a working store"), CommitOutcome::Conflict);
    assert_eq!(read_head(&*store).await.expect("a head").commit_id, "first");
}

#[tokio::test]
async fn what_goes_alongside_is_written_with_the_commit_or_not_at_all() {
    let (store, head) = initialised().await;
    let record = keys::idempotency("aa");
    let mut new = change("c1", &Manifest::default(), Manifest::default());
    new.alongside.compares.push(Compare::Absent { key: record.clone() });
    new.alongside.puts.push(Put::new(record.clone(), "1"));
    let head = must_commit(&store, &head, new.clone()).await;
    assert!(store.get(&record, None).await.expect("readable").is_some());
    new.commit_id = "c2".to_owned();
    assert_eq!(commit(&*store, &head, new).await.expect("a working store"), CommitOutcome::Conflict);
    assert_eq!(read_head(&*store).await.expect("a head"), head);
}

#[tokio::test]
async fn a_commit_that_carries_too_much_is_refused() {
    let (store, head) = initialised().await;
    let mut new = change("c1", &Manifest::default(), Manifest::default());
    new.alongside.puts = (0..9).map(|n| Put::new(keys::idempotency(&n.to_string()), "1")).collect();
    let refused = commit(&*store, &head, new).await;
    assert!(matches!(refused, Err(HistoryError::Store(StoreError::Refused { .. }))));
}

#[tokio::test]
async fn commits_are_listed_newest_first_and_page_by_page() {
    let (store, _) = with_commits(7).await;
    let versions = async |before, limit| -> Vec<u64> {
        list_commits(&*store, before, limit)
            .await
            .expect("readable")
            .iter()
            .map(|commit| commit.version)
            .collect()
    };
    assert_eq!(versions(None, 3).await, [7, 6, 5]);
    assert_eq!(versions(Some(5), 3).await, [4, 3, 2]);
    assert_eq!(versions(Some(2), 3).await, [1]);
    assert_eq!(versions(Some(1), 3).await, [0; 0]);
    assert_eq!(versions(Some(100), 2).await, [7, 6]);
    assert_eq!(versions(None, 0).await, [0; 0]);
}

#[tokio::test]
async fn a_body_larger_than_a_value_of_the_store_comes_back_whole() {
    let (store, _) = initialised().await;
    let large = Body::of(vec![7_u8; 2 * MAX_VALUE_BYTES + 17]);
    let exact = Body::of(vec![8_u8; MAX_VALUE_BYTES]);
    let small = Body::of("small");
    let bodies = [large, exact, small.clone(), small];
    upload_blobs(&*store, &bodies).await.expect("uploaded");
    upload_blobs(&*store, &bodies).await.expect("uploading again changes nothing");
    for body in &bodies {
        assert_eq!(blob(&*store, &body.sha256).await.expect("readable"), body.bytes);
    }
}

#[tokio::test]
async fn twenty_thousand_bodies_go_up_in_batches_and_only_what_is_missing_is_written() {
    let (store, _) = initialised().await;
    let bodies: Vec<_> = (0..20_000).map(|n| Body::of(format!("body {n}"))).collect();
    upload_blobs(&*store, &bodies[5_000..5_010]).await.expect("uploaded");
    upload_blobs(&*store, &bodies).await.expect("uploaded");
    let entry =
        store.get(&keys::blob(&bodies[5_000].sha256), None).await.expect("readable").expect("present");
    assert_eq!(entry.puts, 1);
    assert_eq!(blob(&*store, &bodies[19_999].sha256).await.expect("readable"), "body 19999");
}

#[tokio::test]
async fn a_blob_that_is_missing_or_damaged_is_named() {
    let (store, _) = initialised().await;
    let body = Body::of("content");
    let missing = blob(&*store, &body.sha256).await.expect_err("nothing there").to_string();
    assert!(missing.contains(&body.sha256), "{missing}");
    overwrite(&store, &keys::blob(&body.sha256), "other").await;
    assert!(matches!(blob(&*store, &body.sha256).await, Err(HistoryError::Damaged { .. })));
    overwrite(&store, &keys::blob(&body.sha256), r#"{"parts":18446744073709551615,"size":1}"#).await;
    assert!(matches!(blob(&*store, &body.sha256).await, Err(HistoryError::Damaged { .. })));
}

#[tokio::test]
async fn an_untouched_chain_is_intact() {
    let (store, head) = with_commits(5).await;
    let whole = verify_chain(&*store, 1, u64::MAX).await.expect("checkable");
    assert_eq!(whole, ChainReport::Intact { commits: 5, tip: head.history_tip });
    assert!(matches!(verify_chain(&*store, 3, 4).await, Ok(ChainReport::Intact { commits: 2, .. })));
}

#[tokio::test]
async fn a_chain_moved_to_another_store_is_broken_at_its_first_version() {
    let (store, _) = with_commits(2).await;
    overwrite(&store, keys::META, r#"{"created_ms":1,"schema":1,"store_id":"other"}"#).await;
    assert!(matches!(verify_chain(&*store, 1, 2).await, Ok(ChainReport::Broken { version: 1, .. })));
}

#[tokio::test]
async fn a_rewritten_commit_with_a_fitting_hash_is_found_at_its_successor() {
    let (store, _) = with_commits(4).await;
    let mut forged = read_commit(&*store, 2).await.expect("readable").expect("present");
    forged.author = "eve".to_owned();
    forged.hash = forged.computed_hash();
    overwrite(&store, &keys::commit(2), forged.record()).await;
    assert!(matches!(verify_chain(&*store, 1, 4).await, Ok(ChainReport::Broken { version: 3, .. })));
}

#[tokio::test]
async fn a_rewritten_last_commit_is_found_against_the_head() {
    let (store, _) = with_commits(2).await;
    let mut forged = read_commit(&*store, 2).await.expect("readable").expect("present");
    forged.message = "nothing to see".to_owned();
    forged.hash = forged.computed_hash();
    overwrite(&store, &keys::commit(2), forged.record()).await;
    assert!(matches!(verify_chain(&*store, 1, 2).await, Ok(ChainReport::Broken { version: 2, .. })));
}

#[tokio::test]
async fn a_deleted_commit_and_a_damaged_change_list_are_named() {
    let (store, _) = with_commits(4).await;
    let third = read_commit(&*store, 3).await.expect("readable").expect("present");
    overwrite(&store, &keys::blob(&third.change_digest), "[]").await;
    assert!(matches!(verify_chain(&*store, 1, 4).await, Ok(ChainReport::Broken { version: 3, .. })));
    let txn = Txn { deletes: vec![keys::commit(2)], ..Txn::named("tamper") };
    store.txn(txn).await.expect("deleted");
    assert!(matches!(verify_chain(&*store, 1, 4).await, Ok(ChainReport::Broken { version: 2, .. })));
}

fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

fn worlds() -> impl Strategy<Value = World> {
    prop::collection::btree_map("[a-d]", "[x-z]{0,2}", 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changes_applied_to_the_old_manifest_give_the_new_one(old in worlds(), new in worlds()) {
        let (before, after) = (manifest_of(&old), manifest_of(&new));
        let mut entries: BTreeMap<_, _> = before.entries.iter().map(|entry| (entry.name.clone(), entry.sha256.clone())).collect();
        for changed in before.changes_to(&after) {
            prop_assert_eq!(entries.get(&changed.name), changed.before.as_ref());
            match changed.after {
                Some(sha256) => entries.insert(changed.name, sha256),
                None => entries.remove(&changed.name),
            };
        }
        let expected: BTreeMap<_, _> = after.entries.into_iter().map(|entry| (entry.name, entry.sha256)).collect();
        prop_assert_eq!(entries, expected);
    }

    #[test]
    fn any_flipped_byte_of_any_commit_is_found_and_its_version_named(version in 1_u64..=4, at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        on_runtime(async {
            let (store, _) = with_commits(4).await;
            let entry = store.get(&keys::commit(version), None).await.expect("readable").expect("present");
            let mut bytes = entry.value.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            overwrite(&store, &keys::commit(version), bytes).await;
            let report = verify_chain(&*store, 1, 4).await.expect("checkable");
            assert!(matches!(report, ChainReport::Broken { version: found, .. } if found == version), "{report:?}");
        });
    }

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_fields(pairs in prop::collection::btree_map("[a-z]{1,3}", any::<u32>(), 0..6)) {
        let forward: serde_json::Map<_, _> = pairs.iter().map(|(k, v)| (k.clone(), (*v).into())).collect();
        let backward: serde_json::Map<_, _> = pairs.iter().rev().map(|(k, v)| (k.clone(), (*v).into())).collect();
        prop_assert_eq!(canonical_json(&forward), canonical_json(&backward));
    }
}
