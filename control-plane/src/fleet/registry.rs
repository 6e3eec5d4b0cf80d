//! The fleet in memory: this control plane's own proxies and what the store says of the others'.

use std::collections::{BTreeMap, HashMap, HashSet};

use lifecycle::Clock;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::GONE_AFTER;
use super::entry::FleetEntry;

/// Disconnected proxies that are listed; the ones gone longest are forgotten first.
const MAX_GONE: usize = 20_000;

#[derive(Debug)]
pub(super) struct Registry {
    server_id: String,
    clock: Clock,
    state: Mutex<State>,
    /// Wakes the writer.
    pub(super) dirty: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_generation: u64,
    own: HashMap<String, Own>,
    /// From the store, written by others or by an earlier process of ours.
    others: BTreeMap<String, FleetEntry>,
    changed: HashSet<String>,
}

/// A proxy that is or was connected here.
#[derive(Debug)]
struct Own {
    generation: u64,
    entry: FleetEntry,
    replaced: CancellationToken,
}

impl Registry {
    pub(super) fn new(server_id: String, clock: Clock) -> Self {
        Self { server_id, clock, state: Mutex::default(), dirty: Notify::new() }
    }

    pub(super) fn server_id(&self) -> &str {
        &self.server_id
    }

    pub(super) fn join(&self, entry: FleetEntry) -> (u64, CancellationToken) {
        let replaced = CancellationToken::new();
        let mut state = self.state.lock();
        state.next_generation += 1;
        let generation = state.next_generation;
        let proxy_id = entry.proxy_id.clone();
        state.changed.insert(proxy_id.clone());
        let own = Own { generation, entry, replaced: replaced.clone() };
        let older = state.own.insert(proxy_id, own);
        drop(state);
        if let Some(older) = older.filter(|older| older.entry.connected) {
            tracing::warn!(
                proxy.id = older.entry.proxy_id,
                "a proxy opened a second stream; the older one ends"
            );
            older.replaced.cancel();
        }
        self.dirty.notify_one();
        (generation, replaced)
    }

    /// Takes a newer entry, unless a newer stream has taken its place.
    pub(super) fn update(&self, generation: u64, entry: FleetEntry, is_worth_keeping: bool) {
        let mut state = self.state.lock();
        let Some(own) = state.own.get_mut(&entry.proxy_id) else { return };
        if own.generation != generation {
            return;
        }
        let proxy_id = entry.proxy_id.clone();
        own.entry = entry;
        if is_worth_keeping {
            state.changed.insert(proxy_id);
            drop(state);
            self.dirty.notify_one();
        }
    }

    pub(super) fn leave(&self, proxy_id: &str, generation: u64) {
        let now_ms = self.clock.unix_ms();
        let mut state = self.state.lock();
        let Some(own) = state.own.get_mut(proxy_id) else { return };
        if own.generation != generation {
            return;
        }
        own.entry.connected = false;
        own.entry.connected_since_ms = now_ms;
        state.changed.insert(proxy_id.to_owned());
        drop(state);
        self.dirty.notify_one();
    }

    pub(super) fn list(&self) -> Vec<FleetEntry> {
        let mut state = self.state.lock();
        state.forget_long_gone(self.clock.unix_ms());
        let mut entries: BTreeMap<&str, &FleetEntry> =
            state.others.iter().map(|(proxy_id, entry)| (proxy_id.as_str(), entry)).collect();
        for (proxy_id, own) in &state.own {
            let elsewhere =
                entries.get(proxy_id.as_str()).is_some_and(|other| other.is_newer_than(&own.entry));
            if !elsewhere {
                entries.insert(proxy_id, &own.entry);
            }
        }
        entries.into_values().cloned().collect()
    }

    pub(super) fn connected_here(&self) -> usize {
        self.state.lock().own.values().filter(|own| own.entry.connected).count()
    }

    /// The entries that changed since this was asked last.
    pub(super) fn take_changed(&self) -> Vec<FleetEntry> {
        let mut state = self.state.lock();
        state.forget_long_gone(self.clock.unix_ms());
        let changed = std::mem::take(&mut state.changed);
        changed.iter().filter_map(|proxy_id| state.own.get(proxy_id)).map(|own| own.entry.clone()).collect()
    }

    /// What could not be written is written again later.
    pub(super) fn put_back(&self, proxy_ids: impl IntoIterator<Item = String>) {
        self.state.lock().changed.extend(proxy_ids);
    }

    /// Every connected proxy is to be written again, under a new lease.
    pub(super) fn touch_connected(&self) {
        let mut state = self.state.lock();
        let connected: Vec<String> = state
            .own
            .values()
            .filter(|own| own.entry.connected)
            .map(|own| own.entry.proxy_id.clone())
            .collect();
        state.changed.extend(connected);
    }

    /// Replaces what the store says of the fleet.
    pub(super) fn reset_others(&self, entries: Vec<FleetEntry>) {
        let mut state = self.state.lock();
        state.others.clear();
        for entry in entries {
            state.hear(&self.server_id, entry);
        }
    }

    /// The store has a newer entry.
    pub(super) fn hear(&self, entry: FleetEntry) {
        self.state.lock().hear(&self.server_id, entry);
    }

    /// The store lost an entry: the lease of its control plane ended. The proxy itself may well live.
    pub(super) fn lose(&self, proxy_id: &str) {
        let now_ms = self.clock.unix_ms();
        let mut state = self.state.lock();
        match state.others.get_mut(proxy_id) {
            Some(entry) if entry.connected => {
                entry.connected = false;
                entry.connected_since_ms = now_ms;
            }
            Some(_) => {
                state.others.remove(proxy_id);
            }
            None => {}
        }
    }
}

impl State {
    fn hear(&mut self, server_id: &str, entry: FleetEntry) {
        // Our own words come back through the store; what we know at first hand is newer.
        if entry.server_id == server_id {
            self.others.remove(&entry.proxy_id);
        } else {
            self.others.insert(entry.proxy_id.clone(), entry);
        }
    }

    fn forget_long_gone(&mut self, now_ms: u64) {
        let gone_ms = u64::try_from(GONE_AFTER.as_millis()).unwrap_or(u64::MAX);
        let is_listed =
            |entry: &FleetEntry| entry.connected || entry.connected_since_ms.saturating_add(gone_ms) > now_ms;
        self.own.retain(|_proxy_id, own| is_listed(&own.entry));
        self.others.retain(|_proxy_id, entry| is_listed(entry));
        let mut gone: Vec<(u64, String)> = self
            .own
            .values()
            .map(|own| &own.entry)
            .chain(self.others.values())
            .filter(|entry| !entry.connected)
            .map(|entry| (entry.connected_since_ms, entry.proxy_id.clone()))
            .collect();
        if gone.len() > MAX_GONE {
            gone.sort_unstable();
            let surplus = gone.len() - MAX_GONE;
            for (_since_ms, proxy_id) in gone.drain(..surplus) {
                if self.own.get(&proxy_id).is_some_and(|own| !own.entry.connected) {
                    self.own.remove(&proxy_id);
                }
                if self.others.get(&proxy_id).is_some_and(|entry| !entry.connected) {
                    self.others.remove(&proxy_id);
                }
            }
        }
    }
}

impl FleetEntry {
    /// A proxy is where it is connected; otherwise where it was seen last.
    fn is_newer_than(&self, other: &Self) -> bool {
        match (self.connected, other.connected) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => self.connected_since_ms > other.connected_since_ms,
        }
    }
}
