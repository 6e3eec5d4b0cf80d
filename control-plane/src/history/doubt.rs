//! Promises of the history about answers that get lost: a store that forgets to answer, and commits that find out.

use std::collections::VecDeque;
use std::time::Duration;

use lifecycle::Clock;
use parking_lot::Mutex;

use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{Entry, LeaseId, Listing, Page, Pending, Revision, Watch};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mishap {
    /// Applied, and the answer is lost.
    AnswerLost,
    /// Never applied, and nobody says so.
    RequestLost,
    /// Applied, the answer is lost, and somebody commits on top.
    Overtaken,
    /// Never applied, nobody says so, and somebody else commits.
    Beaten,
    /// The store cannot be reached.
    Down,
}

/// The store in memory, with a mishap for each of the next transactions that move the head.
#[derive(Debug)]
struct Forgetful {
    inner: MemoryStore,
    mishaps: Mutex<VecDeque<Mishap>>,
}

impl Forgetful {
    async fn initialised(mishaps: &[Mishap]) -> (Self, Head) {
        let inner = MemoryStore::new(Clock::manual(0));
        initialise(&inner, "store", 1).await.expect("a fresh store");
        let head = read_head(&inner).await.expect("a head");
        (Self { inner, mishaps: Mutex::new(mishaps.iter().copied().collect()) }, head)
    }

    async fn other_commits(&self) {
        let head = read_head(&self.inner).await.expect("a head");
        let outcome = commit(&self.inner, &head, new("other")).await.expect("a working store");
        assert!(matches!(outcome, CommitOutcome::Committed { .. }));
    }

    async fn strike(&self, mishap: Mishap, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let unknown = TxnOutcome::Unknown { commit_id: txn.commit_id.clone() };
        match mishap {
            Mishap::AnswerLost => drop(self.inner.txn(txn).await?),
            Mishap::RequestLost => {}
            Mishap::Overtaken => {
                self.inner.txn(txn).await?;
                self.other_commits().await;
            }
            Mishap::Beaten => self.other_commits().await,
            Mishap::Down => return Err(StoreError::Unavailable { message: "down".to_owned(), source: None }),
        }
        Ok(unknown)
    }
}

impl Store for Forgetful {
    fn get<'a>(
        &'a self,
        key: &'a str,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Option<Entry>, StoreError>> {
        self.inner.get(key, at)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        page: Page,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Listing, StoreError>> {
        self.inner.list(prefix, page, at)
    }

    fn txn(&self, txn: Txn) -> Pending<'_, Result<TxnOutcome, StoreError>> {
        let moves_head = txn.puts.iter().any(|put| put.key == keys::HEAD);
        let mishap = if moves_head { self.mishaps.lock().pop_front() } else { None };
        match mishap {
            None => self.inner.txn(txn),
            Some(mishap) => Box::pin(self.strike(mishap, txn)),
        }
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.inner.watch(prefix, from)
    }

    fn grant_lease(&self, ttl: Duration) -> Pending<'_, Result<LeaseId, StoreError>> {
        self.inner.grant_lease(ttl)
    }

    fn keep_alive(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        self.inner.keep_alive(lease)
    }

    fn revoke_lease(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        self.inner.revoke_lease(lease)
    }
}

fn new(id: &str) -> NewCommit {
    NewCommit {
        commit_id: id.to_owned(),
        author: "ada".to_owned(),
        message: String::new(),
        time_ms: 1,
        manifest: Manifest::default(),
        changes: vec![],
        alongside: Alongside::default(),
    }
}

/// Commits once under these mishaps; gives back whether it was told that it committed, and the ids of all commits made.
async fn commit_under(mishaps: &[Mishap]) -> (bool, Vec<String>) {
    let (store, head) = Forgetful::initialised(mishaps).await;
    let outcome = commit(&store, &head, new("mine")).await.expect("the doubt is resolved");
    let mut commits = list_commits(&store, None, 100).await.expect("readable");
    commits.reverse();
    (
        matches!(outcome, CommitOutcome::Committed { .. }),
        commits.into_iter().map(|commit| commit.commit_id).collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_commit_finds_out_what_became_of_it_and_is_made_once_at_most() {
    use Mishap::{AnswerLost, Beaten, Down, Overtaken, RequestLost};
    let cases: [(&[Mishap], bool, &[&str]); 8] = [
        (&[], true, &["mine"]),
        (&[AnswerLost], true, &["mine"]),
        (&[RequestLost], true, &["mine"]),
        (&[RequestLost, RequestLost, AnswerLost, RequestLost], true, &["mine"]),
        (&[Overtaken], true, &["mine", "other"]),
        (&[Beaten], false, &["other"]),
        (&[AnswerLost, Down, Down], true, &["mine"]),
        (&[RequestLost, Down, Overtaken], true, &["mine", "other"]),
    ];
    for (mishaps, told, made) in cases {
        let (committed, commits) = commit_under(mishaps).await;
        assert_eq!(
            (committed, commits.iter().map(String::as_str).collect::<Vec<_>>()),
            (told, made.to_vec()),
            "{mishaps:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_never_gets_an_answer_says_so_with_its_id() {
    let (store, head) = Forgetful::initialised(&[Mishap::RequestLost; 100]).await;
    let error = commit(&store, &head, new("mine")).await.expect_err("in doubt");
    assert!(matches!(error, HistoryError::Unknown { commit_id } if commit_id == "mine"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_before_anything_was_sent_is_no_doubt() {
    let (store, head) = Forgetful::initialised(&[Mishap::Down]).await;
    let error = commit(&store, &head, new("mine")).await.expect_err("down");
    assert!(matches!(error, HistoryError::Store(error) if error.is_temporary()));
}

#[tokio::test(start_paused = true)]
async fn an_initialisation_whose_answer_is_lost_is_found_done() {
    let store = Forgetful {
        inner: MemoryStore::new(Clock::manual(0)),
        mishaps: Mutex::new([Mishap::AnswerLost].into()),
    };
    let meta = initialise(&store, "mine", 1).await.expect("found out");
    assert_eq!(meta.store_id, "mine");
}
