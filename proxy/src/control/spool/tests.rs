use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

use super::disk::Directory;
use super::*;

fn record(name: &str) -> CallRecord {
    CallRecord { request_id: name.to_owned(), ..CallRecord::default() }
}

fn records(range: std::ops::Range<u32>) -> Vec<CallRecord> {
    range.map(|number| record(&number.to_string())).collect()
}

fn open(path: &Path, boot: &str, limits: SpoolLimits) -> Spool {
    Spool::open(Box::new(Directory::open(path).unwrap()), boot.to_owned(), limits).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test has no clock to take")]
fn now() -> Instant {
    std::time::Instant::now().into()
}

/// Everything that is to be sent now, as (boot, sequence).
fn drain(spool: &mut Spool) -> Vec<(String, u64)> {
    std::iter::from_fn(|| spool.next_batch(7))
        .flat_map(|batch| batch.records.into_iter().map(move |one| (batch.boot_id.clone(), one.sequence)))
        .collect()
}

fn sequences(boot: &str, range: std::ops::RangeInclusive<u64>) -> Vec<(String, u64)> {
    range.map(|sequence| (boot.to_owned(), sequence)).collect()
}

fn files(directory: &TempDir) -> usize {
    std::fs::read_dir(directory.path()).unwrap().count()
}

/// A directory whose writes, or reads, fail while the switch is on.
#[derive(Debug)]
struct Failing {
    inner: Directory,
    is_full: Arc<AtomicBool>,
    is_unreadable: Arc<AtomicBool>,
}

impl Failing {
    fn of(directory: &TempDir, is_full: &Arc<AtomicBool>, is_unreadable: &Arc<AtomicBool>) -> Self {
        let inner = Directory::open(directory.path()).unwrap();
        Self { inner, is_full: Arc::clone(is_full), is_unreadable: Arc::clone(is_unreadable) }
    }
}

impl Disk for Failing {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn read(&self, name: &str, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        if self.is_unreadable.load(Ordering::Relaxed) {
            return Err(io::Error::other("too many open files"));
        }
        self.inner.read(name, offset, most)
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.append(name, bytes)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.inner.sync(name)
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}

#[test]
fn records_come_out_in_order_once_and_again_after_a_rewind() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(directory.path(), "boot-1", SpoolLimits::default());
    spool.append(records(0..20), now());
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=20));
    assert_eq!(drain(&mut spool), []);

    spool.append(records(20..22), now());
    assert_eq!(drain(&mut spool), sequences("boot-1", 21..=22));
    spool.rewind();
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=22));
}

#[test]
fn what_is_acknowledged_is_not_sent_again_and_its_segments_are_deleted() {
    let directory = TempDir::new().unwrap();
    let limits = SpoolLimits { segment_bytes: 200, ..SpoolLimits::default() };
    let mut spool = open(directory.path(), "boot-1", limits);
    spool.append(records(0..50), now());
    drain(&mut spool);
    let before = files(&directory);

    spool.acknowledge("boot-1", 0, 30);
    assert!(files(&directory) < before);
    assert_eq!(spool.counts().waiting, 20);
    spool.rewind();
    assert_eq!(drain(&mut spool), sequences("boot-1", 31..=50));

    spool.acknowledge("boot-1", 0, 50);
    spool.tidy();
    assert_eq!(files(&directory), 0);
    spool.append(records(0..1), now());
    assert_eq!(drain(&mut spool), sequences("boot-1", 51..=51));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_not_believed() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(directory.path(), "boot-1", SpoolLimits::default());
    spool.append(records(0..10), now());
    spool.acknowledge("boot-1", 0, u64::MAX);
    spool.acknowledge("somebody else", 9, 5);
    assert_eq!(spool.next_batch(4).unwrap().records.len(), 4);
    spool.acknowledge("boot-1", 0, u64::MAX);
    spool.rewind();
    assert_eq!(drain(&mut spool), sequences("boot-1", 5..=10));
}

#[test]
fn after_a_restart_older_boots_are_sent_first_under_their_own_ids() {
    let directory = TempDir::new().unwrap();
    open(directory.path(), "boot-1", SpoolLimits::default()).append(records(0..3), now());
    open(directory.path(), "boot-2", SpoolLimits::default()).append(records(0..2), now());
    let mut spool = open(directory.path(), "boot-3", SpoolLimits::default());
    spool.append(records(0..1), now());

    let batches: Vec<(String, usize)> = std::iter::from_fn(|| spool.next_batch(100))
        .map(|batch| (batch.boot_id, batch.records.len()))
        .collect();
    assert_eq!(batches, [("boot-1".to_owned(), 3), ("boot-2".to_owned(), 2), ("boot-3".to_owned(), 1)]);

    spool.acknowledge("boot-1", 0, 3);
    spool.rewind();
    let left = [sequences("boot-2", 1..=2), sequences("boot-3", 1..=1)].concat();
    assert_eq!(drain(&mut spool), left);
}

#[test]
fn a_torn_tail_costs_only_the_torn_record() {
    let directory = TempDir::new().unwrap();
    open(directory.path(), "boot-1", SpoolLimits::default()).append(records(0..3), now());
    let file = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let length = std::fs::metadata(&file).unwrap().len();
    OpenOptions::new().write(true).open(&file).unwrap().set_len(length - 3).unwrap();

    let mut spool = open(directory.path(), "boot-2", SpoolLimits::default());
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=2));
    assert_eq!(spool.counts().damaged, 0);
}

#[test]
fn damage_in_the_middle_is_counted_and_what_stands_before_it_is_sent() {
    let directory = TempDir::new().unwrap();
    open(directory.path(), "boot-1", SpoolLimits::default()).append(records(0..100), now());
    let file = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, &bytes).unwrap();

    let mut spool = open(directory.path(), "boot-2", SpoolLimits::default());
    let sent = drain(&mut spool).len();
    assert!((40..60).contains(&sent), "{sent}");
    assert_eq!(spool.counts().damaged, 1);
}

#[test]
fn a_file_of_garbage_among_the_segments_hurts_nobody() {
    let directory = TempDir::new().unwrap();
    let mut file = std::fs::File::create(directory.path().join("boot-0-000-1.seg")).unwrap();
    file.write_all(&[0xff; 5000]).unwrap();
    let mut spool = open(directory.path(), "boot-1", SpoolLimits::default());
    spool.append(records(0..1), now());
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=1));
}

#[test]
fn a_full_ring_drops_its_oldest_records_and_counts_them() {
    let directory = TempDir::new().unwrap();
    let limits = SpoolLimits { segment_bytes: 300, disk_bytes: 3_000, ..SpoolLimits::default() };
    let mut spool = open(directory.path(), "boot-1", limits);
    spool.append(records(0..1000), now());
    let counts = spool.counts();
    assert!(counts.dropped > 500, "{counts:?}");
    assert_eq!(counts.dropped + counts.waiting, 1000);
    let sent = drain(&mut spool);
    assert_eq!(sent, sequences("boot-1", counts.dropped + 1..=1000));
}

#[test]
fn while_the_disk_is_full_records_are_kept_in_memory_and_reach_the_disk_afterwards() {
    let directory = TempDir::new().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let failing = Failing::of(&directory, &is_full, &Arc::default());
    let mut spool = Spool::open(Box::new(failing), "boot-1".to_owned(), SpoolLimits::default()).unwrap();
    let start = now();
    spool.append(records(0..2), start);
    is_full.store(true, Ordering::Relaxed);
    spool.append(records(2..5), start);
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=5));

    is_full.store(false, Ordering::Relaxed);
    spool.append(records(5..6), start + DISK_REST);
    assert_eq!(drain(&mut spool), sequences("boot-1", 6..=6));
    drop(spool);
    let mut spool = open(directory.path(), "boot-2", SpoolLimits::default());
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=6));
}

#[test]
fn records_that_cannot_be_read_for_a_while_are_sent_when_they_can() {
    let directory = TempDir::new().unwrap();
    let is_unreadable = Arc::new(AtomicBool::new(false));
    let failing = Failing::of(&directory, &Arc::default(), &is_unreadable);
    let limits = SpoolLimits { segment_bytes: 200, ..SpoolLimits::default() };
    let mut spool = Spool::open(Box::new(failing), "boot-1".to_owned(), limits).unwrap();
    spool.append(records(0..20), now());
    spool.rewind();
    is_unreadable.store(true, Ordering::Relaxed);
    assert_eq!(spool.next_batch(7), None);
    is_unreadable.store(false, Ordering::Relaxed);
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=20));
    assert_eq!(spool.counts().damaged, 0);
}

#[test]
fn memory_is_bounded_too_and_what_it_cannot_hold_is_counted() {
    let directory = TempDir::new().unwrap();
    let is_full = Arc::new(AtomicBool::new(true));
    let failing = Failing::of(&directory, &is_full, &Arc::default());
    let limits = SpoolLimits { segment_bytes: 300, memory_bytes: 2_000, ..SpoolLimits::default() };
    let mut spool = Spool::open(Box::new(failing), "boot-1".to_owned(), limits).unwrap();
    spool.append(records(0..1000), now());
    let counts = spool.counts();
    assert!(counts.dropped > 500, "{counts:?}");
    assert_eq!(drain(&mut spool), sequences("boot-1", counts.dropped + 1..=1000));
}

#[test]
fn a_record_too_large_for_a_frame_is_dropped_alone() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(directory.path(), "boot-1", SpoolLimits::default());
    spool.append(vec![record("a"), record(&"x".repeat(200_000)), record("b")], now());
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=2));
    assert_eq!(spool.counts().dropped, 1);
}

/// A directory that counts what is asked of it.
#[derive(Debug)]
struct Counting {
    inner: Directory,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl Disk for Counting {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn read(&self, name: &str, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read(name, offset, most)
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.append(name, bytes)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.inner.sync(name)
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}

#[test]
fn a_batch_is_one_write_and_what_was_just_written_is_not_read_back() {
    let directory = TempDir::new().unwrap();
    let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let inner = Directory::open(directory.path()).unwrap();
    let disk = Counting { inner, reads: Arc::clone(&reads), writes: Arc::clone(&writes) };
    let mut spool = Spool::open(Box::new(disk), "boot-1".to_owned(), SpoolLimits::default()).unwrap();
    for _ in 0..3 {
        spool.append(records(0..100), now());
        assert_eq!(spool.next_batch(1_000).unwrap().records.len(), 100);
    }
    assert_eq!((reads.load(Ordering::Relaxed), writes.load(Ordering::Relaxed)), (0, 3));
    spool.rewind();
    assert_eq!(drain(&mut spool), sequences("boot-1", 1..=300));
    assert!(reads.load(Ordering::Relaxed) > 0);
}

#[test]
fn however_many_wait_and_however_they_are_taken_each_comes_out_once_in_order() {
    let directory = TempDir::new().unwrap();
    let limits = SpoolLimits { segment_bytes: 5_000, ..SpoolLimits::default() };
    let mut spool = open(directory.path(), "boot-1", limits);
    let mut taken = Vec::new();
    // Past what is kept in memory, so that fresh records, records on disk and both in turn are handed out.
    for (appended, most) in
        [(10, 3), (3_000, 7), (2_000, 1_000), (50, 4_000), (1, 1), (5_000, 9), (10, 10_000)]
    {
        spool.append(records(0..appended), now());
        taken.extend(spool.next_batch(most).into_iter().flat_map(|batch| batch.records));
    }
    taken.extend(std::iter::from_fn(|| spool.next_batch(1_000)).flat_map(|batch| batch.records));
    let numbers: Vec<u64> = taken.iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, (1..=10_071).collect::<Vec<_>>());
}
