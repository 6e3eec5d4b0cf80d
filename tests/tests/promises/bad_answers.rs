//! Answers that are not what they should be: every caller gets an answer or a well-formed error of its own dialect, the record says
//! which, and the next call is served as if nothing had been.

use frontdoor_tests::{Reply, World};
use serde_json::{Value, json};

/// A provider of each dialect at the simulator, and no second tries: each call shows what becomes of one answer.
const POLICY: &str = r#"
kind: Provider
name: openai
spec: {dialect: openai, base_url: "http://127.0.0.1:9100/v1"}
---
kind: Provider
name: anthropic
spec: {dialect: anthropic, base_url: "http://127.0.0.1:9100"}
---
kind: Provider
name: gemini
spec: {dialect: gemini, base_url: "http://127.0.0.1:9100"}
---
kind: Provider
name: bedrock
spec: {dialect: bedrock, base_url: "http://127.0.0.1:9100"}
---
kind: Provider
name: cohere
spec: {dialect: cohere, base_url: "http://127.0.0.1:9100"}
---
kind: Model
name: openai
spec: {targets: [{provider: openai, model: sim-gpt}]}
---
kind: Model
name: anthropic
spec: {targets: [{provider: anthropic, model: sim-claude}], max_output_tokens: 4096}
---
kind: Model
name: gemini
spec: {targets: [{provider: gemini, model: sim-gemini}]}
---
kind: Model
name: bedrock
spec: {targets: [{provider: bedrock, model: sim-nova}]}
---
kind: Model
name: cohere
spec: {targets: [{provider: cohere, model: sim-command}]}
---
kind: Route
name: once
spec: {rules: [{retries: {attempts: 1}}]}
---
kind: Consumer
name: app
spec: {organisation: example, team: first, models: ["*"]}
"#;

const PROVIDERS: [&str; 5] = ["openai", "anthropic", "gemini", "bedrock", "cohere"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

const CALLERS: [Caller; 4] = [Caller::Chat, Caller::Responses, Caller::Anthropic, Caller::Gemini];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Answered,
    Failed,
}

struct Scene {
    world: World,
    key: String,
}

impl Scene {
    async fn open() -> Self {
        let world = World::with_policy(POLICY).await;
        let key = world.key("app").await;
        Self { world, key }
    }

    async fn behave(&self, behaviour: &Value) {
        let url = format!("{}/__simulator/script", self.world.simulator_url());
        let rules = json!({"rules": [{ "behaviour": behaviour }]});
        let reply = self.world.http.post(&url, &[], &rules).await;
        assert!(reply.status < 300, "{}", reply.text());
    }

    async fn call(&self, caller: Caller, model: &str, stream: bool) -> Reply {
        let said = "Hello there, how are you today?";
        let turns = json!([{"role": "user", "content": said}]);
        let (path, body) = match caller {
            Caller::Chat => (
                "/v1/chat/completions".to_owned(),
                json!({"model": model, "stream": stream, "messages": turns}),
            ),
            Caller::Responses => {
                ("/v1/responses".to_owned(), json!({"model": model, "stream": stream, "input": said}))
            }
            Caller::Anthropic => (
                "/v1/messages".to_owned(),
                json!({"model": model, "stream": stream, "max_tokens": 99, "messages": turns}),
            ),
            Caller::Gemini => {
                let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let body = json!({"contents": [{"role": "user", "parts": [{"text": said}]}]});
                (format!("/v1beta/models/{model}:{verb}"), body)
            }
        };
        let url = format!("{}{path}", self.world.url());
        let key = format!("Bearer {}", self.key);
        self.world.http.post(&url, &[("authorization", &key)], &body).await
    }

    /// Every caller and provider, whole and streamed, under one behaviour.
    async fn expect(&self, behaviour: Value, streams: &[bool], expected: Option<Ending>) {
        self.behave(&behaviour).await;
        let callers = || PROVIDERS.into_iter().flat_map(|provider| CALLERS.map(|caller| (provider, caller)));
        for ((provider, caller), stream) in
            callers().flat_map(|call| streams.iter().map(move |stream| (call, *stream)))
        {
            let reply = self.call(caller, provider, stream).await;
            let ending = ending(caller, stream, &reply);
            let what = format!("{behaviour}: {caller:?} at {provider}, streamed: {stream}");
            let is_expected = expected.is_none_or(|expected| ending == expected);
            assert!(is_expected, "{what}: {ending:?}: {}", reply.text());
            let record = self.world.explained(reply.header("x-frontdoor-request-id")).await;
            assert_eq!(record["code"] == "ok", ending == Ending::Answered, "{what}: {record}");
        }
    }
}

/// How an answer ended; it fails the test when the caller's SDK could not tell.
fn ending(caller: Caller, stream: bool, reply: &Reply) -> Ending {
    if reply.status >= 400 {
        let error = reply.json();
        let message = match caller {
            Caller::Anthropic => {
                assert_eq!(error["type"], "error", "{error}");
                &error["error"]["message"]
            }
            Caller::Gemini => {
                assert_eq!(error["error"]["code"], reply.status, "{error}");
                &error["error"]["message"]
            }
            Caller::Chat | Caller::Responses => &error["error"]["message"],
        };
        assert!(message.as_str().is_some_and(|message| !message.is_empty()), "{error}");
        return Ending::Failed;
    }
    assert_eq!(reply.status, 200, "{}", reply.text());
    if !stream {
        let answer = reply.json();
        let is_answer = match caller {
            Caller::Chat => answer["choices"][0]["message"].is_object(),
            // An empty list of items or blocks is an answer that the SDK reads.
            Caller::Responses => answer["output"].is_array(),
            Caller::Anthropic => answer["content"].is_array(),
            Caller::Gemini => answer["candidates"][0]["content"].is_object(),
        };
        assert!(is_answer, "an answer without content: {answer}");
        return Ending::Answered;
    }
    let events = reply.events();
    let last = events.last().unwrap_or_else(|| panic!("an empty stream: {}", reply.text()));
    let is_error = match caller {
        Caller::Chat | Caller::Gemini => last["error"]["message"].is_string(),
        Caller::Responses => last["type"] == "error" || last["type"] == "response.failed",
        Caller::Anthropic => last["type"] == "error" && last["error"]["message"].is_string(),
    };
    let is_end = match caller {
        Caller::Chat => reply.text().ends_with("data: [DONE]\n\n"),
        Caller::Responses => last["type"] == "response.completed" || last["type"] == "response.incomplete",
        Caller::Anthropic => last["type"] == "message_stop",
        Caller::Gemini => {
            last["candidates"][0]["finishReason"].is_string() || last["usageMetadata"].is_object()
        }
    };
    assert!(is_error != is_end, "a stream that neither ends nor fails: {}", reply.text());
    if is_error { Ending::Failed } else { Ending::Answered }
}

const BOTH: [bool; 2] = [false, true];

#[tokio::test]
async fn compressed_answers_and_unknown_events_and_blocks_are_answers() {
    let scene = Scene::open().await;
    for encoding in ["gzip", "br", "zstd"] {
        scene.expect(json!({ "encoding": encoding }), &BOTH, Some(Ending::Answered)).await;
    }
    scene.expect(json!({"unknown_blocks": true}), &BOTH, Some(Ending::Answered)).await;
    scene.expect(json!({"unknown_events": true}), &[true], Some(Ending::Answered)).await;
    let metrics = scene.world.http.get(&format!("{}/metrics", scene.world.ops()), &[]).await.text();
    let counted = metrics
        .lines()
        .any(|line| line.starts_with("frontdoor_unknown_events_total{") && !line.ends_with(" 0"));
    assert!(counted, "unknown events are counted: {metrics}");
}

#[tokio::test]
async fn web_pages_errors_in_a_200_and_broken_bodies_are_errors_in_the_callers_own_shape() {
    let scene = Scene::open().await;
    for behaviour in [
        json!({"html": true}),
        json!({"html": true, "status": 200}),
        json!({"error_in_200": true}),
        json!({"malformed": true}),
        json!({"close": true}),
    ] {
        scene.expect(behaviour, &BOTH, Some(Ending::Failed)).await;
    }
    for behaviour in
        [json!({"truncate_record": true}), json!({"cut_after": 3}), json!({"content_type": "text/html"})]
    {
        scene.expect(behaviour, &[true], Some(Ending::Failed)).await;
    }
    scene.expect(json!({}), &BOTH, Some(Ending::Answered)).await;
}

#[tokio::test]
async fn events_in_the_wrong_order_arguments_that_are_not_json_and_answers_without_choices_end_well_formed() {
    let scene = Scene::open().await;
    scene.expect(json!({"reorder": true}), &[true], None).await;
    scene.expect(json!({"bad_arguments": true, "tool": "get_weather"}), &BOTH, None).await;
    scene.expect(json!({"empty_choices": true}), &BOTH, None).await;
    scene.expect(json!({}), &BOTH, Some(Ending::Answered)).await;
}

#[tokio::test]
async fn a_wrong_checksum_fails_the_stream_and_its_connection_is_not_used_again() {
    let scene = Scene::open().await;
    scene.behave(&json!({"bad_checksum": true})).await;
    for caller in CALLERS {
        let reply = scene.call(caller, "bedrock", true).await;
        assert_eq!(ending(caller, true, &reply), Ending::Failed, "{}", reply.text());
        let record = scene.world.explained(reply.header("x-frontdoor-request-id")).await;
        assert!(record.to_string().contains("checksum"), "{record}");
    }
    scene.behave(&json!({})).await;
    for caller in CALLERS {
        let reply = scene.call(caller, "bedrock", true).await;
        assert_eq!(ending(caller, true, &reply), Ending::Answered, "{}", reply.text());
    }
}

#[tokio::test]
async fn one_event_of_ten_megabytes_is_passed_on_or_refused_and_never_mangled() {
    let scene = Scene::open().await;
    scene.behave(&json!({"huge_chunk": 10_000_000})).await;
    for (caller, provider) in
        [(Caller::Chat, "openai"), (Caller::Anthropic, "openai"), (Caller::Chat, "gemini")]
    {
        let reply = scene.call(caller, provider, true).await;
        let ending = ending(caller, true, &reply);
        assert!(ending == Ending::Failed || reply.text().len() >= 10_000_000, "{caller:?} at {provider}");
    }
}
