//! One Sync stream: the handshake, offers taken apart and applied, acknowledgements, the pulse, and the watch over the stream's life.
//!
//! No offer goes unanswered: whoever drops an [`Update`] without a verdict has refused it.

use std::sync::Arc;
use std::time::Duration;

use policy::{Diagnostic, Digest};
use proto::control_plane_client::ControlPlaneClient;
use proto::{Activate, Frame, Offer, Phase, Pulse, Status, SyncRequest, SyncResponse, Welcome};
use proto::{sync_request, sync_response};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::control::apply::{self, finding};
use crate::control::assemble::{Assembly, Violation};
use crate::control::last_good::Kept;
use crate::control::session::{Control, describe};
use crate::exchange::micros;

/// Messages on the way up. A control plane that does not read them has gone.
const OUTBOX: usize = 64;
/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A stream is dead after this many heartbeats that did not come.
const MISSED: u32 = 3;
const PULSE: Duration = Duration::from_secs(10);
/// What a heartbeat may be announced as.
const HEARTBEAT_MS: std::ops::RangeInclusive<u32> = 50..=60_000;

/// Why a stream is over.
#[derive(Debug)]
pub(super) enum Over {
    /// It was asked for; come back after this long.
    Goodbye(Duration),
    /// Anything else.
    Broken(String),
}

/// A stream that has said hello and heard welcome.
pub(super) struct Stream<'a> {
    control: &'a mut Control,
    up: mpsc::Sender<SyncRequest>,
    down: Streaming<SyncResponse>,
    welcome: Welcome,
    heartbeat: Duration,
    last_heard: Instant,
    intake: Option<Intake>,
}

/// An offer under way, and why it will be refused, if that is known already.
struct Intake {
    assembly: Assembly,
    refusal: Option<(Phase, Diagnostic)>,
}

/// The right and the duty to answer one offer.
struct Update {
    up: mpsc::Sender<SyncRequest>,
    version: u64,
    digest: String,
    is_answered: bool,
}

impl<'a> Stream<'a> {
    /// The handshake.
    pub(super) async fn open(control: &'a mut Control, channel: Channel) -> Result<Self, Over> {
        let (up, requests) = mpsc::channel(OUTBOX);
        let hello = SyncRequest { message: Some(sync_request::Message::Hello(control.hello())) };
        let broken = |reason: &str| Over::Broken(reason.to_owned());
        up.try_send(hello).or(Err(broken("the outbox is closed")))?;
        let mut client = ControlPlaneClient::new(channel);
        let opening = async {
            let response = client.sync(ReceiverStream::new(requests)).await;
            let mut down = response.map_err(|status| Over::Broken(describe_status(&status)))?.into_inner();
            match down.next().await {
                Some(Ok(SyncResponse { message: Some(sync_response::Message::Welcome(welcome)) })) => {
                    Ok((down, welcome))
                }
                Some(Ok(SyncResponse { message: Some(sync_response::Message::Goodbye(goodbye)) })) => {
                    Err(Over::Goodbye(Duration::from_millis(u64::from(goodbye.reconnect_after_ms))))
                }
                Some(Ok(_)) => Err(broken("the first message is no welcome")),
                Some(Err(status)) => Err(Over::Broken(describe_status(&status))),
                None => Err(broken("the stream ended before its welcome")),
            }
        };
        let (down, welcome) = match tokio::time::timeout(HANDSHAKE, opening).await {
            Ok(opened) => opened?,
            Err(_elapsed) => return Err(broken("no welcome in time")),
        };
        let heartbeat = welcome.heartbeat_ms.clamp(*HEARTBEAT_MS.start(), *HEARTBEAT_MS.end());
        let heartbeat = Duration::from_millis(u64::from(heartbeat));
        let last_heard = control.clock.now();
        Ok(Self { control, up, down, welcome, heartbeat, last_heard, intake: None })
    }

    /// Until the stream is over.
    pub(super) async fn run(mut self) -> Over {
        if let Err(over) = self.begin() {
            return over;
        }
        let mut next_pulse = self.control.clock.now() + next_pulse_in();
        loop {
            let dead_at = self.last_heard + self.heartbeat * MISSED;
            tokio::select! {
                message = self.down.next() => {
                    let result = match message {
                        Some(Ok(response)) => self.hear(response).await,
                        Some(Err(status)) => Err(Over::Broken(describe_status(&status))),
                        None => Err(Over::Broken("the control plane ended the stream".to_owned())),
                    };
                    self.last_heard = self.control.clock.now();
                    if let Err(over) = result {
                        return over;
                    }
                }
                () = tokio::time::sleep_until(dead_at) => {
                    return Over::Broken(format!("{MISSED} heartbeats did not come"));
                }
                () = tokio::time::sleep_until(next_pulse) => {
                    next_pulse = self.control.clock.now() + next_pulse_in();
                    if let Err(over) = self.send(sync_request::Message::Pulse(self.pulse())) {
                        return over;
                    }
                }
            }
        }
    }

    /// What follows a welcome: the pepper of our own store, and what the control plane has to know of this start.
    fn begin(&mut self) -> Result<(), Over> {
        if self.is_foreign() {
            tracing::error!(
                store = self.welcome.store_id,
                "the control plane has another store than the version in force came from; keeping that version. \
                 If the store was replaced on purpose, apply with force or empty this proxy's data directory"
            );
        } else {
            let pepper = std::mem::take(&mut self.welcome.key_pepper);
            self.control.take_pepper(&pepper);
            self.welcome.key_pepper = pepper;
        }
        let server_id = self.welcome.server_id.clone();
        tracing::info!(server.id = server_id, group = self.welcome.group, "connected to the control plane");
        self.control.standing.send_modify(|standing| {
            standing.is_connected = true;
            standing.server_id = server_id;
        });
        if let Some(given_up) = self.control.given_up.clone() {
            let crashed =
                finding("crashed", "the proxy crashed repeatedly after it activated this version".into());
            self.send_status(given_up.version, &given_up.digest, Phase::Reverted, &[crashed])?;
        }
        if let Some(held) = &self.control.held {
            let (version, digest) = (held.kept.version, held.kept.digest.clone());
            self.send_status(version, &digest, Phase::Active, &[])?;
        }
        Ok(())
    }

    async fn hear(&mut self, response: SyncResponse) -> Result<(), Over> {
        match response.message {
            Some(sync_response::Message::Offer(offer)) => self.offered(offer),
            Some(sync_response::Message::Frame(frame)) => self.framed(&frame),
            Some(sync_response::Message::Activate(activate)) => self.activate(activate).await,
            Some(sync_response::Message::Heartbeat(heartbeat)) => {
                self.control.standing.send_if_modified(|standing| {
                    std::mem::replace(&mut standing.head, heartbeat.head) != heartbeat.head
                });
                Ok(())
            }
            Some(sync_response::Message::Goodbye(goodbye)) => {
                tracing::debug!(reason = goodbye.reason, "goodbye");
                Err(Over::Goodbye(Duration::from_millis(u64::from(goodbye.reconnect_after_ms))))
            }
            Some(sync_response::Message::Welcome(_)) => Err(Over::Broken("a second welcome".to_owned())),
            // A message from a newer control plane.
            None => Ok(()),
        }
    }

    /// A new offer replaces one that is under way: the newest wins.
    fn offered(&mut self, offer: Offer) -> Result<(), Over> {
        let refusal = self.refusal(&offer);
        let held = self.control.held.as_ref().map(|held| &held.kept.manifest);
        let last = self.control.last_offered.as_ref().map(|(manifest, _)| manifest);
        let known = [held, last]
            .into_iter()
            .flatten()
            .find(|manifest| Digest::of(manifest).to_string() == offer.digest);
        let (version, digest) = (offer.version, offer.digest.clone());
        match Assembly::begin(offer, known) {
            Ok(assembly) => {
                self.intake = Some(Intake { assembly, refusal });
                Ok(())
            }
            Err(violation) => Err(self.violated(version, &digest, &violation)),
        }
    }

    fn framed(&mut self, frame: &Frame) -> Result<(), Over> {
        let Some(intake) = &mut self.intake else {
            return Err(Over::Broken("a frame without an offer".to_owned()));
        };
        match intake.assembly.take(frame) {
            Ok(()) => Ok(()),
            Err(violation) => {
                let offer = intake.assembly.offer();
                let (version, digest) = (offer.version, offer.digest.clone());
                Err(self.violated(version, &digest, &violation))
            }
        }
    }

    async fn activate(&mut self, activate: Activate) -> Result<(), Over> {
        let Some(Intake { assembly, refusal }) = self.intake.take() else {
            return Err(Over::Broken("an activation without an offer".to_owned()));
        };
        let offer = assembly.offer().clone();
        if activate.version != offer.version || activate.digest != offer.digest {
            let violation = Violation("the activation is not for what was offered".to_owned());
            return Err(self.violated(offer.version, &offer.digest, &violation));
        }
        let update = Update::of(&self.up, &offer);
        let held = |digest: &Digest| {
            let held = self.control.held.as_ref().and_then(|held| held.bodies.get(digest));
            let last = self.control.last_offered.as_ref().and_then(|(_, bodies)| bodies.get(digest));
            held.or(last).cloned()
        };
        let finished = assembly.finish(&self.welcome.group, &self.welcome.store_id, &held);
        let (bodies, kept) = match finished {
            Ok(finished) => finished,
            Err(violation) => {
                self.refused(update, Phase::Rejected, vec![finding("bad_offer", violation.0.clone())]);
                return Err(Over::Broken(violation.0));
            }
        };
        let kept = match kept {
            Ok(kept) => kept,
            Err(missing) => {
                let missing = finding("missing_body", format!("body {} is not here", missing.0));
                self.refused(update, Phase::Rejected, vec![missing]);
                return Ok(());
            }
        };
        self.control.last_offered = Some((kept.manifest.clone(), bodies));
        match refusal {
            Some((phase, diagnostic)) => self.refused(update, phase, vec![diagnostic]),
            None => self.apply(update, kept, offer.force).await,
        }
        Ok(())
    }

    /// Swap, acknowledge, then save.
    async fn apply(&mut self, update: Update, kept: Kept, is_forced: bool) {
        let began = self.control.clock.now();
        let kept = Arc::new(kept);
        match apply::apply(Arc::clone(&kept), &self.control.current, &self.control.build).await {
            Ok(_) => {
                if is_forced {
                    // Keys of this version are hashed with its own store's pepper; those of a refused one would be nobody's.
                    let pepper = std::mem::take(&mut self.welcome.key_pepper);
                    self.control.take_pepper(&pepper);
                    self.welcome.key_pepper = pepper;
                }
                let took = self.control.clock.now().saturating_duration_since(began);
                update.applied(took);
                tracing::info!(
                    policy.version = kept.version,
                    policy.digest = kept.digest,
                    took_us = micros(took),
                    "a new version is in force"
                );
                self.control.hold(Arc::clone(&kept));
                self.control.given_up = None;
                self.control.save(kept).await;
            }
            Err(diagnostics) => self.refused(update, Phase::Rejected, diagnostics),
        }
    }

    fn refused(&mut self, update: Update, phase: Phase, diagnostics: Vec<Diagnostic>) {
        tracing::warn!(
            policy.version = update.version,
            findings = describe(&diagnostics),
            "a version was refused; the one before stays in force"
        );
        update.refuse(phase, &diagnostics);
        self.control.standing.send_modify(|standing| standing.refused = diagnostics);
    }

    /// Why an offer will not be applied whatever is in it.
    fn refusal(&self, offer: &Offer) -> Option<(Phase, Diagnostic)> {
        if offer.force {
            return None;
        }
        let held = self.control.held.as_ref();
        if self.is_foreign() {
            let message =
                "it comes from another store than the version in force; offer it with force to accept";
            return Some((Phase::Rejected, finding("store_regression", message.to_owned())));
        }
        if let Some(held) = held.filter(|held| held.kept.version > offer.version) {
            let message = format!("version {} is in force, which is newer", held.kept.version);
            return Some((Phase::Rejected, finding("store_regression", message)));
        }
        if self.control.slots.lock().refuses(&offer.digest) {
            let message = "the proxy crashed repeatedly after it activated this version; offer it with force to try again";
            return Some((Phase::Reverted, finding("crashed", message.to_owned())));
        }
        None
    }

    /// Whether what is in force came from another store.
    fn is_foreign(&self) -> bool {
        self.control.held.as_ref().is_some_and(|held| held.kept.store_id != self.welcome.store_id)
    }

    /// What breaks the rules of the stream ends it.
    fn violated(&self, version: u64, digest: &str, violation: &Violation) -> Over {
        let diagnostic = finding("bad_offer", violation.0.clone());
        match self.send_status(version, digest, Phase::Rejected, &[diagnostic]) {
            Ok(()) => Over::Broken(violation.0.clone()),
            Err(over) => over,
        }
    }

    fn pulse(&self) -> Pulse {
        let reading = self.control.vitals.read();
        Pulse {
            active_version: self.control.held.as_ref().map(|held| held.kept.version).unwrap_or_default(),
            inflight: (self.control.inflight)(),
            calls: reading.calls,
            errors: reading.errors,
            p99_ms: reading.p99_ms,
            dropped_records: self.control.records.dropped(),
        }
    }

    fn send_status(
        &self,
        version: u64,
        digest: &str,
        phase: Phase,
        diagnostics: &[Diagnostic],
    ) -> Result<(), Over> {
        self.send(sync_request::Message::Status(status(version, digest, phase, diagnostics)))
    }

    fn send(&self, message: sync_request::Message) -> Result<(), Over> {
        self.up
            .try_send(SyncRequest { message: Some(message) })
            .or(Err(Over::Broken("the control plane takes no messages".to_owned())))
    }
}

impl Update {
    fn of(up: &mpsc::Sender<SyncRequest>, offer: &Offer) -> Self {
        Self { up: up.clone(), version: offer.version, digest: offer.digest.clone(), is_answered: false }
    }

    fn applied(mut self, took: Duration) {
        let status =
            Status { took_us: micros(took), ..status(self.version, &self.digest, Phase::Active, &[]) };
        self.answer(status);
    }

    fn refuse(mut self, phase: Phase, diagnostics: &[Diagnostic]) {
        let status = status(self.version, &self.digest, phase, diagnostics);
        self.answer(status);
    }

    fn answer(&mut self, status: Status) {
        self.is_answered = true;
        let message = SyncRequest { message: Some(sync_request::Message::Status(status)) };
        if self.up.try_send(message).is_err() {
            // The handshake of the next stream tells what is in force.
            tracing::debug!(policy.version = self.version, "an answer to an offer could not be sent");
        }
    }
}

impl Drop for Update {
    fn drop(&mut self) {
        if !self.is_answered {
            let diagnostic = finding("internal", "the proxy stopped in the middle of applying it".to_owned());
            let status = status(self.version, &self.digest, Phase::Rejected, &[diagnostic]);
            self.answer(status);
        }
    }
}

fn status(version: u64, digest: &str, phase: Phase, diagnostics: &[Diagnostic]) -> Status {
    Status {
        version,
        digest: digest.to_owned(),
        phase: phase.into(),
        took_us: 0,
        diagnostics: diagnostics
            .iter()
            .map(|one| proto::Diagnostic {
                resource: one.resource.clone(),
                path: one.path.clone(),
                code: one.code.to_string(),
                message: one.message.clone(),
            })
            .collect(),
    }
}

/// Ten seconds, give or take a fifth, so that a fleet does not beat in step.
fn next_pulse_in() -> Duration {
    PULSE.mul_f64(0.8 + 0.4 * fastrand::f64())
}

fn describe_status(status: &tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
