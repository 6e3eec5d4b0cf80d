//! Transactions: atomic, conditional, limited.

use std::sync::Arc;

use super::*;

const WRITERS: u64 = 8;
const ATTEMPTS: u64 = 2_000;

/// Adds one to `/counter`, and writes the new number under the writer's own name, `ATTEMPTS` times; says how often it won.
async fn count_up(store: Arc<dyn Store>, writer: u64) -> u64 {
    let own = format!("/writer/{writer}");
    let mut won = 0;
    let mut current = store.get("/counter", None).await.expect("readable").expect("present");
    for attempt in 0..ATTEMPTS {
        let number: u64 = std::str::from_utf8(&current.value).expect("digits").parse().expect("a number");
        let next = Bytes::from((number + 1).to_string());
        let txn = Txn {
            compares: vec![Compare::ModifiedAt { key: "/counter".to_owned(), revision: current.modified }],
            puts: vec![Put::new("/counter", next.clone()), Put::new(&own, next.clone())],
            ..Txn::named(format!("{writer}-{attempt}"))
        };
        match store.txn(txn).await.expect("a working store") {
            TxnOutcome::Committed { revision } => {
                won += 1;
                current.value = next;
                current.modified = revision;
            }
            TxnOutcome::Conflict => {
                current = store.get("/counter", None).await.expect("readable").expect("present")
            }
            TxnOutcome::Unknown { .. } => panic!("a store that is up answers"),
        }
    }
    won
}

/// Transactions that each break one limit, and the error they meet everywhere.
fn beyond_the_limits() -> Vec<(Txn, LimitExceeded)> {
    let many_puts =
        Txn { puts: (0..=MAX_WRITES).map(|n| Put::new(format!("/{n}"), "x")).collect(), ..Txn::default() };
    let mixed = Txn {
        puts: (0..MAX_WRITES).map(|n| Put::new(format!("/{n}"), "x")).collect(),
        deletes: vec!["/d".to_owned()],
        ..Txn::default()
    };
    let compares = (0..=MAX_COMPARES).map(|n| Compare::Absent { key: format!("/{n}") }).collect();
    let twice = Txn { deletes: vec!["/a".to_owned()], ..put("/a", "x") };
    let large = Txn {
        puts: vec![
            Put::new("/a", vec![0; MAX_VALUE_BYTES]),
            Put::new("/b", vec![0; MAX_TXN_BYTES - MAX_VALUE_BYTES]),
        ],
        ..Txn::default()
    };
    let too_large = large.bytes();
    vec![
        (many_puts, LimitExceeded::Writes { found: MAX_WRITES + 1 }),
        (mixed, LimitExceeded::Writes { found: MAX_WRITES + 1 }),
        (Txn { compares, ..Txn::default() }, LimitExceeded::Compares { found: MAX_COMPARES + 1 }),
        (put("", "x"), LimitExceeded::Key { found: 0 }),
        (put(&"k".repeat(MAX_KEY_BYTES + 1), "x"), LimitExceeded::Key { found: MAX_KEY_BYTES + 1 }),
        (delete(&"k".repeat(MAX_KEY_BYTES + 1)), LimitExceeded::Key { found: MAX_KEY_BYTES + 1 }),
        (
            put("/a", vec![0; MAX_VALUE_BYTES + 1]),
            LimitExceeded::Value { key: "/a".to_owned(), found: MAX_VALUE_BYTES + 1 },
        ),
        (large, LimitExceeded::Bytes { found: too_large }),
        (twice, LimitExceeded::WrittenTwice { key: "/a".to_owned() }),
    ]
}

on_every_store! {
    async fn eight_writers_with_two_thousand_compare_and_swaps_each_lose_no_update(rig: &Rig) {
        committed(&*rig.store, put("/counter", "0")).await;
        let writers: Vec<_> = (0..WRITERS).map(|writer| count_up(Arc::clone(&rig.store), writer)).collect();
        let tasks = lifecycle::Tasks::new();
        let (report, mut reported) = tokio::sync::mpsc::channel(8);
        for writer in writers {
            let report = report.clone();
            tasks.spawn("writer", lifecycle::TaskKind::Background, async move {
                report.send(writer.await).await.expect("the test listens");
            });
        }
        drop(report);
        let mut won = Vec::new();
        while let Some(wins) = reported.recv().await {
            won.push(wins);
        }
        assert_eq!(won.len() as u64, WRITERS, "every writer ends");
        let total: u64 = won.iter().sum();
        assert_eq!(value(&*rig.store, "/counter", None).await.expect("present"), total.to_string());
        let puts: u64 = {
            let listing = list_all(&*rig.store, "/writer/").await.expect("readable");
            listing.entries.iter().map(|entry| entry.puts).sum()
        };
        assert_eq!(puts, total, "both halves of every transaction were applied");
    }

    async fn a_transaction_whose_compare_fails_changes_nothing(rig: &Rig) {
        let created = committed(&*rig.store, put("/a", "1")).await;
        let modified = committed(&*rig.store, put("/a", "2")).await;
        let a = || "/a".to_owned();
        let failing = [
            Compare::Absent { key: a() },
            Compare::ModifiedAt { key: a(), revision: created },
            Compare::CreatedAt { key: a(), revision: modified },
            Compare::Holds { key: a(), value: Bytes::from("1") },
            Compare::ModifiedAt { key: "/none".to_owned(), revision: created },
            Compare::CreatedAt { key: "/none".to_owned(), revision: created },
            Compare::Holds { key: "/none".to_owned(), value: Bytes::new() },
        ];
        for compare in failing {
            let holding = Compare::Holds { key: a(), value: Bytes::from("2") };
            let txn = Txn {
                compares: vec![holding, compare.clone()],
                puts: vec![Put::new("/b", "x")],
                deletes: vec![a()],
                commit_id: "c".to_owned(),
            };
            assert_eq!(rig.store.txn(txn).await.expect("a working store"), TxnOutcome::Conflict, "{compare:?}");
        }
        let listing = list_all(&*rig.store, "/").await.expect("readable");
        assert_eq!((listing.entries.len(), listing.revision), (1, modified));
    }

    async fn a_transaction_whose_compares_hold_is_applied_at_one_revision(rig: &Rig) {
        let created = committed(&*rig.store, put("/a", "1")).await;
        committed(&*rig.store, put("/gone", "1")).await;
        let txn = Txn {
            compares: vec![
                Compare::Absent { key: "/b".to_owned() },
                Compare::ModifiedAt { key: "/a".to_owned(), revision: created },
                Compare::CreatedAt { key: "/a".to_owned(), revision: created },
                Compare::Holds { key: "/a".to_owned(), value: Bytes::from("1") },
            ],
            puts: vec![Put::new("/a", "2"), Put::new("/b", "")],
            deletes: vec!["/gone".to_owned(), "/never".to_owned()],
            commit_id: "c".to_owned(),
        };
        let revision = committed(&*rig.store, txn).await;
        let a = rig.store.get("/a", None).await.expect("readable").expect("present");
        assert_eq!((a.created, a.modified, a.puts), (created, revision, 2));
        let b = rig.store.get("/b", None).await.expect("readable").expect("an empty value is a value");
        assert_eq!((b.created, b.modified, b.puts, b.value.len()), (revision, revision, 1, 0));
        assert_eq!(value(&*rig.store, "/gone", None).await, None);
    }

    async fn a_transaction_that_changes_nothing_takes_no_revision(rig: &Rig) {
        let revision = committed(&*rig.store, put("/a", "1")).await;
        assert_eq!(committed(&*rig.store, delete("/never")).await, revision);
        assert_eq!(committed(&*rig.store, put("/a", "1")).await, revision + 1, "a put counts, even of the same value");
    }

    async fn a_key_that_is_made_again_begins_a_new_life(rig: &Rig) {
        committed(&*rig.store, put("/a", "1")).await;
        committed(&*rig.store, put("/a", "2")).await;
        committed(&*rig.store, delete("/a")).await;
        let revision = committed(&*rig.store, put("/a", "3")).await;
        let entry = rig.store.get("/a", None).await.expect("readable").expect("present");
        assert_eq!((entry.created, entry.puts), (revision, 1));
    }

    async fn the_past_reads_as_it_was_until_it_is_compacted(rig: &Rig) {
        let first = committed(&*rig.store, put("/a", "1")).await;
        let second = committed(&*rig.store, put("/a", "2")).await;
        let third = committed(&*rig.store, delete("/a")).await;
        let fourth = committed(&*rig.store, put("/b", "4")).await;
        assert_eq!(value(&*rig.store, "/a", Some(first)).await, Some(Bytes::from("1")));
        assert_eq!(value(&*rig.store, "/a", Some(second)).await, Some(Bytes::from("2")));
        assert_eq!(value(&*rig.store, "/a", Some(third)).await, None);
        assert_eq!(rig.store.list("/", Page::first(), Some(second)).await.expect("readable").entries.len(), 1);

        rig.compact(third).await;
        for at in [first, second] {
            assert!(matches!(rig.store.get("/a", Some(at)).await, Err(StoreError::Compacted { requested }) if requested == at));
            let listed = rig.store.list("/", Page::first(), Some(at)).await;
            assert!(matches!(listed, Err(StoreError::Compacted { requested }) if requested == at));
        }
        assert_eq!(value(&*rig.store, "/a", Some(third)).await, None);
        assert_eq!(value(&*rig.store, "/b", Some(fourth)).await, Some(Bytes::from("4")));
        let future = fourth + 1_000;
        assert!(matches!(rig.store.get("/a", Some(future)).await, Err(StoreError::FutureRevision { requested }) if requested == future));
    }

    async fn what_breaks_a_limit_is_refused_alike_and_changes_nothing(rig: &Rig) {
        let before = committed(&*rig.store, put("/z", "1")).await;
        for (txn, expected) in beyond_the_limits() {
            match rig.store.txn(txn).await {
                Err(StoreError::Limit(found)) => assert_eq!(found, expected),
                other => panic!("{expected:?} was expected, not {other:?}"),
            }
        }
        assert!(matches!(rig.store.get("", None).await, Err(StoreError::Limit(LimitExceeded::Key { found: 0 }))));
        assert_eq!(rig.store.list("/", Page::first(), None).await.expect("readable").revision, before);
    }

    async fn what_just_keeps_the_limits_is_accepted(rig: &Rig) {
        let key = |n: usize| format!("/{n:0>width$}", width = MAX_KEY_BYTES - 1);
        let full = Txn {
            compares: (0..MAX_COMPARES).map(|n| Compare::Absent { key: key(n) }).collect(),
            puts: (0..MAX_WRITES).map(|n| Put::new(key(n), "x")).collect(),
            ..Txn::named("full")
        };
        committed(&*rig.store, full).await;
        let large = Txn {
            puts: vec![Put::new("/a", vec![1; MAX_VALUE_BYTES]), Put::new("/b", vec![2; MAX_TXN_BYTES - MAX_VALUE_BYTES - 4])],
            ..Txn::named("large")
        };
        assert_eq!(large.bytes(), MAX_TXN_BYTES);
        committed(&*rig.store, large).await;
        assert_eq!(value(&*rig.store, "/a", None).await.expect("present").len(), MAX_VALUE_BYTES);
    }
}
