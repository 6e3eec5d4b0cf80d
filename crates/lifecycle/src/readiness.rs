//! Readiness as a guard you drop: a part that is not ready yet holds a [`ReadinessGuard`]; the process is ready when none is left.
//!
//! What is still pending can be named at any time, so that `/readyz` and the log can say what everyone is waiting for.

use std::sync::Arc;

use tokio::sync::watch;

/// What the process still waits for before it can serve. Clones share the same list.
#[derive(Debug, Clone)]
pub struct Readiness {
    pending: Arc<watch::Sender<Vec<&'static str>>>,
}

/// Drop it when the part it was registered for is ready.
#[derive(Debug)]
#[must_use = "dropping the guard says that the part is ready"]
pub struct ReadinessGuard {
    name: &'static str,
    pending: Arc<watch::Sender<Vec<&'static str>>>,
}

impl Readiness {
    /// Nothing is pending: ready until someone registers.
    pub fn new() -> Self {
        Self { pending: Arc::new(watch::Sender::new(Vec::new())) }
    }

    /// Makes readiness wait for `name` until the guard is dropped.
    pub fn register(&self, name: &'static str) -> ReadinessGuard {
        self.pending.send_modify(|pending| pending.push(name));
        ReadinessGuard { name, pending: Arc::clone(&self.pending) }
    }

    /// What is still waited for, in the order of registration.
    pub fn pending(&self) -> Vec<&'static str> {
        self.pending.borrow().clone()
    }

    /// Whether nothing is waited for any more.
    pub fn is_ready(&self) -> bool {
        self.pending.borrow().is_empty()
    }

    /// Returns once nothing is waited for.
    pub async fn ready(&self) {
        let mut pending = self.pending.subscribe();
        // The sender is in `self`, so the channel cannot be closed here.
        let _closed = pending.wait_for(Vec::is_empty).await.is_err();
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ReadinessGuard {
    fn drop(&mut self) {
        let left = self.pending.send_if_modified(|pending| {
            let Some(position) = pending.iter().position(|name| *name == self.name) else { return false };
            pending.remove(position);
            true
        });
        debug_assert!(left, "a guard is registered for as long as it lives");
        tracing::debug!(part = self.name, pending = ?*self.pending.borrow(), "a part of the process is ready");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_is_ready_when_the_last_guard_is_dropped_and_names_what_is_pending() {
        let readiness = Readiness::new();
        let policy = readiness.register("first policy");
        let listener = readiness.register("listener");
        assert_eq!(readiness.pending(), ["first policy", "listener"]);

        drop(policy);
        assert_eq!(readiness.pending(), ["listener"]);
        assert!(!readiness.is_ready());

        drop(listener);
        assert!(readiness.is_ready());
        readiness.ready().await;
    }

    #[test]
    fn two_parts_of_one_name_are_counted_apart() {
        let readiness = Readiness::new();
        let first = readiness.register("listener");
        let _second = readiness.register("listener");
        drop(first);
        assert_eq!(readiness.pending(), ["listener"]);
    }
}
