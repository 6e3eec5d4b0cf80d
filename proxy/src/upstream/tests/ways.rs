//! How calls find their way to providers of other dialects and platforms, and how raw answers come back.

use super::*;

/// One provider with this spec beside its address, tried by the model `m`.
async fn world(spec: &str, acts: Vec<Act>) -> (World, FakeProvider) {
    let tasks = Tasks::new();
    let provider = FakeProvider::start(&tasks, acts).await;
    let url = format!("http://127.0.0.1:{}", provider.port);
    let text = format!(
        "kind: Provider\nname: p0\nspec: {{base_url: \"{url}\", credential: \"env:KEY\", {spec}}}\n---\nkind: Model\nname: m\nspec: {{targets: [{{provider: p0, model: up}}]}}\n"
    );
    let resources: Vec<_> = parse_documents("test", &text).unwrap().into_iter().map(Arc::new).collect();
    let policy = compile(&Name::default_group(), 1, &resources).unwrap().policy;
    (World::with_policy(&policy, tasks), provider)
}

fn asking(dialect: dialect::Dialect, operation: Operation, body: &str) -> Inbound {
    let call = Call::decode((dialect, operation), Bytes::from(body.to_owned())).unwrap();
    Inbound::new(call, HeaderMap::new(), Tags::default())
}

async fn read_raw(answer: Answer) -> (String, Option<&'static str>, dialect::Summary) {
    let AnswerBody::Raw(mut raw) = answer.body else { panic!("a raw answer was asked for") };
    let mut text = String::new();
    while let Some(piece) = timeout(SOON, poll_fn(|cx| raw.poll_frame(cx))).await.unwrap() {
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let ending = raw.ending();
    (text, ending.broken.map(|broken| broken.failure.code), ending.summary)
}

#[tokio::test]
async fn a_call_of_responses_reaches_a_provider_that_has_them_as_it_is_and_others_as_a_chat() {
    let call = || asking(dialect::Dialect::Responses, Operation::Chat, r#"{"model":"m","input":"hi"}"#);
    for (spec, path) in [
        ("dialect: openai", "post /v1/responses "),
        ("dialect: responses", "post /v1/responses "),
        ("preset: azure, azure: {api_version: v1}", "post /openai/v1/responses "),
    ] {
        let (world, provider) = world(spec, vec![error(400, "", "invalid_request_error")]).await;
        let failure = world.ask(&call()).await.unwrap_err();
        assert_eq!(failure.code, code::INVALID_REQUEST, "{failure}");
        let seen = provider.seen().remove(0);
        assert!(seen.head.to_ascii_lowercase().starts_with(path), "{}", seen.head);
        assert_eq!(seen.body, r#"{"model":"up","input":"hi"}"#);
    }
}

#[tokio::test]
async fn azure_is_asked_for_the_deployment_with_its_version_and_its_kind_of_key() {
    let (world, provider) =
        world("dialect: openai, azure: {api_version: \"2024-10-21\"}", vec![good(), good_stream()]).await;
    world.ask(&plain()).await.unwrap();
    world.ask(&streamed()).await.unwrap();
    world.ask(&streamed()).await.unwrap();
    for seen in provider.seen() {
        let head = seen.head.to_ascii_lowercase();
        let path = "post /openai/deployments/up/chat/completions?api-version=2024-10-21 ";
        assert!(head.starts_with(path), "{head}");
        assert!(
            head.contains("api-key: sk-of-the-provider\r\n") && !head.contains("authorization"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn quirks_of_a_model_and_leave_to_drop_reach_the_dialect_and_the_rule_has_the_last_word() {
    let spec = "dialect: openai, quirks: {unsupported: [logit_bias], models: [{names: [up], quirks: {unsupported: [seed]}}]}";
    let (mut world, provider) = world(spec, vec![good()]).await;
    let call =
        inbound(r#"{"model":"m","seed":1,"logit_bias":{"1":2},"messages":[{"role":"user","content":"hi"}]}"#);
    let refused = world.ask(&call).await.unwrap_err();
    assert_eq!(refused.code, code::UNSUPPORTED);
    assert!(provider.seen().is_empty());

    world.plan.on_unsupported = Some(policy::OnUnsupported::Drop);
    let mut dropped = world.ask(&call).await.unwrap().dropped;
    dropped.sort();
    assert_eq!(dropped, ["logit_bias", "seed"]);
    let sent = &provider.seen()[0].body;
    assert!(!sent.contains("seed") && !sent.contains("logit_bias"), "{sent}");
}

#[tokio::test]
async fn a_raw_answer_passes_through_with_its_type_and_its_use_is_read() {
    let body = r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":7,"output_tokens":9}}"#;
    let act = Act::Reply(201, "content-type: application/json\r\nset-cookie: a=b\r\n", body.to_owned());
    let (world, provider) = world("dialect: openai", vec![act]).await;
    let call = asking(
        dialect::Dialect::OpenAi,
        Operation::ImageGeneration,
        r#"{"model":"m","prompt":"a cat","new":[1]}"#,
    );
    let answer = world.ask(&call).await.unwrap();
    assert_eq!(answer.headers.get("content-type").unwrap(), "application/json");
    assert!(!answer.headers.contains_key("set-cookie"));
    let (text, failure, summary) = read_raw(answer).await;
    assert_eq!((text.as_str(), failure), (body, None));
    let usage = summary.usage.unwrap();
    assert_eq!((usage.input, usage.output), (7, 9));
    let seen = provider.seen().remove(0);
    assert!(seen.head.to_ascii_lowercase().starts_with("post /v1/images/generations "), "{}", seen.head);
    assert_eq!(seen.body, r#"{"model":"up","prompt":"a cat","new":[1]}"#);
}

#[tokio::test]
async fn a_raw_answer_that_breaks_off_is_told_as_broken_and_an_error_is_an_error() {
    let call =
        || asking(dialect::Dialect::OpenAi, Operation::Speech, r#"{"model":"m","input":"hi","voice":"x"}"#);
    for (act, expected) in [
        (Act::EventsThenCut(vec!["abc".to_owned()]), code::UPSTREAM_FAILED),
        (Act::EventsThenStall(vec!["abc".to_owned()]), code::UPSTREAM_TIMEOUT),
    ] {
        let (world, _provider) = world("dialect: openai", vec![act]).await;
        let (text, failure, _) = read_raw(world.ask(&call()).await.unwrap()).await;
        assert_eq!((text.as_str(), failure), ("abc", Some(expected)));
    }
    let (world, _provider) = world("dialect: openai", vec![error(400, "", "invalid_request_error")]).await;
    assert_eq!(world.ask(&call()).await.unwrap_err().code, code::INVALID_REQUEST);
    let (world, _provider) =
        self::world("dialect: openai", vec![Act::HeadOnly("content-length: 5\r\n")]).await;
    assert_eq!(world.ask(&call()).await.unwrap_err().code, code::UPSTREAM_TIMEOUT);
}

#[tokio::test]
async fn a_page_or_an_error_behind_a_good_status_is_no_raw_answer() {
    let page = Act::Reply(200, "content-type: text/html\r\n", "<html>busy</html>".to_owned());
    let hidden = r#" { "error" : {"message":"overloaded","type":"server_error"}}"#.to_owned();
    let hidden = Act::Reply(200, "content-type: application/json\r\n", hidden);
    for act in [page, hidden] {
        let (world, _provider) = world("dialect: openai", vec![act]).await;
        let call = asking(dialect::Dialect::OpenAi, Operation::Moderation, r#"{"model":"m","input":"hi"}"#);
        assert_eq!(world.ask(&call).await.unwrap_err().code, code::UPSTREAM_FAILED);
        world.expect_attempts(&[("p0", "transient"), ("p0", "transient")]);
    }
    let fine = r#"{"error":null,"results":[]}"#.to_owned();
    let (world, _provider) =
        world("dialect: openai", vec![Act::Reply(200, "content-type: application/json\r\n", fine)]).await;
    let call = asking(dialect::Dialect::OpenAi, Operation::Moderation, r#"{"model":"m","input":"hi"}"#);
    world.ask(&call).await.unwrap();
}

#[tokio::test]
async fn a_raw_call_never_reaches_a_provider_of_another_dialect() {
    let (world, provider) = world("dialect: anthropic", vec![good()]).await;
    let call = asking(dialect::Dialect::OpenAi, Operation::Moderation, r#"{"model":"m","input":"hi"}"#);
    assert_eq!(world.ask(&call).await.unwrap_err().code, code::UNSUPPORTED);
    assert!(provider.seen().is_empty());
}

#[tokio::test]
async fn a_raw_body_goes_on_as_what_it_was_read_as_whatever_its_caller_calls_it() {
    // As fields of a form this body names another model.
    let body = r#"{"model":"m","input":"&model=other&input=x&y="}"#;
    let (world, provider) = world("dialect: openai", vec![error(400, "", "invalid_request_error")]).await;
    let mut call = asking(dialect::Dialect::OpenAi, Operation::Speech, body);
    call.headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    world.ask(&call).await.unwrap_err();
    let head = provider.seen().remove(0).head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert!(!head.contains("urlencoded"), "{head}");
}
