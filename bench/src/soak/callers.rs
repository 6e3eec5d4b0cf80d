//! The callers: threads that make the calls of a mix when they are due, and check what comes of each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use lifecycle::Clock;
use tokio::time::Instant;

use super::mix::{Ending, Kind, Mix};
use crate::load::connection::Connection;

/// Failures that are told in full.
const TOLD: usize = 5;

/// What all callers work on.
pub(super) struct Callers<'a> {
    mix: &'a Mix,
    addr: SocketAddr,
    pause: Duration,
    duration: Duration,
    started: Instant,
    clock: Clock,
    next: AtomicUsize,
    made: AtomicU64,
    failed: AtomicU64,
}

/// What came of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) made: u64,
    pub(super) failed: u64,
    pub(super) first_failures: Vec<String>,
    /// By the kind's place in the mix.
    kinds: Vec<u64>,
}

impl<'a> Callers<'a> {
    pub(super) fn new(mix: &'a Mix, addr: SocketAddr, per_second: u32, duration: Duration) -> Self {
        let clock = Clock::system();
        Self {
            mix,
            addr,
            pause: Duration::from_secs(1) / per_second.max(1),
            duration,
            started: clock.now(),
            clock,
            next: AtomicUsize::new(0),
            made: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// One caller, until the end.
    pub(super) fn work(&self) -> Tally {
        let mut tally = Tally::new(self.mix);
        let mut connection = None;
        while let Some((place, kind)) = self.next_due() {
            tally.count(place);
            self.made.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = self.make(kind, &mut connection) {
                connection = None;
                self.failed.fetch_add(1, Ordering::Relaxed);
                tally.fail(format!("{}: {error:#}", kind.name));
            }
        }
        tally
    }

    pub(super) fn progress(&self) -> String {
        let (made, failed) = (self.made.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        format!("{made} calls, {failed} failed")
    }

    /// The next call, when it is due; `None` at the end.
    fn next_due(&self) -> Option<(usize, &Kind)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let offset = self.pause * u32::try_from(number).ok()?;
        if offset >= self.duration {
            return None;
        }
        let wait = (self.started + offset).saturating_duration_since(self.clock.now());
        std::thread::sleep(wait);
        self.mix.kind(number)
    }

    fn make(&self, kind: &Kind, connection: &mut Option<Connection>) -> anyhow::Result<()> {
        let statuses = match kind.ending {
            Ending::HangsUp(leave) => return self.connect()?.abandon(&kind.request, leave),
            Ending::Stream => &[200][..],
            Ending::Status(statuses) => statuses,
        };
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connect()?),
        };
        let answered = connection.ask(&kind.request, &self.clock)?;
        if !statuses.contains(&answered.status) {
            bail!("status {}", answered.status);
        }
        if kind.ending == Ending::Stream && !answered.is_done {
            bail!("the stream did not end with [DONE]");
        }
        Ok(())
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.addr).with_context(|| format!("cannot connect to {}", self.addr))
    }
}

impl Tally {
    pub(super) fn new(mix: &Mix) -> Self {
        Self { kinds: vec![0; mix.kinds().len()], ..Self::default() }
    }

    fn count(&mut self, place: usize) {
        self.made += 1;
        if let Some(count) = self.kinds.get_mut(place) {
            *count += 1;
        }
    }

    fn fail(&mut self, failure: String) {
        self.failed += 1;
        if self.first_failures.len() < TOLD {
            self.first_failures.push(failure);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.made += other.made;
        self.failed += other.failed;
        self.first_failures.extend_from_slice(&other.first_failures);
        self.first_failures.truncate(TOLD);
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            *mine += theirs;
        }
    }

    /// How many calls of each kind there were.
    pub(super) fn by_kind(&self, mix: &Mix) -> String {
        let counted = mix.kinds().iter().zip(&self.kinds);
        counted.map(|(kind, count)| format!("{count:>8}  {}\n", kind.name)).collect()
    }
}
