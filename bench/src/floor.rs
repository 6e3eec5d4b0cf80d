//! The floor: the least that a hyper reverse proxy can do for a call. It reads the head, sends the request on over a pooled
//! connection and streams both bodies through. No keys, no limits, no routing, no records: whatever Frontdoor costs more is what those cost.

use std::net::SocketAddr;
use std::sync::Arc;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use lifecycle::{TaskKind, Tasks, signals};
use tokio::net::{TcpListener, TcpStream};

type Upstream = Client<HttpConnector, Incoming>;

/// Runs the floor until a signal.
pub(crate) fn run(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(listen, upstream))
}

async fn serve(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Upstream = Client::builder(TokioExecutor::new()).build(connector);
    let authority = Arc::new(Authority::try_from(upstream.to_string())?);
    let tasks = Tasks::new();
    let accepting = accept(listener, client, authority, tasks.clone());
    tasks.spawn("floor listener", TaskKind::Disposable, accepting);
    signals::until_stopped(&tasks).await?;
    Ok(())
}

async fn accept(
    listener: TcpListener,
    client: Upstream,
    authority: Arc<Authority>,
    tasks: Tasks,
) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = serve_connection(stream, client.clone(), Arc::clone(&authority));
        tasks.spawn("floor connection", TaskKind::Disposable, connection);
    }
}

async fn serve_connection(stream: TcpStream, client: Upstream, authority: Arc<Authority>) {
    let service = service_fn(move |request| forward(client.clone(), Arc::clone(&authority), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // The load generator closes its connections at the end of a round.
    let _closed = server.serve_connection(TokioIo::new(stream), service).await.is_err();
}

async fn forward(
    client: Upstream,
    authority: Arc<Authority>,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, http::Error> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority.as_ref().clone()).path_and_query(path);
    *request.uri_mut() = uri.build()?;
    match client.request(request).await {
        Ok(response) => Ok(response.map(BodyExt::boxed)),
        Err(_) => Response::builder()
            .status(StatusCode::BAD_GATEWAY)
            .body(Empty::new().map_err(|never| match never {}).boxed()),
    }
}
