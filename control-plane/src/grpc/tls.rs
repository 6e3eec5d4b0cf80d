//! TLS for the proxies' listener: TLS 1.3 and HTTP/2 alone, with or without client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::Name;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The files that TLS needs, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcTls {
    /// Our certificate, followed by what is between it and its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs proxies' certificates. When given, a proxy without one is refused.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds nothing of the kind.
    #[error("cannot read {what} from {}", path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate and its key, or the authority, cannot be used.
    #[error("cannot use the certificate {}", path.display())]
    Rustls {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// The authority for proxies' certificates cannot be used.
    #[error("cannot use the proxies' authority {}", path.display())]
    Authority {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

impl GrpcTls {
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unusable = |source| TlsError::Rustls { path: self.cert.clone(), source };
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("the proxies' authority", path)? {
                    let unusable = |source| TlsError::Rustls { path: path.clone(), source };
                    roots.add(certificate).map_err(unusable)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|source| TlsError::Authority { path: path.clone(), source })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|source| TlsError::Pem {
            what: "the private key",
            path: self.key.clone(),
            source,
        })?;
        let chain = certificates("the certificate", &self.cert)?;
        let mut settings = builder.with_single_cert(chain, key).map_err(unusable)?;
        settings.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(settings)))
    }
}

/// Every certificate in a file, at least one.
fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { what, path: path.to_path_buf(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    let found = found.map_err(failed)?;
    if found.is_empty() { Err(failed(rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// The group in a proxy's verified certificate, from a URI `spiffe://…/group/NAME`.
pub(super) fn certified_group(certificate: &CertificateDer<'_>) -> Result<Option<Name>, String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
    let mut groups = certificate.valid_uri_names().filter_map(|uri| {
        let (_trust_domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            [.., "group", name] => Some((*name).to_owned()),
            _ => None,
        }
    });
    match (groups.next(), groups.next()) {
        (None, _) => Ok(None),
        (Some(name), None) => name.parse().map(Some).map_err(|error| format!("group `{name}`: {error}")),
        (Some(one), Some(other)) => Err(format!("two groups, `{one}` and `{other}`")),
    }
}
