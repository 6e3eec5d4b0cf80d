//! A watch that survives its connections. It resumes behind the last revision it delivered whole, and asks for a resync
//! where it cannot.
//!
//! It never takes a header's revision for its own position: while etcd catches up, headers run far ahead of the events.
//! It never takes `created` for success: a watch below the compaction is created first and cancelled then.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::{PbEvent, PbWatchResponse};
use etcd_client::{WatchOptions, WatchStream};
use tokio::time::timeout;

use super::cluster::Cluster;
use super::{behind, count, entry, number};
use crate::store::{Event, Pending, ResyncReason, Revision, WatchEvent, WatchSource};

/// etcd splits answers at its request limit of 1.5 MiB; whoever raised that limit may send larger ones.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The pause before the second attempt to reconnect; doubles up to the longest, and is drawn at random below that.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One watch.
pub(super) struct EtcdWatch {
    cluster: Arc<Cluster>,
    prefix: String,
    connection: Connection,
    progress: Progress,
    /// Connections since the last event.
    attempts: u32,
}

/// Kept between polls, so that a cancelled wait loses neither a connection nor the work of making one.
enum Connection {
    None,
    Connecting(Pending<'static, Result<WatchStream, ResyncReason>>),
    Streaming(Box<WatchStream>),
}

impl std::fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdWatch")
            .field("prefix", &self.prefix)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl EtcdWatch {
    pub(super) fn new(cluster: Arc<Cluster>, prefix: &str, from: Revision) -> Self {
        Self {
            cluster,
            prefix: prefix.to_owned(),
            connection: Connection::None,
            progress: Progress::from(from),
            attempts: 0,
        }
    }

    fn connect(&mut self) -> Connection {
        let (cluster, prefix) = (Arc::clone(&self.cluster), self.prefix.clone());
        let (next, seen, attempts) = (self.progress.next, self.progress.seen, self.attempts);
        self.progress.forget_partial();
        self.attempts += 1;
        Connection::Connecting(Box::pin(connect(cluster, prefix, next, seen, attempts)))
    }

    async fn step(&mut self) -> Option<ResyncReason> {
        match &mut self.connection {
            Connection::None => self.connection = self.connect(),
            Connection::Connecting(connecting) => match connecting.await {
                Ok(stream) => self.connection = Connection::Streaming(Box::new(stream)),
                Err(reason) => return Some(reason),
            },
            Connection::Streaming(stream) => match stream.message().await {
                Ok(Some(answer)) => match self.progress.take(answer.0) {
                    Ok(true) => self.attempts = 0,
                    Ok(false) => {}
                    Err(reason) => return Some(reason),
                },
                Ok(None) => {
                    tracing::debug!(prefix = self.prefix, "etcd ended a watch's stream; reconnecting");
                    self.connection = Connection::None;
                }
                Err(error) => {
                    tracing::debug!(
                        prefix = self.prefix,
                        error = &error as &dyn std::error::Error,
                        "a watch's stream broke; reconnecting"
                    );
                    self.connection = Connection::None;
                }
            },
        }
        None
    }
}

impl WatchSource for EtcdWatch {
    fn next(&mut self) -> Pending<'_, WatchEvent> {
        Box::pin(async move {
            loop {
                if let Some((revision, events)) = self.progress.ready.pop_front() {
                    return WatchEvent::Batch { revision, events };
                }
                if let Some(reason) = self.step().await {
                    return WatchEvent::Resync { reason };
                }
            }
        })
    }
}

/// Connects to one member after the other until one takes the watch.
async fn connect(
    cluster: Arc<Cluster>,
    prefix: String,
    next: Revision,
    seen: Revision,
    mut attempts: u32,
) -> Result<WatchStream, ResyncReason> {
    loop {
        if attempts > 0 {
            let longest = (PAUSE * 2_u32.saturating_pow(attempts.min(16) - 1)).min(LONGEST_PAUSE);
            tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
        }
        attempts += 1;
        // A store that went back would leave the watch waiting for revisions that come to mean something else.
        match cluster.revision().await {
            Ok(found) if found < seen => return Err(ResyncReason::WentBack { seen, found }),
            Ok(_) => {}
            Err(failure) => {
                tracing::warn!(prefix, ?failure, "a watch cannot reach etcd and tries again");
                continue;
            }
        }
        let options =
            WatchOptions::new().with_range(behind(&prefix)).with_start_revision(count(next)).with_fragment();
        let key = if prefix.is_empty() { vec![0] } else { prefix.as_bytes().to_vec() };
        let (turn, member) = cluster.preferred();
        let mut client = member.client().watch_client().max_decoding_message_size(MAX_ANSWER_BYTES);
        match timeout(cluster.settings().read_attempt, client.watch(key, Some(options))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                tracing::warn!(
                    prefix,
                    endpoint = member.endpoint(),
                    error = &error as &dyn std::error::Error,
                    "a watch was not taken up"
                );
            }
            Err(_elapsed) => {
                tracing::warn!(prefix, endpoint = member.endpoint(), "a watch was not taken up in time")
            }
        }
        cluster.pass_over(turn);
    }
}

/// What a watch has understood so far: a pure state machine from etcd's answers to whole revisions.
/// Invariant: everything in `ready` is below `next`, in order; `partial` is at or above it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Where to resume: behind the last revision put into `ready`.
    next: Revision,
    /// The newest revision delivered; 0 before the first.
    seen: Revision,
    ready: VecDeque<(Revision, Vec<Event>)>,
    /// A revision whose events may still go on in the next fragment.
    partial: Option<(Revision, Vec<Event>)>,
    /// The put count of every key that was put more than once, to notice a missing put. Immutable keys cost nothing.
    puts: HashMap<String, u64>,
}

impl Progress {
    pub(super) fn from(from: Revision) -> Self {
        Self { next: from.max(1), ..Self::default() }
    }

    /// A new connection sends the revision again from its start.
    fn forget_partial(&mut self) {
        self.partial = None;
    }

    /// Takes one answer in; says whether it held events.
    pub(super) fn take(&mut self, answer: PbWatchResponse) -> Result<bool, ResyncReason> {
        if answer.compact_revision > 0 {
            return Err(ResyncReason::Compacted {
                asked: self.next,
                compacted: number(answer.compact_revision),
            });
        }
        if answer.canceled {
            return Err(ResyncReason::Cancelled(answer.cancel_reason));
        }
        let held_events = !answer.events.is_empty();
        for event in answer.events {
            self.take_event(event)?;
        }
        if !answer.fragment {
            self.finish_revision();
        }
        Ok(held_events)
    }

    fn take_event(&mut self, event: PbEvent) -> Result<(), ResyncReason> {
        let unreadable = |what: &str| ResyncReason::Unreadable(what.to_owned());
        let kind = event.r#type;
        let found = event.kv.ok_or_else(|| unreadable("an event without a key"))?;
        let found = entry(found).map_err(|_failure| unreadable("a key that is not text"))?;
        let revision = found.modified;
        let newest = self.partial.as_ref().map_or(self.next - 1, |(revision, _)| *revision);
        let goes_on = self.partial.is_some() && revision == newest;
        if revision <= newest && !goes_on {
            return Err(ResyncReason::WentBack { seen: newest, found: revision });
        }
        if self.partial.as_ref().is_some_and(|(partial, _)| *partial < revision) {
            self.finish_revision();
        }
        // Not the client's `event_type()`, which panics on a type it does not know.
        let event = match kind {
            0 => Event::Put(found),
            1 => Event::Deleted { key: found.key },
            other => return Err(unreadable(&format!("an event of type {other}"))),
        };
        self.check_gap(&event, revision)?;
        self.partial.get_or_insert_with(|| (revision, Vec::new())).1.push(event);
        Ok(())
    }

    fn check_gap(&self, event: &Event, revision: Revision) -> Result<(), ResyncReason> {
        let Event::Put(entry) = event else { return Ok(()) };
        if self.puts.get(&entry.key).is_some_and(|before| entry.puts != before + 1) {
            return Err(ResyncReason::Gap { key: entry.key.clone(), revision });
        }
        Ok(())
    }

    fn finish_revision(&mut self) {
        if let Some((revision, mut events)) = self.partial.take() {
            events.sort_by(|a, b| a.key().cmp(b.key()));
            for event in &events {
                match event {
                    Event::Put(entry) if entry.puts > 1 => self.puts.insert(entry.key.clone(), entry.puts),
                    Event::Put(_) | Event::Deleted { .. } => self.puts.remove(event.key()),
                };
            }
            (self.next, self.seen) = (revision + 1, revision);
            self.ready.push_back((revision, events));
        }
    }
}
