//! Accepts connections and keeps them honest: how many, how long they may dawdle, how they end when the proxy stops.
//!
//! Each data thread ("lane") has a runtime of its own and its own listening socket on the shared port, so a call is served
//! from accept to last byte by one thread and no task is stolen. The kernel spreads the connections. That choice is known here
//! alone; the rest sees a service and a lane number. It must not know paths, bodies or policy.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use lifecycle::{DrainWatcher, TaskKind, Tasks};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections the kernel holds for us while we are busy.
const BACKLOG: i32 = 4096;
/// The rest after an accept that failed for want of file descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// A header is at most this many lines; h1's whole header has to fit into the read buffer.
const MAX_HEADERS: usize = 128;
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_STREAMS: u32 = 256;
/// How long a peer may acknowledge nothing, or take nothing of what waits for it.
const PEER_SILENCE: Duration = Duration::from_secs(120);
const H2_PING: Duration = Duration::from_secs(30);

/// Why nothing can be accepted.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has the port.
    #[error("{address} is already in use: stop what listens there, or choose another address with {flag}")]
    InUse {
        /// What was asked for.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {address} (set by {flag})")]
    Refused {
        /// What was asked for.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// No thread or no runtime for a lane.
    #[error("cannot start a data thread")]
    Thread(#[source] io::Error),
}

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Connections of one lane that are open at once.
    pub connections: usize,
    /// From accept to the first complete header, and between two calls on one connection.
    pub header: Duration,
    /// For calls under way when draining begins.
    pub drain: Duration,
}

/// Sockets that are bound, one for each lane, all on one address.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<StdListener>,
    /// Where they are bound, the port filled in.
    pub address: SocketAddr,
}

/// Binds `address` for `lanes` threads; `flag` is named when that fails.
pub fn bind(address: SocketAddr, lanes: NonZeroUsize, flag: &'static str) -> Result<Bound, ListenError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address, flag },
        _ => ListenError::Refused { address, flag, source },
    };
    let mut sockets = Vec::with_capacity(lanes.get());
    let mut shared = address;
    if lanes.get() > 1 && address.port() != 0 {
        // Sockets that share a port would also share it with another proxy's: only a lone socket notices that it is taken.
        drop(socket(address, Sharing::Alone).map_err(refused)?);
    }
    for _ in 0..lanes.get() {
        let sharing = if lanes.get() > 1 { Sharing::WithLanes } else { Sharing::Alone };
        let socket = socket(shared, sharing).map_err(refused)?;
        socket.listen(BACKLOG).map_err(refused)?;
        let socket = StdListener::from(socket);
        shared = socket.local_addr().map_err(refused)?;
        sockets.push(socket);
    }
    Ok(Bound { sockets, address: shared })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    WithLanes,
}

fn socket(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::WithLanes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Bound {
    /// Starts one thread for each lane. They end when `drain` begins and their connections have ended, or after the patience for that.
    pub fn start<S, B>(
        self,
        patience: Patience,
        drain: &DrainWatcher,
        tasks: &Tasks,
        service: impl Fn(usize) -> S,
    ) -> Result<Vec<JoinHandle<()>>, ListenError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
    {
        let mut threads = Vec::with_capacity(self.sockets.len());
        for (lane, socket) in self.sockets.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(ListenError::Thread)?;
            let (service, drain, tasks) = (service(lane), drain.clone(), tasks.child());
            let thread = std::thread::Builder::new()
                .name(format!("data-{lane}"))
                .spawn(move || runtime.block_on(serve(socket, service, patience, drain, tasks)))
                .map_err(ListenError::Thread)?;
            threads.push(thread);
        }
        Ok(threads)
    }

    /// The one socket of a listener with a single lane, to be served by [`serve`] on a runtime that exists already.
    pub fn into_single(self) -> Option<StdListener> {
        self.sockets.into_iter().next()
    }
}

/// Accepts on one socket until `drain` begins, then waits for the connections that are open.
pub async fn serve<S, B>(
    socket: StdListener,
    service: S,
    patience: Patience,
    drain: DrainWatcher,
    tasks: Tasks,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
{
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listening socket could not be used");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(patience.connections));
    let protocol = Arc::new(protocol(patience));
    let mut draining = std::pin::pin!(drain.clone().wait_for_drain());
    let _blocker = loop {
        let accepting = async {
            // The semaphore is never closed; an error would mean no room for ever, which is what waiting says.
            let Ok(room) = Arc::clone(&room).acquire_owned().await else {
                return std::future::pending().await;
            };
            (room, listener.accept().await)
        };
        let (room, accepted) = tokio::select! {
            biased;
            blocker = &mut draining => break blocker,
            accepted = accepting => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let (service, protocol, drain) = (service.clone(), Arc::clone(&protocol), drain.clone());
                tasks.spawn("connection", TaskKind::Background, async move {
                    connection(stream, service, &protocol, patience, drain).await;
                    drop(room);
                });
            }
            Err(error) if is_about_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; resting");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    };
    drop(listener);
    // Whatever outlives the patience is aborted and named in the log by the task set.
    let _aborted = tasks.shutdown(patience.drain).await.is_err();
}

/// Errors of a connection that was gone before we took it.
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

fn protocol(patience: Patience) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.header)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    builder
}

async fn connection<S, B>(
    stream: TcpStream,
    service: S,
    protocol: &auto::Builder<TokioExecutor>,
    patience: Patience,
    drain: DrainWatcher,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Send
        + Sync
        + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
{
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let has_called = Arc::new(AtomicBool::new(false));
    let counted = {
        let has_called = Arc::clone(&has_called);
        service_fn(move |request| {
            has_called.store(true, Ordering::Relaxed);
            service.call(request)
        })
    };
    let mut serving = std::pin::pin!(protocol.serve_connection(TokioIo::new(stream), counted));
    // The protocol's own timeout begins once the protocol is known: this one covers a caller who says nothing at all.
    let mut first_call = std::pin::pin!(tokio::time::sleep(patience.header));
    let mut draining = std::pin::pin!(drain.wait_for_drain());
    let (mut is_watched, mut blocker) = (true, None);
    loop {
        tokio::select! {
            biased;
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            held = &mut draining, if blocker.is_none() => {
                serving.as_mut().graceful_shutdown();
                blocker = Some(held);
            }
            () = &mut first_call, if is_watched => {
                if !has_called.load(Ordering::Relaxed) {
                    return;
                }
                is_watched = false;
            }
        }
    }
}

/// Small writes go out at once, and a peer that takes nothing for long is let go: its body would not be polled, so no other timeout
/// could notice.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PEER_SILENCE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PEER_SILENCE))?;
    Ok(())
}

#[cfg(test)]
mod tests;
