use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn leave(hosts: &str, max_bytes: u64) -> Fetch {
    serde_json::from_value(serde_json::json!({"hosts": [hosts], "max_bytes": max_bytes})).unwrap()
}

fn fetcher(is_allowed: fn(IpAddr) -> bool) -> Fetcher {
    let tls = crate::upstream::trust().unwrap();
    Fetcher { tls: Arc::new(tls), is_allowed }
}

/// Answers one request with these bytes; the URL of it.
async fn serve(answer: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/a.png?key=secret", listener.local_addr().unwrap().port());
    #[expect(clippy::disallowed_methods, reason = "a server for one answer, in a test")]
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    (url, task)
}

async fn fetch(answer: &'static str) -> Result<Fetched, Fault> {
    let (url, _task) = serve(answer).await;
    fetcher(|_| true).fetch(&url, &leave("localhost", 10)).await
}

#[tokio::test]
async fn a_permitted_picture_comes_with_its_media_type() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: image/png; q=1\r\ncontent-length: 3\r\n\r\nabc";
    let fetched = fetch(answer).await.unwrap();
    assert_eq!((fetched.media_type.as_str(), &fetched.bytes[..]), ("image/png", &b"abc"[..]));
}

#[tokio::test]
async fn what_is_too_large_elsewhere_unreadable_or_missing_is_refused_in_words_without_the_query() {
    for (answer, word) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 11\r\n\r\n01234567890",
            "larger than 10",
        ),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n", "redirects"),
        ("HTTP/1.1 200 OK\r\ncontent-type: application/zip\r\ncontent-length: 1\r\n\r\nx", "model can read"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "does not say"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404"),
    ] {
        let fault = fetch(answer).await.unwrap_err();
        assert!(fault.message.contains(word), "{}", fault.message);
        assert!(!fault.message.contains("secret"), "{}", fault.message);
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["localhost", "127.0.0.1", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let bare = host.trim_matches(['[', ']']);
        let permits = leave("*", 10);
        let fault = fetcher(is_public).fetch(&url, &permits).await.unwrap_err();
        assert!(
            fault.message.contains("public") || fault.message.contains("policy"),
            "{bare}: {}",
            fault.message
        );
    }
    assert!(tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err());
}

#[tokio::test]
async fn hosts_that_policy_does_not_list_and_other_schemes_are_not_asked() {
    let fetcher = fetcher(|_| true);
    let fault = fetcher.fetch("http://localhost:1/x", &leave("images.example.com", 10)).await.unwrap_err();
    assert!(fault.message.contains("policy"), "{}", fault.message);
    for url in ["file:///etc/passwd", "gopher://localhost/", "no url at all", "/x"] {
        assert!(fetcher.fetch(url, &leave("*", 10)).await.is_err(), "{url}");
    }
}

#[test]
fn only_the_public_internet_is_public() {
    for private in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001::1",
        "2001:db8::1",
        "100::1",
    ] {
        assert!(!is_public(private.parse().unwrap()), "{private}");
    }
    for public in ["1.1.1.1", "8.8.8.8", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}
