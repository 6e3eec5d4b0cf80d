//! Why a process stops: a signal, or the end of a critical task. It must not know what stopping means; that is `app.rs`.

use std::fmt;
use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::tasks::{CriticalEnd, Tasks};

/// What asked the process to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT or SIGTERM, by name.
    Signal(&'static str),
    /// A task that the process cannot be without has ended.
    Critical(CriticalEnd),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => write!(f, "received {name}"),
            Self::Critical(end) => end.fmt(f),
        }
    }
}

/// Installs handlers for SIGINT and SIGTERM at once and returns a future that resolves with the name of the first of them.
/// Call it again after it resolved to notice the impatient second Ctrl-C.
pub fn shutdown() -> io::Result<impl Future<Output = &'static str> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

/// Waits for a signal or for the end of a critical task, whichever comes first.
pub async fn until_stopped(tasks: &Tasks) -> io::Result<StopReason> {
    let signalled = shutdown()?;
    Ok(tokio::select! {
        name = signalled => StopReason::Signal(name),
        end = tasks.critical_end() => StopReason::Critical(end),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskKind;

    #[tokio::test]
    async fn the_end_of_a_critical_task_stops_the_process_with_its_reason() {
        let tasks = Tasks::new();
        tasks.spawn("listener", TaskKind::Critical, async { Err::<(), _>("address in use") });
        let reason = until_stopped(&tasks).await.unwrap();
        assert_eq!(reason.to_string(), "task `listener` ended: address in use");
    }
}
