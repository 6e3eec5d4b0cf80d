//! What an application sees: who may call what, within which limits, and what every answer says.

use frontdoor_tests::{World, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn every_answer_says_which_call_it_was_what_decided_it_and_who_served_it() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let answer = world.chat(&key, "demo").await.expect(200);
    assert_eq!(answer.header("x-frontdoor-model"), "demo");
    assert_eq!(answer.header("x-frontdoor-provider"), "sim-openai");
    assert_eq!(answer.header("x-frontdoor-cache"), "miss");
    assert_eq!(answer.header("x-frontdoor-policy-version"), world.head().await.to_string());
    assert!(answer.header("x-frontdoor-cost-usd").parse::<f64>().unwrap() > 0.0);
    assert!(!answer.header("x-ratelimit-remaining-requests").is_empty(), "{:?}", answer.headers);

    let refused = world.chat("fd_nobody", "demo").await.expect(401);
    assert!(!refused.header("x-frontdoor-request-id").is_empty(), "a refused call has an id as well");
    assert!(!refused.header("x-frontdoor-policy-version").is_empty());

    let message =
        json!({"model": "demo", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]});
    let answer = world.message(&key, message).await.expect(200);
    assert!(!answer.header("anthropic-ratelimit-requests-remaining").is_empty(), "{:?}", answer.headers);
}

#[tokio::test]
async fn the_list_of_models_is_just_what_the_key_may_use() {
    let world = World::open().await;
    world
        .apply(
            "kind: Consumer\nname: narrow\nspec: {organisation: example, team: t, models: [sim-gpt, demo]}\n",
        )
        .await;
    let key = world.key_with(json!({"consumer": "narrow", "models": ["sim-*"]})).await;
    let bearer = format!("Bearer {key}");
    let list = world
        .http
        .get(&format!("{}/v1/models", world.url()), &[("authorization", &bearer)])
        .await
        .expect(200);
    let names: Vec<Value> =
        list.json()["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(names, [json!("sim-gpt")], "the key narrows its application");
}

#[tokio::test]
async fn an_unknown_model_is_a_404_in_the_callers_shape_with_the_nearest_names() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let error = world.chat(&key, "sim-gtp").await.expect(404).json();
    assert_eq!(error["error"]["code"], "unknown_model");
    assert!(error["error"]["message"].as_str().unwrap().ends_with("nearest names: sim-gpt"), "{error}");

    let body =
        json!({"model": "sim-gtp", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]});
    let error = world.message(&key, body).await.expect(404).json();
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("not_found_error")),
        "{error}"
    );
}

#[tokio::test]
async fn a_model_the_key_may_not_use_is_refused_alike_whether_or_not_it_exists() {
    let world = World::open().await;
    world
        .apply("kind: Consumer\nname: narrow\nspec: {organisation: example, team: t, models: [demo]}\n")
        .await;
    let key = world.key("narrow").await;
    let exists = world.chat(&key, "sim-gpt").await.expect(403).json()["error"].clone();
    let does_not = world.chat(&key, "no-gpt").await.expect(403).json()["error"].clone();
    assert_eq!(exists["code"], "model_not_permitted");
    let same =
        |error: &Value| error["message"].as_str().unwrap().replace("sim-gpt", "X").replace("no-gpt", "X");
    assert_eq!(same(&exists), same(&does_not));

    // The group may hide such models altogether.
    let version = world.apply("kind: Group\nname: default\nspec: {unlisted_models: hide}\n").await;
    world.enforced(version).await;
    assert_eq!(world.chat(&key, "sim-gpt").await.expect(404).json()["error"]["code"], "unknown_model");
}

#[tokio::test]
async fn a_wrong_malformed_revoked_or_missing_key_gets_the_same_401() {
    let world = World::open().await;
    let made = world.admin_post("/v1/keys", &json!({"consumer": "first-app"})).await.json();
    let (id, revoked) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap().to_owned());
    world.enforced(world.head().await).await;
    world.chat(&revoked, "demo").await.expect(200);
    world.admin_delete(&format!("/v1/keys/{id}")).await.expect(200);
    world.enforced(world.head().await).await;

    let unknown = format!("fd_{}", "A".repeat(43));
    let mut answers = Vec::new();
    for key in [revoked.as_str(), &unknown, "fd_short", "sk-other", "\u{fffd}", &"x".repeat(5_000)] {
        let reply = world.chat(key, "demo").await.expect(401);
        answers.push(reply.json()["error"]["message"].clone());
        assert_eq!(reply.json()["error"]["code"], "invalid_key");
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answer does not tell which of these it was: {answers:?}");
    let url = format!("{}/v1/chat/completions", world.url());
    world.http.post(&url, &[], &json!({"model": "demo", "messages": []})).await.expect(401);
}

#[tokio::test]
async fn an_expired_key_stops_working() {
    let world = World::open().await;
    let past = world
        .admin_post("/v1/keys", &json!({"consumer": "first-app", "expires": "2020-01-01T00:00:00Z"}))
        .await;
    // Either it is refused at once, or it never works.
    if past.status < 300 {
        world.enforced(world.head().await).await;
        world.chat(past.json()["key"].as_str().unwrap(), "demo").await.expect(401);
    } else {
        assert!(past.text().contains("expires"), "{}", past.text());
    }
}

const TIGHT: &str = "
kind: Quota
name: tight
spec: {per: [key], models: [sim-gpt], limits: {requests_per_minute: 3}}
---
kind: Quota
name: few-tokens
spec: {applies_to: {application: first-app}, models: [sim-claude], limits: {tokens_per_minute: 400}}
";

#[tokio::test]
async fn requests_over_the_limit_are_refused_as_the_sdks_understand() {
    let world = World::open().await;
    let version = world.apply(TIGHT).await;
    world.enforced(version).await;
    let key = world.key("first-app").await;
    for _ in 0..3 {
        world.chat(&key, "sim-gpt").await.expect(200);
    }
    let refused = world.chat(&key, "sim-gpt").await.expect(429);
    assert_eq!(refused.json()["error"]["code"], "rate_limited");
    let wait: u64 = refused.header("retry-after").parse().expect("a short wait is told");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    // Another key has a bucket of its own, another model none.
    let other = world.key("first-app").await;
    world.chat(&other, "sim-gpt").await.expect(200);
    world.chat(&key, "demo").await.expect(200);
}

#[tokio::test]
async fn a_new_policy_version_does_not_reset_a_limit() {
    let world = World::open().await;
    let version = world.apply(TIGHT).await;
    world.enforced(version).await;
    let key = world.key("first-app").await;
    for _ in 0..3 {
        world.chat(&key, "sim-gpt").await.expect(200);
    }
    let version =
        world.apply("kind: Consumer\nname: other\nspec: {organisation: o, team: t, models: [demo]}\n").await;
    world.enforced(version).await;
    world.chat(&key, "sim-gpt").await.expect(429);
}

#[tokio::test]
async fn tokens_over_the_limit_are_refused_before_they_are_spent() {
    let world = World::open().await;
    let version = world.apply(TIGHT).await;
    world.enforced(version).await;
    let key = world.key("first-app").await;
    let ask = |text: String| json!({"model": "sim-claude", "max_tokens": 100, "messages": [{"role": "user", "content": text}]});
    world.message(&key, ask("Hello".to_owned())).await.expect(200);
    let refused = world.message(&key, ask("a long story ".repeat(400))).await.expect(429).json();
    assert_eq!(refused["error"]["type"], "rate_limit_error", "{refused}");
    let seen = world.http.get(&format!("{}/__simulator/requests", world.simulator_url()), &[]).await.text();
    assert!(!seen.contains("a long story"), "the provider was not asked");
    world.message(&key, ask("Hello".to_owned())).await.expect(200);
}

#[tokio::test]
async fn calls_at_the_same_time_are_limited_and_a_place_comes_back_when_one_ends() {
    let world = World::open().await;
    let quota =
        "kind: Quota\nname: one\nspec: {per: [application], models: [demo], limits: {concurrency: 1}}\n";
    let version = world.apply(quota).await;
    world.enforced(version).await;
    let key = world.key("first-app").await;
    let script = json!({"rules": [{"model": "sim-gpt", "times": 1, "behaviour": {"latency_ms": 1500}}]});
    world.http.post(&format!("{}/__simulator/script", world.simulator_url()), &[], &script).await;

    let slow = world.chat(&key, "demo");
    let refused = async {
        let seen = format!("{}/__simulator/requests", world.simulator_url());
        eventually("the slow call to arrive", || async {
            let reply = world.http.get(&seen, &[]).await;
            if reply.text().contains("Hello") { Ok(()) } else { Err(reply.text()) }
        })
        .await;
        world.chat(&key, "demo").await
    };
    let (slow, refused) = tokio::join!(slow, refused);
    slow.expect(200);
    assert_eq!(refused.expect(429).json()["error"]["code"], "concurrency_limited");
    world.chat(&key, "demo").await.expect(200);
}

#[tokio::test]
async fn tags_attribute_a_call_and_bad_ones_are_refused() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let url = format!("{}/v1/chat/completions", world.url());
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]});
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("x-frontdoor-tags", "feature=search,env=prod")];
    let answer = world.http.post(&url, &headers, &body).await.expect(200);
    let record = world.explained(answer.header("x-frontdoor-request-id")).await;
    assert_eq!(record["caller"]["tags"], json!({"feature": "search", "env": "prod"}));

    let headers = [("authorization", bearer.as_str()), ("x-frontdoor-tags", "feature")];
    let refused = world.http.post(&url, &headers, &body).await.expect(400);
    assert!(refused.text().contains("x-frontdoor-tags"), "{}", refused.text());
}

#[tokio::test]
async fn unknown_fields_of_a_same_dialect_call_and_answer_survive_byte_for_byte() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let body = json!({"model": "sim-gpt", "messages": [{"role": "user", "content": "Hello", "x_new": {"a": [1, null]}}],
        "conversation": "c_1", "moderation": {"level": 3}});
    world.chat_with(&key, body.clone()).await.expect(200);
    let seen = world.http.get(&format!("{}/__simulator/requests", world.simulator_url()), &[]).await.json();
    let seen = seen["requests"].as_array().or_else(|| seen.as_array()).unwrap().last().unwrap().clone();
    assert_eq!(seen["body"], body, "{seen}");
}
