//! Promises of the stream, with fake proxies over real connections, or over none where time is to pass.

mod fake;
mod wire;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use lifecycle::{Clock, Tasks};
use policy::{Catalog, Change};
use proto::Phase;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use self::fake::{FakeProxy, Said, World};
use super::*;
use crate::fleet::ProxyPhase;
use crate::usage::{LedgerPlace, UsageQuery};

fn record(sequence: u64) -> proto::CallRecord {
    proto::CallRecord {
        boot_id: "b1".into(),
        sequence,
        request_id: format!("req-{sequence}"),
        started_ms: 1_760_000_000_000,
        code: "ok".into(),
        ..proto::CallRecord::default()
    }
}

fn report(records: Vec<proto::CallRecord>) -> proto::ReportRequest {
    proto::ReportRequest { proxy_id: "p1".into(), boot_id: "b1".into(), records }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_never_says_hello_loses_its_stream() {
    let world = World::start(1).await;
    let mut proxy = FakeProxy::silent(&world).await;
    let status = timeout(Duration::from_secs(11), proxy.end()).await.unwrap();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "no hello within 10 seconds"));
    assert!(world.fleet.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_stops_reading_loses_its_stream_after_fifteen_seconds() {
    let world = World::start_with(1, &[300; 20]).await;
    let mut proxy = FakeProxy::connect(&world, "p1").await;
    world.fleet_shows("p1", |entry| entry.connected).await;
    let since = tokio::time::Instant::now();
    world.fleet_shows("p1", |entry| !entry.connected).await;
    let took = since.elapsed();
    assert!((Duration::from_secs(14)..Duration::from_secs(17)).contains(&took), "{took:?}");
    assert_eq!(proxy.end().await.message(), "the proxy did not read for too long");
}

#[tokio::test(start_paused = true)]
async fn a_silent_proxy_loses_its_stream_though_it_reads() {
    let world = World::start(1).await;
    let mut proxy = FakeProxy::connect(&world, "p1").await;
    let status = timeout(Duration::from_secs(70), proxy.end()).await.unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::DeadlineExceeded, "nothing was heard for 60 seconds")
    );
}

#[tokio::test(start_paused = true)]
async fn heartbeats_tell_the_newest_version() {
    let world = World::start(7).await;
    let mut proxy = FakeProxy::connect(&world, "p1").await;
    proxy.activated().await;
    loop {
        if let Said::Heartbeat(heartbeat) = proxy.hear().await {
            assert_eq!(heartbeat.head, 7);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_says_goodbye_to_everyone_and_spreads_their_return() {
    let world = World::start(1).await;
    let mut proxies = Vec::new();
    for number in 0..50 {
        let mut proxy = FakeProxy::connect(&world, &format!("p{number}")).await;
        proxy.activated().await;
        proxies.push(proxy);
    }
    let stopping = world.tasks.shutdown(Duration::from_secs(10));
    let farewells = async {
        let mut returns = Vec::new();
        for proxy in &mut proxies {
            returns.push(proxy.farewell().await.reconnect_after_ms);
            assert_eq!(proxy.end().await.code(), Code::Unavailable);
        }
        returns
    };
    let (stopped, mut returns) = tokio::join!(stopping, farewells);
    assert_eq!(stopped, Ok(()));
    returns.sort_unstable();
    returns.dedup();
    assert!(returns.len() > 30 && returns.iter().all(|after_ms| *after_ms < 1_000), "{returns:?}");
}

#[tokio::test(start_paused = true)]
async fn cold_snapshots_are_bounded_while_small_changes_pass() {
    let world = World::start_with(1, &[19_000; 20]).await;
    let mut warm = FakeProxy::connect(&world, "warm").await;
    warm.activated().await;
    warm.acknowledge(Phase::Active).await;
    world.fleet_shows("warm", |entry| entry.version == Some(1)).await;

    // More cold proxies than are served at a time, and none of them reads.
    let mut cold = Vec::new();
    for number in 0..COLD_OFFERS + 10 {
        cold.push(FakeProxy::connect(&world, &format!("cold{number}")).await);
    }
    for proxy in &mut cold {
        proxy.hear().await;
    }
    tokio::task::yield_now().await;
    world.publish(2);
    assert_eq!(warm.activated().await, 2);
    let waiting = world.service.shared.cold.available_permits();
    assert_eq!(waiting, 0);

    for proxy in &mut cold {
        proxy.activated().await;
    }
    world.cold_permits_are_back().await;
}

#[tokio::test(start_paused = true)]
async fn proxies_that_read_drop_by_drop_do_not_keep_the_others_from_their_first_version() {
    let world = World::start_with(1, &[19_000; 20]).await;
    let mut slow = Vec::new();
    for number in 0..COLD_OFFERS {
        slow.push(FakeProxy::connect(&world, &format!("slow{number}")).await);
    }
    for proxy in &mut slow {
        // The welcome and the beginning of the offer: from here on each has a turn.
        proxy.hear().await;
        proxy.hear().await;
    }
    let mut late = FakeProxy::connect(&world, "late").await;
    late.hear().await;
    let drop_by_drop = async {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            // The transport hands over a few messages at a time.
            for number in 0..6 * COLD_OFFERS {
                slow[number % COLD_OFFERS].hear().await;
            }
        }
    };
    tokio::select! {
        () = drop_by_drop => {}
        activated = timeout(driver::COLD_TURN + Duration::from_secs(15), late.activated()) => {
            assert_eq!(activated, Ok(1));
        }
    }
    for proxy in &mut slow {
        assert_eq!(proxy.activated().await, 1);
    }
}

#[tokio::test]
async fn records_are_acknowledged_once_they_are_counted_and_counted_once() {
    let world = World::start(1).await;
    let mut client = world.client();
    let (reports, outbound) = mpsc::channel(4);
    let mut acks = client.report(ReceiverStream::new(outbound)).await.unwrap().into_inner();
    reports.send(report(vec![record(1), record(2)])).await.unwrap();
    assert_eq!(acks.message().await.unwrap().unwrap().sequence, 2);
    reports.send(report(vec![record(2), record(3)])).await.unwrap();
    let ack = acks.message().await.unwrap().unwrap();
    assert_eq!((ack.boot_id.as_str(), ack.lane, ack.sequence), ("b1", 0, 3));
    drop(reports);
    assert_eq!(acks.message().await.unwrap(), None);
    assert_eq!(world.ledger.query(&UsageQuery::default()).await.unwrap()[0].calls, 3);
}

#[tokio::test]
async fn a_report_beyond_its_bounds_is_refused_and_nothing_of_it_counts() {
    let world = World::start(1).await;
    for (request, reason) in [
        (report((0..1_025).map(record).collect()), "1025 records"),
        (proto::ReportRequest { proxy_id: String::new(), ..report(vec![record(1)]) }, "proxy_id"),
    ] {
        let mut client = world.client();
        let mut acks = client.report(tokio_stream::once(request)).await.unwrap().into_inner();
        let status = acks.message().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(reason), "{status}");
    }
    assert!(world.ledger.query(&UsageQuery::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_message_without_content_ends_the_stream_and_leaves_the_others_alone() {
    let world = World::start(1).await;
    let mut good = FakeProxy::connect(&world, "good").await;
    good.activated().await;
    let mut bad = FakeProxy::silent(&world).await;
    bad.say_nothing().await;
    assert_eq!(bad.end().await.code(), Code::InvalidArgument);
    world.publish(2);
    assert_eq!(good.activated().await, 2);
}

#[tokio::test]
async fn a_newer_stream_of_the_same_proxy_ends_the_older_one() {
    let world = World::start(1).await;
    let mut first = FakeProxy::connect(&world, "p1").await;
    first.activated().await;
    let mut second = FakeProxy::connect(&world, "p1").await;
    second.activated().await;
    assert_eq!(first.end().await.code(), Code::Aborted);
    world.publish(2);
    assert_eq!(second.activated().await, 2);
}
