//! The connection to the control plane: where, how protected, and how often it is tried again. It must not know what is said on it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

const CONNECT: Duration = Duration::from_secs(5);
/// A connection that answers no ping for this long is dead, whoever uses it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The files that protect the connection.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Whom to trust; the machine's own roots when not given.
    pub ca: Option<PathBuf>,
    /// The proxy's certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// The connection cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not an address.
    #[error("`{0}` is not the address of a control plane; write http://127.0.0.1:7071 or https://HOST:PORT")]
    Address(String),
    /// Policy and records would travel in the open.
    #[error("`{0}` is plain text to another machine; use https:// with --ca, --cert and --key")]
    Plain(String),
    /// Certificates without TLS.
    #[error("certificates are given, but `{0}` is plain text; write https://")]
    UselessCertificates(String),
    /// A file cannot be used.
    #[error("cannot use `{path}`: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS does not take what it was given.
    #[error("the certificates cannot be used")]
    Tls(#[from] rustls::Error),
}

/// Opens connections to one control plane.
#[derive(Clone)]
pub(super) struct Dialer {
    endpoint: Endpoint,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    pub(super) fn new(address: &str, files: &TlsFiles) -> Result<Self, DialError> {
        let wrong = || DialError::Address(address.to_owned());
        let uri: Uri = address.parse().or(Err(wrong()))?;
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let tls = match uri.scheme_str() {
            Some("http") if files.ca.is_some() || files.cert.is_some() => {
                return Err(DialError::UselessCertificates(address.to_owned()));
            }
            Some("http") if is_loopback(&host) => None,
            Some("http") => return Err(DialError::Plain(address.to_owned())),
            Some("https") => {
                let name = ServerName::try_from(host.clone()).or(Err(wrong()))?;
                Some((TlsConnector::from(Arc::new(tls(files)?)), name))
            }
            _ => return Err(wrong()),
        };
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let authority = uri.authority().ok_or_else(wrong)?;
        // TLS is ours, so that only version 1.3 is spoken; tonic is told of a plain connection.
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).or(Err(wrong()))?;
        let endpoint = endpoint
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        Ok(Self { endpoint, host, port, tls })
    }

    /// A new connection.
    pub(super) async fn dial(&self) -> Result<Channel, tonic::transport::Error> {
        let this = self.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let this = this.clone();
            async move { this.connect().await }
        });
        self.endpoint.connect_with_connector(connector).await
    }

    async fn connect(&self) -> Result<TokioIo<Io>, std::io::Error> {
        let opening = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
            tcp.set_nodelay(true)?;
            match &self.tls {
                None => Ok(Io::Plain(tcp)),
                Some((connector, name)) => {
                    connector.connect(name.clone(), tcp).await.map(|stream| Io::Tls(Box::new(stream)))
                }
            }
        };
        match tokio::time::timeout(CONNECT, opening).await {
            Ok(opened) => opened.map(TokioIo::new),
            Err(_elapsed) => {
                Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no connection within 5 s"))
            }
        }
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// A name counts as loopback only when it is the one that always is.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tls(files: &TlsFiles) -> Result<rustls::ClientConfig, DialError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match &files.ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
            builder.with_root_certificates(roots)
        }
        None => {
            use hyper_rustls::ConfigBuilderExt;
            let no_roots = |error: std::io::Error| DialError::File {
                path: PathBuf::from("the machine's certificate roots"),
                reason: format!("{error}; name a certificate authority with --ca"),
            };
            builder.with_native_roots().map_err(no_roots)?
        }
    };
    let mut config = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let unusable = |error: rustls_pki_types::pem::Error| file_error(key, error.to_string());
            let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(unusable)?;
            builder.with_client_auth_cert(certificates(cert)?, private)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file_error(path, error.to_string()))?;
    if certificates.is_empty() {
        return Err(file_error(path, "it holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, DialError> {
    fs::read(path).map_err(|error| file_error(path, error.to_string()))
}

fn file_error(path: &Path, reason: String) -> DialError {
    DialError::File { path: path.to_owned(), reason }
}

/// A connection, protected or not.
enum Io {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

mod io;

/// Waits between connections: full jitter between 100 ms and a ceiling that doubles up to 30 s, so that a fleet does not come
/// back at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// The shortest wait.
    pub(super) const FLOOR: Duration = Duration::from_millis(100);
    /// The longest wait.
    pub(super) const CEILING: Duration = Duration::from_secs(30);
    /// A stream that lived this long was healthy.
    pub(super) const HEALTHY: Duration = Duration::from_secs(30);

    pub(super) const fn new() -> Self {
        Self { ceiling: Self::FLOOR }
    }

    /// Begins again with short waits.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// The next wait; `random` lies between 0 and 1.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        self.ceiling = (self.ceiling * 2).min(Self::CEILING);
        Self::FLOOR + (self.ceiling - Self::FLOOR).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;
