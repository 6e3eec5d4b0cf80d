//! Who runs what since when, and what was refused last.
//!
//! Every control plane knows its own proxies at first hand and the others' through the store: an entry for each proxy
//! is kept there under a lease, written when something changed and not at each pulse, so that every control plane on
//! one store lists the whole fleet. A proxy that went away stays listed as disconnected for [`GONE_AFTER`].
//!
//! It must not know sessions or messages; it is told entries and lists them.

mod enforcement;
mod entry;
mod mirror;
mod registry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Clock, TaskKind, Tasks};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

pub use enforcement::Enforcement;
pub use entry::{FleetEntry, ProxyPhase, Refusal, RefusalDiagnostic};

use registry::Registry;

/// How long a proxy that went away stays listed.
pub const GONE_AFTER: Duration = Duration::from_hours(24);

/// The fleet. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Fleet {
    registry: Arc<Registry>,
}

impl Fleet {
    /// Starts following the fleet in the store and keeping this control plane's part of it there.
    pub fn start(store: Arc<dyn Store>, server_id: &str, tasks: &Tasks, clock: Clock) -> Self {
        let registry = Arc::new(Registry::new(server_id.to_owned(), clock));
        let (writing, reading) = (Arc::clone(&registry), Arc::clone(&registry));
        let stopping = tasks.stopping();
        tasks.spawn(
            "fleet writer",
            TaskKind::Background,
            mirror::write(Arc::clone(&store), writing, stopping),
        );
        tasks.spawn("fleet reader", TaskKind::Disposable, mirror::read(store, reading));
        Self { registry }
    }

    /// A fleet that nobody else sees, for tests of what only lists it.
    pub fn alone(server_id: &str, clock: Clock) -> Self {
        Self { registry: Arc::new(Registry::new(server_id.to_owned(), clock)) }
    }

    /// Every proxy known, by id.
    pub fn list(&self) -> Vec<FleetEntry> {
        self.registry.list()
    }

    /// Who of the proxies enforces at least `version`, and who does not yet.
    pub fn enforcement(&self, version: u64) -> Enforcement {
        Enforcement::of(version, &self.list())
    }

    /// How many proxies are connected to this control plane.
    pub fn connected_here(&self) -> usize {
        self.registry.connected_here()
    }

    /// This control plane's name in the fleet.
    pub fn server_id(&self) -> &str {
        self.registry.server_id()
    }

    /// Connected proxies by the version they enforce, for a metric with few labels.
    pub fn versions(&self) -> BTreeMap<u64, usize> {
        let mut versions = BTreeMap::new();
        for entry in self.list().into_iter().filter(|entry| entry.connected) {
            *versions.entry(entry.version.unwrap_or(0)).or_default() += 1;
        }
        versions
    }

    /// Enters a proxy that has just said hello; an older stream of the same proxy is told to end.
    pub(crate) fn join(&self, entry: FleetEntry) -> Membership {
        let (generation, replaced) = self.registry.join(entry.clone());
        Membership { registry: Arc::clone(&self.registry), proxy_id: entry.proxy_id, generation, replaced }
    }
}

/// One connected proxy's place in the fleet. Dropping it lists the proxy as disconnected.
#[derive(Debug)]
pub(crate) struct Membership {
    registry: Arc<Registry>,
    proxy_id: String,
    generation: u64,
    replaced: CancellationToken,
}

impl Membership {
    /// Something worth keeping changed.
    pub(crate) fn changed(&self, entry: FleetEntry) {
        self.registry.update(self.generation, entry, true);
    }

    /// Only figures changed; not worth a write to the store.
    pub(crate) fn pulsed(&self, entry: FleetEntry) {
        self.registry.update(self.generation, entry, false);
    }

    /// Resolves when the same proxy opened a newer stream.
    pub(crate) fn replaced(&self) -> CancellationToken {
        self.replaced.clone()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.registry.leave(&self.proxy_id, self.generation);
    }
}

#[cfg(test)]
mod tests;
