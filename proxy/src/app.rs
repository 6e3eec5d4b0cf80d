//! Puts the parts of a proxy together, and takes them apart again. The only place that knows all of them.
//!
//! Calls are served by data threads ([`listener`]); everything else, the control plane's client and the operators' listener, runs on
//! one thread of its own, so that a scrape or a policy compile costs no call its latency.
//!
//! Stopping goes in the order in which things depend on each other: no new connections, calls under way, then the control
//! thread, which writes the last records.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use lifecycle::{
    Clock, DrainTrigger, DrainWatcher, Readiness, TaskKind, Tasks, signals, telemetry as process_telemetry,
};
use tokio::sync::oneshot;

use crate::control;
use crate::exchange::RecordSink;
use crate::identity::Pepper;
use crate::listener::{self, Bound, Patience};
use crate::ops::{Link, Ops};
use crate::pipeline::{Door, Room};
use crate::runtime::{Current, Parts, Runtime};
use crate::settings::{self, Settings};
use crate::telemetry::{InFlight, Metrics, Recorder};
use crate::upstream;

/// From accept to the first call, and between two calls. Longer than the keep-alive of the SDKs, so that they close first.
const HEADER_PATIENCE: Duration = Duration::from_secs(75);
/// For what is not calls, when the proxy stops.
const LAST_WORDS: Duration = Duration::from_secs(5);
const OPS_CONNECTIONS: usize = 256;

/// A proxy that serves.
#[derive(Debug)]
pub struct Running {
    /// Where applications call.
    pub data_addr: std::net::SocketAddr,
    /// Where operators ask.
    pub ops_addr: std::net::SocketAddr,
    tasks: Tasks,
    drain: DrainTrigger,
    drain_grace: Duration,
    data_threads: Vec<JoinHandle<()>>,
    control_thread: ControlThread,
}

/// The thread of everything that is not a call.
#[derive(Debug)]
struct ControlThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What all threads share.
#[derive(Clone)]
struct Shared {
    clock: Clock,
    current: Current,
    pepper: Pepper,
    in_flight: InFlight,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    tasks: Tasks,
}

/// Starts a proxy and returns when it accepts calls. It may still be waiting for its first policy: `/readyz` tells.
pub async fn start(settings: Settings, clock: Clock) -> anyhow::Result<Running> {
    // Another part of this process may have installed it before: there is only the one.
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default().is_err();
    let lanes = settings.lanes();
    let data = listener::bind(settings.listen, lanes, "--listen (FRONTDOOR_PROXY_LISTEN)")?;
    let ops =
        listener::bind(settings.ops_listen, NonZeroUsize::MIN, "--ops-listen (FRONTDOOR_PROXY_OPS_LISTEN)")?;
    let (data_addr, ops_addr) = (data.address, ops.address);
    if !data_addr.ip().is_loopback() {
        tracing::warn!(address = %data_addr, "calls and keys travel unencrypted: put TLS in front of this address");
    }
    let readiness = Readiness::new();
    let shared = Shared {
        clock: clock.clone(),
        current: Current::waiting(readiness.register("first policy")),
        pepper: Pepper::default(),
        in_flight: InFlight::new(lanes.get()),
        metrics: Arc::new(Metrics::new()),
        readiness,
        tasks: Tasks::new(),
    };
    let (drain, watcher) = lifecycle::drain::new();
    let (control_thread, records) =
        start_control(shared.clone(), &settings, lanes, data_addr, ops, watcher.clone()).await?;

    let patience = Patience {
        connections: settings.max_connections.get().div_ceil(lanes.get()),
        header: HEADER_PATIENCE,
        drain: settings.drain_grace(),
    };
    let door = |lane| {
        // Each lane has its own handles, so that counting references costs no other lane its cache line.
        let recorder =
            Recorder::new(Arc::clone(&shared.metrics), settings.tracer.clone(), Arc::clone(&records));
        Door::new(Room {
            current: shared.current.clone(),
            clock: clock.clone(),
            sink: Arc::new(recorder),
            in_flight: shared.in_flight.clone(),
            max_body: settings.max_body.bytes(),
            lane,
        })
    };
    let data_threads = data.start(patience, &watcher, &shared.tasks, door)?;
    tracing::info!(listen = %data_addr, ops = %ops_addr, threads = lanes.get(), "the proxy is open");
    let drain_grace = settings.drain_grace();
    Ok(Running { data_addr, ops_addr, tasks: shared.tasks, drain, drain_grace, data_threads, control_thread })
}

/// Runs a proxy until it is told to stop: makes its runtime, sets up telemetry, waits for signals, drains.
pub fn run(mut settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make the runtime of the main thread")?;
    runtime.block_on(async {
        let endpoint = settings.otlp_endpoint.clone();
        let telemetry = process_telemetry::init(
            "frontdoor-proxy",
            settings.log_format,
            &settings.log,
            endpoint.as_deref(),
        )?;
        settings.tracer = telemetry.tracer();
        let running = start(settings, Clock::system()).await?;
        let reason = signals::until_stopped(&running.tasks).await.context("cannot listen for signals")?;
        tracing::info!(%reason, "the proxy stops");
        running.shutdown().await;
        telemetry.finish().await;
        match reason {
            lifecycle::StopReason::Signal(_) => Ok(()),
            lifecycle::StopReason::Critical(end) => Err(anyhow!("{end}")),
        }
    })
}

impl Running {
    /// Accepts no new connections, lets calls under way finish for as long as the settings allow, writes the last records.
    pub async fn shutdown(self) {
        let Self { tasks, drain, drain_grace, data_threads, control_thread, .. } = self;
        // The lanes abort by themselves what outlives the grace; the second is for the threads to come home.
        if tokio::time::timeout(drain_grace + Duration::from_secs(1), drain.drain()).await.is_err() {
            tracing::warn!("calls were still under way when the time for draining was over");
        }
        let ControlThread { stop, thread } = control_thread;
        let joined = tokio::task::spawn_blocking(move || {
            let mut sound = data_threads.into_iter().all(|lane| lane.join().is_ok());
            // The thread may be gone already, which is what is wanted.
            let _gone = stop.send(()).is_err();
            sound &= thread.join().is_ok();
            sound
        });
        if !matches!(joined.await, Ok(true)) {
            tracing::error!("a thread of the proxy ended with a panic");
        }
        tasks.stop();
    }
}

/// Starts the control thread and waits until the last good policy, if any, is in force.
async fn start_control(
    shared: Shared,
    settings: &Settings,
    lanes: NonZeroUsize,
    data_addr: std::net::SocketAddr,
    ops: Bound,
    drain: DrainWatcher,
) -> anyhow::Result<(ControlThread, Arc<dyn RecordSink>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make the runtime of the control thread")?;
    let parts = Parts {
        pepper: shared.pepper.clone(),
        upstream: upstream::Parts {
            clock: shared.clock.clone(),
            lanes: lanes.get(),
            tls: Arc::new(upstream::trust().context("cannot set up TLS towards providers")?),
            read_env: settings::read_env(),
        },
    };
    let control = control_settings(settings, data_addr, &shared.in_flight);
    let (stop, stopped) = oneshot::channel();
    let (started, start) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let result = control_room(control, parts, ops, drain, &shared).await;
                let is_running = result.is_ok();
                // Nobody waits when the start was given up.
                let _abandoned = started.send(result).is_err();
                if is_running {
                    let _stop_or_lost = stopped.await.is_err();
                }
                // What is left is named in the log by the task set.
                let _aborted = shared.tasks.shutdown(LAST_WORDS).await.is_err();
            });
        })
        .context("cannot start the control thread")?;
    let records = start.await.context("the control thread ended while starting")??;
    Ok((ControlThread { stop, thread }, records))
}

/// Starts what lives on the control thread.
async fn control_room(
    settings: control::Settings,
    parts: Parts,
    ops: Bound,
    drain: DrainWatcher,
    shared: &Shared,
) -> anyhow::Result<Arc<dyn RecordSink>> {
    let build: control::Build = Arc::new(move |policy, previous| Runtime::build(policy, previous, &parts));
    let (current, pepper) = (shared.current.clone(), shared.pepper.clone());
    let handle = control::start(settings, current, pepper, build, &shared.tasks, &shared.clock).await?;
    let records = Arc::clone(&handle.records);
    let link = Arc::new(move || {
        let standing = handle.standing.borrow();
        Link {
            store_id: standing.store_id.clone(),
            is_connected: standing.is_connected,
            dropped_records: handle.records.dropped(),
        }
    });
    let ops_room = Ops {
        readiness: shared.readiness.clone(),
        current: shared.current.clone(),
        metrics: Arc::clone(&shared.metrics),
        in_flight: shared.in_flight.clone(),
        link,
    };
    let patience = Patience { connections: OPS_CONNECTIONS, header: HEADER_PATIENCE, drain: LAST_WORDS };
    let socket = ops.into_single().context("the operators' listener has no socket")?;
    let serving = listener::serve(socket, ops_room, patience, drain, shared.tasks.child());
    shared.tasks.spawn("ops listener", TaskKind::Background, serving);
    Ok(records)
}

fn control_settings(
    settings: &Settings,
    data_addr: std::net::SocketAddr,
    in_flight: &InFlight,
) -> control::Settings {
    let in_flight = in_flight.clone();
    control::Settings {
        control_plane: settings.control_plane.clone(),
        tls: control::TlsFiles {
            ca: settings.ca.clone(),
            cert: settings.cert.clone(),
            key: settings.key.clone(),
        },
        data: settings.data.clone(),
        proxy_id: settings.proxy_id.clone(),
        group: settings.group.clone(),
        address: data_addr.to_string(),
        inflight: Arc::new(move || u32::try_from(in_flight.count()).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests;
