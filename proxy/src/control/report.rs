//! Records on their way to the ledger: from any thread into a bounded queue, from there to the spool, and up the Report stream
//! until they are acknowledged.
//!
//! A record is written to the spool within about ten milliseconds and synced within about a second. When the queue is full, which takes a
//! disk that stalls for long, records are dropped and counted; calls never wait. At least once: after a new connection everything
//! unacknowledged is sent again, and the ledger counts each once by boot, lane and sequence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifecycle::{Clock, Tasks};
use parking_lot::Mutex;
use proto::control_plane_client::ControlPlaneClient;
use proto::{ReportRequest, ReportResponse};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::control::client::Backoff;
use crate::control::spool::Spool;
use crate::control::vitals::Vitals;
use crate::exchange::{Record, RecordSink};

mod wire;

/// Records that wait for the spool.
const QUEUE: usize = 16_384;
/// Records that are written or sent at once.
const BATCH: usize = 1_000;
/// How long the first record of a batch waits for others.
const GATHER: Duration = Duration::from_millis(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
const TIDY: Duration = Duration::from_secs(1);
/// Batches on the way that the control plane has not taken yet.
const ON_THE_WAY: usize = 4;
/// How long the end of the process waits for the last acknowledgements.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The proxy's end of the queue.
#[derive(Debug)]
pub struct Records {
    queue: mpsc::Sender<Record>,
    dropped: AtomicU64,
    spooled: Arc<Gauge>,
    vitals: Arc<Vitals>,
}

/// What the spool last said of itself: whoever asks must not wait for a disk.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    waiting: AtomicU64,
    dropped: AtomicU64,
}

/// Takes records out of the queue.
#[derive(Debug)]
pub(super) struct Reporter {
    queue: mpsc::Receiver<Record>,
    spool: Arc<Mutex<Spool>>,
    gauge: Arc<Gauge>,
    clock: Clock,
    proxy_id: String,
    stream: Option<Stream>,
    backoff: Backoff,
    /// Not before this is another stream opened.
    retry_at: Instant,
}

/// One Report stream.
#[derive(Debug)]
struct Stream {
    up: mpsc::Sender<ReportRequest>,
    down: Streaming<ReportResponse>,
}

impl RecordSink for Records {
    fn put(&self, record: Record) {
        self.vitals.count(&record);
        if self.queue.try_send(record).is_err() && self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!("the queue of call records is full; records are being dropped and counted");
        }
    }
}

impl Records {
    /// The two ends of the queue.
    pub(super) fn new(
        spool: Spool,
        vitals: Arc<Vitals>,
        clock: Clock,
        proxy_id: String,
    ) -> (Arc<Self>, Reporter) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let gauge = Arc::new(Gauge::default());
        gauge.read(&spool);
        let (dropped, spooled) = (AtomicU64::new(0), Arc::clone(&gauge));
        let records = Arc::new(Self { queue: sender, dropped, spooled, vitals });
        let retry_at = clock.now();
        let backoff = Backoff::new();
        let spool = Arc::new(Mutex::new(spool));
        (records, Reporter { queue, spool, gauge, clock, proxy_id, stream: None, backoff, retry_at })
    }

    /// Records lost since boot: those that did not reach the spool, and those it had no room for.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed).saturating_add(self.spooled.dropped.load(Ordering::Relaxed))
    }
}

impl Gauge {
    fn read(&self, spool: &Spool) {
        let counts = spool.counts();
        self.waiting.store(counts.waiting, Ordering::Relaxed);
        self.dropped.store(counts.dropped, Ordering::Relaxed);
    }
}

impl Reporter {
    /// Runs until the process stops; the last records are written and, while there is a stream, sent.
    pub(super) async fn run(mut self, mut link: watch::Receiver<Option<Channel>>, tasks: Tasks) {
        let mut stopping = std::pin::pin!(tasks.stopping());
        let mut tidy = tokio::time::interval(TIDY);
        tidy.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let wants_stream = self.stream.is_none() && link.borrow().is_some() && self.has_waiting();
            tokio::select! {
                () = &mut stopping => break,
                taken = self.queue.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    tokio::time::sleep(GATHER).await;
                    self.take_more(&mut batch);
                    self.write(&mut batch).await;
                }
                _ = tidy.tick() => {
                    self.on_disk(Spool::tidy).await;
                }
                ack = next_ack(&mut self.stream), if self.stream.is_some() => self.heard(ack).await,
                () = tokio::time::sleep_until(self.retry_at), if wants_stream => {
                    let channel = link.borrow_and_update().clone();
                    self.open(channel).await;
                }
                changed = link.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    // Another connection: what was on the way over the old one may be lost.
                    self.stream = None;
                    self.retry_at = self.clock.now();
                }
            }
            self.pump().await;
        }
        self.end(batch).await;
    }

    /// The last records: written whatever happens, sent if that goes quickly.
    async fn end(mut self, mut batch: Vec<Record>) {
        loop {
            self.take_more(&mut batch);
            if batch.is_empty() {
                break;
            }
            self.write(&mut batch).await;
        }
        let deadline = self.clock.now() + LAST_WORDS;
        while self.has_waiting() && self.stream.is_some() {
            self.pump().await;
            let Ok(ack) = tokio::time::timeout_at(deadline, next_ack(&mut self.stream)).await else { break };
            self.heard(ack).await;
        }
        self.on_disk(Spool::tidy).await;
    }

    async fn heard(&mut self, ack: Option<ReportResponse>) {
        match ack {
            Some(ack) => {
                self.backoff.reset();
                self.on_disk(move |spool| spool.acknowledge(&ack.boot_id, ack.lane, ack.sequence)).await;
            }
            None => self.lost(),
        }
    }

    fn lost(&mut self) {
        self.stream = None;
        self.retry_at = self.clock.now() + self.backoff.next(fastrand::f64());
    }

    fn take_more(&mut self, batch: &mut Vec<Record>) {
        while batch.len() < BATCH
            && let Ok(record) = self.queue.try_recv()
        {
            batch.push(record);
        }
    }

    async fn write(&self, batch: &mut Vec<Record>) {
        let records: Vec<_> = batch.drain(..).map(wire::to_wire).collect();
        let now = self.clock.now();
        self.on_disk(move |spool| spool.append(records, now)).await;
    }

    fn has_waiting(&self) -> bool {
        self.gauge.waiting.load(Ordering::Relaxed) > 0
    }

    async fn open(&mut self, channel: Option<Channel>) {
        let Some(channel) = channel else { return };
        let (up, requests) = mpsc::channel(ON_THE_WAY);
        self.on_disk(Spool::rewind).await;
        // Something is sent at once: the other side may wait for it before it answers.
        self.send_batch(&up).await;
        let mut client = ControlPlaneClient::new(channel);
        match tokio::time::timeout(HANDSHAKE, client.report(ReceiverStream::new(requests))).await {
            Ok(Ok(response)) => self.stream = Some(Stream { up, down: response.into_inner() }),
            Ok(Err(status)) => {
                tracing::debug!(%status, "the report stream did not open");
                self.lost();
            }
            Err(_elapsed) => self.lost(),
        }
    }

    /// Sends as much as the stream takes now.
    async fn pump(&mut self) {
        while let Some(up) = self.stream.as_ref().map(|stream| stream.up.clone()) {
            if up.is_closed() {
                return self.lost();
            }
            if !self.send_batch(&up).await {
                return;
            }
        }
    }

    /// Sends one batch, if there is one and room for it.
    async fn send_batch(&self, up: &mpsc::Sender<ReportRequest>) -> bool {
        let Ok(permit) = up.try_reserve() else { return false };
        let Some(batch) = self.on_disk(|spool| spool.next_batch(BATCH)).await.flatten() else { return false };
        permit.send(ReportRequest {
            proxy_id: self.proxy_id.clone(),
            boot_id: batch.boot_id,
            records: batch.records,
        });
        true
    }

    /// Everything that may touch the disk happens where it delays nobody.
    async fn on_disk<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> R + Send + 'static,
    ) -> Option<R> {
        let (spool, gauge) = (Arc::clone(&self.spool), Arc::clone(&self.gauge));
        let work = move || {
            let mut spool = spool.lock();
            let result = work(&mut spool);
            gauge.read(&spool);
            result
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => Some(result),
            Err(error) => {
                tracing::error!(%error, "the spool stopped in the middle of its work");
                None
            }
        }
    }
}

/// The next acknowledgement; `None` when the stream is over.
async fn next_ack(stream: &mut Option<Stream>) -> Option<ReportResponse> {
    match stream.as_mut()?.down.next().await? {
        Ok(ack) => Some(ack),
        Err(status) => {
            tracing::debug!(%status, "the report stream ended");
            None
        }
    }
}
