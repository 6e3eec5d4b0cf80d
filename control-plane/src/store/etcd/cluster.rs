//! The members of a cluster, one client each, and which of them to ask.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, GetOptions, KvClient, Txn, TxnResponse};
use tokio::time::timeout;

use super::failure::Failure;
use super::version::{Verdict, judge};
use super::{EtcdSettings, number};
use crate::store::{Revision, StoreError, keys};

/// Most bytes of one answer; tonic's own default of 4 MiB is less than a page may hold.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(2);
/// etcd closes connections that ping more often than every five seconds.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(5);
/// The pause after all members failed; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One member's client. It has one endpoint only, so that we know who failed.
pub(super) struct Member {
    endpoint: String,
    client: Client,
}

impl Member {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES)
    }
}

/// The members. Invariant: there is at least one, and `preferred` counts on without bound; its rest names the member.
pub(super) struct Cluster {
    members: Vec<Member>,
    preferred: AtomicUsize,
    settings: EtcdSettings,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects, reads once, and judges the members' release.
    pub(super) async fn connect(settings: EtcdSettings) -> Result<Self, StoreError> {
        let options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(PING_EVERY, PING_ANSWER)
            .with_keep_alive_while_idle(false)
            .with_require_leader(true);
        let mut members = Vec::with_capacity(settings.endpoints.len());
        for endpoint in &settings.endpoints {
            let client = Client::connect([endpoint], Some(options.clone())).await.map_err(|error| {
                StoreError::refused(
                    format!("`{endpoint}` is not an etcd endpoint; write http://HOST:2379"),
                    error,
                )
            })?;
            members.push(Member { endpoint: endpoint.clone(), client });
        }
        if members.is_empty() {
            return Err(StoreError::Refused {
                message: "no etcd endpoint is named".to_owned(),
                source: None,
            });
        }
        let cluster = Self { members, preferred: AtomicUsize::new(0), settings };
        cluster.answer_once().await?;
        cluster.check_versions().await?;
        Ok(cluster)
    }

    /// The start: a client connects to anything, so only an answer counts.
    async fn answer_once(&self) -> Result<(), StoreError> {
        let endpoints = self.settings.endpoints.join(", ");
        let unanswered = |source| StoreError::Unavailable {
            message: format!(
                "no etcd member answered within {:?} ({endpoints}); check that etcd runs and that the store's address is right",
                self.settings.start
            ),
            source,
        };
        match self.read_within(self.settings.start, read_revision).await {
            Ok(_) => Ok(()),
            Err(Failure::Undone { source, .. } | Failure::Doubtful { source, .. }) => Err(unanswered(source)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A member that does not answer is not judged: it may be the one that is down.
    async fn check_versions(&self) -> Result<(), StoreError> {
        for member in &self.members {
            let status =
                timeout(self.settings.read_attempt, member.client.maintenance_client().status()).await;
            let Ok(Ok(status)) = status else {
                tracing::warn!(endpoint = member.endpoint(), "an etcd member does not answer");
                continue;
            };
            match judge(status.version()) {
                Verdict::Fit => {}
                Verdict::Outdated(reason) => tracing::warn!(endpoint = member.endpoint(), "{reason}"),
                Verdict::Unsafe(reason) if self.settings.allow_unsafe_version => {
                    tracing::warn!(endpoint = member.endpoint(), "{reason}; used all the same, as told");
                }
                Verdict::Unsafe(reason) => {
                    let message =
                        format!("{reason}, or add ?allow-unsafe-version=true to the store's address");
                    return Err(StoreError::Refused { message, source: None });
                }
            }
        }
        Ok(())
    }

    /// Calls members in turn until one answers, for as long as a read may take. For calls that may be repeated.
    pub(super) async fn read<T, F>(&self, call: impl Fn(&Member) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        self.read_within(self.settings.read, call).await
    }

    async fn read_within<T, F>(&self, limit: Duration, call: impl Fn(&Member) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let mut last =
            Failure::Doubtful { message: format!("etcd gave no answer within {limit:?}"), source: None };
        let attempts = async {
            let mut pause = PAUSE;
            loop {
                for _ in &self.members {
                    match self.read_once(&call).await {
                        Ok(answer) => return Ok(answer),
                        Err(failure) if failure.is_temporary() => last = failure,
                        Err(failure) => return Err(failure),
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        match timeout(limit, attempts).await {
            Ok(done) => done,
            Err(_elapsed) => Err(last),
        }
    }

    /// Asks the preferred member; after a failure that another one may not have, the next one is preferred.
    async fn read_once<T, F>(&self, call: impl Fn(&Member) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let (turn, member) = self.preferred();
        let answer = match timeout(self.settings.read_attempt, call(member)).await {
            Ok(answer) => answer.map_err(Failure::of),
            Err(_elapsed) => Err(unanswered(self.settings.read_attempt)),
        };
        if answer.as_ref().is_err_and(Failure::is_temporary) {
            self.pass_over(turn);
        }
        answer
    }

    /// Sends a transaction once. It goes to the next member only when it certainly did not reach the one before.
    pub(super) async fn write(&self, txn: Txn) -> Result<TxnResponse, Failure> {
        let mut last = None;
        for _ in &self.members {
            let (turn, member) = self.preferred();
            match timeout(self.settings.transaction, member.kv().txn(txn.clone()))
                .await
                .map(|done| done.map_err(Failure::of))
            {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure @ Failure::Undone { .. })) => last = Some(failure),
                Ok(Err(failure)) => {
                    if failure.is_temporary() {
                        self.pass_over(turn);
                    }
                    return Err(failure);
                }
                Err(_elapsed) => {
                    self.pass_over(turn);
                    return Err(unanswered(self.settings.transaction));
                }
            }
            self.pass_over(turn);
        }
        Err(last.unwrap_or_else(|| Failure::Undone {
            message: "no etcd endpoint is named".to_owned(),
            source: None,
        }))
    }

    /// The store's revision, by a linearizable read.
    pub(super) async fn revision(&self) -> Result<Revision, Failure> {
        self.read(read_revision).await
    }

    /// The member to ask now, and its turn.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is at least one member, and a rest is below the count"
    )]
    pub(super) fn preferred(&self) -> (usize, &Member) {
        let turn = self.preferred.load(Ordering::Relaxed);
        (turn, &self.members[turn % self.members.len()])
    }

    /// Prefers the next member from now on, unless somebody else did so since `turn`.
    pub(super) fn pass_over(&self, turn: usize) {
        let _already =
            self.preferred.compare_exchange(turn, turn.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn settings(&self) -> &EtcdSettings {
        &self.settings
    }
}

fn unanswered(limit: Duration) -> Failure {
    Failure::Doubtful { message: format!("etcd gave no answer within {limit:?}"), source: None }
}

fn read_revision(member: &Member) -> impl Future<Output = Result<Revision, Error>> + Send + use<> {
    let mut kv = member.kv();
    async move {
        let answer = kv.get(keys::META, Some(GetOptions::new().with_count_only())).await?;
        Ok(answer.header().map_or(0, |header| number(header.revision())))
    }
}
