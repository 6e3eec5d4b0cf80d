//! The promises of the exchange: one record, whatever the ending.

use parking_lot::Mutex;

use super::*;

#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl RecordSink for Kept {
    fn put(&self, record: Record) {
        self.0.lock().push(record);
    }
}

fn begin(clock: &Clock) -> (Exchange, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn RecordSink> = Arc::<Kept>::clone(&kept);
    (Exchange::begin(clock, 0, sink), kept)
}

#[tokio::test]
async fn a_call_dropped_without_an_ending_is_a_caller_who_left() {
    let clock = Clock::manual(1_700_000_000_000);
    let (exchange, kept) = begin(&clock);
    let id = exchange.request_id().to_owned();
    clock.advance(Duration::from_millis(3));
    drop(exchange);

    let records = kept.0.lock();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].code, code::CLIENT_GONE);
    assert_eq!(records[0].duration_us, 3_000);
    assert_eq!(records[0].request_id, id);
    assert_eq!(records[0].started_ms, 1_700_000_000_000);
}

#[tokio::test]
async fn a_refusal_before_any_try_is_named_as_the_decision() {
    let (mut exchange, kept) = begin(&Clock::manual(0));
    exchange.refused(&Failure::policy(code::RATE_LIMITED, 429, "slow down"));
    drop(exchange);
    let records = kept.0.lock();
    assert_eq!((records[0].code, records[0].status), (code::RATE_LIMITED, 429));
    assert_eq!(records[0].decision.refusal, code::RATE_LIMITED);
}

#[tokio::test]
async fn a_failure_after_tries_is_no_refusal() {
    let (mut exchange, kept) = begin(&Clock::manual(0));
    exchange.attempted(Attempt { provider: "acme".into(), outcome: "connect", ..Attempt::default() });
    exchange.refused(&Failure::upstream(code::UPSTREAM_FAILED, 502, crate::failure::Retry::Never, "no luck"));
    drop(exchange);
    let records = kept.0.lock();
    assert_eq!(records[0].decision.refusal, "");
    assert_eq!(records[0].decision.attempts.len(), 1);
}

#[test]
fn request_ids_are_version_7_and_sort_by_time() {
    let (early, late) = (request_id(1_700_000_000_000), request_id(1_700_000_000_001));
    assert_eq!(uuid::Uuid::parse_str(&early).unwrap().get_version_num(), 7);
    assert!(early < late);
}
