//! The stream between the control plane and its proxies: versions down, what became of them and call records up.
//!
//! One [`session`] per proxy decides everything and is pure; the driver beside it moves messages. The service holds no
//! queue: a slow proxy skips versions, and one that stops reading for [`driver::STALL`] loses its stream.
//!
//! It must not know the store, the catalog or the admin API: versions come from the publisher, records go to the ledger.

mod driver;
mod hello;
mod offer;
mod report;
mod reported;
mod session;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use lifecycle::{Clock, TaskKind, Tasks};
use policy::Name;
use proto::control_plane_server::{ControlPlane, ControlPlaneServer};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::fleet::Fleet;
use crate::grpc::Peer;
use crate::publish::Publisher;
use crate::usage::Ledger;

/// Large offers that are sent at the same time; small ones always pass.
const COLD_OFFERS: usize = 64;
/// Largest message a proxy may send: a hello naming 50,000 bodies, or a report of 1,024 records.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Who this control plane is.
#[derive(Clone)]
pub struct Identity {
    /// The store's identity.
    pub store_id: String,
    /// This process.
    pub server_id: String,
    /// Keys the hash of callers' keys.
    pub key_pepper: Bytes,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("store_id", &self.store_id)
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

/// The gRPC service that proxies talk to.
#[derive(Debug, Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    publisher: Publisher,
    fleet: Fleet,
    ledger: Ledger,
    identity: Arc<Identity>,
    tasks: Tasks,
    clock: Clock,
    cold: Arc<Semaphore>,
}

/// Now, in both halves.
#[derive(Debug, Clone, Copy)]
struct Moment {
    instant: Instant,
    unix_ms: u64,
}

impl Moment {
    fn of(clock: &Clock) -> Self {
        Self { instant: clock.now(), unix_ms: clock.unix_ms() }
    }
}

/// Makes the service. Sessions end with a goodbye when `tasks` begins to stop.
pub fn service(
    publisher: Publisher,
    fleet: Fleet,
    ledger: Ledger,
    identity: Identity,
    tasks: Tasks,
    clock: Clock,
) -> ControlPlaneServer<Discovery> {
    let cold = Arc::new(Semaphore::new(COLD_OFFERS));
    let shared = Shared { publisher, fleet, ledger, identity: Arc::new(identity), tasks, clock, cold };
    ControlPlaneServer::new(Discovery { shared: Arc::new(shared) })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ControlPlane for Discovery {
    type SyncStream = Answers<proto::SyncResponse>;
    type ReportStream = Answers<proto::ReportResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<proto::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        if self.shared.tasks.is_stopping() {
            return Err(Status::unavailable("the control plane is stopping"));
        }
        let certified_group: Option<Name> =
            request.extensions().get::<Peer>().and_then(|peer| peer.group.clone());
        let (outbound, answers) = driver::outbound();
        let driver =
            driver::Driver::new(Arc::clone(&self.shared), certified_group, request.into_inner(), outbound);
        self.shared.tasks.spawn("sync session", TaskKind::Background, driver.run());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn report(
        &self,
        request: Request<Streaming<proto::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let stopping = Box::pin(self.shared.tasks.stopping());
        let acks = report::acks(request.into_inner(), self.shared.ledger.clone(), stopping);
        Ok(Response::new(Box::pin(acks)))
    }
}

#[cfg(test)]
mod tests;
