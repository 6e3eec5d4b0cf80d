//! Draining as two types: whoever holds the [`DrainTrigger`] starts it, everything that has work to finish holds a [`DrainWatcher`].
//!
//! Contract: draining is over when every watcher and every blocker is gone. A watcher that was told of the drain turns into
//! a [`DrainBlocker`], which is held for as long as accepted work is unfinished. How long to be patient is the caller's
//! decision: put [`DrainTrigger::drain`] under a timeout.

use tokio::sync::{mpsc, watch};

/// Makes a trigger and the first watcher.
pub fn new() -> (DrainTrigger, DrainWatcher) {
    let (start, started) = watch::channel(false);
    let (alive, all_gone) = mpsc::channel(1);
    (DrainTrigger { start, all_gone }, DrainWatcher { started, alive })
}

/// Nothing is ever sent: only the closing of the channel speaks.
#[derive(Debug)]
enum Never {}

/// Starts the drain, and knows when it is over.
#[derive(Debug)]
pub struct DrainTrigger {
    start: watch::Sender<bool>,
    all_gone: mpsc::Receiver<Never>,
}

/// Is told of the drain. Clone one for everything that must finish.
#[derive(Debug, Clone)]
pub struct DrainWatcher {
    started: watch::Receiver<bool>,
    alive: mpsc::Sender<Never>,
}

/// Keeps the drain from being over for as long as it lives.
#[derive(Debug)]
#[must_use = "the drain is over when the last blocker is dropped"]
pub struct DrainBlocker {
    _alive: mpsc::Sender<Never>,
}

impl DrainTrigger {
    /// Tells every watcher and returns when all of them, and the blockers they became, are gone.
    pub async fn drain(mut self) {
        self.start.send_replace(true);
        match self.all_gone.recv().await {
            None => {}
            Some(never) => match never {},
        }
    }
}

impl DrainWatcher {
    /// Waits until draining begins. A trigger that was dropped unused counts as a drain: nobody is left to start one.
    pub async fn wait_for_drain(mut self) -> DrainBlocker {
        // An error says that the trigger is gone, which is as good as a start.
        let _trigger_gone = self.started.wait_for(|started| *started).await.is_err();
        DrainBlocker { _alive: self.alive }
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        *self.started.borrow() || self.started.has_changed().is_err()
    }

    /// Blocks the end of a drain from now on, for work that has just been accepted.
    pub fn block(&self) -> DrainBlocker {
        DrainBlocker { _alive: self.alive.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_is_over_only_when_the_last_blocker_is_dropped() {
        let (trigger, watcher) = new();
        let second = watcher.clone();
        assert!(!watcher.is_draining());

        let mut drained = Box::pin(trigger.drain());
        assert!(timeout(Duration::from_secs(1), &mut drained).await.is_err());
        assert!(second.is_draining());

        let blocker = watcher.wait_for_drain().await;
        drop(second);
        assert!(timeout(Duration::from_secs(1), &mut drained).await.is_err());

        drop(blocker);
        timeout(Duration::from_secs(1), drained).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_waits_until_the_drain_begins() {
        let (trigger, watcher) = new();
        let mut waiting = Box::pin(watcher.wait_for_drain());
        assert!(timeout(Duration::from_secs(60), &mut waiting).await.is_err());

        tokio::join!(async { drop(waiting.await) }, trigger.drain());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_trigger_counts_as_a_drain() {
        let (trigger, watcher) = new();
        drop(trigger);
        assert!(watcher.is_draining());
        drop(timeout(Duration::from_secs(1), watcher.wait_for_drain()).await.unwrap());
    }
}
