//! Promises of the ledger.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use lifecycle::Clock;
use tempfile::TempDir;

use super::{Ack, Counts, Dimension, Ledger, LedgerError, LedgerPlace, Retention, UsageQuery, UsageRow};

const NOON_MS: u64 = 1_760_011_200_000;
const HOUR_MS: u64 = 3_600_000;

fn record(sequence: u64) -> proto::CallRecord {
    proto::CallRecord {
        boot_id: "boot-1".into(),
        lane: 0,
        sequence,
        request_id: format!("req-{sequence}"),
        started_ms: NOON_MS,
        duration_us: 1_500_000,
        first_byte_us: 200_000,
        policy_version: 7,
        group: "default".into(),
        organisation: "acme".into(),
        team: "support".into(),
        application: "helpdesk".into(),
        key_id: "k_1".into(),
        tags: HashMap::from([("ticket".to_owned(), "42".to_owned())]),
        operation: "chat".into(),
        dialect: "openai".into(),
        streamed: true,
        asked_model: "fast".into(),
        model: "fast".into(),
        provider: "openai".into(),
        upstream_model: "gpt-5-mini".into(),
        status: 200,
        code: "ok".into(),
        stop_reason: "stop".into(),
        tokens: Some(proto::Tokens { input: 100, cache_read: 20, cache_write: 5, output: 50, reasoning: 10 }),
        estimated: false,
        cost_nano_usd: 1_234_567,
        priced: true,
        decision: Some(proto::Decision {
            route: "default".into(),
            rule: "cheap first".into(),
            strategy: "priority".into(),
            candidates: vec![proto::Candidate {
                model: "fast".into(),
                provider: "openai".into(),
                upstream_model: "gpt-5-mini".into(),
                rank: 1,
                reason: "first by priority".into(),
            }],
            attempts: vec![proto::Attempt {
                provider: "openai".into(),
                upstream_model: "gpt-5-mini".into(),
                started_us: 100,
                took_us: 1_400_000,
                status: 200,
                outcome: "ok".into(),
                detail: String::new(),
            }],
            limits: vec![proto::LimitCheck {
                quota: "team".into(),
                limit: "requests_per_minute".into(),
                bucket: "team=support".into(),
                ceiling: 60,
                remaining: 59,
                admitted: true,
            }],
            refusal: String::new(),
        }),
    }
}

async fn in_memory() -> Ledger {
    Ledger::open(&LedgerPlace::Memory, Clock::manual(NOON_MS)).await.unwrap()
}

async fn in_file(path: &Path) -> Ledger {
    Ledger::open(&LedgerPlace::File(path.to_path_buf()), Clock::manual(NOON_MS)).await.unwrap()
}

async fn total(ledger: &Ledger) -> UsageRow {
    ledger.query(&UsageQuery::default()).await.unwrap().remove(0)
}

fn by(dimensions: &[&str]) -> UsageQuery {
    UsageQuery { by: dimensions.iter().map(|name| name.parse().unwrap()).collect(), ..UsageQuery::default() }
}

fn shown(rows: &[UsageRow]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            let values: Vec<&str> = row.dimensions.iter().map(|(_dimension, value)| value.as_str()).collect();
            format!("{} calls={} cost={}", values.join("/"), row.calls, row.cost_usd())
        })
        .collect()
}

#[tokio::test]
async fn a_record_that_is_sent_twice_counts_once() {
    let ledger = in_memory().await;
    let first = ledger.accept("p1", vec![record(1), record(2), record(2)]).await.unwrap();
    let again = ledger.accept("p1", vec![record(2), record(3)]).await.unwrap();

    assert_eq!(first.acks, [Ack { boot_id: "boot-1".into(), lane: 0, sequence: 2 }]);
    assert_eq!(again.acks, [Ack { boot_id: "boot-1".into(), lane: 0, sequence: 3 }]);
    assert_eq!(total(&ledger).await.calls, 3);
    assert_eq!(ledger.counts(), Counts { counted: 3, repeated: 2, refused: 0, failed_writes: 0 });
}

#[tokio::test]
async fn the_same_sequence_of_another_proxy_boot_or_lane_is_another_record() {
    let ledger = in_memory().await;
    let other_boot = proto::CallRecord { boot_id: "boot-2".into(), ..record(1) };
    let other_lane = proto::CallRecord { lane: 1, ..record(1) };
    let accepted = ledger.accept("p1", vec![record(1), other_boot, other_lane]).await.unwrap();
    ledger.accept("p2", vec![record(1)]).await.unwrap();

    assert_eq!(accepted.acks.len(), 3);
    assert_eq!(total(&ledger).await.calls, 4);
}

#[tokio::test]
async fn sums_are_exact_to_the_nano_dollar_and_keep_token_classes_apart() {
    let ledger = in_memory().await;
    let records =
        (0..1_000).map(|sequence| proto::CallRecord { cost_nano_usd: 100_000_000_001, ..record(sequence) });
    ledger.accept("p1", records.collect()).await.unwrap();

    let row = total(&ledger).await;
    assert_eq!(row.cost_nano_usd, 100_000_000_001_000);
    assert_eq!(row.cost_usd(), "100000.000001");
    assert_eq!(
        (
            row.input_tokens,
            row.cache_read_tokens,
            row.cache_write_tokens,
            row.output_tokens,
            row.reasoning_tokens
        ),
        (100_000, 20_000, 5_000, 50_000, 10_000)
    );
}

#[tokio::test]
async fn unpriced_is_counted_apart_and_never_as_zero_cost_without_a_word() {
    let ledger = in_memory().await;
    let unpriced = proto::CallRecord { priced: false, cost_nano_usd: 0, estimated: true, ..record(1) };
    let refused = proto::CallRecord {
        priced: false,
        cost_nano_usd: 0,
        code: "rate_limited".into(),
        status: 429,
        tokens: None,
        provider: String::new(),
        model: String::new(),
        ..record(2)
    };
    let gone = proto::CallRecord { code: "client_gone".into(), ..record(3) };
    ledger.accept("p1", vec![unpriced, refused, gone]).await.unwrap();

    let row = total(&ledger).await;
    assert_eq!((row.calls, row.errors, row.unpriced_calls, row.estimated_calls), (3, 1, 1, 1));
    assert_eq!(ledger.request("req-1").await.unwrap().unwrap().cost_nano_usd, None);
    assert_eq!(ledger.request("req-2").await.unwrap().unwrap().served, None);
}

#[tokio::test]
async fn usage_is_asked_by_dimension_time_and_filter() {
    let ledger = in_memory().await;
    let records = vec![
        record(1),
        proto::CallRecord { team: "sales".into(), cost_nano_usd: 5, ..record(2) },
        proto::CallRecord {
            started_ms: NOON_MS + HOUR_MS,
            tags: HashMap::new(),
            policy_version: 8,
            ..record(3)
        },
    ];
    ledger.accept("p1", records).await.unwrap();

    let rows = ledger.query(&by(&["team"])).await.unwrap();
    assert_eq!(shown(&rows), ["support calls=2 cost=0.002469134", "sales calls=1 cost=0.000000005"]);

    let rows = ledger.query(&by(&["hour", "policy_version"])).await.unwrap();
    assert_eq!(
        shown(&rows),
        [
            "2025-10-09T12:00:00Z/7 calls=2 cost=0.001234572",
            "2025-10-09T13:00:00Z/8 calls=1 cost=0.001234567"
        ]
    );

    let rows = ledger.query(&by(&["tag:ticket"])).await.unwrap();
    assert_eq!(shown(&rows), ["42 calls=2 cost=0.001234572", " calls=1 cost=0.001234567"]);

    let first_hour =
        UsageQuery { since_ms: Some(NOON_MS), until_ms: Some(NOON_MS + HOUR_MS), ..by(&["model"]) };
    assert_eq!(shown(&ledger.query(&first_hour).await.unwrap()), ["fast calls=2 cost=0.001234572"]);

    let filters = vec![(Dimension::Team, "sales".to_owned()), (Dimension::Team, "nobody".to_owned())];
    let sales = UsageQuery { filters, ..by(&["organisation", "application", "key", "provider"]) };
    assert_eq!(
        shown(&ledger.query(&sales).await.unwrap()),
        ["acme/helpdesk/k_1/openai calls=1 cost=0.000000005"]
    );
}

#[tokio::test]
async fn asking_an_empty_ledger_gives_no_rows() {
    assert_eq!(in_memory().await.query(&UsageQuery::default()).await.unwrap(), []);
    assert_eq!(in_memory().await.request("nothing").await.unwrap(), None);
}

#[test]
fn an_unknown_dimension_names_the_known_ones() {
    let error = "colour".parse::<Dimension>().unwrap_err().to_string();
    assert!(error.contains("`colour`") && error.contains("policy_version"), "{error}");
    assert_eq!("tag:cost-center".parse::<Dimension>().unwrap().to_string(), "tag:cost-center");
}

#[tokio::test]
async fn a_row_serializes_its_dimensions_first_and_its_cost_with_all_digits() {
    let ledger = in_memory().await;
    ledger
        .accept("p1", vec![proto::CallRecord { cost_nano_usd: 90_000_000_000_001, ..record(1) }])
        .await
        .unwrap();
    let rows = ledger.query(&by(&["team"])).await.unwrap();
    let json = serde_json::to_string(&rows).unwrap();
    assert!(json.starts_with(r#"[{"team":"support","calls":1,"errors":0,"input_tokens":100,"#), "{json}");
    assert!(json.contains(r#""cost_usd":90000.000000001,"#), "{json}");
}

#[tokio::test]
async fn the_decision_record_tells_who_asked_what_served_and_why() {
    let ledger = in_memory().await;
    ledger.accept("p1", vec![record(9)]).await.unwrap();
    let found = ledger.request("req-9").await.unwrap().unwrap();
    let json = serde_json::to_value(&found).unwrap();

    assert_eq!(json["started"], "2025-10-09T12:00:00Z");
    assert_eq!(json["caller"]["team"], "support");
    assert_eq!(json["caller"]["tags"]["ticket"], "42");
    assert_eq!(json["served"]["upstream_model"], "gpt-5-mini");
    assert_eq!(json["decision"]["rule"], "cheap first");
    assert_eq!(json["decision"]["candidates"][0]["reason"], "first by priority");
    assert_eq!(json["decision"]["attempts"][0]["status"], 200);
    assert_eq!(json["decision"]["limits"][0]["remaining"], 59);
    assert_eq!(json["policy_version"], 7);
    assert_eq!(json["source"]["proxy_id"], "p1");
}

#[tokio::test]
async fn records_that_cannot_be_true_are_refused_and_do_not_block_the_rest() {
    let ledger = in_memory().await;
    let cannot_be = vec![
        proto::CallRecord { cost_nano_usd: i64::MAX, ..record(1) },
        proto::CallRecord {
            tokens: Some(proto::Tokens { input: u64::MAX, ..Default::default() }),
            ..record(2)
        },
        proto::CallRecord { started_ms: u64::MAX, ..record(3) },
        proto::CallRecord { request_id: String::new(), ..record(4) },
        proto::CallRecord { boot_id: "b".repeat(1_000), ..record(5) },
        proto::CallRecord { policy_version: u64::MAX, ..record(6) },
        record(7),
    ];
    let accepted = ledger.accept("p1", cannot_be).await.unwrap();
    assert_eq!(accepted.refused, 6);
    assert_eq!(total(&ledger).await.calls, 1);
    assert!(accepted.acks.contains(&Ack { boot_id: "boot-1".into(), lane: 0, sequence: 7 }));
}

#[tokio::test]
async fn text_that_is_too_long_is_cut_at_a_character_and_the_cost_still_counts() {
    let ledger = in_memory().await;
    ledger
        .accept("p1", vec![proto::CallRecord { asked_model: "ü".repeat(10_000), ..record(1) }])
        .await
        .unwrap();
    let found = ledger.request("req-1").await.unwrap().unwrap();
    assert_eq!(found.asked_model, "ü".repeat(128));
    assert_eq!(total(&ledger).await.cost_nano_usd, 1_234_567);
}

#[tokio::test]
async fn a_caller_who_tags_every_call_differently_cannot_grow_the_sums_without_bound() {
    let ledger = in_memory().await;
    let tagged = |sequence: u64| {
        let tags = HashMap::from([("id".to_owned(), sequence.to_string())]);
        proto::CallRecord { tags, ..record(sequence) }
    };
    ledger.accept("p1", (0..1_500).map(tagged).collect()).await.unwrap();
    let rows = ledger.query(&by(&["tag:frontdoor.overflow"])).await.unwrap();
    let counts: Vec<(&str, i64)> = rows.iter().map(|row| (row.dimensions[0].1.as_str(), row.calls)).collect();
    assert_eq!(counts, [("", 1_000), ("true", 500)]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_not_counted_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = in_file(&path).await;
    ledger.accept("p1", vec![record(1), record(2)]).await.unwrap();
    drop(ledger);

    let ledger = in_file(&path).await;
    ledger.accept("p1", vec![record(2), record(3)]).await.unwrap();
    assert_eq!(total(&ledger).await.calls, 3);
    assert!(ledger.request("req-1").await.unwrap().is_some());
}

#[tokio::test]
async fn reports_at_the_same_time_are_all_counted_once() {
    let directory = TempDir::new().unwrap();
    let ledger = in_file(&directory.path().join("ledger.db")).await;
    let reports = (0..64).map(|proxy| {
        let ledger = ledger.clone();
        async move { ledger.accept(&format!("p{proxy}"), (0..50).map(record).collect()).await.unwrap() }
    });
    futures_util::future::join_all(reports).await;
    assert_eq!(total(&ledger).await.calls, 64 * 50);
}

#[tokio::test]
async fn a_report_that_is_given_up_halfway_does_not_stop_the_others() {
    let ledger = in_memory().await;
    for polls in 0..12 {
        let base = polls * 100;
        let mut given_up = Box::pin(ledger.accept("p1", (base..base + 50).map(record).collect()));
        for _poll in 0..polls {
            if futures_util::poll!(&mut given_up).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(given_up);
        // Sending it again counts each record once, whether the first try got through or not.
        ledger.accept("p1", (base..base + 50).map(record).collect()).await.unwrap();
    }
    assert_eq!(total(&ledger).await.calls, 12 * 50);
}

#[tokio::test]
async fn retention_removes_old_records_and_keeps_their_sums_and_their_being_counted() {
    let clock = Clock::manual(NOON_MS);
    let ledger = Ledger::open(&LedgerPlace::Memory, clock.clone()).await.unwrap();
    ledger.accept("p1", (0..5_000).map(record).collect()).await.unwrap();
    clock.advance(Duration::from_hours(48));
    ledger.accept("p1", vec![record(5_000)]).await.unwrap();

    let retention = Retention { max_age: Duration::from_hours(24), ..Retention::default() };
    assert_eq!(ledger.sweep(retention).await.unwrap(), 5_000);
    assert_eq!(ledger.sweep(retention).await.unwrap(), 0);
    assert!(ledger.request("req-1").await.unwrap().is_none());
    assert!(ledger.request("req-5000").await.unwrap().is_some());

    ledger.accept("p1", (0..5_001).map(record).collect()).await.unwrap();
    assert_eq!(total(&ledger).await.calls, 5_001);
}

#[tokio::test]
async fn retention_keeps_the_file_below_its_bound() {
    let ledger = in_memory().await;
    ledger.accept("p1", (0..6_000).map(record).collect()).await.unwrap();
    let retention = Retention { max_bytes: 4 << 20, ..Retention::default() };
    let removed = ledger.sweep(retention).await.unwrap();
    assert!((2_000..6_000).contains(&removed), "{removed}");
    assert_eq!(total(&ledger).await.calls, 6_000);
}

#[tokio::test]
async fn a_path_that_cannot_be_written_is_named_with_the_way_out() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("missing").join("ledger.db");
    let error = Ledger::open(&LedgerPlace::File(path), Clock::manual(0)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unwritable { .. }), "{error:?}");
    assert!(error.to_string().contains("missing/ledger.db: give the process write access"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_ledger_is_refused_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.db");
    std::fs::write(&path, "this is no database, it is a letter. ".repeat(200)).unwrap();
    let error = Ledger::open(&LedgerPlace::File(path.clone()), Clock::manual(0)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is no database"));
}

#[tokio::test]
async fn a_ledger_of_a_newer_build_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = in_file(&path).await;
    sqlx::raw_sql("PRAGMA user_version = 9").execute(&mut ledger.pen().await.connection).await.unwrap();
    drop(ledger);
    let error = Ledger::open(&LedgerPlace::File(path), Clock::manual(0)).await.unwrap_err();
    assert!(error.to_string().contains("schema 9, this build knows up to 1"), "{error}");
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room_again() {
    let ledger = in_memory().await;
    ledger.accept("p1", vec![record(1)]).await.unwrap();
    sqlx::raw_sql("PRAGMA max_page_count = 20").execute(&mut ledger.pen().await.connection).await.unwrap();
    let error = ledger.accept("p1", (2..2_000).map(record).collect()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Full { .. }), "{error:?}");
    assert_eq!(total(&ledger).await.calls, 1);

    sqlx::raw_sql("PRAGMA max_page_count = 1000000")
        .execute(&mut ledger.pen().await.connection)
        .await
        .unwrap();
    ledger.accept("p1", (2..2_000).map(record).collect()).await.unwrap();
    assert_eq!(total(&ledger).await.calls, 1_999);
    assert_eq!(ledger.counts().failed_writes, 1);
}
