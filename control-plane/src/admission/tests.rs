//! What may become the next version, alone and in a race.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::catalog::testing::{Core, Deaf, delete, memory, model, provider, put, request};

/// Every commit's policy must compile; the newest stands for all, because each was the newest once.
fn assert_sound(core: &Core) {
    let snapshot = core.catalog.newest();
    for group in snapshot.catalog.groups() {
        policy::compile(&group, snapshot.version, &snapshot.catalog.select(&group)).unwrap();
    }
}

#[tokio::test]
async fn a_change_is_decided_against_the_newest_version_even_where_the_news_has_not_arrived() {
    let store = memory();
    // This control plane hears nothing of what the other one commits.
    let stale = Core::on(Deaf::over(&store)).await;
    let other = Core::on(store).await;
    other.apply(vec![put(&provider("sim")), put(&provider("spare"))]).await.unwrap();

    let done = stale.apply(vec![put(&model("small", "sim"))]).await.unwrap();
    assert_eq!(done.outcome.version, 2, "the other's version was taken into account");

    other.catalog.refresh().await.unwrap();
    other.apply(vec![delete("Provider/spare")]).await.unwrap();
    let refused = stale.apply(vec![put(&model("late", "spare"))]).await.unwrap_err();
    let Refusal::Invalid(diagnostics) = refused else { panic!("{refused}") };
    assert!(diagnostics.iter().any(|found| found.message.contains("spare")), "{diagnostics:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_changes_valid_alone_and_invalid_together_never_both_commit() {
    let store = memory();
    let (one, other) = (Core::on(Arc::clone(&store)).await, Core::on(store).await);
    for round in 0..40 {
        let (name, user) = (format!("p{round}"), format!("m{round}"));
        let ready = one.apply(vec![put(&provider(&name))]).await.unwrap();
        other.catalog.reach(ready.outcome.version, Duration::from_secs(10)).await.unwrap();

        let removal = one.apply(vec![delete(&format!("Provider/{name}"))]);
        let addition = other.apply(vec![put(&model(&user, &name))]);
        let (removed, added) = tokio::join!(removal, addition);
        assert!(removed.is_ok() != added.is_ok(), "round {round}: {removed:?} {added:?}");

        let version = removed.or(added).unwrap().outcome.version;
        for core in [&one, &other] {
            core.catalog.reach(version, Duration::from_secs(10)).await.unwrap();
            assert_sound(core);
        }
    }
}

/// Puts a provider, however often others are faster.
async fn insist(core: &Core, name: String) -> u64 {
    loop {
        match core.apply(vec![put(&provider(&name))]).await {
            Err(Refusal::Contended) => {}
            ended => return ended.unwrap().outcome.version,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_is_lost_however_many_write_at_once() {
    let store = memory();
    let (one, other) = (Core::on(Arc::clone(&store)).await, Core::on(store).await);
    let writes = (0..30).map(|n| insist(if n % 2 == 0 { &one } else { &other }, format!("p{n}")));
    let mut versions = futures_util::future::join_all(writes).await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=30).collect::<Vec<u64>>());
    let snapshot = other.catalog.reach(30, Duration::from_secs(10)).await.unwrap();
    assert_eq!(snapshot.catalog.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_idempotency_key_used_twice_at_once_makes_one_commit() {
    let store = memory();
    let (one, other) = (Core::on(Arc::clone(&store)).await, Core::on(store).await);
    for round in 0..10 {
        let mut wanted = request(vec![put(&provider(&format!("p{round}")))]);
        wanted.idempotency = Some(IdempotencyKey::new("caller", &format!("key {round}"), &[b"same"]));
        let (first, second) =
            tokio::join!(one.admission.admit(wanted.clone()), other.admission.admit(wanted.clone()));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.outcome.commit_id, second.outcome.commit_id);
        assert!(first.is_replay != second.is_replay);
        assert_eq!(first.outcome.version, round + 1);
        other.catalog.reach(round + 1, Duration::from_secs(10)).await.unwrap();
        one.catalog.reach(round + 1, Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test]
async fn the_same_key_of_another_caller_is_another_key() {
    let core = Core::alone().await;
    for (caller, name) in [("a", "p1"), ("b", "p2")] {
        let mut wanted = request(vec![put(&provider(name))]);
        wanted.idempotency = Some(IdempotencyKey::new(caller, "key", &[name.as_bytes()]));
        assert!(!core.admission.admit(wanted).await.unwrap().is_replay);
    }
}

#[tokio::test]
async fn a_commit_records_author_message_and_what_changed() {
    let core = Core::alone().await;
    let mut wanted = request(vec![put(&provider("sim")), put(&model("small", "sim"))]);
    wanted.author = "ada".to_owned();
    wanted.message = Some("because".to_owned());
    core.admission.admit(wanted).await.unwrap();
    core.apply(vec![delete("Model/small")]).await.unwrap();

    let first = history::read_commit(core.store.as_ref(), 1).await.unwrap().unwrap();
    assert_eq!((first.author.as_str(), first.message.as_str()), ("ada", "because"));
    assert_eq!((first.time_ms, first.changes.len()), (1_800_000_000_000, 2));
    let second = history::read_commit(core.store.as_ref(), 2).await.unwrap().unwrap();
    assert_eq!(second.message, "change Model/small", "a change without a message gets one");
    let chain = history::verify_chain(core.store.as_ref(), 1, 2).await.unwrap();
    assert!(matches!(chain, history::ChainReport::Intact { commits: 2, .. }), "{chain:?}");
}

#[tokio::test]
async fn only_groups_whose_resources_change_are_named_and_compiled() {
    let core = Core::alone().await;
    let group =
        |name: &str| json!({"kind": "Group", "name": name, "spec": {"select": [{"labels": {"for": name}}]}});
    let labelled = |mut document: serde_json::Value, label: &str| {
        document["labels"] = json!({"for": label});
        document
    };
    core.apply(vec![put(&group("edge")), put(&group("core"))]).await.unwrap();
    let only = core.apply(vec![put(&labelled(provider("p1"), "edge"))]).await.unwrap();
    assert_eq!(only.outcome.groups, ["default", "edge"], "the default group has everything");

    // Within the group edge the model's provider is missing, though elsewhere it exists.
    let split = vec![put(&labelled(provider("p2"), "core")), put(&labelled(model("m", "p2"), "edge"))];
    let Err(Refusal::Invalid(diagnostics)) = core.apply(split).await else { panic!("it must be refused") };
    assert!(diagnostics.iter().any(|found| found.message.contains("p2")), "{diagnostics:?}");

    let gone = core.apply(vec![delete("Group/edge")]).await.unwrap();
    assert!(gone.outcome.groups.contains(&"edge".to_owned()), "{:?}", gone.outcome.groups);
}

#[tokio::test]
async fn a_store_that_fails_is_no_refusal_and_writes_nothing() {
    let store = memory();
    let flaky = Deaf::over(&store);
    let core = Core::on(Arc::<Deaf>::clone(&flaky)).await;
    flaky.set_down(true);
    let error = core.apply(vec![put(&provider("sim"))]).await.unwrap_err();
    assert!(matches!(error, Refusal::Catalog(_)), "{error:?}");
    flaky.set_down(false);
    assert_eq!(core.apply(vec![put(&provider("sim"))]).await.unwrap().outcome.version, 1);
}
