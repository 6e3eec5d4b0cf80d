//! Bodies that are not what they should be: compressed, of another kind, cut, or never ending.

use std::io::Write;

use super::*;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn brotli(text: &str) -> Vec<u8> {
    let mut encoder = ::brotli::CompressorWriter::new(Vec::new(), 4_096, 5, 22);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.into_inner()
}

fn zstd(text: &str) -> Vec<u8> {
    ::zstd::encode_all(text.as_bytes(), 1).unwrap()
}

#[tokio::test]
async fn a_compressed_answer_is_read_though_nobody_asked_for_compression() {
    for (coding, body) in [
        ("content-encoding: gzip\r\n", gzip(&answer_text())),
        ("content-encoding: br\r\n", brotli(&answer_text())),
        ("content-encoding: zstd\r\n", zstd(&answer_text())),
    ] {
        let (world, _providers) = World::of(vec![vec![Act::Bytes(200, coding, body)]]).await;
        let answer = world.ask(&plain()).await.unwrap();
        assert!(!answer.headers.contains_key("content-encoding"));
        let AnswerBody::Whole { bytes, summary } = answer.body else {
            panic!("a whole answer was asked for")
        };
        assert_eq!(bytes, answer_text(), "{coding}");
        assert_eq!(summary.usage.unwrap().output, 2);
    }
}

#[tokio::test]
async fn a_compressed_stream_and_a_compressed_error_are_read() {
    let stream: String = [vec![role_chunk(), chunk("hello")], last_chunks()].concat().concat();
    let head = "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n";
    let (world, _providers) = World::of(vec![vec![Act::Bytes(200, head, gzip(&stream))]]).await;
    let (text, failure) = read_stream(world.ask(&streamed()).await.unwrap()).await;
    assert_eq!((text, failure), (stream, None));

    let error = r#"{"error":{"message":"the reason","type":"invalid_request_error","param":"x","code":"c"}}"#;
    let refusal = Act::Bytes(400, "content-encoding: br\r\n", brotli(error));
    let (world, _providers) = World::of(vec![vec![refusal]]).await;
    let failure = world.ask(&plain()).await.unwrap_err();
    assert!(failure.message.contains("the reason"), "{}", failure.message);
}

#[tokio::test]
async fn a_coding_that_is_unknown_or_broken_fails_over() {
    let mut broken = gzip(&answer_text());
    broken.truncate(broken.len() / 2);
    for act in [
        Act::Bytes(200, "content-encoding: lzma\r\n", b"x".to_vec()),
        Act::Bytes(200, "content-encoding: gzip\r\n", b"no gzip at all".to_vec()),
        Act::Bytes(200, "content-encoding: gzip\r\n", broken),
    ] {
        let (mut world, _providers) = World::of(vec![vec![act], vec![good()]]).await;
        world.plan.retries.per_target = 1;
        assert_eq!(world.ask(&plain()).await.unwrap().target.provider, "p1");
        world.expect_attempts(&[("p0", "content_coding"), ("p1", "ok")]);
    }
}

#[tokio::test]
async fn a_web_page_is_no_answer_whatever_its_status() {
    let page = "<!doctype html><html><body>Sign in to the network</body></html>".to_owned();
    for (status, call) in [(200, plain()), (200, streamed()), (403, plain()), (502, streamed())] {
        let act = Act::Reply(status, "content-type: text/html\r\n", page.clone());
        let (mut world, _providers) = World::of(vec![vec![act]]).await;
        world.plan.retries.per_target = 1;
        let failure = world.ask(&call).await.unwrap_err();
        assert_eq!(failure.status, 502, "{status}: {}", failure.message);
        assert!(!failure.message.contains("Sign in"), "{}", failure.message);
        if status == 200 {
            assert!(failure.message.contains("web page"), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn a_connection_whose_answer_was_not_read_to_its_end_is_not_used_again() {
    let broken = chunk("hello").replace("\"choices\"", "choices");
    let stalls = Act::EventsThenStall(vec![role_chunk(), chunk("hi"), broken]);
    let (world, providers) = World::of(vec![vec![stalls, good()]]).await;
    let (text, failure) = read_stream(world.ask(&streamed()).await.unwrap()).await;
    assert!(text.contains("hi"), "{text}");
    assert_eq!(failure, Some(code::UPSTREAM_FAILED));
    providers[0].left().await;
    assert!(world.ask(&plain()).await.is_ok());
    assert_eq!(providers[0].connections(), 2);
}

/// A world whose provider may fetch from `localhost`, and a server of pictures there.
async fn fetching() -> (World, FakeProvider, FakeProvider) {
    let tasks = Tasks::new();
    let provider = FakeProvider::start(&tasks, vec![good()]).await;
    let picture = Act::Bytes(200, "content-type: image/png\r\n", b"abc".to_vec());
    let pictures = FakeProvider::start(&tasks, vec![picture]).await;
    let text = format!(
        "kind: Provider\nname: p0\nspec: {{dialect: openai, base_url: \"http://127.0.0.1:{}\", fetch: {{hosts: [localhost]}}}}\n---\nkind: Model\nname: m\nspec: {{targets: [{{provider: p0, model: up-0}}]}}\n",
        provider.port
    );
    let resources: Vec<_> = parse_documents("test", &text).unwrap().into_iter().map(Arc::new).collect();
    let policy = compile(&Name::default_group(), 1, &resources).unwrap().policy;
    (World::with_policy(&policy, tasks), provider, pictures)
}

fn showing(url: &str) -> Inbound {
    inbound(&format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
    ))
}

#[tokio::test]
async fn what_a_call_names_by_url_reaches_the_target_with_its_bytes_where_policy_lets_the_proxy_fetch() {
    let (mut world, provider, pictures) = fetching().await;
    let upstream = world.live.providers.values_mut().next().and_then(Arc::get_mut).unwrap();
    upstream.remote = upstream.remote.clone().allowing(|_| true);
    let call = showing(&format!("http://localhost:{}/a.png?key=secret", pictures.port));
    assert!(world.ask(&call).await.is_ok());
    let sent = provider.seen().remove(0).body;
    assert!(sent.contains("data:image/png;base64,YWJj") && !sent.contains("secret"), "{sent}");
}

#[tokio::test]
async fn a_url_that_leads_into_the_own_network_is_refused_and_nobody_is_asked() {
    let (world, provider, pictures) = fetching().await;
    let failure =
        world.ask(&showing(&format!("http://localhost:{}/a.png", pictures.port))).await.unwrap_err();
    assert_eq!(failure.status, 400, "{}", failure.message);
    assert!(failure.message.contains("public"), "{}", failure.message);
    assert!(provider.seen().is_empty() && pictures.seen().is_empty());
}
