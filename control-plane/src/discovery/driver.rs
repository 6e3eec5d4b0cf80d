//! Moves messages between one stream and its session, and does what the session says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, future, stream};
use policy::Name;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::session::{Effect, Ending, Session};
use super::{Moment, Shared};
use crate::fleet::Membership;
use crate::publish::GroupVersions;

/// A message that could not be sent for this long ends the stream.
pub(super) const STALL: Duration = Duration::from_secs(15);
/// Messages between the driver and the connection: enough that the two need not take turns, few enough that a slow proxy
/// still skips versions. Frames are slices of shared bytes, so this costs no copies.
const ROOM: usize = 8;
/// A proxy that takes longer over a large offer goes on with it and lets the next one have its turn.
pub(super) const COLD_TURN: Duration = Duration::from_secs(30);
/// The return of a fleet is spread over this much for each proxy, within the bounds below.
const SPREAD_PER_PROXY_MS: u64 = 5;
const SPREAD_MS: std::ops::RangeInclusive<u64> = 1_000..=30_000;

/// The sending side of a stream: room for a few messages, and the status it ends with, which needs no room.
pub(super) struct Outbound {
    messages: mpsc::Sender<Result<proto::SyncResponse, Status>>,
    last: oneshot::Sender<Status>,
}

/// Makes the two sides of a stream.
pub(super) fn outbound() -> (Outbound, impl Stream<Item = Result<proto::SyncResponse, Status>> + Send) {
    let (messages, answers) = mpsc::channel(ROOM);
    let (last, ending) = oneshot::channel();
    let ending = stream::once(async move { ending.await.ok().map(Err) }).filter_map(future::ready);
    (Outbound { messages, last }, ReceiverStream::new(answers).chain(ending))
}

pub(super) struct Driver {
    shared: Arc<Shared>,
    session: Session,
    inbound: Streaming<proto::SyncRequest>,
    outbound: Outbound,
    /// The one message that waits for room, and since when.
    pending: Option<(proto::SyncResponse, Instant)>,
    joined: Option<Joined>,
    /// The turn to send a large offer, and since when.
    cold: Option<(OwnedSemaphorePermit, Instant)>,
}

struct Joined {
    membership: Membership,
    replaced: CancellationToken,
    versions: GroupVersions,
}

/// What woke the driver.
enum Woken {
    Stopping,
    Replaced,
    Heard(Box<Result<Option<proto::SyncRequest>, Status>>),
    Published,
    Permit(Option<OwnedSemaphorePermit>),
    Room(bool),
    Time,
}

/// Why the stream is over, and what the proxy is told.
enum Over {
    /// The proxy went away: nobody to tell.
    Gone(&'static str),
    Ended(Status),
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        certified_group: Option<Name>,
        inbound: Streaming<proto::SyncRequest>,
        outbound: Outbound,
    ) -> Self {
        let session = Session::new(Arc::clone(&shared.identity), certified_group, Moment::of(&shared.clock));
        Self { shared, session, inbound, outbound, pending: None, joined: None, cold: None }
    }

    /// Until the stream ends, from whichever side.
    pub(super) async fn run(mut self) {
        let stopping = self.shared.tasks.stopping();
        tokio::pin!(stopping);
        let mut is_stopping = false;
        let over = loop {
            if let Err(over) = self.prepare() {
                break over;
            }
            let woken = tokio::select! {
                () = &mut stopping, if !is_stopping => Woken::Stopping,
                woken = self.wait() => woken,
            };
            is_stopping |= matches!(woken, Woken::Stopping);
            if let Err(over) = self.act(woken) {
                break over;
            }
        };
        self.end(over);
    }

    /// Takes the next message from the session when none waits.
    fn prepare(&mut self) -> Result<(), Over> {
        if self.pending.is_none() {
            let now = Moment::of(&self.shared.clock);
            let said = self.session.next(now).map_err(|ending| ended(&ending))?;
            self.pending = said.map(|message| (message, now.instant));
        }
        let now = self.shared.clock.now();
        let is_overdue = |(_permit, since): &(_, Instant)| now >= *since + COLD_TURN;
        if !self.session.holds_permit() || self.cold.as_ref().is_some_and(is_overdue) {
            self.cold = None;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Woken {
        let deadline = match &self.pending {
            Some((_message, since)) => self.session.deadline().min(*since + STALL),
            None => self.session.deadline(),
        };
        let wants_permit = self.session.wants_permit();
        let cold = Arc::clone(&self.shared.cold);
        let (published, replaced) = follow(self.joined.as_mut());
        tokio::select! {
            () = replaced => Woken::Replaced,
            heard = self.inbound.message() => Woken::Heard(Box::new(heard)),
            () = published => Woken::Published,
            permit = cold.acquire_owned(), if wants_permit => Woken::Permit(permit.ok()),
            room = self.outbound.messages.reserve(), if self.pending.is_some() => Woken::Room(match (room, self.pending.take()) {
                (Ok(room), Some((message, _since))) => {
                    room.send(Ok(message));
                    true
                }
                (Ok(_), None) | (Err(_), _) => false,
            }),
            () = tokio::time::sleep_until(deadline) => Woken::Time,
        }
    }

    fn act(&mut self, woken: Woken) -> Result<(), Over> {
        let now = Moment::of(&self.shared.clock);
        let effect = match woken {
            Woken::Stopping => {
                let connected = u64::try_from(self.shared.fleet.connected_here()).unwrap_or(u64::MAX);
                let spread_ms =
                    connected.saturating_mul(SPREAD_PER_PROXY_MS).clamp(*SPREAD_MS.start(), *SPREAD_MS.end());
                self.session.drain(u32::try_from(fastrand::u64(0..spread_ms)).unwrap_or(u32::MAX));
                None
            }
            Woken::Replaced => {
                return Err(Over::Ended(Status::aborted("the same proxy opened a newer stream")));
            }
            Woken::Heard(heard) => match *heard {
                Ok(Some(message)) => self.session.hear(message, now),
                Ok(None) => return Err(Over::Gone("the proxy closed the stream")),
                Err(status) => return Err(unreadable(&status)),
            },
            Woken::Published => self.take_newest(),
            Woken::Permit(permit) => {
                self.cold = permit.map(|permit| (permit, now.instant));
                self.session.permit();
                None
            }
            Woken::Room(true) => None,
            Woken::Room(false) => return Err(Over::Gone("the connection was lost")),
            Woken::Time => {
                if self.pending.as_ref().is_some_and(|(_message, since)| now.instant >= *since + STALL) {
                    return Err(Over::Ended(Status::deadline_exceeded(
                        "the proxy did not read for too long",
                    )));
                }
                self.session.tick(now)
            }
        };
        effect.map_or(Ok(()), |effect| self.apply(effect))
    }

    fn take_newest(&mut self) -> Option<Effect> {
        let newest = self.joined.as_mut()?.versions.borrow_and_update().clone();
        self.session.publish(newest)
    }

    fn apply(&mut self, effect: Effect) -> Result<(), Over> {
        let entry = self.session.entry().cloned();
        match (effect, entry) {
            (Effect::End(ending), _) => return Err(ended(&ending)),
            (Effect::Join(group), Some(entry)) => {
                tracing::info!(
                    proxy.id = entry.proxy_id,
                    group.name = entry.group,
                    held = entry.version,
                    "a proxy connected"
                );
                let versions = self.shared.publisher.group(&group);
                let membership = self.shared.fleet.join(entry);
                let replaced = membership.replaced();
                self.joined = Some(Joined { membership, replaced, versions });
                if let Some(effect) = self.take_newest() {
                    self.apply(effect)?;
                }
            }
            (Effect::Changed, Some(entry)) => {
                if let Some(joined) = &self.joined {
                    joined.membership.changed(entry);
                }
            }
            (Effect::Pulsed, Some(entry)) => {
                if let Some(joined) = &self.joined {
                    joined.membership.pulsed(entry);
                }
            }
            (Effect::Join(_) | Effect::Changed | Effect::Pulsed, None) => {}
        }
        Ok(())
    }

    fn end(self, over: Over) {
        let proxy_id = self.session.entry().map(|entry| entry.proxy_id.clone()).unwrap_or_default();
        match over {
            Over::Gone(reason) => tracing::info!(proxy.id = proxy_id, reason, "a proxy's stream ended"),
            Over::Ended(status) => {
                tracing::info!(proxy.id = proxy_id, reason = status.message(), "ended a proxy's stream");
                let _is_gone = self.outbound.last.send(status).is_err();
            }
        }
    }
}

/// Resolve with a newer version and with a newer stream of the same proxy; never before the hello.
fn follow(
    joined: Option<&mut Joined>,
) -> (impl Future<Output = ()> + Send + '_, impl Future<Output = ()> + Send + use<>) {
    let replaced = joined.as_ref().map(|joined| joined.replaced.clone());
    let published = async move {
        let is_newer = match joined {
            Some(joined) => joined.versions.changed().await.is_ok(),
            None => false,
        };
        // The publisher lives as long as the service; without it there is nothing new.
        if !is_newer {
            std::future::pending().await
        }
    };
    let replaced = async move {
        match replaced {
            Some(replaced) => replaced.cancelled().await,
            None => std::future::pending().await,
        }
    };
    (published, replaced)
}

fn ended(ending: &Ending) -> Over {
    let code = match ending {
        Ending::Garbage | Ending::NoHello | Ending::SecondHello | Ending::BadHello(_) => {
            Code::InvalidArgument
        }
        Ending::HelloTooLate | Ending::Silent => Code::DeadlineExceeded,
        Ending::Goodbye => Code::Unavailable,
    };
    Over::Ended(Status::new(code, ending.to_string()))
}

/// A message that does not decode is the proxy's fault and is answered; a lost connection is nobody's.
fn unreadable(status: &Status) -> Over {
    match status.code() {
        Code::Internal
        | Code::OutOfRange
        | Code::InvalidArgument
        | Code::ResourceExhausted
        | Code::Unimplemented => Over::Ended(Status::invalid_argument(format!(
            "a message could not be understood: {}",
            status.message()
        ))),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Over::Gone("the connection was lost"),
    }
}
