//! What only the file store promises: plain words about a file it cannot use, and nothing lost to a kill.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use bytes::Bytes;

use super::*;
use crate::store::{Put, WatchEvent};

const CHILD_FILE: &str = "FRONTDOOR_TEST_CHILD_FILE";

async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path.to_owned(), Clock::manual(1_000_000), &Tasks::new()).await
}

async fn refusal(path: &Path) -> String {
    let error = open(path).await.expect_err("this file cannot be used");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "the file is named: {text}");
    text
}

fn put(key: &str, value: impl Into<Bytes>) -> Txn {
    Txn { puts: vec![Put::new(key, value)], ..Txn::named("test") }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named_with_the_way_out() {
    let directory = directory();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let text = open(&file.join("store.db")).await.expect_err("a file is no directory").to_string();
    assert!(text.contains(&file.display().to_string()) && text.contains("make it writable"), "{text}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named_with_the_way_out() {
    let text = refusal(Path::new("/proc/store.db")).await;
    assert!(text.contains("make its directory writable"), "{text}");
}

#[tokio::test]
async fn a_path_that_is_a_directory_is_refused() {
    let directory = directory();
    let text = refusal(directory.path()).await;
    assert!(text.contains("is a directory"), "{text}");
}

#[tokio::test]
async fn a_file_in_use_by_another_control_plane_is_refused_until_that_one_ends() {
    let directory = directory();
    let path = directory.path().join("deep/er/store.db");
    let first = open(&path).await.expect("a new file in a new directory");
    let text = refusal(&path).await;
    assert!(text.contains("in use by another control plane"), "{text}");
    drop(first);
    open(&path).await.expect("free again");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = directory();
    let path = directory.path().join("notes.txt");
    std::fs::write(
        &path,
        "these are my notes, and they are longer than a header of one hundred bytes ".repeat(9),
    )
    .expect("written");
    let text = refusal(&path).await;
    assert!(text.contains("is not a SQLite database"), "{text}");
    assert!(std::fs::read_to_string(&path).expect("readable").starts_with("these are my notes"));
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let directory = directory();
    let path = directory.path().join("other.db");
    let mut other = other_program(&path).await;
    sqlx::raw_sql("CREATE TABLE albums (name TEXT)").execute(&mut other).await.expect("made");
    let text = refusal(&path).await;
    assert!(text.contains("another program"), "{text}");
}

#[tokio::test]
async fn a_file_of_a_later_layout_is_refused() {
    let directory = directory();
    let path = directory.path().join("store.db");
    drop(open(&path).await.expect("a new file"));
    sqlx::raw_sql("PRAGMA user_version = 99")
        .execute(&mut other_program(&path).await)
        .await
        .expect("written");
    let text = refusal(&path).await;
    assert!(text.contains("layout 99"), "{text}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_the_way_out() {
    let directory = directory();
    let path = directory.path().join("store.db");
    let store = open(&path).await.expect("a new file");
    for n in 0..50 {
        store.txn(put(&format!("/{n}"), vec![b'x'; 2_000])).await.expect("written");
    }
    close(store).await;
    let mut bytes = std::fs::read(&path).expect("readable");
    assert!(bytes.len() > 100_000, "the log was written back to the file");
    for page in bytes.chunks_mut(4096).skip(2) {
        page[..200].fill(0x55);
    }
    std::fs::write(&path, bytes).expect("written");
    let text = refusal(&path).await;
    assert!(text.contains("damaged") && text.contains("restore it from a backup"), "{text}");
}

#[tokio::test]
async fn a_file_locked_by_another_program_is_a_passing_trouble() {
    let directory = directory();
    let path = directory.path().join("store.db");
    let store = open(&path).await.expect("a new file");
    let mut other = other_program(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("locked");
    let error = store.txn(put("/a", "1")).await.expect_err("locked out");
    assert!(error.is_temporary() && error.to_string().contains("locked by another program"), "{error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("unlocked");
    store.txn(put("/a", "1")).await.expect("free again");
}

#[tokio::test]
async fn a_store_opened_again_goes_on_where_it_was() {
    let directory = directory();
    let path = directory.path().join("store.db");
    let clock = Clock::manual(1_000_000);
    let store = SqliteStore::open(path.clone(), clock.clone(), &Tasks::new()).await.expect("a new file");
    let lease = store.grant_lease(Duration::from_secs(60)).await.expect("granted");
    store.txn(put("/a", "1")).await.expect("written");
    let leased = Txn { puts: vec![Put::leased("/leased", "x", lease)], ..Txn::named("leased") };
    assert_eq!(store.txn(leased).await.expect("written"), TxnOutcome::Committed { revision: 2 });
    close(store).await;

    clock.advance(Duration::from_secs(61));
    let store = SqliteStore::open(path, clock, &Tasks::new()).await.expect("the same file");
    let mut watch = store.watch("/", 1);
    for expected in [1, 2] {
        assert!(matches!(watch.next().await, WatchEvent::Batch { revision, .. } if revision == expected));
    }
    store.expire_leases().await.expect("expired");
    assert!(
        matches!(watch.next().await, WatchEvent::Batch { revision: 3, .. }),
        "time passed while it was closed"
    );
    assert_ne!(
        store.grant_lease(Duration::from_secs(60)).await.expect("granted"),
        lease,
        "names of leases are not used again"
    );
}

#[tokio::test]
async fn history_is_bounded_and_what_is_current_is_kept() {
    let directory = crate::store::conformance::quick_directory();
    let path = directory.path().join("store.db");
    let store =
        SqliteStore::open_keeping(100, path, Clock::manual(0), &Tasks::new()).await.expect("a new file");
    store.txn(put("/once", "x")).await.expect("written");
    for n in 0..500_u32 {
        store.txn(put("/often", n.to_string())).await.expect("written");
        store.txn(Txn { deletes: vec!["/gone".to_owned()], ..put("/other", "x") }).await.expect("written");
        store.txn(put("/gone", "x")).await.expect("written");
    }
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM entry").fetch_one(&store.readers).await.expect("readable");
    assert!(rows < 200, "{rows}");
    for (key, value) in [("/once", "x"), ("/often", "499"), ("/gone", "x")] {
        assert_eq!(store.get(key, None).await.expect("readable").expect("present").value, value);
    }
    assert!(matches!(store.watch("/", 1).next().await, WatchEvent::Resync { .. }));
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_is_still_told_to_the_watches() {
    let directory = directory();
    let store = open(&directory.path().join("store.db")).await.expect("a new file");
    let mut watch = store.watch("/", 1);
    assert_eq!(
        futures_util::FutureExt::now_or_never(store.txn(put("/a", "1"))).map(|outcome| outcome.is_ok()),
        None
    );
    assert!(matches!(watch.next().await, WatchEvent::Batch { revision: 1, .. }));
}

#[tokio::test]
async fn a_watch_ends_when_its_store_is_closed() {
    let directory = directory();
    let store = open(&directory.path().join("store.db")).await.expect("a new file");
    let mut watch = store.watch("/", 1);
    drop(store);
    assert_eq!(watch.next().await, WatchEvent::Closed);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = directory();
    let path = directory.path().join("store.db");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "store::sqlite::tests::write_until_killed", "--nocapture"])
        .env(CHILD_FILE, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test runs again");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let acknowledged: BTreeSet<u64> =
        lines.filter_map(|line| line.ok()?.strip_prefix("acknowledged ")?.parse().ok()).take(200).collect();
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert_eq!(acknowledged.len(), 200);

    let store = open(&path).await.expect("a killed writer leaves a good file");
    let kept = crate::store::list_all(&store, "/n/").await.expect("readable").entries;
    let kept_twins = crate::store::list_all(&store, "/twin/").await.expect("readable").entries;
    assert_eq!(kept.len(), kept_twins.len(), "every transaction is there whole or not at all");
    let kept: BTreeSet<u64> =
        kept.iter().map(|entry| entry.key.trim_start_matches("/n/").parse().expect("a number")).collect();
    assert!(acknowledged.is_subset(&kept));
}

/// The child of the test above; by itself it has no file and nothing to do.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a child learns its file from the environment")]
async fn write_until_killed() {
    let Some(path) = std::env::var_os(CHILD_FILE) else { return };
    let store = open(Path::new(&path)).await.expect("a new file");
    for n in 0..u64::MAX {
        let puts = vec![Put::new(format!("/n/{n}"), "x"), Put::new(format!("/twin/{n}"), vec![b'x'; 5_000])];
        store.txn(Txn { puts, ..Txn::named("kill") }).await.expect("written");
        println!("acknowledged {n}");
    }
}

async fn other_program(path: &Path) -> sqlx::SqliteConnection {
    use sqlx::ConnectOptions;
    sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .expect("opened")
}

/// Closes every connection, so that the log is written back to the file.
async fn close(store: SqliteStore) {
    store.readers.close().await;
    let writer = Arc::try_unwrap(store.writer).expect("no write is under way").into_inner();
    writer.close().await;
}
