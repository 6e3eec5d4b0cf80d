//! What a watch makes of etcd's answers, without an etcd: the answers here are those that were seen in the wild.

use etcd_client::proto::{PbKeyValue, PbResponseHeader};

use super::*;

fn event(key: &str, revision: i64, puts: i64) -> PbEvent {
    let kv = PbKeyValue { key: key.into(), mod_revision: revision, version: puts, ..PbKeyValue::default() };
    PbEvent { kv: Some(kv), ..PbEvent::default() }
}

fn answer(events: Vec<PbEvent>) -> PbWatchResponse {
    PbWatchResponse { events, ..PbWatchResponse::default() }
}

fn revisions(progress: &Progress) -> Vec<(Revision, usize)> {
    progress.ready.iter().map(|(revision, events)| (*revision, events.len())).collect()
}

#[test]
fn it_resumes_behind_the_last_event_and_not_behind_the_header() {
    let mut progress = Progress::from(1);
    let header = PbResponseHeader { revision: 2830, ..PbResponseHeader::default() };
    let catching_up =
        PbWatchResponse { header: Some(header), ..answer(vec![event("/a", 1328, 1), event("/a", 1329, 2)]) };
    assert_eq!(progress.take(catching_up), Ok(true));
    assert_eq!(progress.next, 1330);
}

#[test]
fn an_answer_without_events_moves_nothing() {
    let mut progress = Progress::from(7);
    let header = PbResponseHeader { revision: 2830, ..PbResponseHeader::default() };
    assert_eq!(
        progress.take(PbWatchResponse { header: Some(header), created: true, ..answer(vec![]) }),
        Ok(false)
    );
    assert_eq!((progress.next, progress.ready.len()), (7, 0));
}

#[test]
fn created_proves_nothing_when_cancelled_for_compaction_comes_next() {
    let mut progress = Progress::from(3);
    assert_eq!(progress.take(PbWatchResponse { created: true, ..answer(vec![]) }), Ok(false));
    let cancelled = PbWatchResponse { canceled: true, compact_revision: 18, ..answer(vec![]) };
    assert_eq!(progress.take(cancelled), Err(ResyncReason::Compacted { asked: 3, compacted: 18 }));
}

#[test]
fn a_cancellation_tells_its_reason() {
    let cancelled = PbWatchResponse {
        canceled: true,
        cancel_reason: "etcdserver: permission denied".to_owned(),
        ..answer(vec![])
    };
    let reason = Progress::from(1).take(cancelled).expect_err("a resync");
    assert_eq!(reason.to_string(), "the store cancelled the watch: etcdserver: permission denied");
}

#[test]
fn a_revision_split_over_fragments_is_delivered_once_and_whole() {
    let mut progress = Progress::from(1);
    let fragment = |events| PbWatchResponse { fragment: true, ..answer(events) };
    progress.take(fragment(vec![event("/a", 2, 1), event("/c", 3, 1)])).expect("good");
    assert_eq!(revisions(&progress), [(2, 1)], "revision 3 may go on");
    progress.take(fragment(vec![event("/b", 3, 1)])).expect("good");
    assert_eq!(revisions(&progress), [(2, 1)]);
    progress.take(answer(vec![event("/d", 3, 1), event("/e", 4, 1)])).expect("good");
    assert_eq!(revisions(&progress), [(2, 1), (3, 3), (4, 1)]);
    assert!(progress.ready[1].1.is_sorted_by(|a, b| a.key() < b.key()));
}

#[test]
fn a_connection_lost_within_a_revision_begins_that_revision_again() {
    let mut progress = Progress::from(1);
    progress
        .take(PbWatchResponse { fragment: true, ..answer(vec![event("/a", 2, 1), event("/a", 3, 2)]) })
        .expect("good");
    progress.forget_partial();
    assert_eq!(progress.next, 3);
    progress.take(answer(vec![event("/a", 3, 2), event("/b", 3, 1)])).expect("the same put again is no gap");
    assert_eq!(revisions(&progress), [(2, 1), (3, 2)]);
}

#[test]
fn revisions_that_go_back_ask_for_a_resync() {
    let mut progress = Progress::from(1);
    progress.take(answer(vec![event("/a", 5, 1)])).expect("good");
    let reason = progress.take(answer(vec![event("/b", 5, 1)])).expect_err("revision 5 was whole already");
    assert_eq!(reason, ResyncReason::WentBack { seen: 5, found: 5 });
}

#[test]
fn a_missing_put_of_a_key_asks_for_a_resync() {
    let mut progress = Progress::from(1);
    progress.take(answer(vec![event("/head", 5, 2), event("/head", 6, 3)])).expect("good");
    let reason = progress.take(answer(vec![event("/head", 9, 5)])).expect_err("put 4 is missing");
    assert_eq!(reason, ResyncReason::Gap { key: "/head".to_owned(), revision: 9 });
}

#[test]
fn a_key_deleted_and_made_again_is_no_gap() {
    let mut progress = Progress::from(1);
    progress.take(answer(vec![event("/a", 5, 2)])).expect("good");
    let deleted = PbEvent { r#type: 1, ..event("/a", 6, 0) };
    progress.take(answer(vec![deleted])).expect("good");
    progress.take(answer(vec![event("/a", 7, 1), event("/a", 8, 2)])).expect("good");
    assert_eq!(progress.ready.len(), 4);
}

#[test]
fn what_cannot_be_understood_asks_for_a_resync_and_does_not_panic() {
    let unknown = PbEvent { r#type: 7, ..event("/a", 2, 1) };
    let keyless = PbEvent::default();
    let binary = PbEvent {
        kv: Some(PbKeyValue { key: vec![0xff], mod_revision: 2, ..PbKeyValue::default() }),
        ..PbEvent::default()
    };
    for event in [unknown, keyless, binary] {
        let reason = Progress::from(1).take(answer(vec![event])).expect_err("a resync");
        assert!(matches!(reason, ResyncReason::Unreadable(_)), "{reason}");
    }
}
