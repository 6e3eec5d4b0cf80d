//! Sync streams with the control plane, one after the other, and what stays between them: the version held, the pepper, the slots.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lifecycle::{Clock, Tasks};
use parking_lot::Mutex;
use policy::Diagnostic;
use proto::Hello;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::control::apply;
use crate::control::assemble::Bodies;
use crate::control::client::{Backoff, Dialer};
use crate::control::data_dir::DataDir;
use crate::control::last_good::{GivenUp, Kept, PROOF, Slots};
use crate::control::report::Records;
use crate::control::session::stream::{Over, Stream};
use crate::control::vitals::Vitals;
use crate::control::{Build, CountInflight, Standing};
use crate::identity::Pepper;
use crate::runtime::Current;

mod stream;

/// Who this proxy is.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) proxy_id: String,
    pub(super) boot_id: String,
    pub(super) group: String,
    pub(super) address: String,
}

/// A version that is there, with its bodies by digest.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) kept: Arc<Kept>,
    pub(super) bodies: Bodies,
}

/// What outlives a stream.
pub(super) struct Control {
    pub(super) names: Names,
    pub(super) slots: Arc<Mutex<Slots>>,
    pub(super) directory: DataDir,
    pub(super) current: Current,
    pub(super) pepper: Pepper,
    pub(super) build: Build,
    pub(super) vitals: Arc<Vitals>,
    pub(super) inflight: CountInflight,
    pub(super) records: Arc<Records>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) clock: Clock,
    /// What is in force.
    pub(super) held: Option<Held>,
    /// What was offered last, also when it was refused: the control plane does not send its bodies again.
    pub(super) last_offered: Option<(Bytes, Bodies)>,
    pub(super) pepper_bytes: Vec<u8>,
    /// A version that crashed this proxy, until the control plane was told.
    pub(super) given_up: Option<GivenUp>,
    /// The digest that has to prove itself now.
    pub(super) proof: watch::Sender<Option<String>>,
}

impl Control {
    /// Puts the best kept version in force.
    pub(super) async fn boot(&mut self) {
        match self.directory.pepper() {
            Ok(Some(pepper)) => {
                self.pepper.set(&pepper);
                self.pepper_bytes = pepper;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "the pepper cannot be read; waiting for the control plane's")
            }
        }
        let slots = Arc::clone(&self.slots);
        let boot = match tokio::task::spawn_blocking(move || slots.lock().boot()).await {
            Ok(boot) => boot,
            Err(error) => {
                tracing::error!(%error, "the kept versions cannot be read");
                return;
            }
        };
        self.given_up = boot.given_up;
        for (slot, kept) in boot.candidates {
            let kept = Arc::new(kept);
            match apply::apply(Arc::clone(&kept), &self.current, &self.build).await {
                Ok(_) => {
                    tracing::info!(policy.version = kept.version, %slot, "serving from the last good version");
                    self.proof.send_replace(Some(kept.digest.clone()));
                    self.hold(kept);
                    return;
                }
                Err(diagnostics) => tracing::error!(
                    policy.version = kept.version,
                    %slot,
                    findings = describe(&diagnostics),
                    "a kept version cannot be applied; falling back to an older one"
                ),
            }
        }
    }

    /// One stream after the other until the process stops.
    pub(super) async fn run(mut self, dialer: Dialer, link: watch::Sender<Option<Channel>>, tasks: Tasks) {
        let mut stopping = std::pin::pin!(tasks.stopping());
        let mut backoff = Backoff::new();
        loop {
            let began = self.clock.now();
            let over = tokio::select! {
                () = &mut stopping => break,
                over = self.connect(&dialer, &link) => over,
            };
            // Everything else that used the connection ends with it.
            link.send_replace(None);
            let was_connected = self.standing.borrow().is_connected;
            self.standing.send_modify(|standing| standing.is_connected = false);
            if self.clock.now().saturating_duration_since(began) >= Backoff::HEALTHY {
                backoff.reset();
            }
            let wait = match &over {
                Over::Goodbye(after) => {
                    backoff.reset();
                    (*after).clamp(Backoff::FLOOR, Backoff::CEILING).mul_f64(0.5 + fastrand::f64() / 2.0)
                }
                Over::Broken(_) => backoff.next(fastrand::f64()),
            };
            log(&over, was_connected, wait);
            tokio::select! {
                () = &mut stopping => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        // Another connection's report stream goes on until its own end; a clean end of the process is no crash.
        let slots = Arc::clone(&self.slots);
        if let Err(error) = tokio::task::spawn_blocking(move || slots.lock().ended_well()).await {
            tracing::error!(%error, "the end of the process could not be noted");
        }
    }

    async fn connect(&mut self, dialer: &Dialer, link: &watch::Sender<Option<Channel>>) -> Over {
        let channel = match dialer.dial().await {
            Ok(channel) => channel,
            Err(error) => return Over::Broken(describe_error(&error)),
        };
        link.send_replace(Some(channel.clone()));
        match Stream::open(self, channel).await {
            Ok(stream) => stream.run().await,
            Err(over) => over,
        }
    }

    /// The handshake.
    pub(super) fn hello(&self) -> Hello {
        let held = self.held.as_ref();
        Hello {
            proxy_id: self.names.proxy_id.clone(),
            boot_id: self.names.boot_id.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            features: Vec::new(),
            held: held
                .map(|held| proto::Held { version: held.kept.version, digest: held.kept.digest.clone() }),
            store_id: held.map(|held| held.kept.store_id.clone()).unwrap_or_default(),
            blobs: held.iter().flat_map(|held| held.bodies.keys()).map(ToString::to_string).collect(),
            group: self.names.group.clone(),
            address: self.names.address.clone(),
        }
    }

    /// Notes a version as the one in force.
    pub(super) fn hold(&mut self, kept: Arc<Kept>) {
        let bodies = policy::Manifest::parse(&kept.manifest)
            .map(|manifest| manifest.entries)
            .unwrap_or_default()
            .into_iter()
            .zip(&kept.bodies)
            .map(|(entry, body)| (entry.sha256, body.clone()))
            .collect();
        self.standing.send_modify(|standing| {
            standing.version = kept.version;
            standing.store_id.clone_from(&kept.store_id);
            standing.digest.clone_from(&kept.digest);
            standing.refused.clear();
        });
        self.held = Some(Held { kept, bodies });
    }

    /// Saves the version in force as pending; its time of proof begins.
    pub(super) async fn save(&self, kept: Arc<Kept>) {
        let slots = Arc::clone(&self.slots);
        let digest = kept.digest.clone();
        let saved = tokio::task::spawn_blocking(move || slots.lock().save(&kept)).await;
        match saved {
            Ok(Ok(())) => {
                self.proof.send_replace(Some(digest));
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the version in force cannot be saved; a restart would begin with an older one");
            }
            Err(error) => tracing::error!(%error, "saving the version in force stopped"),
        }
    }

    /// Takes the pepper of a Welcome.
    pub(super) fn take_pepper(&mut self, pepper: &[u8]) {
        if pepper.is_empty() || pepper == self.pepper_bytes {
            return;
        }
        self.pepper.set(pepper);
        self.pepper_bytes = pepper.to_vec();
        if let Err(error) = self.directory.keep_pepper(pepper) {
            tracing::error!(%error, "the pepper cannot be kept; a restart without control plane would know no keys");
        }
    }
}

/// Confirms a version that has been in force for long enough.
pub(super) async fn prove(slots: Arc<Mutex<Slots>>, mut proof: watch::Receiver<Option<String>>) {
    loop {
        let digest = proof.borrow_and_update().clone();
        let proved = async {
            match digest {
                Some(digest) => {
                    tokio::time::sleep(PROOF).await;
                    digest
                }
                None => std::future::pending().await,
            }
        };
        let has_changed = tokio::select! {
            changed = proof.changed() => changed,
            digest = proved => {
                confirm(&slots, digest).await;
                proof.changed().await
            }
        };
        if has_changed.is_err() {
            return;
        }
    }
}

async fn confirm(slots: &Arc<Mutex<Slots>>, digest: String) {
    let slots = Arc::clone(slots);
    match tokio::task::spawn_blocking(move || slots.lock().confirm(&digest)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the version in force cannot be confirmed"),
        Err(error) => tracing::error!(%error, "confirming the version in force stopped"),
    }
}

fn log(over: &Over, was_connected: bool, wait: Duration) {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    match over {
        Over::Goodbye(_) => tracing::info!(wait_ms, "the control plane said goodbye; connecting again"),
        Over::Broken(reason) if was_connected => {
            tracing::warn!(reason, wait_ms, "lost the control plane; going on with the version in force");
        }
        Over::Broken(reason) => tracing::debug!(reason, wait_ms, "the control plane cannot be reached"),
    }
}

/// Findings on one line, for the log.
pub(super) fn describe(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics
        .iter()
        .take(5)
        .map(|one| format!("{} {} {}: {}", one.resource, one.path, one.code, one.message).trim().to_owned())
        .collect();
    lines.join("; ")
}

/// An error with its causes, on one line.
fn describe_error(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
