//! Where the admin API is reached: the socket, TLS when certificates are given, and connections that end in good order.
//! It must not know what is served.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use lifecycle::{TaskKind, Tasks};

/// How long a client may take for the head of a request, and for a TLS handshake.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Rest after the system refused a connection, for example because no file descriptor is left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Most connections at the same time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 1_024;
/// How long calls may go on after the end has begun.
const FINISH_WITHIN: Duration = Duration::from_secs(8);

/// Why the API cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Plaintext beyond loopback would show admin tokens to the network.
    #[error(
        "{flag} {address} is not a loopback address, and without TLS admin tokens would cross the network in the clear: give --admin-tls-cert and --admin-tls-key, or listen on 127.0.0.1"
    )]
    Plaintext {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The socket cannot be opened.
    #[error("cannot listen on {address} ({flag}): {hint}")]
    Bind {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What to do about it.
        hint: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("cannot use {} ({flag})", path.display())]
    Tls {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Opens a socket; `flag` is what the operator would change.
pub async fn bind(flag: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| {
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse => "the port is in use; stop what uses it or choose another",
            io::ErrorKind::PermissionDenied => "not permitted; choose a port above 1023",
            io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
            _ => "the system refused",
        };
        ListenError::Bind { flag, address, hint, source }
    })
}

/// Reads what TLS on the admin API needs.
pub fn server_tls(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, ListenError> {
    let unusable = |flag: &'static str, path: &Path| {
        let path = path.to_path_buf();
        move |source: Box<dyn std::error::Error + Send + Sync>| ListenError::Tls { flag, path, source }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.map_err(|error| unusable("--admin-tls-cert", cert)(error.into()))?;
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|error| unusable("--admin-tls-key", key)(error.into()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| unusable("--admin-tls-cert", cert)(error.into()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until the tasks are stopped, then lets accepted calls finish.
pub async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, router: Router, tasks: Tasks) {
    let graceful = GracefulShutdown::new();
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut stopping = std::pin::pin!(tasks.stopping());
    loop {
        let accepted = tokio::select! {
            () = &mut stopping => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept an admin connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let (watcher, router, acceptor) = (graceful.watcher(), router.clone(), acceptor.clone());
        tasks.spawn("admin connection", TaskKind::Background, async move {
            let _place = place;
            match acceptor {
                None => converse(stream, router, watcher).await,
                Some(acceptor) => {
                    if let Some(stream) = shake_hands(&acceptor, stream).await {
                        converse(stream, router, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(FINISH_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some admin calls did not finish in time");
    }
}

/// Waits for a free place, then for a connection to fill it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, place))
}

async fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(HEAD_WITHIN, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a TLS handshake failed");
            None
        }
        Err(_elapsed) => None,
    }
}

async fn converse<S>(stream: S, router: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // HTTP/1 alone: whoever waits to see which version a peer speaks waits for a silent one for ever.
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    let ended: Result<(), Box<dyn std::error::Error + Send + Sync>> = watcher.watch(connection).await;
    if let Err(error) = ended {
        tracing::debug!(error = error.as_ref() as &dyn std::error::Error, "an admin connection broke");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_goes_silent_does_not_keep_its_place() {
        let listener = bind("--admin-listen", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        tasks.spawn("admin api", TaskKind::Critical, serve(listener, None, Router::new(), tasks.clone()));
        for begun in ["", "PR", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost:"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let ended = tokio::time::timeout(HEAD_WITHIN * 2, stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "{begun:?} is still open");
        }
    }
}
