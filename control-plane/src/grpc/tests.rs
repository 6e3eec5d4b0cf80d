//! Promises of the proxies' listener.

use std::path::PathBuf;
use std::pin::Pin;

use futures_util::Stream;
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status, Streaming};

use super::*;

/// Answers each stream with the group of its peer's certificate, in a status.
#[derive(Debug)]
struct Mirror;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ControlPlane for Mirror {
    type SyncStream = Answers<proto::SyncResponse>;
    type ReportStream = Answers<proto::ReportResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<proto::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let group = peer.map(|peer| peer.group.map_or("none".to_owned(), |group| group.to_string()));
        Err(Status::already_exists(group.unwrap_or_else(|| "no peer".to_owned())))
    }

    async fn report(
        &self,
        _request: Request<Streaming<proto::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        Err(Status::unimplemented("not needed here"))
    }
}

/// An authority, and files signed by it.
struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ca(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key, PEM.
    fn sign(&self, host: &str, uris: &[&str]) -> (String, String) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(Ia5String::try_from(*uri).unwrap()));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self, with_client_ca: bool) -> GrpcTls {
        let (cert, key) = self.sign("localhost", &[]);
        std::fs::write(self.path("cert.pem"), cert).unwrap();
        std::fs::write(self.path("key.pem"), key).unwrap();
        GrpcTls {
            cert: self.path("cert.pem"),
            key: self.path("key.pem"),
            client_ca: with_client_ca.then(|| self.path("ca.pem")),
        }
    }

    fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.ca())).domain_name("localhost")
    }

    fn proxy(&self, uris: &[&str]) -> ClientTlsConfig {
        let (cert, key) = self.sign("proxy", uris);
        self.client().identity(Identity::from_pem(cert, key))
    }
}

async fn listen(tls: Option<&GrpcTls>) -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = (listener.local_addr().unwrap(), Tasks::new());
    serve(listener, tls, ControlPlaneServer::new(Mirror), &tasks).unwrap();
    (address, tasks)
}

/// What the mirror says, or why nobody got to it.
async fn ask(address: SocketAddr, tls: Option<ClientTlsConfig>) -> Result<String, String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).unwrap();
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls).unwrap();
    }
    let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
    let mut client = proto::control_plane_client::ControlPlaneClient::new(channel);
    let nothing = tokio_stream::pending::<proto::SyncRequest>();
    let status = client.sync(nothing).await.unwrap_err();
    if status.code() == Code::AlreadyExists {
        Ok(status.message().to_owned())
    } else {
        Err(format!("{status:?}"))
    }
}

#[tokio::test]
async fn unknown_proxies_are_served_on_loopback_and_refused_anywhere_else_before_anything_is_accepted() {
    let (address, _tasks) = listen(None).await;
    assert_eq!(ask(address, None).await.unwrap(), "none");

    let authority = Authority::new();
    for tls in [None, Some(authority.server(false))] {
        let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let tasks = Tasks::new();
        let error = serve(everywhere, tls.as_ref(), ControlPlaneServer::new(Mirror), &tasks).unwrap_err();
        assert!(matches!(error, GrpcError::UnknownBeyondLoopback(_)), "{tls:?}: {error}");
        assert!(error.to_string().contains("--tls-client-ca"), "{error}");
        assert!(tasks.is_empty());
    }
}

#[tokio::test]
async fn with_certificates_it_may_listen_anywhere_and_speaks_tls_alone() {
    let authority = Authority::new();
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], everywhere.local_addr().unwrap().port()));
    let tasks = Tasks::new();
    serve(everywhere, Some(&authority.server(true)), ControlPlaneServer::new(Mirror), &tasks).unwrap();
    assert_eq!(ask(address, Some(authority.proxy(&[]))).await.unwrap(), "default");

    let plain = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await;
    if let Ok(channel) = plain {
        let mut client = proto::control_plane_client::ControlPlaneClient::new(channel);
        let nothing = tokio_stream::empty::<proto::SyncRequest>();
        assert_ne!(client.sync(nothing).await.unwrap_err().code(), Code::AlreadyExists);
    }
}

#[tokio::test]
async fn with_a_client_authority_a_proxy_without_its_certificate_gets_nowhere() {
    let authority = Authority::new();
    let (address, _tasks) = listen(Some(&authority.server(true))).await;
    assert_eq!(ask(address, Some(authority.proxy(&[]))).await.unwrap(), "default");
    assert!(ask(address, Some(authority.client())).await.is_err());

    let stranger = Authority::new();
    let (cert, key) = stranger.sign("proxy", &["spiffe://example/group/eu"]);
    let pretender = authority.client().identity(Identity::from_pem(cert, key));
    assert!(ask(address, Some(pretender)).await.is_err());
}

#[tokio::test]
async fn the_group_in_the_certificate_is_the_proxy_s_group() {
    let authority = Authority::new();
    let (address, _tasks) = listen(Some(&authority.server(true))).await;
    for (uris, group) in [
        (&["spiffe://frontdoor.example/group/eu-west"][..], "eu-west"),
        (&["https://elsewhere/group/us", "spiffe://frontdoor.example/ns/prod/group/eu"], "eu"),
        (&["spiffe://frontdoor.example/sa/proxy"], "default"),
    ] {
        assert_eq!(ask(address, Some(authority.proxy(uris))).await.unwrap(), group);
    }
    for uris in [&["spiffe://a/group/eu", "spiffe://a/group/us"][..], &["spiffe://a/group/-"]] {
        assert!(ask(address, Some(authority.proxy(uris))).await.is_err(), "{uris:?}");
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_nonsense_does_not_hold_up_the_others() {
    let authority = Authority::new();
    let (address, _tasks) = listen(Some(&authority.server(false))).await;
    let mut silent = Vec::new();
    for _connection in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut nonsense = TcpStream::connect(address).await.unwrap();
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert or a reset: either way it is over.
    let _end = nonsense.read_to_end(&mut answer).await;
    assert_eq!(ask(address, Some(authority.client())).await.unwrap(), "none");
}

#[tokio::test]
async fn files_that_hold_no_certificate_are_named() {
    let authority = Authority::new();
    let good = authority.server(true);
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    let other_key = authority.sign("other", &[]).1;
    std::fs::write(authority.path("other.pem"), other_key).unwrap();
    for (tls, named) in [
        (GrpcTls { cert: authority.path("missing.pem"), ..good.clone() }, "the certificate from"),
        (GrpcTls { cert: authority.path("empty.pem"), ..good.clone() }, "empty.pem"),
        (GrpcTls { key: authority.path("empty.pem"), ..good.clone() }, "the private key from"),
        (GrpcTls { key: authority.path("other.pem"), ..good.clone() }, "cannot use the certificate"),
        (
            GrpcTls { client_ca: Some(authority.path("empty.pem")), ..good.clone() },
            "the proxies' authority from",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = serve(listener, Some(&tls), ControlPlaneServer::new(Mirror), &Tasks::new()).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn stopping_closes_the_listener_and_ends_in_good_order() {
    let (address, tasks) = listen(None).await;
    assert_eq!(ask(address, None).await.unwrap(), "none");
    assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, Ok(()));
    assert!(TcpStream::connect(address).await.is_err());
}
