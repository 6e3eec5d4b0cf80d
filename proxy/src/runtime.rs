//! The live form of a policy: the compiled policy with its counters, breakers and connections. Built from the previous one, so that
//! whatever did not change goes on, and swapped whole, so that a call sees one version from beginning to end.
//!
//! It must not know where a policy comes from.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use lifecycle::ReadinessGuard;
use parking_lot::Mutex;
use policy::{Diagnostic, Policy};

use crate::affinity::Affinity;
use crate::identity::Pepper;
use crate::{limits, upstream};

/// One policy in force.
#[derive(Debug)]
pub struct Runtime {
    /// What was decided.
    pub policy: Arc<Policy>,
    /// What keys are hashed with. Shared by all versions.
    pub pepper: Pepper,
    /// What of the quotas is used.
    pub limits: limits::Live,
    /// Connections, breakers and latencies of providers.
    pub upstreams: upstream::Live,
    /// Who holds what. Shared by all versions.
    pub affinity: Affinity,
}

/// What every runtime of one process is built with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What keys are hashed with.
    pub pepper: Pepper,
    /// The time, the data threads, and how providers are trusted.
    pub upstream: upstream::Parts,
}

impl Runtime {
    /// The runtime of `policy`, going on from `previous`.
    pub fn build(policy: Policy, previous: Option<&Self>, parts: &Parts) -> Result<Self, Vec<Diagnostic>> {
        let limits =
            limits::Live::build(&policy, previous.map(|previous| &previous.limits), &parts.upstream.clock);
        let upstreams =
            upstream::Live::build(&policy, previous.map(|previous| &previous.upstreams), &parts.upstream)?;
        let affinity = previous.map(|previous| previous.affinity.clone()).unwrap_or_default();
        Ok(Self { policy: Arc::new(policy), pepper: parts.pepper.clone(), limits, upstreams, affinity })
    }
}

/// The runtime in force, for everyone to read and one to swap. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Current(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    runtime: ArcSwapOption<Runtime>,
    /// Held until the first runtime is in force.
    pending: Mutex<Option<ReadinessGuard>>,
}

impl Current {
    /// Nothing in force yet; the process is not ready before that.
    pub fn waiting(pending: ReadinessGuard) -> Self {
        Self(Arc::new(Slot { runtime: ArcSwapOption::empty(), pending: Mutex::new(Some(pending)) }))
    }

    /// The runtime in force. Load it once per call and pass it down.
    pub fn load(&self) -> Option<Arc<Runtime>> {
        self.0.runtime.load_full()
    }

    /// Puts `runtime` in force and returns the one before.
    pub fn swap(&self, runtime: Arc<Runtime>) -> Option<Arc<Runtime>> {
        let before = self.0.runtime.swap(Some(runtime));
        drop(self.0.pending.lock().take());
        before
    }
}
