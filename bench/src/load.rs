//! The load generator. Each connection is one thread with a blocking socket: cheaper for a call than an asynchronous client, and it
//! wakes on time to some 50 µs, where a runtime's timer is a millisecond coarse.
//!
//! Closed loop: every connection sends its next call when the last one is answered, for CPU per call. Open loop: calls are due at a
//! constant rate whatever becomes of the earlier ones, and a latency is measured from when the call was *due*, so that a stall is
//! charged to all the calls that had to wait for it (no coordinated omission).

pub(crate) mod connection;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use lifecycle::Clock;
use tokio::time::Instant;

use self::connection::Connection;
use crate::table;

/// `frontdoor-bench load`
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to send calls
    #[arg(long)]
    addr: SocketAddr,
    /// The path
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// Sent as `authorization: Bearer`
    #[arg(long, env = "FRONTDOOR_KEY", default_value = "none")]
    key: String,
    /// The model to ask for
    #[arg(long, default_value = "sim-gpt")]
    model: String,
    /// Ask for streams
    #[arg(long)]
    stream: bool,
    /// How long
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Calls a second (open loop); without it, as many as are answered (closed loop)
    #[arg(long)]
    rate: Option<u32>,
}

/// One call, ready to be sent over and over.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) body: String,
    /// Whether the answer is a stream that has to end with `[DONE]`.
    pub(crate) is_streamed: bool,
}

/// When calls are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Closed,
    Open { per_second: u32 },
}

/// For how long, on how many connections, at which pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) pace: Pace,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// Microseconds until the last byte.
    pub(crate) latency: Histogram<u64>,
    /// Microseconds until the first byte of the body.
    pub(crate) first_byte: Histogram<u64>,
}

impl Call {
    /// An OpenAI-style chat call with about a kilobyte of text.
    pub(crate) fn chat(model: &str, key: &str, is_streamed: bool) -> Self {
        let text = "Summarise the state of the quarterly report in plain words. ".repeat(16);
        let body = serde_json::json!({
            "model": model, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
            "max_tokens": 512, "stream": is_streamed,
        });
        Self {
            path: "/v1/chat/completions".to_owned(),
            key: key.to_owned(),
            body: body.to_string(),
            is_streamed,
        }
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self, addr: SocketAddr) -> Vec<u8> {
        format!(
            "POST {} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\naccept: application/json\r\nuser-agent: OpenAI/Python 2.0.0\r\ncontent-length: {}\r\n\r\n{}",
            self.path,
            self.key,
            self.body.len(),
            self.body
        )
        .into_bytes()
    }
}

/// Sends calls to `addr` and waits until the last one is answered.
pub(crate) fn run(addr: SocketAddr, call: &Call, load: Load) -> anyhow::Result<Measured> {
    let measured = run_in_turn(&[Target::new(addr, call)], load)?;
    measured.into_iter().next().context("nothing was measured")
}

/// Sends calls to all `targets` in turn, so that what the machine does meanwhile falls on all of them alike. An open loop's rate is
/// that of all of them together.
pub(crate) fn run_in_turn(targets: &[Target], load: Load) -> anyhow::Result<Vec<Measured>> {
    let clock = Clock::system();
    let job = Job { targets, load, started: clock.now(), clock, next: AtomicU32::new(0) };
    let tallies = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..load.connections).map(|_| scope.spawn(|| job.work())).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a load thread panicked")))
            .collect::<Vec<_>>()
    });
    let mut all = targets.iter().map(|_| Measured::new()).collect::<anyhow::Result<Vec<_>>>()?;
    for tally in tallies {
        for (sum, one) in all.iter_mut().zip(tally?) {
            sum.add(one)?;
        }
    }
    Ok(all)
}

/// `frontdoor-bench load`: one measurement, printed.
pub(crate) fn run_alone(arguments: &Arguments) -> anyhow::Result<()> {
    let mut call = Call::chat(&arguments.model, &arguments.key, arguments.stream);
    call.path.clone_from(&arguments.path);
    let pace = arguments.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second });
    let load =
        Load { pace, connections: arguments.connections, duration: Duration::from_secs(arguments.seconds) };
    let measured = run(arguments.addr, &call, load)?;
    table::say(&format!(
        "{} calls, {} failed, latency p50 {} µs, p99 {} µs, max {} µs, first byte p50 {} µs",
        measured.calls,
        measured.failed,
        measured.latency.value_at_quantile(0.5),
        measured.latency.value_at_quantile(0.99),
        measured.latency.max(),
        measured.first_byte.value_at_quantile(0.5),
    ));
    if let Some(failure) = measured.first_failure {
        table::say(&format!("first failure: {failure}"));
    }
    Ok(())
}

impl Measured {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        Ok(Self { calls: 0, failed: 0, first_failure: None, first_byte: latency.clone(), latency })
    }

    pub(crate) fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.calls += other.calls;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.latency.add(other.latency)?;
        self.first_byte.add(other.first_byte)?;
        Ok(())
    }
}

/// Where calls go, and which.
#[derive(Debug)]
pub(crate) struct Target {
    addr: SocketAddr,
    request: Vec<u8>,
    is_streamed: bool,
}

impl Target {
    pub(crate) fn new(addr: SocketAddr, call: &Call) -> Self {
        Self { addr, request: call.bytes(addr), is_streamed: call.is_streamed }
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.addr).with_context(|| format!("cannot connect to {}", self.addr))
    }
}

/// What all threads work on.
struct Job<'a> {
    targets: &'a [Target],
    load: Load,
    started: Instant,
    clock: Clock,
    next: AtomicU32,
}

impl Job<'_> {
    /// One thread with a connection to each target; what it measured of each.
    fn work(&self) -> anyhow::Result<Vec<Measured>> {
        let mut lines = Vec::with_capacity(self.targets.len());
        for target in self.targets {
            lines.push((target, target.connect()?, Measured::new()?));
        }
        while let Some((number, due)) = self.next_due() {
            let turn = number % lines.len().max(1);
            let Some((target, connection, measured)) = lines.get_mut(turn) else { break };
            match connection.call(&target.request, target.is_streamed, &self.clock) {
                Ok(answered) => {
                    measured.calls += 1;
                    measured.latency.saturating_record(microseconds(self.clock.now() - due));
                    measured.first_byte.saturating_record(microseconds(answered.first_byte - due));
                }
                Err(error) => {
                    measured.failed += 1;
                    measured.first_failure.get_or_insert_with(|| format!("{error:#}"));
                    *connection = target.connect()?;
                }
            }
        }
        Ok(lines.into_iter().map(|(_, _, measured)| measured).collect())
    }

    /// The number of the next call and when it is due, after having waited for it; `None` at the end.
    fn next_due(&self) -> Option<(usize, Instant)> {
        let end = self.started + self.load.duration;
        let now = self.clock.now();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.load.pace {
            Pace::Closed => now,
            Pace::Open { per_second } => self.started + (Duration::from_secs(1) / per_second) * number,
        };
        if due >= end {
            return None;
        }
        std::thread::sleep(due.saturating_duration_since(now));
        Some((usize::try_from(number).ok()?, due))
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
