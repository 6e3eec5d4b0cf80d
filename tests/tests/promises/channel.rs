//! The channel between the planes: mutual TLS when certificates are there, loopback only when not.

use std::path::{Path, PathBuf};

use frontdoor_tests::{World, world::POLICY};
use lifecycle::Clock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Certificates of one authority as files.
struct Certificates {
    directory: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        Self { directory, authority }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The paths of a certificate for `name` and of its key.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let path = |kind: &str| self.directory.path().join(format!("{name}.{kind}.pem"));
        std::fs::write(path("cert"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        (path("cert"), path("key"))
    }
}

fn secured(data: &Path, certificates: &Certificates) -> control_plane::Settings {
    let (cert, key) = certificates.issue("localhost");
    control_plane::Settings {
        tls_cert: Some(cert),
        tls_key: Some(key),
        tls_client_ca: Some(certificates.ca()),
        admin_token: Some(frontdoor_tests::world::ADMIN_TOKEN.parse().unwrap()),
        ..control_plane::Settings::ephemeral(data.to_owned())
    }
}

fn proxy_of(world: &World, url: String, ca: &Certificates, own: Option<&Certificates>) -> proxy::Settings {
    let own = own.map(|certificates| certificates.issue("proxy"));
    let (cert, key) = own.map_or((None, None), |(cert, key)| (Some(cert), Some(key)));
    proxy::Settings {
        listen: frontdoor_tests::world::any(),
        ops_listen: frontdoor_tests::world::any(),
        control_plane: url,
        data: world.proxy_directory(world.proxies.len()),
        ca: Some(ca.ca()),
        cert,
        key,
        ..proxy::Settings::default()
    }
}

#[tokio::test]
async fn with_certificates_both_planes_prove_who_they_are() {
    let mut world = World::without_policy(None, 0).await;
    world.stop_control_plane().await;
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let running = control_plane::start(
        secured(&world.directory.path().join("secured"), &certificates),
        Clock::system(),
    )
    .await
    .unwrap();
    let url = format!("https://localhost:{}", running.grpc_addr.port());
    world.use_control_plane(running);
    let version = world.apply(POLICY).await;

    // One from a stranger's authority, one without a certificate, one that trusts another authority; then the right one.
    for (ca, own) in
        [(&certificates, Some(&strangers)), (&certificates, None), (&strangers, Some(&certificates))]
    {
        let refused = proxy::start(proxy_of(&world, url.clone(), ca, own), Clock::system()).await.unwrap();
        world.strangers.push(refused);
    }
    let proxy =
        proxy::start(proxy_of(&world, url, &certificates, Some(&certificates)), Clock::system()).await;
    world.proxies.push(Some(proxy.unwrap()));
    world.enforced(version).await;
    let key = world.key("first-app").await;
    world.chat(&key, "demo").await.expect(200);

    let fleet = world.admin_get("/v1/fleet").await.expect(200).json();
    assert_eq!(fleet["items"].as_array().unwrap().len(), 1, "the others never got in: {fleet}");
    for stranger in &world.strangers {
        let ready = world.http.get(&format!("http://{}/readyz", stranger.ops_addr), &[]).await;
        assert_eq!(ready.status, 503, "{}", ready.text());
    }
}

#[tokio::test]
async fn without_certificates_neither_plane_leaves_loopback() {
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let everywhere = control_plane::Settings {
        grpc_listen: "0.0.0.0:0".parse().unwrap(),
        ..control_plane::Settings::ephemeral(directory.path().join("control-plane"))
    };
    let error = control_plane::start(everywhere, Clock::system()).await.unwrap_err();
    assert!(format!("{error:#}").contains("--tls-cert"), "{error:#}");

    let elsewhere = proxy::Settings {
        listen: frontdoor_tests::world::any(),
        ops_listen: frontdoor_tests::world::any(),
        control_plane: "http://192.0.2.1:7071".to_owned(),
        data: directory.path().join("proxy"),
        ..proxy::Settings::default()
    };
    let error = proxy::start(elsewhere, Clock::system()).await.unwrap_err();
    assert!(format!("{error:#}").contains("https://"), "{error:#}");
}
