//! What only the store on etcd promises: each trap of etcd and of its client, met against the real thing.

use std::time::Duration;

use super::testing::{EtcdChild, Relay, dead_endpoint};
use super::*;
use crate::store::{Event, ResyncReason, WatchEvent, list_all};

const PATIENCE: Duration = Duration::from_secs(20);

fn write(key: &str, value: impl Into<Bytes>) -> Txn {
    Txn { puts: vec![Put::new(key, value)], ..Txn::named("test") }
}

async fn committed(store: &EtcdStore, txn: Txn) -> Revision {
    match store.txn(txn).await.expect("a working store") {
        TxnOutcome::Committed { revision } => revision,
        outcome => panic!("not committed: {outcome:?}"),
    }
}

async fn next(watch: &mut Watch) -> WatchEvent {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event in time")
}

async fn next_revision(watch: &mut Watch) -> Revision {
    match next(watch).await {
        WatchEvent::Batch { revision, .. } => revision,
        event => panic!("no batch: {event:?}"),
    }
}

/// An impatient way to reach these endpoints.
fn impatient(endpoints: Vec<String>) -> EtcdSettings {
    EtcdSettings {
        start: Duration::from_secs(1),
        read_attempt: Duration::from_millis(500),
        read: Duration::from_secs(2),
        transaction: Duration::from_millis(500),
        ..EtcdSettings::new(endpoints, true)
    }
}

#[tokio::test]
async fn a_start_without_a_living_member_fails_in_time_and_names_the_members() {
    let (first, second) = (dead_endpoint(), dead_endpoint());
    let opened = tokio::time::timeout(
        Duration::from_secs(5),
        EtcdStore::open(impatient(vec![first.clone(), second.clone()])),
    );
    let error = opened.await.expect("in time").expect_err("nobody is there");
    let text = error.to_string();
    assert!(error.is_temporary(), "{text}");
    assert!(
        text.contains(&first) && text.contains(&second) && text.contains("check that etcd runs"),
        "{text}"
    );
}

#[tokio::test]
async fn no_call_fails_while_one_of_three_members_lives() {
    let etcd = EtcdChild::start().await;
    let store =
        EtcdStore::open(EtcdSettings::new(vec![dead_endpoint(), dead_endpoint(), etcd.endpoint()], true))
            .await
            .expect("one lives");
    for n in 0..100 {
        committed(&store, write("/a", n.to_string())).await;
        assert!(store.get("/a", None).await.expect("readable").is_some());
    }
    let lease = store.grant_lease(Duration::from_secs(60)).await.expect("granted");
    store.keep_alive(lease).await.expect("alive");
    assert_eq!(next_revision(&mut store.watch("/", 1)).await, 2);
}

#[tokio::test]
async fn a_member_that_dies_is_a_passing_trouble_and_its_return_is_noticed() {
    let mut etcd = EtcdChild::start().await;
    let store = EtcdStore::open(impatient(vec![etcd.endpoint()])).await.expect("running");
    committed(&store, write("/a", "1")).await;
    etcd.kill();
    let error = store.get("/a", None).await.expect_err("nobody is there");
    assert!(error.is_temporary(), "{error}");
    let error =
        store.txn(write("/a", "2")).await.expect_err("a transaction that was never sent has a known outcome");
    assert!(error.is_temporary(), "{error}");
    etcd.restart().await;
    let entry = store.get("/a", None).await.expect("readable").expect("kept through the kill");
    assert_eq!(entry.value, "1");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let mut etcd = EtcdChild::start().await;
    let store = etcd.open().await;
    let mut last = 0;
    for n in 0..300 {
        last = committed(&store, write(&format!("/n/{n:03}"), vec![b'x'; 1_000])).await;
    }
    etcd.kill();
    etcd.restart().await;
    let kept = list_all(&store, "/n/").await.expect("readable");
    assert_eq!((kept.entries.len(), kept.revision), (300, last));
}

#[tokio::test]
async fn a_transaction_whose_answer_is_lost_is_of_unknown_outcome_though_it_was_applied() {
    let etcd = EtcdChild::start().await;
    let relay = Relay::to(etcd.port).await;
    let store = EtcdStore::open(impatient(vec![relay.endpoint()])).await.expect("running");
    relay.swallow_answers();
    let txn = Txn { commit_id: "mine".to_owned(), ..write("/a", "1") };
    assert_eq!(store.txn(txn).await.expect("no error"), TxnOutcome::Unknown { commit_id: "mine".to_owned() });
    let direct = etcd.open().await;
    assert!(direct.get("/a", None).await.expect("readable").is_some(), "it had been applied");
    relay.heal();
    assert!(store.get("/a", None).await.expect("a new connection is made").is_some());
}

#[tokio::test]
async fn a_watch_goes_on_after_its_connection_is_cut() {
    let etcd = EtcdChild::start().await;
    let relay = Relay::to(etcd.port).await;
    let store = EtcdStore::open(impatient(vec![relay.endpoint()])).await.expect("running");
    let direct = etcd.open().await;
    let mut watch = store.watch("/", 1);
    for n in 0..5 {
        let written = committed(&direct, write("/a", n.to_string())).await;
        assert_eq!(next_revision(&mut watch).await, written);
        relay.heal();
        let unseen = committed(&direct, write("/a", "while cut")).await;
        assert_eq!(next_revision(&mut watch).await, unseen);
    }
}

#[tokio::test]
async fn a_watch_that_catches_up_through_an_etcd_killed_and_stopped_meanwhile_misses_and_repeats_nothing() {
    let mut etcd = EtcdChild::start().await;
    let store = etcd.open().await;
    let mut written = Vec::new();
    for n in 0..2_500_u32 {
        let value = vec![b'x'; 200];
        written.push(committed(&store, write(&format!("/w/{}", n % 50), value)).await);
    }
    let mut watch = store.watch("/w/", 1);
    let mut seen = Vec::new();
    // Far enough to be within the first answers, whose headers tell the newest revision.
    while seen.len() < 10 {
        seen.push(next_revision(&mut watch).await);
    }
    etcd.kill();
    etcd.restart().await;
    while seen.len() < 2_000 {
        seen.push(next_revision(&mut watch).await);
    }
    // This time the streams end in order, which is no error.
    etcd.terminate();
    etcd.restart().await;
    written.push(committed(&store, write("/w/last", "x")).await);
    while seen.len() < written.len() {
        seen.push(next_revision(&mut watch).await);
    }
    assert_eq!(seen, written);
}

#[tokio::test]
async fn a_watch_below_a_compaction_that_happened_while_it_was_away_asks_for_a_resync() {
    let mut etcd = EtcdChild::start().await;
    let store = etcd.open().await;
    let mut watch = store.watch("/", 1);
    let first = committed(&store, write("/a", "1")).await;
    assert_eq!(next_revision(&mut watch).await, first);
    etcd.kill();
    etcd.restart().await;
    let mut last = first;
    for n in 0..10 {
        last = committed(&store, write("/a", n.to_string())).await;
    }
    store.compact(last).await;
    let event = next(&mut watch).await;
    assert!(matches!(event, WatchEvent::Resync { reason: ResyncReason::Compacted { .. } }), "{event:?}");
}

#[tokio::test]
async fn a_store_that_went_back_is_noticed() {
    let mut etcd = EtcdChild::start().await;
    let store = EtcdStore::open(impatient(vec![etcd.endpoint()])).await.expect("running");
    let mut watch = store.watch("/", 1);
    let mut last = 0;
    for n in 0..10 {
        last = committed(&store, write("/a", n.to_string())).await;
        next(&mut watch).await;
    }
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    match next(&mut watch).await {
        WatchEvent::Resync { reason: ResyncReason::WentBack { seen, found } } => {
            assert!(seen == last && found < last)
        }
        event => panic!("no resync: {event:?}"),
    }
    assert!(matches!(store.get("/a", Some(last)).await, Err(StoreError::FutureRevision { .. })));
}

#[tokio::test]
async fn two_control_planes_on_one_etcd_see_one_history() {
    use crate::history;
    let etcd = EtcdChild::start().await;
    let (first, second) = (etcd.open().await, etcd.open().await);
    let (meta, same) =
        tokio::join!(history::initialise(&first, "a", 1), history::initialise(&second, "b", 2));
    assert_eq!(meta.expect("one writes"), same.expect("the other reads"));
    let head = history::read_head(&first).await.expect("a head");
    let new = |id: &str| history::NewCommit {
        commit_id: id.to_owned(),
        author: "ada".to_owned(),
        message: String::new(),
        time_ms: 1,
        manifest: history::Manifest::default(),
        changes: vec![],
        alongside: history::Alongside::default(),
    };
    let at = second.get(crate::store::keys::HEAD, None).await.expect("readable").expect("present").modified;
    let mut watch = second.watch(crate::store::keys::HEAD, at + 1);
    let (one, two) =
        tokio::join!(history::commit(&first, &head, new("one")), history::commit(&second, &head, new("two")));
    let outcomes = [one.expect("a working store"), two.expect("a working store")];
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == history::CommitOutcome::Conflict).count(), 1);
    let WatchEvent::Batch { events, .. } = next(&mut watch).await else { panic!("no batch") };
    let [Event::Put(entry)] = &events[..] else { panic!("{events:?}") };
    let head = history::parse_head(&entry.value).expect("a head");
    assert_eq!(head, history::read_head(&first).await.expect("a head"));
    assert!(matches!(
        history::verify_chain(&first, 1, 1).await,
        Ok(history::ChainReport::Intact { commits: 1, .. })
    ));
}
