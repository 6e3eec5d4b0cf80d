//! A set of named tasks: whatever runs beside the main path is spawned here, so that shutdown waits for it or names it,
//! and a panic is never lost.
//!
//! | kind | ends or panics while running | when stopping begins |
//! |---|---|---|
//! | [`TaskKind::Critical`] | stops the process ([`Tasks::critical_end`]) | is told by [`Tasks::stopping`], waited for |
//! | [`TaskKind::Background`] | an error or panic is logged | is told by [`Tasks::stopping`], waited for |
//! | [`TaskKind::Disposable`] | an error or panic is logged | is dropped at its next `.await` |
//!
//! A task still there after the grace period is aborted and named.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;

/// What happens when a task ends before it was asked to, and how it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// The process cannot go on without it: its end stops the process with the reason.
    Critical,
    /// May end whenever it is done; an error or a panic is logged. Shutdown waits for it.
    Background,
    /// Holds nothing that needs finishing (timers, refresh loops): dropped as soon as stopping begins.
    Disposable,
}

/// How a task's future may end: `()` or a `Result` whose error says why.
pub trait Ending {
    /// The reason of a bad end, `None` for a good one.
    fn into_reason(self) -> Option<String>;
}

impl Ending for () {
    fn into_reason(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Ending for Result<(), E> {
    fn into_reason(self) -> Option<String> {
        // The alternate form is the whole chain for errors that know theirs.
        self.err().map(|error| format!("{error:#}"))
    }
}

/// The end of a task that the process cannot be without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalEnd {
    /// The name it was spawned under.
    pub name: &'static str,
    /// Its error, its panic, or that it ended without being asked to.
    pub reason: String,
}

impl fmt::Display for CriticalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}` ended: {}", self.name, self.reason)
    }
}

/// A task that did not end within the grace period and was aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillRunning {
    /// The name it was spawned under.
    pub name: &'static str,
}

/// A spawned task. Dropping this lets the task go on.
#[derive(Debug)]
pub struct Task {
    join: JoinHandle<()>,
}

impl Task {
    /// Drops the task's future at its next `.await`.
    pub fn abort(&self) {
        self.join.abort();
    }

    /// Waits for the end, whatever it is.
    pub async fn ended(self) {
        // An abort is an end as well; panics were caught and reported inside.
        let _aborted = self.join.await.is_err();
    }
}

/// The set. Clones are handles to the same set; a [`Tasks::child`] can be shut down alone.
#[derive(Debug, Clone)]
pub struct Tasks {
    scope: Arc<Scope>,
}

#[derive(Debug)]
struct Scope {
    parent: Option<Arc<Scope>>,
    stop: CancellationToken,
    next_id: Arc<AtomicU64>,
    /// Invariant: a task is listed in its own scope and in every ancestor's, from before its spawn until its future is dropped.
    live: Mutex<HashMap<u64, Live>>,
    emptied: Notify,
    critical: Arc<watch::Sender<Option<CriticalEnd>>>,
}

#[derive(Debug, Clone)]
struct Live {
    name: &'static str,
    /// `None` in the moment between listing and spawning.
    abort: Option<AbortHandle>,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        let scope = Scope {
            parent: None,
            stop: CancellationToken::new(),
            next_id: Arc::new(AtomicU64::new(0)),
            live: Mutex::default(),
            emptied: Notify::new(),
            critical: Arc::new(watch::Sender::new(None)),
        };
        Self { scope: Arc::new(scope) }
    }

    /// A set within this one: stopping this stops the child, stopping the child leaves this one running.
    /// The end of a critical task in the child is reported here as well.
    pub fn child(&self) -> Self {
        let scope = Scope {
            parent: Some(Arc::clone(&self.scope)),
            stop: self.scope.stop.child_token(),
            next_id: Arc::clone(&self.scope.next_id),
            live: Mutex::default(),
            emptied: Notify::new(),
            critical: Arc::clone(&self.scope.critical),
        };
        Self { scope: Arc::new(scope) }
    }

    /// Runs `future` on the current runtime.
    pub fn spawn<F>(&self, name: &'static str, kind: TaskKind, future: F) -> Task
    where
        F: Future<Output: Ending> + Send + 'static,
    {
        self.spawn_on(&Handle::current(), name, kind, future)
    }

    /// Runs `future` on the given runtime.
    pub fn spawn_on<F>(&self, runtime: &Handle, name: &'static str, kind: TaskKind, future: F) -> Task
    where
        F: Future<Output: Ending> + Send + 'static,
    {
        let id = self.scope.next_id.fetch_add(1, Ordering::Relaxed);
        self.scope.list(id, &Live { name, abort: None });
        let listed = Listed { scope: Arc::clone(&self.scope), id };
        let join = runtime.spawn(run(listed, name, kind, future));
        self.scope.attach(id, &join.abort_handle());
        Task { join }
    }

    /// Resolves when stopping has begun; for the `select!` of a task that has something to finish.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.scope.stop.clone().cancelled_owned()
    }

    /// Whether stopping has begun.
    pub fn is_stopping(&self) -> bool {
        self.scope.stop.is_cancelled()
    }

    /// Begins stopping without waiting.
    pub fn stop(&self) {
        self.scope.stop.cancel();
    }

    /// Resolves with the first critical task that ended before stopping began.
    pub async fn critical_end(&self) -> CriticalEnd {
        let mut critical = self.scope.critical.subscribe();
        loop {
            if let Some(end) = critical.borrow_and_update().clone() {
                return end;
            }
            if critical.changed().await.is_err() {
                // Unreachable while `self` holds the sender; waiting is the truthful answer either way.
                std::future::pending::<()>().await;
            }
        }
    }

    /// How many tasks of this set and of its children are there.
    pub fn len(&self) -> usize {
        self.scope.live().len()
    }

    /// Whether no task is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins stopping, waits up to `grace` for every task to end, then aborts what is left and names it.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), Vec<StillRunning>> {
        self.stop();
        if tokio::time::timeout(grace, self.scope.wait_until_empty()).await.is_ok() {
            return Ok(());
        }
        let left: Vec<Live> = self.scope.live().values().cloned().collect();
        let mut names = Vec::with_capacity(left.len());
        for live in left {
            tracing::warn!(task.name = live.name, "task did not end within the grace period; aborting it");
            if let Some(abort) = live.abort {
                abort.abort();
            }
            names.push(StillRunning { name: live.name });
        }
        names.sort_by_key(|running| running.name);
        if names.is_empty() { Ok(()) } else { Err(names) }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Scope {
    /// This scope and its ancestors.
    fn line(&self) -> impl Iterator<Item = &Scope> {
        std::iter::successors(Some(self), |scope| scope.parent.as_deref())
    }

    fn list(&self, id: u64, live: &Live) {
        for scope in self.line() {
            scope.live().insert(id, live.clone());
        }
    }

    fn attach(&self, id: u64, abort: &AbortHandle) {
        for scope in self.line() {
            if let Some(live) = scope.live().get_mut(&id) {
                live.abort = Some(abort.clone());
            }
        }
    }

    fn unlist(&self, id: u64) {
        for scope in self.line() {
            let mut live = scope.live();
            live.remove(&id);
            let is_empty = live.is_empty();
            drop(live);
            if is_empty {
                scope.emptied.notify_waiters();
            }
        }
    }

    async fn wait_until_empty(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.live().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// The list stays sound when a thread panicked with it: every change is a single map operation.
    fn live(&self) -> MutexGuard<'_, HashMap<u64, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unlists its task when the future is dropped, whether it ended, panicked or was aborted.
struct Listed {
    scope: Arc<Scope>,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.scope.unlist(self.id);
    }
}

/// Runs the task's future to its end and reports that end.
async fn run<F>(listed: Listed, name: &'static str, kind: TaskKind, future: F)
where
    F: Future<Output: Ending>,
{
    let scope = &listed.scope;
    let guarded = catching(future);
    let reason = match kind {
        TaskKind::Critical | TaskKind::Background => guarded.await,
        TaskKind::Disposable => tokio::select! {
            biased;
            () = scope.stop.cancelled() => None,
            reason = guarded => reason,
        },
    };
    report(scope, name, kind, reason);
}

fn report(scope: &Scope, name: &'static str, kind: TaskKind, reason: Option<String>) {
    let is_fatal = kind == TaskKind::Critical && !scope.stop.is_cancelled();
    match reason {
        Some(reason) if is_fatal => scope.fail(name, reason),
        None if is_fatal => scope.fail(name, "it was not asked to stop".to_owned()),
        Some(reason) => tracing::error!(task.name = name, reason, "task failed"),
        None => tracing::trace!(task.name = name, "task ended"),
    }
}

impl Scope {
    fn fail(&self, name: &'static str, reason: String) {
        tracing::error!(task.name = name, reason, "critical task ended; the process stops");
        self.critical.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(CriticalEnd { name, reason });
            }
            is_first
        });
    }
}

/// Awaits `future`; a panic becomes a reason.
async fn catching<F>(future: F) -> Option<String>
where
    F: Future<Output: Ending>,
{
    let mut future = pin!(future);
    // The future is not polled again after a panic, so no broken state can be seen.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(ending)) => Poll::Ready(ending.into_reason()),
        Err(panic) => Poll::Ready(Some(format!("panicked: {}", panic_message(panic.as_ref())))),
    })
    .await
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests;
