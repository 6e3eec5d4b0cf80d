//! The listener for proxies: our own accept loop with TLS in front of tonic.
//!
//! Beyond loopback it serves only proxies that show a certificate of the client authority: whoever is served is given the
//! policy and the pepper. Anything else is refused at start. With certificates it speaks TLS 1.3 alone. A certificate with
//! the URI `spiffe://…/group/NAME` fixes its proxy's group; one without is good for the group `default`. Without certificates
//! (loopback) the group in the hello is taken.
//!
//! It must not know what is said on the streams.

mod accept;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use lifecycle::{TaskKind, Tasks};
use proto::control_plane_server::{ControlPlane, ControlPlaneServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

pub use accept::Peer;
pub use tls::{GrpcTls, TlsError};

/// A dead peer is noticed within the sum of both.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A proxy needs two streams; more are for reconnecting.
const STREAMS_PER_CONNECTION: u32 = 16;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// What a proxy may send ahead of being read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Connections that were accepted and not yet taken over.
const ACCEPTED: usize = 64;

/// Why the listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Without certificates of the proxies only this machine may connect.
    #[error(
        "refusing to serve proxies on {0} without knowing them: listen on 127.0.0.1, or give --tls-cert, --tls-key and --tls-client-ca"
    )]
    UnknownBeyondLoopback(SocketAddr),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener cannot say where it listens.
    #[error("cannot use the listener for proxies")]
    Listener(#[source] std::io::Error),
}

/// Serves `service` on `listener` until `tasks` begins to stop; then running streams may end. Fails before anything is
/// accepted when that would not be safe.
pub fn serve<T: ControlPlane>(
    listener: TcpListener,
    tls: Option<&GrpcTls>,
    service: ControlPlaneServer<T>,
    tasks: &Tasks,
) -> Result<(), GrpcError> {
    let address = listener.local_addr().map_err(GrpcError::Listener)?;
    let knows_proxies = tls.is_some_and(|tls| tls.client_ca.is_some());
    if !knows_proxies && !address.ip().is_loopback() {
        return Err(GrpcError::UnknownBeyondLoopback(address));
    }
    let acceptor = tls.map(GrpcTls::acceptor).transpose()?;
    let (accepted, connections) = mpsc::channel(ACCEPTED);
    let accepting = accept::accept(listener, acceptor, accepted, tasks.clone());
    tasks.spawn("grpc accept", TaskKind::Critical, accepting);

    let stopping = tasks.stopping();
    let serving = async move {
        Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .add_service(service)
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), stopping)
            .await
    };
    tasks.spawn("grpc", TaskKind::Critical, serving);
    Ok(())
}

#[cfg(test)]
mod tests;
