//! Every surface that callers speak, through a whole proxy, with providers of every dialect behind it.

use frontdoor_tests::{Reply, World};
use http::Method;
use serde_json::{Value, json};

/// A provider of each dialect at the simulator, a model of each, and one for each kind of thing that is never translated.
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
spec: {dialect: bedrock, base_url: "http://127.0.0.1:9100", aws: {region: eu-central-1}, credential: "env:PATH"}
---
kind: Provider
name: cohere
spec: {dialect: cohere, base_url: "http://127.0.0.1:9100"}
---
kind: Provider
name: azure
spec: {dialect: openai, base_url: "http://127.0.0.1:9100", azure: {api_version: "2024-10-21"}}
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
kind: Model
name: azure
spec: {targets: [{provider: azure, model: sim-gpt}]}
---
kind: Consumer
name: app
spec: {organisation: example, team: first, models: ["*"]}
"#;

const TARGETS: [&str; 6] = ["openai", "anthropic", "gemini", "bedrock", "cohere", "azure"];

async fn open() -> (World, String) {
    let world = World::with_policy(POLICY).await;
    let key = world.key("app").await;
    (world, key)
}

async fn post(world: &World, path: &str, key: (&str, &str), body: &Value) -> Reply {
    world.http.post(&format!("{}{path}", world.url()), &[key], body).await
}

fn has_text(answer: &Value, pointer: &str) -> bool {
    answer.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
}

#[tokio::test]
async fn every_surface_is_answered_in_its_own_words_by_every_provider() {
    let (world, key) = open().await;
    let bearer = format!("Bearer {key}");
    for target in TARGETS {
        let chat = json!({"model": target, "messages": [{"role": "user", "content": "Hello"}]});
        let answer = world.chat_with(&key, chat).await.expect(200).json();
        assert!(has_text(&answer, "/choices/0/message/content"), "{target}: {answer}");

        let call = json!({"model": target, "input": "Hello"});
        let answer =
            post(&world, "/v1/responses", ("authorization", &bearer), &call).await.expect(200).json();
        assert_eq!(
            (&answer["object"], &answer["status"]),
            (&json!("response"), &json!("completed")),
            "{target}"
        );
        assert!(has_text(&answer, "/output/0/content/0/text"), "{target}: {answer}");
        assert!(answer["usage"]["total_tokens"].as_u64().unwrap() > 0, "{target}: {answer}");

        let message =
            json!({"model": target, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]});
        let answer = world.message(&key, message).await.expect(200).json();
        assert!(has_text(&answer, "/content/0/text"), "{target}: {answer}");

        let contents = json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]});
        let path = format!("/v1beta/models/{target}:generateContent");
        let reply = post(&world, &path, ("x-goog-api-key", &key), &contents).await.expect(200);
        assert_eq!(reply.header("x-frontdoor-provider"), target);
        let answer = reply.json();
        assert!(has_text(&answer, "/candidates/0/content/parts/0/text"), "{target}: {answer}");
        assert!(answer["usageMetadata"]["totalTokenCount"].as_u64().unwrap() > 0, "{target}: {answer}");

        let converse = json!({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]});
        let path = format!("/model/{target}/converse");
        let answer = post(&world, &path, ("authorization", &bearer), &converse).await.expect(200).json();
        assert!(has_text(&answer, "/output/message/content/0/text"), "{target}: {answer}");
    }
}

#[tokio::test]
async fn every_surface_streams_and_ends_its_stream_as_its_sdk_expects() {
    let (world, key) = open().await;
    let bearer = format!("Bearer {key}");
    for target in TARGETS {
        let chat =
            json!({"model": target, "stream": true, "messages": [{"role": "user", "content": "Hello"}]});
        let answer = world.chat_with(&key, chat).await.expect(200);
        assert!(answer.text().trim_end().ends_with("data: [DONE]"), "{target}: {}", answer.text());

        let call = json!({"model": target, "input": "Hello", "stream": true});
        let answer = post(&world, "/v1/responses", ("authorization", &bearer), &call).await.expect(200);
        assert!(answer.text().contains("event: response.completed"), "{target}: {}", answer.text());

        let message = json!({"model": target, "stream": true, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]});
        let answer = world.message(&key, message).await.expect(200);
        assert!(answer.text().contains("event: message_stop"), "{target}: {}", answer.text());

        let contents = json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]});
        let path = format!("/v1/models/{target}:streamGenerateContent?alt=sse&key={key}");
        let answer = post(&world, &path, ("accept", "*/*"), &contents).await.expect(200);
        assert!(answer.header("content-type").starts_with("text/event-stream"));
        let last = answer.events().pop().unwrap();
        assert!(last.pointer("/candidates/0/finishReason").is_some(), "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn tokens_are_counted_for_every_surface_that_asks() {
    let (world, key) = open().await;
    for target in ["anthropic", "openai", "gemini"] {
        let call = json!({"model": target, "messages": [{"role": "user", "content": "Hello there"}]});
        let reply = post(&world, "/v1/messages/count_tokens", ("x-api-key", &key), &call).await.expect(200);
        assert_eq!(reply.header("x-frontdoor-cost-usd"), "0");
        assert!(reply.json()["input_tokens"].as_u64().unwrap() > 0, "{target}");

        let contents = json!({"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]});
        let path = format!("/v1beta/models/{target}:countTokens");
        let answer = post(&world, &path, ("x-goog-api-key", &key), &contents).await.expect(200).json();
        assert!(answer["totalTokens"].as_u64().unwrap() > 0, "{target}: {answer}");
    }
    for row in world.usage("model", 6).await {
        assert_eq!(row["cost_usd"].as_str().unwrap_or("0"), "0", "{row}");
    }
}

#[tokio::test]
async fn documents_are_ranked_in_coheres_and_in_jinas_shape() {
    let (world, key) = open().await;
    let bearer = format!("Bearer {key}");
    let call = json!({"model": "cohere", "query": "dog", "documents": ["a cat", "a dog"], "top_n": 2});
    for path in ["/v2/rerank", "/v1/rerank"] {
        let answer = post(&world, path, ("authorization", &bearer), &call).await.expect(200).json();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 2, "{answer}");
        assert!(results[0]["relevance_score"].is_number() && results[0]["index"].is_number(), "{answer}");
    }
}

#[tokio::test]
async fn pictures_speech_and_judgement_pass_through_with_the_model_replaced() {
    let (world, key) = open().await;
    let bearer = format!("Bearer {key}");
    let key = ("authorization", bearer.as_str());
    for target in ["openai", "azure"] {
        let image = json!({"model": target, "prompt": "a cat"});
        let reply = post(&world, "/v1/images/generations", key, &image).await.expect(200);
        assert!(reply.json()["data"].is_array(), "{target}: {}", reply.text());
        let speech = json!({"model": target, "input": "say it", "voice": "alloy"});
        let reply = post(&world, "/v1/audio/speech", key, &speech).await.expect(200);
        assert!(reply.header("content-type").starts_with("audio/") && !reply.body.is_empty(), "{target}");
        let form = format!(
            "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--XyZ\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{target}\r\n--XyZ--\r\n"
        );
        let headers = [key, ("content-type", "multipart/form-data; boundary=XyZ")];
        let url = format!("{}/v1/audio/transcriptions", world.url());
        let reply = world.http.send(Method::POST, &url, &headers, form.into()).await.expect(200);
        assert!(reply.json()["text"].is_string(), "{target}: {}", reply.text());
    }
    let judged = post(&world, "/v1/moderations", key, &json!({"model": "openai", "input": "Hello"})).await;
    assert!(judged.expect(200).json()["results"].is_array());
    let refused = post(&world, "/v1/moderations", key, &json!({"model": "gemini", "input": "Hello"})).await;
    assert!(refused.expect(400).text().contains("this one speaks gemini"));
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_whoever_asks() {
    let (world, key) = open().await;
    let bearer = format!("Bearer {key}");
    let get = |path: &'static str, headers: Vec<(&'static str, String)>| {
        let (world, url) = (&world, format!("{}{path}", world.url()));
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            world.http.get(&url, &headers).await.expect(200).json()
        }
    };
    assert_eq!(get("/v1/models", vec![("authorization", bearer)]).await["object"], "list");
    let gemini = get("/v1beta/models", vec![("x-goog-api-key", key.clone())]).await;
    assert!(gemini["models"][0]["name"].as_str().unwrap().starts_with("models/"), "{gemini}");
    let one = get("/v1beta/models/gemini", vec![("x-goog-api-key", key.clone())]).await;
    assert_eq!(one["name"], "models/gemini");
    let anthropic = vec![("x-api-key", key), ("anthropic-version", "2023-06-01".to_owned())];
    assert_eq!(get("/v1/models", anthropic).await["has_more"], false);
}
