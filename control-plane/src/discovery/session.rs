//! One proxy's session as a pure state machine: what the proxy and the publisher say goes in, the next message and the
//! proxy's place in the fleet come out. Time is an argument.
//!
//! It is pulled: [`Session::next`] is asked when the transport has room for one message. So nothing queues up for a slow
//! proxy; while it reads one version, newer ones replace each other in `newest`, and it gets the last.
//!
//! One offer at a time is sent to its end, because a fleet under constant change must still make progress.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use policy::Digest;
use proto::sync_request::Message as Heard;
use proto::sync_response::Message as Said;
use tokio::time::Instant;

use super::hello::{self, Greeting};
use super::offer::Offer;
use super::reported::Reported;
use super::{Identity, Moment};
use crate::fleet::{FleetEntry, ProxyPhase, Refusal};
use crate::publish::Published;

/// How often a heartbeat is sent.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);
/// A stream that has not said hello by then is closed.
pub(super) const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// A proxy that has said nothing for this long is gone or stuck; it pulses every ten seconds.
pub(super) const SILENCE: Duration = Duration::from_mins(1);
/// More bytes than this make an offer a cold one, of which only so many are sent at a time.
const COLD_BYTES: u64 = 256 * 1024;
/// The proxy's word for a body that it was not sent and does not have.
const MISSING_BODY: &str = "missing_body";

/// Why a stream ends from our side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ending {
    /// A message without content, or of a kind this build does not know.
    #[error("a message could not be understood")]
    Garbage,
    #[error("the first message must be a hello")]
    NoHello,
    #[error("a stream says hello once")]
    SecondHello,
    #[error("no hello within {} seconds", HELLO_WITHIN.as_secs())]
    HelloTooLate,
    #[error("unusable hello: {0}")]
    BadHello(String),
    #[error("nothing was heard for {} seconds", SILENCE.as_secs())]
    Silent,
    /// The goodbye was sent.
    #[error("the control plane is stopping")]
    Goodbye,
}

/// What the driver must do after an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// The hello was good: enter the fleet and follow this group.
    Join(policy::Name),
    /// The fleet entry changed in something worth keeping.
    Changed,
    /// Only figures changed.
    Pulsed,
    /// Close the stream.
    End(Ending),
}

#[derive(Debug)]
pub(super) struct Session {
    identity: Arc<Identity>,
    /// The group in the proxy's certificate.
    certified_group: Option<policy::Name>,
    opened: Instant,
    last_heard: Instant,
    next_heartbeat: Instant,
    farewell: Farewell,
    joined: Option<Joined>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    None,
    Due { reconnect_after_ms: u32 },
    Said,
}

/// What is known after the hello.
#[derive(Debug)]
struct Joined {
    entry: FleetEntry,
    due: Due,
    /// What should run there.
    newest: Option<Arc<Published>>,
    /// What the proxy enforces, by its own word.
    held: Option<(u64, Digest)>,
    /// Whether `held` comes from another store, whose versions mean nothing here.
    is_foreign: bool,
    /// The last offer that was sent to its end.
    offered: Option<Arc<Published>>,
    /// Whether the proxy has said what became of it.
    is_answered: bool,
    running: Option<Offer>,
    has_permit: bool,
    /// What it gave up or refused last.
    refused: Option<(u64, Digest)>,
    bodies: Bodies,
    /// The version that was offered again in full, which is done once.
    resent: Option<u64>,
}

/// What is said before anything of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Heartbeat,
    Welcome,
}

/// Which bodies the proxy has.
#[derive(Debug, Default)]
struct Bodies {
    /// Named in the hello; forgotten once something of ours is active.
    told: HashSet<Digest>,
    active: Option<Arc<Published>>,
}

impl Session {
    pub(super) fn new(identity: Arc<Identity>, certified_group: Option<policy::Name>, now: Moment) -> Self {
        Self {
            identity,
            certified_group,
            opened: now.instant,
            last_heard: now.instant,
            next_heartbeat: now.instant + HEARTBEAT,
            farewell: Farewell::None,
            joined: None,
        }
    }

    /// The fleet entry, once there was a hello.
    pub(super) fn entry(&self) -> Option<&FleetEntry> {
        self.joined.as_ref().map(|joined| &joined.entry)
    }

    /// When [`Session::tick`] is due next.
    pub(super) fn deadline(&self) -> Instant {
        if self.joined.is_none() {
            return self.opened + HELLO_WITHIN;
        }
        self.next_heartbeat.min(self.last_heard + SILENCE)
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Moment) -> Option<Effect> {
        let Some(joined) = &mut self.joined else {
            return (now.instant >= self.opened + HELLO_WITHIN).then_some(Effect::End(Ending::HelloTooLate));
        };
        if now.instant >= self.last_heard + SILENCE {
            return Some(Effect::End(Ending::Silent));
        }
        if now.instant >= self.next_heartbeat {
            self.next_heartbeat = now.instant + HEARTBEAT;
            if joined.due == Due::Nothing {
                joined.due = Due::Heartbeat;
            }
        }
        None
    }

    /// The proxy said something.
    pub(super) fn hear(&mut self, message: proto::SyncRequest, now: Moment) -> Option<Effect> {
        self.last_heard = now.instant;
        let Some(message) = message.message else { return Some(Effect::End(Ending::Garbage)) };
        match (message, &mut self.joined) {
            (Heard::Hello(hello), None) => Some(self.greet(hello, now)),
            (Heard::Hello(_), Some(_)) => Some(Effect::End(Ending::SecondHello)),
            (Heard::Status(_) | Heard::Pulse(_), None) => Some(Effect::End(Ending::NoHello)),
            (Heard::Status(status), Some(joined)) => joined.report(status, now.unix_ms),
            (Heard::Pulse(pulse), Some(joined)) => Some(joined.pulse(&pulse)),
        }
    }

    /// The group has a newer version, or none any more.
    pub(super) fn publish(&mut self, newest: Option<Arc<Published>>) -> Option<Effect> {
        let joined = self.joined.as_mut()?;
        if let Some(newest) = &newest
            && !joined.is_foreign
            && joined.bodies.active.is_none()
            && joined.held.is_some_and(|(_version, digest)| digest == newest.digest)
        {
            joined.bodies = Bodies { told: HashSet::new(), active: Some(Arc::clone(newest)) };
        }
        joined.newest = newest;
        let regression = joined.regression();
        let changed =
            (regression.is_some() || joined.is_regression_shown()) && regression != joined.entry.problem;
        if changed {
            joined.entry.problem = regression;
        }
        changed.then_some(Effect::Changed)
    }

    /// Say goodbye next, then end.
    pub(super) fn drain(&mut self, reconnect_after_ms: u32) {
        if self.farewell == Farewell::None {
            self.farewell = Farewell::Due { reconnect_after_ms };
        }
    }

    /// Whether a large offer waits for [`Session::permit`].
    pub(super) fn wants_permit(&self) -> bool {
        let Some(joined) = &self.joined else { return false };
        let waits =
            joined.running.as_ref().is_some_and(|offer| offer.bytes() > COLD_BYTES && !offer.has_begun());
        waits && !joined.has_permit
    }

    /// A large offer may be sent now.
    pub(super) fn permit(&mut self) {
        if let Some(joined) = &mut self.joined {
            joined.has_permit = true;
        }
    }

    /// Whether the permit is still needed.
    pub(super) fn holds_permit(&self) -> bool {
        self.joined.as_ref().is_some_and(|joined| joined.has_permit)
    }

    /// The next message, if there is anything to say. An error once the goodbye has been said.
    pub(super) fn next(&mut self, now: Moment) -> Result<Option<proto::SyncResponse>, Ending> {
        let said = match (&mut self.joined, self.farewell) {
            (_, Farewell::Said) => return Err(Ending::Goodbye),
            (_, Farewell::Due { reconnect_after_ms }) => {
                self.farewell = Farewell::Said;
                let reason = "the control plane is stopping".to_owned();
                Some(Said::Goodbye(proto::Goodbye { reconnect_after_ms, reason }))
            }
            (None, Farewell::None) => None,
            (Some(joined), Farewell::None) if joined.due == Due::Welcome => {
                joined.due = Due::Nothing;
                Some(Said::Welcome(welcome(&self.identity, &joined.entry.group, now.unix_ms)))
            }
            (Some(joined), Farewell::None) if joined.due == Due::Heartbeat => {
                joined.due = Due::Nothing;
                let head = joined.newest.as_ref().map_or(0, |newest| newest.version);
                Some(Said::Heartbeat(proto::Heartbeat { head }))
            }
            (Some(joined), Farewell::None) => joined.next_of_offer(),
        };
        Ok(said.map(|message| proto::SyncResponse { message: Some(message) }))
    }

    fn greet(&mut self, hello: proto::Hello, now: Moment) -> Effect {
        let greeting = match hello::read(hello, self.certified_group.as_ref()) {
            Ok(greeting) => greeting,
            Err(reason) => return Effect::End(Ending::BadHello(reason)),
        };
        let group = greeting.group.clone();
        self.next_heartbeat = now.instant + HEARTBEAT;
        self.joined = Some(Joined::new(greeting, &self.identity, now.unix_ms));
        Effect::Join(group)
    }
}

fn welcome(identity: &Identity, group: &str, time_ms: u64) -> proto::Welcome {
    proto::Welcome {
        store_id: identity.store_id.clone(),
        server_id: identity.server_id.clone(),
        time_ms,
        heartbeat_ms: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
        group: group.to_owned(),
        key_pepper: identity.key_pepper.to_vec(),
    }
}

impl Joined {
    fn new(greeting: Greeting, identity: &Identity, now_ms: u64) -> Self {
        let is_foreign = !greeting.store_id.is_empty() && greeting.store_id != identity.store_id;
        let problem = is_foreign.then(|| {
            format!(
                "store_changed: what it holds came from store {}, this is {}",
                greeting.store_id, identity.store_id
            )
        });
        let entry = FleetEntry {
            proxy_id: greeting.proxy_id,
            group: greeting.group.to_string(),
            address: greeting.address,
            build: greeting.build,
            boot_id: greeting.boot_id,
            connected: true,
            connected_since_ms: now_ms,
            version: greeting.held.map(|(version, _digest)| version),
            digest: greeting.held.map(|(_version, digest)| digest.to_string()),
            phase: if greeting.held.is_some() { ProxyPhase::Active } else { ProxyPhase::None },
            since_ms: now_ms,
            problem,
            server_id: identity.server_id.clone(),
            ..FleetEntry::default()
        };
        Self {
            entry,
            due: Due::Welcome,
            newest: None,
            held: greeting.held,
            is_foreign,
            offered: None,
            is_answered: true,
            running: None,
            has_permit: false,
            refused: None,
            bodies: Bodies { told: greeting.blobs, active: None },
            resent: None,
        }
    }

    fn next_of_offer(&mut self) -> Option<Said> {
        if self.running.is_none() {
            self.running = self.next_offer();
        }
        let has_permit = self.has_permit;
        let offer = self.running.as_mut()?;
        if offer.bytes() > COLD_BYTES && !has_permit {
            return None;
        }
        let said = offer.next();
        if offer.is_complete() {
            self.offered = Some(Arc::clone(offer.published()));
            self.is_answered = false;
            self.running = None;
            self.has_permit = false;
        }
        Some(said)
    }

    /// The offer that is due, if any.
    fn next_offer(&self) -> Option<Offer> {
        let newest = self.newest.as_ref()?;
        let is_new = match (&self.offered, self.held) {
            (Some(offered), _) => newest.version > offered.version,
            (None, None) => true,
            (None, Some(_)) if self.is_foreign => true,
            (None, Some((version, digest))) => {
                newest.version > version || (newest.version == version && newest.digest != digest)
            }
        };
        if !is_new {
            return None;
        }
        let is_held = !self.is_foreign && self.held.is_some_and(|(_version, digest)| digest == newest.digest);
        if is_held {
            return Some(Offer::announcement(Arc::clone(newest)));
        }
        let force =
            self.refused.is_some_and(|(version, digest)| digest == newest.digest && newest.version > version);
        Some(Offer::new(Arc::clone(newest), self.lacking(newest), force))
    }

    /// The bodies that it may lack. An offer that is not answered yet may replace what is active at any moment, and bodies of
    /// that alone go with it; then only the offer's own bodies are sure to be there.
    fn lacking(&self, newest: &Published) -> Arc<[Digest]> {
        if let Some(offered) = self.offered.as_ref().filter(|_offered| !self.is_answered) {
            return newest.lacking_from(offered);
        }
        let lacking = match &self.bodies.active {
            Some(active) => newest.lacking_from(active),
            None => newest.lacking_among(&self.bodies.told),
        };
        match &self.offered {
            Some(offered) if lacking.iter().any(|digest| offered.bodies.contains_key(digest)) => {
                lacking.iter().filter(|digest| !offered.bodies.contains_key(digest)).copied().collect()
            }
            Some(_) | None => lacking,
        }
    }

    fn pulse(&mut self, pulse: &proto::Pulse) -> Effect {
        self.entry.inflight = pulse.inflight;
        self.entry.calls = pulse.calls;
        self.entry.errors = pulse.errors;
        self.entry.p99_ms = pulse.p99_ms;
        let has_dropped_more = pulse.dropped_records > self.entry.dropped_records;
        self.entry.dropped_records = pulse.dropped_records;
        if has_dropped_more { Effect::Changed } else { Effect::Pulsed }
    }

    fn report(&mut self, status: proto::Status, now_ms: u64) -> Option<Effect> {
        let Some(reported) = Reported::read(status) else {
            return self.complain("it reported a status that cannot be understood".to_owned());
        };
        if let Some(complaint) = self.is_impossible(&reported) {
            return self.complain(complaint);
        }
        let before = self.entry.clone();
        let is_final =
            matches!(reported.phase, ProxyPhase::Active | ProxyPhase::Rejected | ProxyPhase::Reverted);
        self.is_answered |=
            is_final && self.offered.as_ref().is_some_and(|offered| offered.version == reported.version);
        match reported.phase {
            ProxyPhase::None => {}
            ProxyPhase::Received | ProxyPhase::Staged => self.entry.phase = reported.phase,
            ProxyPhase::Active => self.activate(&reported),
            ProxyPhase::Rejected | ProxyPhase::Reverted => self.refuse(reported, now_ms),
        }
        self.entry.problem = self.regression();
        let is_news = before.phase != self.entry.phase || before.version != self.entry.version;
        if is_news {
            self.entry.since_ms = now_ms;
        }
        (before != self.entry).then_some(Effect::Changed)
    }

    fn activate(&mut self, reported: &Reported) {
        self.entry.phase = ProxyPhase::Active;
        self.entry.version = Some(reported.version);
        self.entry.digest = Some(reported.digest.to_string());
        self.entry.took_us = reported.took_us;
        self.held = Some((reported.version, reported.digest));
        let offered = self.offered.iter().chain(self.newest.iter());
        if let Some(active) = offered.into_iter().find(|published| published.digest == reported.digest) {
            self.bodies = Bodies { told: HashSet::new(), active: Some(Arc::clone(active)) };
            self.is_foreign = false;
        }
    }

    fn refuse(&mut self, reported: Reported, now_ms: u64) {
        let lacks_a_body = reported.diagnostics.iter().any(|diagnostic| diagnostic.code == MISSING_BODY);
        self.entry.phase = reported.phase;
        self.refused = Some((reported.version, reported.digest));
        self.entry.last_refusal = Some(Refusal {
            version: reported.version,
            digest: reported.digest.to_string(),
            at_ms: now_ms,
            reverted: reported.phase == ProxyPhase::Reverted,
            diagnostics: reported.diagnostics,
        });
        if lacks_a_body && self.resent != Some(reported.version) {
            // It has less than was thought: forget what it has and offer the version again, once.
            self.resent = Some(reported.version);
            self.refused = None;
            self.bodies = Bodies::default();
            self.offered = None;
            self.held = None;
        }
    }

    /// What cannot be: such a report is shown and otherwise ignored.
    fn is_impossible(&self, reported: &Reported) -> Option<String> {
        let held = self.held.map_or(0, |(version, _digest)| version);
        let known = self.newest.as_ref().map_or(0, |newest| newest.version).max(held);
        if reported.version > known {
            return Some(format!(
                "unknown_version: it reported version {}, the newest is {known}",
                reported.version
            ));
        }
        let versions = self.offered.iter().chain(self.newest.iter());
        let same = versions.into_iter().find(|published| published.version == reported.version)?;
        (same.digest != reported.digest).then(|| {
            format!(
                "digest_mismatch: it reported another digest for version {} than was offered",
                reported.version
            )
        })
    }

    fn complain(&mut self, problem: String) -> Option<Effect> {
        if self.entry.problem.as_ref() == Some(&problem) {
            return None;
        }
        tracing::warn!(proxy.id = self.entry.proxy_id, problem, "a proxy reported what cannot be");
        self.entry.problem = Some(problem);
        Some(Effect::Changed)
    }

    /// Whether the proxy is ahead of this store.
    fn regression(&self) -> Option<String> {
        if self.is_foreign {
            return self.entry.problem.clone().filter(|problem| problem.starts_with("store_changed"));
        }
        let ((version, _digest), newest) = (self.held?, self.newest.as_ref()?);
        (version > newest.version).then(|| {
            format!(
                "store_regression: it holds version {version}, the newest here is {}: an older backup was restored, or this control plane is behind",
                newest.version
            )
        })
    }

    fn is_regression_shown(&self) -> bool {
        self.entry.problem.as_ref().is_some_and(|problem| problem.starts_with("store_regression"))
    }
}

#[cfg(test)]
mod tests;
