//! The pooled HTTP client of one provider. It must not know what is sent.
//!
//! HTTP/1.1 unless the provider's resource says otherwise: it costs less per call, and a stalled stream holds up nobody else's.
//! Each lane has a pool of its own, because a connection lives on the runtime that opened it.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

/// A provider's client.
pub(super) type HttpClient = Client<Timed<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// An error of the connector, as hyper wants it.
type BoxError = Box<dyn Error + Send + Sync>;

/// How long an idle connection is kept. Providers close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept for one provider and lane.
const IDLE_CONNECTIONS: usize = 256;

/// Makes the client's side of TLS: the machine's roots, or the built-in ones where the machine has none.
pub fn trust() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = || {
        rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
    };
    match builder()?.with_native_roots() {
        Ok(with_roots) => Ok(with_roots.with_no_client_auth()),
        Err(error) => {
            tracing::warn!(%error, "the machine has no certificate roots; using the built-in ones");
            Ok(builder()?.with_webpki_roots().with_no_client_auth())
        }
    }
}

/// What is spoken with a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    /// Negotiated in TLS, HTTP/1.1 being the alternative.
    Http2,
    /// Without TLS there is nothing to negotiate with.
    PlainHttp2,
}

/// Builds a client.
pub(super) fn build(tls: rustls::ClientConfig, connect: Duration, protocol: Protocol) -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    let schemes = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let connector = match protocol {
        Protocol::Http1 => schemes.enable_http1().wrap_connector(tcp),
        Protocol::Http2 | Protocol::PlainHttp2 => schemes.enable_all_versions().wrap_connector(tcp),
    };
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS);
    if protocol != Protocol::Http1 {
        builder
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_adaptive_window(true);
        builder.http2_only(protocol == Protocol::PlainHttp2);
    }
    builder.build(Timed { inner: connector, limit: connect })
}

/// A connector that gives up after a while, TLS included.
#[derive(Debug, Clone)]
pub(super) struct Timed<C> {
    inner: C,
    limit: Duration,
}

/// The connection did not stand in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {} ms", .0.as_millis())]
pub(super) struct ConnectTimeout(pub(super) Duration);

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectTimeout(limit).into()),
            }
        })
    }
}
