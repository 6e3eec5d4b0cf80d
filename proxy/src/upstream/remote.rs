//! Fetches the images and documents that a call names by URL, for targets that take bytes only, where policy gives leave.
//!
//! A caller who chooses URLs chooses whom the proxy talks to. So: only hosts that policy lists, only public addresses (looked at
//! after the name was resolved, and the connection goes to the very address that was looked at), no redirects, a bound on
//! size and time, and only media that a model can read. It must not know which call it is for.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dialect::{Fault, FaultClass};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use policy::Fetch;
use tokio::time::Instant;
use tower::Service;

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many a call may name.
const MOST: usize = 20;
/// How much a call may bring in by them: they are all in memory at once.
const MOST_BYTES: usize = 64 << 20;
/// Media that some model can read.
const READABLE: [&str; 6] = ["image/", "audio/", "video/", "text/", "application/pdf", "application/json"];

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
}

/// Fetches from public places.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    tls: Arc<rustls::ClientConfig>,
    is_allowed: fn(IpAddr) -> bool,
}

impl Fetcher {
    pub(super) fn new(tls: &Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Arc::clone(tls), is_allowed: is_public }
    }

    /// One that takes other addresses for public, so that a test can serve itself.
    #[cfg(test)]
    pub(super) fn allowing(self, is_allowed: fn(IpAddr) -> bool) -> Self {
        Self { is_allowed, ..self }
    }

    /// Fetches what a call names, one after the other, all by `deadline`.
    pub(super) async fn fetch_all(
        &self,
        urls: Vec<String>,
        leave: &Fetch,
        deadline: Instant,
    ) -> Result<Vec<(String, Fetched)>, Fault> {
        if urls.len() > MOST {
            let message = format!("a call may name at most {MOST} images and documents by URL here");
            return Err(Fault::new(FaultClass::Invalid, "remote_source", message));
        }
        let mut all: Vec<(String, Fetched)> = Vec::with_capacity(urls.len());
        let mut so_far = 0_usize;
        for url in urls {
            let fetched = tokio::time::timeout_at(deadline, self.fetch(&url, leave)).await;
            let fetched = fetched.unwrap_or_else(|_elapsed| Err(refuse(&url, "the call's time was over")))?;
            so_far = so_far.saturating_add(fetched.bytes.len());
            if so_far > MOST_BYTES {
                return Err(refuse(
                    &url,
                    &format!("all that the call names is larger than {MOST_BYTES} bytes"),
                ));
            }
            all.push((url, fetched));
        }
        Ok(all)
    }

    /// Fetches one. The fault names the URL without its query, which may hold a secret.
    pub(super) async fn fetch(&self, url: &str, leave: &Fetch) -> Result<Fetched, Fault> {
        match tokio::time::timeout(PATIENCE, self.attempt(url, leave)).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => Err(refuse(url, "it did not come in time")),
        }
    }

    async fn attempt(&self, url: &str, leave: &Fetch) -> Result<Fetched, Fault> {
        let uri: Uri = url.parse().map_err(|_error| refuse(url, "it is not a URL"))?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_empty() {
            return Err(refuse(url, "only http:// and https:// are fetched"));
        }
        if !leave.permits(&host) {
            return Err(refuse(url, &format!("policy does not let the proxy fetch from `{host}`")));
        }
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if literal.is_ok_and(|address| !(self.is_allowed)(address)) {
            return Err(refuse(url, "its address is not public"));
        }
        let request = Request::get(uri)
            .header(USER_AGENT, concat!("frontdoor/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .body(Empty::<Bytes>::new())
            .map_err(|_error| refuse(url, "it is not a URL"))?;
        let response = self.client().request(request).await.map_err(|error| {
            let is_private = sources(&error).any(|source| source.to_string() == NOT_PUBLIC);
            refuse(url, if is_private { NOT_PUBLIC } else { "its host cannot be reached" })
        })?;
        let status = response.status();
        if status.is_redirection() {
            return Err(refuse(url, "it leads to another place, and redirects are not followed"));
        }
        if !status.is_success() {
            return Err(refuse(url, &format!("its host answered {}", status.as_u16())));
        }
        let media_type = media_type(response.headers()).ok_or_else(|| {
            refuse(url, "its host does not say what it is, or it is nothing a model can read")
        })?;
        let most = usize::try_from(leave.max_bytes()).unwrap_or(usize::MAX);
        let body = Limited::new(response.into_body(), most).collect().await;
        let bytes = body
            .map_err(|_error| refuse(url, &format!("it is larger than {most} bytes, or broke off")))?
            .to_bytes();
        Ok(Fetched { media_type, bytes })
    }

    /// A client for one question: what it opens is closed again.
    fn client(&self) -> Client<hyper_rustls::HttpsConnector<HttpConnector<PublicOnly>>, Empty<Bytes>> {
        let mut tcp = HttpConnector::new_with_resolver(PublicOnly { is_allowed: self.is_allowed });
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(rustls::ClientConfig::clone(&self.tls))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
    }
}

const NOT_PUBLIC: &str = "its host has no public address";

/// Resolves names to the public ones among their addresses.
#[derive(Debug, Clone)]
struct PublicOnly {
    is_allowed: fn(IpAddr) -> bool,
}

impl Service<Name> for PublicOnly {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let is_allowed = self.is_allowed;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip())).collect();
            if public.is_empty() { Err(io::Error::other(NOT_PUBLIC)) } else { Ok(public.into_iter()) }
        })
    }
}

/// Whether an address is one of the public internet: none of the blocks that IANA's registries of special-purpose addresses
/// (RFC 6890 and its successors) keep from global reach.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // An IPv4 address in another dress is judged as what it is.
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [first, second, third, ..] = address.segments();
    let is_global_unicast = first & 0xe000 == 0x2000;
    // Protocols, Teredo among them, and documentation.
    let is_special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        || first == 0x2002 // 6to4 carries any IPv4 address
        || (first == 0x3fff && second < 0x1000) // documentation
        || (first == 0x2620 && second == 0x004f && third == 0x8000); // AS112
    is_global_unicast && !is_special
}

fn media_type(headers: &http::HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    READABLE.iter().any(|known| media_type.starts_with(known)).then_some(media_type)
}

fn sources<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn refuse(url: &str, why: &str) -> Fault {
    let shown: String = url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
    Fault::new(
        FaultClass::Invalid,
        "remote_source",
        format!("`{shown}` cannot be fetched for the target: {why}"),
    )
}

#[cfg(test)]
mod tests;
