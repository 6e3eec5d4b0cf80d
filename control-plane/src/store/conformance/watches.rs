//! Watches: ordered, unique, whole per revision, resumable, and honest about what they cannot tell.

use super::*;

type Batches = Vec<(Revision, Vec<Event>)>;

/// Writes 60 revisions that touch one, two or three keys, inside and outside of `/w/`; gives back those inside.
async fn write_some(store: &dyn Store) -> Vec<(Revision, Vec<String>)> {
    let mut written = Vec::new();
    for n in 0..60_u32 {
        let inside = [format!("/w/{}", n % 7), format!("/w/x{n}")];
        let mut txn = put(&inside[0], n.to_string());
        match n % 4 {
            0 => txn.puts.push(Put::new(&inside[1], "x")),
            1 => txn.puts.push(Put::new("/elsewhere", "x")),
            2 if n > 4 => txn.deletes.push(format!("/w/x{}", n - 2)),
            _ => {}
        }
        let mut keys: Vec<_> =
            txn.puts.iter().map(|put| put.key.clone()).chain(txn.deletes.clone()).collect();
        keys.retain(|key| key.starts_with("/w/"));
        keys.sort();
        written.push((committed(store, txn).await, keys));
        committed(store, put("/elsewhere", n.to_string())).await;
    }
    written
}

fn keys_of(batches: &Batches) -> Vec<(Revision, Vec<String>)> {
    batches
        .iter()
        .map(|(revision, events)| (*revision, events.iter().map(|event| event.key().to_owned()).collect()))
        .collect()
}

async fn batches(watch: &mut Watch, count: usize) -> Batches {
    let mut batches = Vec::new();
    while batches.len() < count {
        batches.push(next_batch(watch).await);
    }
    batches
}

on_every_store! {
    async fn a_watch_from_the_start_sees_every_revision_once_in_order_and_whole(rig: &Rig) {
        let mut live = rig.store.watch("/w/", 1);
        let written = write_some(&*rig.store).await;
        let seen = batches(&mut live, written.len()).await;
        assert_eq!(keys_of(&seen), written);
        let mut late = rig.store.watch("/w/", 1);
        assert_eq!(batches(&mut late, written.len()).await, seen, "catching up yields what was seen live");
    }

    async fn a_watch_resumes_from_any_offset(rig: &Rig) {
        let written = write_some(&*rig.store).await;
        let mut whole = rig.store.watch("/w/", 1);
        let seen = batches(&mut whole, written.len()).await;
        for offset in (0..seen.len()).step_by(7) {
            let mut resumed = rig.store.watch("/w/", seen[offset].0 + 1);
            let rest = &seen[offset + 1..];
            assert_eq!(batches(&mut resumed, rest.len()).await, rest);
        }
    }

    async fn a_watch_that_waits_sees_what_is_written_next(rig: &Rig) {
        let revision = committed(&*rig.store, put("/w/a", "1")).await;
        let mut watch = rig.store.watch("/w/", revision + 1);
        let (event, written) = tokio::join!(next_batch(&mut watch), async {
            tokio::task::yield_now().await;
            committed(&*rig.store, put("/w/a", "2")).await
        });
        let [Event::Put(entry)] = &event.1[..] else { panic!("{event:?}") };
        assert_eq!((event.0, entry.modified, &entry.value[..], entry.puts), (written, written, &b"2"[..], 2));
    }

    async fn a_watch_from_a_revision_yet_to_come_waits_for_it(rig: &Rig) {
        let revision = committed(&*rig.store, put("/w/a", "1")).await;
        let mut watch = rig.store.watch("/w/", revision + 3);
        for n in 2..=5 {
            committed(&*rig.store, put("/w/a", n.to_string())).await;
        }
        assert_eq!(next_batch(&mut watch).await.0, revision + 3);
    }

    async fn an_event_is_not_lost_when_waiting_for_it_is_cancelled(rig: &Rig) {
        let mut watch = rig.store.watch("/w/", 1);
        let mut seen = Vec::new();
        for n in 0..50_u32 {
            let revision = committed(&*rig.store, put("/w/a", n.to_string())).await;
            // A future that is polled once and dropped, as a `select!` does.
            let polled = futures_util::FutureExt::now_or_never(watch.next());
            seen.extend(polled.map(|event| (revision, event)));
        }
        let mut revisions: Vec<_> = seen
            .into_iter()
            .map(|(_, event)| match event {
                WatchEvent::Batch { revision, .. } => revision,
                event => panic!("no batch: {event:?}"),
            })
            .collect();
        while revisions.len() < 50 {
            revisions.push(next_batch(&mut watch).await.0);
        }
        assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    }

    async fn a_watch_below_the_compaction_asks_for_a_resync_and_ends(rig: &Rig) {
        let mut last = 0;
        for n in 0..20 {
            last = committed(&*rig.store, put("/w/a", n.to_string())).await;
        }
        rig.compact(last - 2).await;
        let mut watch = rig.store.watch("/w/", last - 10);
        match next(&mut watch).await {
            WatchEvent::Resync { reason: ResyncReason::Compacted { asked, compacted } } => {
                assert_eq!((asked, compacted), (last - 10, last - 2));
            }
            event => panic!("no resync: {event:?}"),
        }
        assert_eq!(next(&mut watch).await, WatchEvent::Closed);
    }

    async fn after_a_resync_a_list_and_a_watch_from_there_miss_nothing(rig: &Rig) {
        for n in 0..10 {
            committed(&*rig.store, put(&format!("/w/{n}"), "x")).await;
        }
        let listing = list_all(&*rig.store, "/w/").await.expect("readable");
        rig.compact(listing.revision).await;
        let mut watch = rig.store.watch("/w/", listing.revision + 1);
        let written = committed(&*rig.store, put("/w/new", "x")).await;
        assert_eq!(next_batch(&mut watch).await.0, written);
        assert_eq!(listing.entries.len(), 10);
    }

    async fn large_revisions_arrive_whole(rig: &Rig) {
        let mut watch = rig.store.watch("/w/", 1);
        for n in 0..6 {
            let puts = (0..10).map(|m| Put::new(format!("/w/{n}/{m}"), vec![0; 100 * 1024])).collect();
            committed(&*rig.store, Txn { puts, ..Txn::named("large") }).await;
        }
        for (_, events) in batches(&mut watch, 6).await {
            assert_eq!(events.len(), 10);
        }
    }

    async fn the_empty_prefix_watches_everything(rig: &Rig) {
        let mut watch = rig.store.watch("", 1);
        let revision = committed(&*rig.store, put("any", "x")).await;
        assert_eq!(next_batch(&mut watch).await.0, revision);
    }
}
