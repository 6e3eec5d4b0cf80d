//! A whole control plane on this machine: what it keeps, and what it says when it cannot start.

use super::*;

fn on_disk(data: &Path) -> Settings {
    Settings { store: None, ..Settings::ephemeral(data.to_path_buf()) }
}

async fn refusal(settings: Settings) -> String {
    match start(settings, Clock::system()).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn a_restart_continues_from_the_data_directory() {
    let data = tempfile::tempdir().unwrap();
    let first = start(on_disk(data.path()), Clock::system()).await.unwrap();
    let token = first.admin_token.clone().unwrap();
    let kept = fs::read_to_string(&first.token_file).unwrap();
    assert_eq!(kept.trim(), token);
    let mode = fs::metadata(&first.token_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (file, holds) in [("store.sqlite", "the pepper"), ("usage.sqlite", "who called what")] {
        let mode = fs::metadata(data.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file} holds {holds}");
    }
    assert!(first.pending().is_empty());
    first.shutdown().await;

    let second = start(on_disk(data.path()), Clock::system()).await.unwrap();
    assert_eq!(second.admin_token, None);
    assert_eq!(fs::read_to_string(&second.token_file).unwrap().trim(), token);
    second.shutdown().await;
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_flag_that_changes_it() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let admin = Settings { admin_listen: address, ..Settings::ephemeral(data.path().to_path_buf()) };
    let said = refusal(admin).await;
    assert!(said.contains("--admin-listen") && said.contains("in use"), "{said}");
    let grpc = Settings { grpc_listen: address, ..Settings::ephemeral(data.path().to_path_buf()) };
    assert!(refusal(grpc).await.contains("--grpc-listen"));
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_told_with_the_way_out() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, b"in the way").unwrap();
    for path in [file.clone(), file.join("below")] {
        let said = refusal(Settings::ephemeral(path.clone())).await;
        assert!(said.contains(&path.display().to_string()) && said.contains("--data"), "{said}");
    }
}

#[tokio::test]
async fn the_admin_api_is_not_served_in_the_clear_beyond_this_machine() {
    let data = tempfile::tempdir().unwrap();
    let open = SocketAddr::from(([0, 0, 0, 0], 0));
    let admin = Settings { admin_listen: open, ..Settings::ephemeral(data.path().to_path_buf()) };
    let said = refusal(admin).await;
    assert!(said.contains("--admin-tls-cert") && said.contains("127.0.0.1"), "{said}");
    let grpc = Settings { grpc_listen: open, ..Settings::ephemeral(data.path().to_path_buf()) };
    assert!(refusal(grpc).await.contains("--tls-cert"));
}

#[tokio::test]
async fn what_does_not_name_a_store_is_refused_before_anything_is_written() {
    let data = tempfile::tempdir().unwrap();
    let settings =
        Settings { store: Some("redis:x".to_owned()), ..Settings::ephemeral(data.path().to_path_buf()) };
    let said = refusal(settings).await;
    assert!(said.contains("redis") && said.contains("sqlite:PATH"), "{said}");
}

#[tokio::test]
async fn the_admin_api_speaks_tls_when_given_certificates() {
    let data = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (data.path().join("cert.pem"), data.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let settings = Settings {
        admin_tls_cert: Some(cert),
        admin_tls_key: Some(key),
        ..Settings::ephemeral(data.path().to_path_buf())
    };
    let running = start(settings, Clock::system()).await.unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(running.admin_addr).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n"), "{answer}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_with_its_flag() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings {
        admin_tls_cert: Some(data.path().join("none.pem")),
        admin_tls_key: Some(data.path().join("none.key")),
        ..Settings::ephemeral(data.path().to_path_buf())
    };
    let said = refusal(settings).await;
    assert!(said.contains("none.pem") && said.contains("--admin-tls-cert"), "{said}");
}
