//! Scripted providers that speak the real wire formats of OpenAI, Anthropic, Gemini, Bedrock and Cohere on one listener: for first steps,
//! tests and benches. Which endpoints there are, each dialect's table of routes says; docs/simulator.md lists them for whoever uses them.
//!
//! | the simulator's own pages | |
//! |---|---|
//! | `GET /__simulator/ledger` | calls and tokens billed, by endpoint and model |
//! | `GET /__simulator/requests` | the last requests as they arrived, keys reduced to their last four characters |
//! | `GET`, `POST`, `DELETE /__simulator/script` | the script in force; replace it; drop it |
//! | `DELETE /__simulator` | forget script, ledger, requests and what was stored |
//!
//! Any model name is served, and no key is required. Answers depend on the request alone: the last user text is echoed, a tool is
//! called when the text says its name (or a word of it) or when it is forced, a tool's result is quoted. Requests that the real
//! providers refuse are refused here as well.
//!
//! # Behaviour
//!
//! A call behaves as the first matching rule of the script says, overridden by the model's suffix (`sim-gpt@status=503,latency_ms=20`),
//! overridden by the header `x-simulate: status=503;latency_ms=20`.
//!
//! | key | what happens |
//! |---|---|
//! | `latency_ms` | waits before the response head |
//! | `first_byte_ms` | waits between the head and the first byte of the body |
//! | `tokens` | length of the answer in tokens (words) |
//! | `tokens_per_second` | pace of a stream; a whole answer waits as long as it would take to write |
//! | `status` | an error status, 400 to 599, in the dialect's own shape |
//! | `retry_after`, `retry_after_ms` | the headers of that name, with `status` |
//! | `error_type`, `error_code` | replace the error's usual type and code |
//! | `error_in_200` | status 200 with an error inside: as the body, or as the first event of a stream |
//! | `error_after` | a stream reports an error after so many events, and ends |
//! | `stall_after` | a stream falls silent after so many events and never ends; a whole answer after its first half |
//! | `cut_after` | the connection is cut after so many events; a whole answer after its first half |
//! | `malformed` | invalid JSON: half a document, or a broken event in the middle of a stream |
//! | `chunk_bytes` | the body arrives in pieces of this size, wherever that cuts |
//! | `input_tokens` | input tokens as reported, instead of counted |
//! | `cached_tokens`, `cache_write_tokens` | of the input tokens, read from and written to the cache |
//! | `reasoning_tokens` | output tokens on top of the text |
//! | `no_usage` | leaves usage out |
//! | `close` | closes the connection before any byte |
//! | `text`, `stop_reason`, `tool` | answers with this text, this stop reason, a call of this tool |
//! | `parallel_tools`, `bad_arguments` | so many calls at once; arguments that are not JSON |
//! | `thinking`, `logprobs`, `citations`, `refusal` | shows what nobody asked for; declines |
//! | `empty_choices`, `unknown_blocks`, `unknown_events` | nothing in the answer; things in it that nobody knows |
//! | `reorder`, `truncate_record`, `huge_chunk`, `bad_checksum` | events out of order, broken off, enormous, damaged |
//! | `encoding`, `content_type`, `html` | a coding nobody asked for, a wrong type, an error page |
//!
//! Every dialect reads and writes its own format here, independently of the proxy's, so that no test compares a thing with itself.
//! Deliberately absent: the proxy, any real model, TLS, checking of keys. Waiting goes through tokio's clock, so a paused one works.

mod answer;
mod anthropic;
mod batch;
mod bedrock;
mod behaviour;
mod body;
mod cohere;
mod control;
mod crc32;
mod encoding;
mod gemini;
mod ledger;
mod multipart;
mod openai;
mod reply;
mod responses;
mod routes;
mod schema;
mod script;
mod seen;
mod server;
mod settings;
mod shelf;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Clock, StillRunning, StopReason, TaskKind, Tasks};
use tokio::net::TcpListener;

pub use crate::behaviour::{Behaviour, BehaviourError, Encoding};
pub use crate::ledger::LedgerRow;
pub use crate::script::{Rule, Script};
pub use crate::seen::{SeenKey, SeenRequest};
use crate::server::Simulator;
pub use settings::Settings;

/// Why the simulator could not be started or go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("the simulator cannot listen on {listen}: choose another address with --listen")]
    Listen {
        /// What was asked for.
        listen: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be listened for.
    #[error("the simulator cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// The process cannot go on without the listener.
    #[error("the simulator stopped: {0}")]
    Stopped(lifecycle::CriticalEnd),
    /// The script cannot be read.
    #[error("the simulator cannot read its script {}", path.display())]
    ReadScript {
        /// What was asked for.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The script is not one.
    #[error("the simulator does not understand its script {}: {reason}", path.display())]
    Script {
        /// What was asked for.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

/// A simulator at work. Dropping this lets it go on.
#[derive(Debug, Clone)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    simulator: Arc<Simulator>,
    tasks: Tasks,
}

/// Runs a simulator of its own until SIGINT or SIGTERM.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let tasks = Tasks::new();
    let running = start(settings, &tasks).await?;
    let reason = lifecycle::signals::until_stopped(&tasks).await.map_err(StartError::Signals)?;
    tracing::info!(%reason, "the simulated provider stops");
    if let Err(left) = running.stop().await {
        tracing::warn!(?left, "tasks were aborted");
    }
    match reason {
        StopReason::Signal(_) => Ok(()),
        StopReason::Critical(end) => Err(StartError::Stopped(end)),
    }
}

/// Starts a simulator within `tasks`.
pub async fn start(settings: Settings, tasks: &Tasks) -> Result<Running, StartError> {
    start_at(settings, Clock::system(), tasks).await
}

/// Starts a simulator that stamps its answers by `clock`.
pub async fn start_at(settings: Settings, clock: Clock, tasks: &Tasks) -> Result<Running, StartError> {
    let script = settings.script.map_or_else(|| Ok(Script::default()), read_script)?;
    let listen = settings.listen;
    let refused = |source| StartError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    let simulator = Arc::new(Simulator {
        clock,
        script: script::ScriptInForce::default(),
        ledger: Arc::default(),
        seen: seen::Seen::new(settings.keep),
        shelf: shelf::Shelf::default(),
        calls: 0.into(),
    });
    simulator.script.replace(script);
    let tasks = tasks.child();
    let accepting = server::accept(listener, Arc::clone(&simulator), tasks.clone());
    tasks.spawn("simulator listener", TaskKind::Critical, accepting);
    tracing::info!(%addr, "the simulated provider listens");
    Ok(Running { addr, simulator, tasks })
}

impl Running {
    /// `http://HOST:PORT`, which the Anthropic SDK takes; the OpenAI SDK wants `/v1` behind it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Calls and tokens billed so far.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        self.simulator.ledger.rows()
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.simulator.seen.list()
    }

    /// Replaces the script.
    pub fn script(&self, rules: Vec<Rule>) {
        self.simulator.script.replace(Script { rules });
    }

    /// Forgets script, ledger and requests.
    pub fn reset(&self) {
        self.simulator.reset();
    }

    /// Stops listening and drops every connection, as a provider that goes down does.
    pub async fn stop(&self) -> Result<(), Vec<StillRunning>> {
        self.tasks.shutdown(Duration::from_secs(1)).await
    }
}

fn read_script(path: PathBuf) -> Result<Script, StartError> {
    let json = match std::fs::read(&path) {
        Ok(json) => json,
        Err(source) => return Err(StartError::ReadScript { path, source }),
    };
    Script::parse(&json).map_err(|reason| StartError::Script { path, reason })
}

#[cfg(test)]
mod tests;
