//! Accepting connections and shaking hands, each handshake on its own and within a bound.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lifecycle::{TaskKind, Tasks};
use policy::Name;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::tls;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Handshakes at the same time: each costs a signature.
const HANDSHAKES: usize = 128;
/// Rest after an error that is about this process, such as no file descriptors.
const REST: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The group that its certificate names.
    pub group: Option<Name>,
}

/// A connection, plain or not.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    peer: Peer,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts until stopping begins or nobody takes connections any more.
pub(super) async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    accepted: mpsc::Sender<io::Result<Connection>>,
    tasks: Tasks,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let stopping = tasks.stopping();
    tokio::pin!(stopping);
    loop {
        let stream = tokio::select! {
            () = &mut stopping => return,
            stream = listener.accept() => stream,
        };
        let stream = match stream {
            Ok((stream, _address)) => stream,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "cannot accept connections of proxies");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
            continue;
        }
        match &acceptor {
            None => {
                let connection = Connection { transport: Transport::Plain(stream), peer: Peer::default() };
                if accepted.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            Some(acceptor) => {
                let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
                let shaking = shake_hands(acceptor.clone(), stream, accepted.clone());
                tasks.spawn("grpc handshake", TaskKind::Disposable, async move {
                    shaking.await;
                    drop(permit);
                });
            }
        }
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    accepted: mpsc::Sender<io::Result<Connection>>,
) {
    let stream = match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::info!(%error, "a proxy's TLS handshake failed");
            return;
        }
        Err(_elapsed) => {
            tracing::info!("a proxy's TLS handshake took too long");
            return;
        }
    };
    let (_tcp, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let group = match certificate.map(tls::certified_group).transpose() {
        // A certificate that names no group is good for the default one: the proxy's word never counts.
        Ok(named) => named.map(|group| group.unwrap_or_else(policy::Name::default_group)),
        Err(reason) => {
            tracing::warn!(reason, "a proxy's certificate names no usable group");
            return;
        }
    };
    let connection = Connection { transport: Transport::Tls(Box::new(stream)), peer: Peer { group } };
    let _still_serving = accepted.send(Ok(connection)).await.is_ok();
}

/// The peer gave up between its SYN and our accept.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
