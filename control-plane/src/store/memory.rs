//! A store that lives as long as its process, for tests and trials. Its state is a plain value behind one lock; it
//! must not know about time beyond the clock it is given.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::Clock;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    Entry, Event, LeaseId, Listing, MAX_PAGE_BYTES, Page, Pending, ResyncReason, Revision, Store, StoreError,
    Txn, TxnOutcome, Watch, WatchEvent, WatchSource, check_key, check_ttl,
};

/// How many revisions of history are kept for reads in the past and for watches that resume.
const KEPT_REVISIONS: u64 = 10_000;

/// The store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    revision: watch::Sender<Revision>,
    clock: Clock,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), revision: watch::Sender::new(0), clock }
    }

    /// Forgets history up to `revision`: older reads and watches are refused from now on.
    pub fn compact(&self, revision: Revision) {
        self.state.lock().compact(revision);
    }

    /// Ends the leases whose time has passed. Every call does this first; a task does it when there are none.
    pub fn expire_leases(&self) {
        let _state = self.current();
    }

    /// The state with ended leases gone, and watchers told of it.
    fn current(&self) -> parking_lot::MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.expire_leases(self.clock.unix_ms());
        self.tell_watchers(&state);
        state
    }

    fn tell_watchers(&self, state: &State) {
        self.revision.send_if_modified(|told| std::mem::replace(told, state.revision) != state.revision);
    }
}

impl Store for MemoryStore {
    fn get<'a>(
        &'a self,
        key: &'a str,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let state = self.current();
            let at = state.readable(at)?;
            Ok(state.read(key, at).cloned())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        page: Page,
        at: Option<Revision>,
    ) -> Pending<'a, Result<Listing, StoreError>> {
        Box::pin(async move {
            let state = self.current();
            let at = state.readable(at)?;
            Ok(state.list(prefix, &page, at))
        })
    }

    fn txn(&self, txn: Txn) -> Pending<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            txn.check()?;
            let mut state = self.current();
            let outcome = state.apply(txn)?;
            self.tell_watchers(&state);
            Ok(outcome)
        })
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        Watch::new(Box::new(MemoryWatch {
            state: Arc::clone(&self.state),
            revision: self.revision.subscribe(),
            prefix: prefix.to_owned(),
            next: from.max(1),
        }))
    }

    fn grant_lease(&self, ttl: Duration) -> Pending<'_, Result<LeaseId, StoreError>> {
        Box::pin(async move {
            check_ttl(ttl)?;
            Ok(self.current().grant(ttl, self.clock.unix_ms()))
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move { self.current().keep_alive(lease, self.clock.unix_ms()) })
    }

    fn revoke_lease(&self, lease: LeaseId) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.current();
            state.end_lease(lease)?;
            self.tell_watchers(&state);
            Ok(())
        })
    }
}

#[derive(Debug)]
struct MemoryWatch {
    state: Arc<Mutex<State>>,
    revision: watch::Receiver<Revision>,
    prefix: String,
    next: Revision,
}

impl WatchSource for MemoryWatch {
    fn next(&mut self) -> Pending<'_, WatchEvent> {
        Box::pin(async move {
            loop {
                self.revision.mark_unchanged();
                if let Some(event) = self.poll_log() {
                    return event;
                }
                if self.revision.changed().await.is_err() {
                    return WatchEvent::Closed;
                }
            }
        })
    }
}

impl MemoryWatch {
    fn poll_log(&mut self) -> Option<WatchEvent> {
        let state = self.state.lock();
        if self.next <= state.compacted {
            let reason = ResyncReason::Compacted { asked: self.next, compacted: state.compacted };
            return Some(WatchEvent::Resync { reason });
        }
        let from = state.log.partition_point(|(revision, _)| *revision < self.next);
        for (revision, events) in state.log.range(from..) {
            let events: Vec<_> =
                events.iter().filter(|event| event.key().starts_with(&self.prefix)).cloned().collect();
            self.next = revision + 1;
            if !events.is_empty() {
                return Some(WatchEvent::Batch { revision: *revision, events });
            }
        }
        None
    }
}

/// Everything the store holds. Invariants: `log` and every key's versions are sorted by revision, and nothing in them is
/// newer than `revision`.
#[derive(Debug, Default)]
struct State {
    revision: Revision,
    compacted: Revision,
    /// Every kept version of every key, oldest first; a deletion is a version without an entry.
    keys: BTreeMap<String, Vec<(Revision, Option<Entry>)>>,
    log: VecDeque<(Revision, Vec<Event>)>,
    leases: BTreeMap<LeaseId, Lease>,
    last_lease: i64,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends_ms: u64,
    keys: BTreeSet<String>,
}

impl State {
    /// The revision to read at, if it can still, or already, be read.
    fn readable(&self, at: Option<Revision>) -> Result<Revision, StoreError> {
        match at {
            None => Ok(self.revision),
            Some(requested) if requested < self.compacted => Err(StoreError::Compacted { requested }),
            Some(requested) if requested > self.revision => Err(StoreError::FutureRevision { requested }),
            Some(requested) => Ok(requested),
        }
    }

    fn read(&self, key: &str, at: Revision) -> Option<&Entry> {
        let versions = self.keys.get(key)?;
        let behind = versions.partition_point(|(revision, _)| *revision <= at);
        versions.get(behind.checked_sub(1)?)?.1.as_ref()
    }

    fn list(&self, prefix: &str, page: &Page, at: Revision) -> Listing {
        let start = match &page.after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, None);
        for (key, _) in self
            .keys
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
        {
            let Some(entry) = self.read(key, at) else { continue };
            if entries.len() == page.capped_limit() || bytes >= MAX_PAGE_BYTES {
                next = entries.last().map(|last: &Entry| last.key.clone());
                break;
            }
            bytes += entry.value.len();
            entries.push(entry.clone());
        }
        Listing { entries, revision: at, next }
    }

    fn apply(&mut self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        if !txn.compares.iter().all(|compare| compare.holds(self.read(compare.key(), self.revision))) {
            return Ok(TxnOutcome::Conflict);
        }
        if let Some(lease) =
            txn.puts.iter().filter_map(|put| put.lease).find(|lease| !self.leases.contains_key(lease))
        {
            return Err(StoreError::LeaseNotFound(lease));
        }
        let revision = self.revision + 1;
        let mut events = Vec::with_capacity(txn.puts.len() + txn.deletes.len());
        for put in txn.puts {
            let before = self.read(&put.key, self.revision);
            let entry = Entry {
                created: before.map_or(revision, |entry| entry.created),
                puts: before.map_or(1, |entry| entry.puts + 1),
                key: put.key,
                value: put.value,
                modified: revision,
                lease: put.lease,
            };
            let previous_lease = before.and_then(|entry| entry.lease);
            self.move_lease(&entry.key, previous_lease, put.lease);
            events.push(Event::Put(entry));
        }
        for key in txn.deletes {
            if let Some(before) = self.read(&key, self.revision) {
                let previous_lease = before.lease;
                self.move_lease(&key, previous_lease, None);
                events.push(Event::Deleted { key });
            }
        }
        self.write(revision, events);
        Ok(TxnOutcome::Committed { revision: self.revision })
    }

    fn write(&mut self, revision: Revision, mut events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        events.sort_by(|a, b| a.key().cmp(b.key()));
        for event in &events {
            let version = match event {
                Event::Put(entry) => (revision, Some(entry.clone())),
                Event::Deleted { .. } => (revision, None),
            };
            self.keys.entry(event.key().to_owned()).or_default().push(version);
        }
        self.log.push_back((revision, events));
        self.revision = revision;
        if revision - self.compacted > 2 * KEPT_REVISIONS {
            self.compact(revision - KEPT_REVISIONS);
        }
    }

    fn compact(&mut self, up_to: Revision) {
        let up_to = up_to.min(self.revision);
        self.compacted = self.compacted.max(up_to);
        while self.log.front().is_some_and(|(revision, _)| *revision <= up_to) {
            self.log.pop_front();
        }
        self.keys.retain(|_, versions| {
            let superseded = versions.partition_point(|(revision, _)| *revision <= up_to).saturating_sub(1);
            versions.drain(..superseded);
            if versions.first().is_some_and(|(revision, entry)| *revision <= up_to && entry.is_none()) {
                versions.remove(0);
            }
            !versions.is_empty()
        });
    }

    fn grant(&mut self, ttl: Duration, now_ms: u64) -> LeaseId {
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        self.leases.insert(id, Lease { ttl, ends_ms: lease_end(now_ms, ttl), keys: BTreeSet::new() });
        id
    }

    fn keep_alive(&mut self, id: LeaseId, now_ms: u64) -> Result<(), StoreError> {
        let lease = self.leases.get_mut(&id).ok_or(StoreError::LeaseNotFound(id))?;
        lease.ends_ms = lease_end(now_ms, lease.ttl);
        Ok(())
    }

    fn move_lease(&mut self, key: &str, from: Option<LeaseId>, to: Option<LeaseId>) {
        if let Some(lease) = from.and_then(|id| self.leases.get_mut(&id)) {
            lease.keys.remove(key);
        }
        if let Some(lease) = to.and_then(|id| self.leases.get_mut(&id)) {
            lease.keys.insert(key.to_owned());
        }
    }

    fn end_lease(&mut self, id: LeaseId) -> Result<(), StoreError> {
        let lease = self.leases.remove(&id).ok_or(StoreError::LeaseNotFound(id))?;
        let events = lease.keys.into_iter().map(|key| Event::Deleted { key }).collect();
        self.write(self.revision + 1, events);
        Ok(())
    }

    fn expire_leases(&mut self, now_ms: u64) {
        let ended: Vec<_> =
            self.leases.iter().filter(|(_, lease)| lease.ends_ms <= now_ms).map(|(id, _)| *id).collect();
        for id in ended {
            // The lease was just seen, so ending it cannot miss.
            let _ = self.end_lease(id);
        }
    }
}

/// When a lease of `ttl` that starts now ends.
pub(super) fn lease_end(now_ms: u64, ttl: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}
