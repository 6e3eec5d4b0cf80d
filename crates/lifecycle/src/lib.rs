//! What every Frontdoor process needs around its real work: a clock that tests can hold, a set of named tasks,
//! draining, readiness, signals and the telemetry set-up.
//!
//! | need | type |
//! |---|---|
//! | what time is it | [`Clock`] |
//! | run something beside the main path | [`Tasks`], [`TaskKind`] |
//! | finish what has been accepted, accept nothing new | [`drain`] |
//! | say when the process can serve | [`Readiness`] |
//! | stop on Ctrl-C, SIGTERM or a dead critical task | [`signals`] |
//! | logs to stderr, spans to a collector | [`telemetry`] |
//!
//! Deliberately absent: anything about policy, HTTP, TLS or the planes; reading the environment for our own settings;
//! global state (several planes live in one process in tests and in `frontdoor up`).

pub mod clock;
pub mod drain;
pub mod readiness;
pub mod signals;
pub mod tasks;
pub mod telemetry;

pub use clock::Clock;
pub use drain::{DrainBlocker, DrainTrigger, DrainWatcher};
pub use readiness::{Readiness, ReadinessGuard};
pub use signals::StopReason;
pub use tasks::{CriticalEnd, Ending, StillRunning, Task, TaskKind, Tasks};
pub use telemetry::{LogFormat, TelemetryError, TelemetryGuard, Tracer};
