//! Every surface: refusals in its own shape, keys where its SDK puts them, and calls that are never translated.

use super::*;

const GEMINI: &str = "/v1beta/models/live:generateContent";

#[tokio::test]
async fn a_key_is_taken_from_where_each_sdk_puts_it() {
    let world = World::start("").await;
    for (name, value) in [
        ("authorization", "Bearer fd_one"),
        ("authorization", "bearer  fd_one"),
        ("x-api-key", "fd_one"),
        ("x-goog-api-key", "fd_one"),
        ("api-key", "fd_one"),
    ] {
        let response = world.send(Method::GET, "/v1/models/live", &[(name, value)], "").await;
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(world.record().key_id, "k_one");
    }
    let response = world.send(Method::GET, "/v1beta/models/live?key=fd%5Fone", &[], "").await;
    assert_eq!(response.status(), 200);
    drop(world.record());
    let response = world.send(Method::GET, "/v1/models/live?key=fd_one", &[], "").await;
    assert_eq!(response.status(), 401, "only Google's callers write keys into queries");
}

#[tokio::test]
async fn every_surface_refuses_in_its_own_shape() {
    let world = World::start("").await;
    let image = json!({"model": "nobody", "prompt": "x"});
    let chat = json!({"model": "nobody", "messages": []});
    for (path, body, shape) in [
        ("/v1/responses", json!({"model": "nobody", "input": "x"}), "openai"),
        ("/v1/responses/input_tokens", json!({"model": "nobody", "input": "x"}), "openai"),
        ("/v1/embeddings", json!({"model": "nobody", "input": "x"}), "openai"),
        ("/v1/images/generations", image, "openai"),
        ("/v1/audio/speech", json!({"model": "nobody", "input": "x"}), "openai"),
        ("/v1/moderations", json!({"model": "nobody", "input": "x"}), "openai"),
        ("/openai/deployments/nobody/chat/completions", chat.clone(), "openai"),
        ("/v1/messages", json!({"model": "nobody", "messages": [], "max_tokens": 1}), "anthropic"),
        ("/v1/messages/count_tokens", chat.clone(), "anthropic"),
        ("/v1beta/models/nobody:generateContent", json!({"contents": []}), "gemini"),
        ("/v1/models/nobody:countTokens", json!({"contents": []}), "gemini"),
        ("/model/nobody/converse", json!({"messages": []}), "bedrock"),
        ("/v2/rerank", json!({"model": "nobody", "query": "x", "documents": []}), "cohere"),
    ] {
        for (key, status) in [("fd_wrong", 401), ("fd_one", 404)] {
            let bearer = format!("Bearer {key}");
            let headers = [("authorization", bearer.as_str())];
            let response = world.send(Method::POST, path, &headers, &body.to_string()).await;
            assert_eq!(response.status(), status, "{path} {key}");
            let told: Value = serde_json::from_str(&text(response).await).unwrap();
            let code = if status == 401 { code::INVALID_KEY } else { code::UNKNOWN_MODEL };
            let is_shaped = match shape {
                "openai" => told["error"]["code"] == code,
                "anthropic" => told["type"] == "error" && told["error"]["type"].is_string(),
                "gemini" => told["error"]["code"] == status && told["error"]["status"].is_string(),
                _ => told["message"].is_string(),
            };
            assert!(is_shaped, "{path}: {told}");
            assert_eq!(world.record().code, code, "{path}");
        }
        let wrong = world.send(Method::PUT, path, &[], "").await;
        assert_eq!((wrong.status().as_u16(), header(&wrong, "allow")), (405, Some("POST")), "{path}");
    }
    let events = world.send(Method::POST, "/v1beta/models/live:streamGenerateContent", &[], "{}").await;
    let told: Value = serde_json::from_str(&text(events).await).unwrap();
    assert!(told["error"]["message"].as_str().unwrap().contains("alt=sse"), "{told}");
}

#[tokio::test]
async fn a_gemini_caller_is_served_by_a_provider_of_another_dialect() {
    let world = World::start("").await;
    world.script(Script::Answer(200, completion()));
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).to_string();
    let response = world.send(Method::POST, GEMINI, &[("x-goog-api-key", "fd_one")], &body).await;
    assert_eq!(response.status(), 200);
    let told: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(told["candidates"][0]["content"]["parts"][0]["text"], "hello");
    assert_eq!(told["usageMetadata"]["promptTokenCount"], 100);
    let record = world.record();
    assert_eq!((record.operation, record.dialect), ("generate_content", "gemini"));
    assert_eq!(record.asked_model, "live");
}

#[tokio::test]
async fn a_form_reaches_the_provider_with_nothing_changed_but_the_model() {
    let world = World::start("").await;
    let kind = "multipart/form-data; boundary=XyZ";
    let part = |name: &str, value: &str| {
        format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = format!("{}{}--XyZ--\r\n", part("file", "\u{1}\u{2}"), part("model", "live"));
    let answer = r#"{"text":"hello","usage":{"type":"tokens","input_tokens":14,"output_tokens":3}}"#;
    world.script(Script::Bytes(200, "application/json", answer.into()));
    let headers = [("authorization", "Bearer fd_one"), ("content-type", kind)];
    let response = world.send(Method::POST, "/v1/audio/transcriptions", &headers, &body).await;
    assert_eq!(text(response).await, answer);
    let (line, sent) = world.lines.lock().pop().unwrap();
    assert_eq!(line, "POST /v1/audio/transcriptions");
    assert_eq!(sent, body.replace("\r\n\r\nlive\r\n", "\r\n\r\nupstream-live\r\n"));
    assert_eq!(world.seen.lock()[0].0.get("content-type").unwrap(), kind);
    let record = world.record();
    assert_eq!((record.operation, record.tokens.input, record.tokens.output), ("transcription", 14, 3));
}

#[tokio::test]
async fn speech_comes_back_as_bytes_with_its_type_and_is_torn_when_it_breaks_off() {
    let world = World::start("").await;
    world.script(Script::Bytes(200, "audio/mpeg", Bytes::from_static(&[0, 159, 146, 150])));
    let body = json!({"model": "live", "input": "say it", "voice": "alloy"}).to_string();
    let headers = [("authorization", "Bearer fd_one")];
    let response = world.send(Method::POST, "/v1/audio/speech", &headers, &body).await;
    assert_eq!(header(&response, "content-type"), Some("audio/mpeg"));
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, &[0, 159, 146, 150][..]);
    let record = world.record();
    assert_eq!((record.code, record.estimated), (code::OK, true));
    assert!(record.tokens.input > 0);
}

#[tokio::test]
async fn counting_tokens_reserves_nothing_and_costs_nothing() {
    let quota = "---\nkind: Quota\nname: q\nspec: {limits: {tokens_per_minute: 1}}\n";
    let claude = r#"---
kind: Provider
name: claude
spec: {dialect: anthropic, base_url: "http://ADDRESS"}
---
kind: Model
name: claude
spec: {targets: [{provider: claude, model: up, prices: {input: 1000, output: 2000}}]}
"#;
    let world = World::start(&format!("{claude}{quota}")).await;
    world.script(Script::Answer(200, json!({"input_tokens": 2095})));
    let headers = [("x-api-key", "fd_one"), ("anthropic-version", "2023-06-01")];
    let call = json!({"model": "claude", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let response = world.send(Method::POST, "/v1/messages/count_tokens", &headers, &call).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-frontdoor-cost-usd"), Some("0"));
    let told: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(told["input_tokens"], 2095);
    let record = world.record();
    assert_eq!((record.operation, record.cost_nano_usd, record.estimated), ("count_tokens", 0, false));
    assert_eq!(record.tokens, dialect::Usage::default());
}

#[tokio::test]
async fn a_model_that_cannot_do_what_is_asked_is_passed_over_with_the_reason() {
    let claude = r#"---
kind: Provider
name: claude
spec: {dialect: anthropic, base_url: "http://ADDRESS"}
---
kind: Model
name: claude
spec: {targets: [{provider: claude}]}
---
kind: Model
name: embedder
spec: {targets: [{provider: local}], capabilities: [embeddings]}
---
kind: Provider
name: small
spec: {dialect: openai, base_url: "http://ADDRESS/v1", quirks: {operations: [chat], responses: translate}}
---
kind: Model
name: chatter
spec: {targets: [{provider: small}]}
"#;
    let world = World::start(claude).await;
    let headers = [("authorization", "Bearer fd_one")];
    for (path, model, says) in [
        ("/v1/images/generations", "claude", "this one speaks anthropic"),
        ("/v1/embeddings", "claude", "no embeddings"),
        ("/v1/audio/speech", "embedder", "capability `speech`"),
        ("/v1/moderations", "embedder", "capability `moderation`"),
        ("/v1/rerank", "embedder", "capability `rerank`"),
        ("/v1/embeddings", "chatter", "does not serve embeddings"),
        ("/v1/responses/input_tokens", "chatter", "does not serve counting"),
    ] {
        let body = json!({"model": model, "input": "x", "prompt": "x", "query": "x", "documents": ["x"], "messages": []});
        let response = world.send(Method::POST, path, &headers, &body.to_string()).await;
        assert_eq!(response.status(), 400, "{path} {model}");
        let told: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(told["error"]["code"], code::NO_TARGET, "{told}");
        assert!(told["error"]["message"].as_str().unwrap().contains(says), "{told}");
        drop(world.record());
    }
}
