//! Promises of the fleet, on the store in memory.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::store::memory::MemoryStore;

const START_MS: u64 = 1_760_000_000_000;

fn entry(proxy_id: &str, server_id: &str, version: u64) -> FleetEntry {
    FleetEntry {
        proxy_id: proxy_id.into(),
        group: "default".into(),
        connected: true,
        connected_since_ms: START_MS,
        version: Some(version),
        phase: ProxyPhase::Active,
        server_id: server_id.into(),
        ..FleetEntry::default()
    }
}

fn refusal(version: u64) -> Option<Refusal> {
    Some(Refusal { version, digest: String::new(), at_ms: 0, reverted: false, diagnostics: vec![] })
}

fn shown(fleet: &Fleet) -> Vec<String> {
    let show = |entry: FleetEntry| {
        let state = if entry.connected { "connected" } else { "gone" };
        format!("{} {state} at {} with {}", entry.proxy_id, entry.server_id, entry.version.unwrap_or(0))
    };
    fleet.list().into_iter().map(show).collect()
}

/// Waits until the fleet looks like this.
async fn becomes(fleet: &Fleet, wanted: &[&str]) {
    let looks_so = async {
        while shown(fleet) != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = timeout(Duration::from_secs(30), looks_so).await;
    assert!(in_time.is_ok(), "{:?} instead of {wanted:?}", shown(fleet));
}

fn store(clock: &Clock) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(clock.clone()))
}

#[tokio::test(start_paused = true)]
async fn every_control_plane_on_one_store_lists_the_whole_fleet() {
    let (clock, tasks) = (Clock::tokio(START_MS), Tasks::new());
    let store = store(&clock);
    let one = Fleet::start(Arc::clone(&store), "one", &tasks, clock.clone());
    let two = Fleet::start(Arc::clone(&store), "two", &tasks, clock.clone());
    let p1 = one.join(entry("p1", "one", 1));
    let _p2 = two.join(entry("p2", "two", 2));

    for fleet in [&one, &two] {
        becomes(fleet, &["p1 connected at one with 1", "p2 connected at two with 2"]).await;
    }
    p1.changed(entry("p1", "one", 2));
    becomes(&two, &["p1 connected at one with 2", "p2 connected at two with 2"]).await;
    assert_eq!((one.connected_here(), two.connected_here()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_went_away_stays_listed_for_a_day() {
    let (clock, tasks) = (Clock::tokio(START_MS), Tasks::new());
    let store = store(&clock);
    let one = Fleet::start(Arc::clone(&store), "one", &tasks, clock.clone());
    let two = Fleet::start(Arc::clone(&store), "two", &tasks, clock.clone());
    let p1 = one.join(entry("p1", "one", 1));
    becomes(&two, &["p1 connected at one with 1"]).await;
    drop(p1);
    for fleet in [&one, &two] {
        becomes(fleet, &["p1 gone at one with 1"]).await;
    }
    tokio::time::advance(GONE_AFTER + Duration::from_secs(60)).await;
    for fleet in [&one, &two] {
        becomes(fleet, &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_moved_is_listed_where_it_is_connected() {
    let (clock, tasks) = (Clock::tokio(START_MS), Tasks::new());
    let store = store(&clock);
    let one = Fleet::start(Arc::clone(&store), "one", &tasks, clock.clone());
    let two = Fleet::start(Arc::clone(&store), "two", &tasks, clock.clone());
    let at_one = one.join(entry("p1", "one", 1));
    becomes(&two, &["p1 connected at one with 1"]).await;
    let _at_two = two.join(FleetEntry { connected_since_ms: START_MS + 5_000, ..entry("p1", "two", 1) });
    becomes(&one, &["p1 connected at two with 1"]).await;

    // The older control plane notices late that its stream is gone; that must not hide the living one.
    drop(at_one);
    tokio::time::sleep(Duration::from_secs(5)).await;
    for fleet in [&one, &two] {
        becomes(fleet, &["p1 connected at two with 1"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn proxies_of_a_control_plane_that_died_show_as_gone_when_its_lease_ends() {
    let clock = Clock::tokio(START_MS);
    let store = store(&clock);
    let (dying, living) = (Tasks::new(), Tasks::new());
    let one = Fleet::start(Arc::clone(&store), "one", &dying, clock.clone());
    let two = Fleet::start(Arc::clone(&store), "two", &living, clock.clone());
    let membership = one.join(entry("p1", "one", 1));
    becomes(&two, &["p1 connected at one with 1"]).await;

    // Killed: nothing is said any more, neither keep-alives nor a last word.
    let _aborted = dying.shutdown(Duration::ZERO).await;
    std::mem::forget(membership);
    tokio::time::sleep(Duration::from_secs(120)).await;
    // The store in memory looks at its leases when it is asked something.
    store.get("anything", None).await.unwrap();
    becomes(&two, &["p1 gone at one with 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_lived_stream_stays_listed_by_its_lease() {
    let (clock, tasks) = (Clock::tokio(START_MS), Tasks::new());
    let store = store(&clock);
    let one = Fleet::start(Arc::clone(&store), "one", &tasks, clock.clone());
    let two = Fleet::start(Arc::clone(&store), "two", &tasks, clock.clone());
    let _p1 = one.join(entry("p1", "one", 1));
    for _minute in 0..30 {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    becomes(&two, &["p1 connected at one with 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_pulse_shows_here_and_is_not_written_to_the_store() {
    let (clock, tasks) = (Clock::tokio(START_MS), Tasks::new());
    let store = store(&clock);
    let one = Fleet::start(Arc::clone(&store), "one", &tasks, clock.clone());
    let p1 = one.join(entry("p1", "one", 1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = store.get("/frontdoor/v1/instance/proxy/p1", None).await.unwrap().unwrap();
    for inflight in 0..100 {
        p1.pulsed(FleetEntry { inflight, ..entry("p1", "one", 1) });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let after = store.get("/frontdoor/v1/instance/proxy/p1", None).await.unwrap().unwrap();
    assert_eq!(one.list()[0].inflight, 99);
    assert_eq!(before.modified, after.modified);
}

#[tokio::test(start_paused = true)]
async fn a_second_stream_of_the_same_proxy_ends_the_first_and_only_the_second_counts() {
    let clock = Clock::tokio(START_MS);
    let fleet = Fleet::alone("one", clock);
    let first = fleet.join(entry("p1", "one", 1));
    let second = fleet.join(entry("p1", "one", 2));
    assert!(first.replaced().is_cancelled() && !second.replaced().is_cancelled());

    first.changed(entry("p1", "one", 1));
    drop(first);
    assert_eq!(shown(&fleet), ["p1 connected at one with 2"]);
    drop(second);
    assert_eq!(shown(&fleet), ["p1 gone at one with 2"]);
}

#[tokio::test(start_paused = true)]
async fn whether_a_version_is_enforced_everywhere_is_told_by_name() {
    let fleet = Fleet::alone("one", Clock::tokio(START_MS));
    let _new = fleet.join(entry("new", "one", 7));
    let _old = fleet.join(entry("old", "one", 6));
    let _refusing = fleet.join(FleetEntry { last_refusal: refusal(7), ..entry("refusing", "one", 6) });
    drop(fleet.join(entry("gone", "one", 6)));
    drop(fleet.join(entry("gone-with-it", "one", 7)));

    let enforcement = fleet.enforcement(7);
    assert_eq!(enforcement.enforcing, ["new"]);
    assert_eq!(enforcement.behind, ["old"]);
    assert_eq!(enforcement.refused, ["refusing"]);
    assert_eq!(enforcement.unknown, ["gone"]);
    assert!(!enforcement.is_everywhere());
    assert!(fleet.enforcement(6).is_everywhere());
}

#[tokio::test(start_paused = true)]
async fn the_list_of_gone_proxies_is_bounded() {
    let clock = Clock::tokio(START_MS);
    let fleet = Fleet::alone("one", clock);
    for number in 0..20_050 {
        drop(fleet.join(entry(&format!("p{number}"), "one", 1)));
    }
    assert_eq!(fleet.list().len(), 20_000);
}
