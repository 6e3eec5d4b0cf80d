//! A whole proxy in this process, without a control plane.

use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::*;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

fn settings(data: &std::path::Path) -> Settings {
    let data = data.to_str().unwrap();
    let arguments = [
        "test",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--threads",
        "2",
        "--data",
        data,
        // A port that nobody listens on.
        "--control-plane",
        "http://127.0.0.1:9",
        "--drain-seconds",
        "2",
    ];
    Arguments::try_parse_from(arguments).unwrap().settings
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.get(format!("http://{address}{path}").parse().unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_proxy_that_never_had_a_policy_is_alive_and_says_what_it_waits_for() {
    let data = tempfile::tempdir().unwrap();
    let running = start(settings(data.path()), Clock::system()).await.unwrap();
    assert_eq!(get(running.ops_addr, "/livez").await.0, 200);
    assert_eq!(get(running.ops_addr, "/readyz").await, (503, "waiting for: first policy\n".to_owned()));
    let (status, body) = get(running.data_addr, "/v1/models").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("policy_not_ready"), "{body}");
    let (_, metrics) = get(running.ops_addr, "/metrics").await;
    assert!(metrics.contains(r#"frontdoor_failures_total{code="policy_not_ready"} 1"#), "{metrics}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for field in ["--listen", "--ops-listen"] {
        let mut settings = settings(data.path());
        let address = taken.local_addr().unwrap();
        if field == "--listen" {
            settings.listen = address
        } else {
            settings.ops_listen = address
        }
        let error = start(settings, Clock::system()).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(field) && text.contains(&address.to_string()), "{text}");
    }
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_named() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let error = start(settings(&file), Clock::system()).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains(file.to_str().unwrap()), "{text}");
}

#[tokio::test]
async fn a_proxy_that_was_stopped_can_be_started_again_on_its_port() {
    let data = tempfile::tempdir().unwrap();
    let first = start(settings(data.path()), Clock::system()).await.unwrap();
    let address = first.data_addr;
    first.shutdown().await;
    let second = start(Settings { listen: address, ..settings(data.path()) }, Clock::system()).await.unwrap();
    assert_eq!(get(second.data_addr, "/v1/models").await.0, 503);
    second.shutdown().await;
}
