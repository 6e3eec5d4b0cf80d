//! What providers do to us, and what the application sees of it.

use frontdoor_tests::{Reply, World};
use serde_json::{Value, json};

async fn script(world: &World, rules: Value) {
    let url = format!("{}/__simulator/script", world.simulator_url());
    let reply = world.http.post(&url, &[], &json!({ "rules": rules })).await;
    assert!(reply.status < 300, "{}", reply.text());
}

fn streamed(model: &str) -> Value {
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "Hello there, how are you today?"}]})
}

fn text_of(reply: &Reply) -> String {
    let events = reply.events();
    let deltas =
        events.iter().filter_map(|event| event.pointer("/choices/0/delta/content")).filter_map(Value::as_str);
    deltas.collect()
}

#[tokio::test]
async fn a_failing_provider_is_replaced_by_the_next_target_and_explain_says_why() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    script(&world, json!([{"model": "sim-gpt", "behaviour": {"status": 503}}])).await;
    let answer = world.chat(&key, "demo").await.expect(200);
    assert_eq!(answer.header("x-frontdoor-provider"), "sim-anthropic");
    assert_eq!(answer.json()["object"], "chat.completion", "still in the caller's own dialect");

    let record = world.explained(answer.header("x-frontdoor-request-id")).await;
    let attempts = record["decision"]["attempts"].as_array().unwrap();
    assert_eq!(attempts[0]["provider"], "sim-openai", "{record}");
    assert_eq!(attempts[0]["status"], 503, "{record}");
    let last = attempts.last().unwrap();
    assert_eq!((&last["provider"], &last["outcome"]), (&json!("sim-anthropic"), &json!("ok")), "{record}");
    assert_eq!(record["decision"]["candidates"].as_array().unwrap().len(), 2, "{record}");
}

#[tokio::test]
async fn a_stopped_provider_is_replaced_on_every_surface_streamed_and_not() {
    let mut world = World::open().await;
    let key = world.key("first-app").await;
    // Only the OpenAI one is gone: its provider points at a port where nobody listens.
    let gone =
        "kind: Provider\nname: sim-openai\nspec: {dialect: openai, base_url: 'http://127.0.0.1:9/v1'}\n";
    let version = world.apply(gone).await;
    world.enforced(version).await;
    assert_eq!(world.chat(&key, "demo").await.expect(200).header("x-frontdoor-provider"), "sim-anthropic");
    let answer = world.chat_with(&key, streamed("demo")).await.expect(200);
    assert_eq!(answer.header("x-frontdoor-provider"), "sim-anthropic");
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());

    // With every provider gone the answer is an error in the caller's shape, after which things recover.
    world.stop_simulator().await;
    let refused = world.chat(&key, "demo").await;
    assert!(matches!(refused.status, 502..=504), "{}", refused.text());
    assert_eq!(refused.header("x-should-retry"), "false", "we have retried already");
    world.start_simulator().await;
    let body =
        json!({"model": "sim-claude", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]});
    frontdoor_tests::eventually("the breaker's probe", || async {
        let reply = world.message(&key, body.clone()).await;
        if reply.status == 200 { Ok(()) } else { Err(reply.text()) }
    })
    .await;
}

#[tokio::test]
async fn an_error_hidden_in_a_200_is_an_error() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    script(&world, json!([{"model": "sim-gpt", "behaviour": {"error_in_200": true}}])).await;
    for body in
        [json!({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}), streamed("demo")]
    {
        let answer = world.chat_with(&key, body).await.expect(200);
        assert_eq!(answer.header("x-frontdoor-provider"), "sim-anthropic", "{}", answer.text());
    }
}

#[tokio::test]
async fn malformed_answers_and_closed_connections_go_to_the_next_target() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    for behaviour in
        [json!({"malformed": true}), json!({"close": true}), json!({"status": 429, "retry_after": 30})]
    {
        script(&world, json!([{"model": "sim-gpt", "behaviour": behaviour}])).await;
        let answer = world.chat(&key, "demo").await.expect(200);
        assert_eq!(answer.header("x-frontdoor-provider"), "sim-anthropic", "{behaviour}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_callers_own_mistake_is_not_tried_elsewhere() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    script(&world, json!([{"model": "sim-gpt", "behaviour": {"status": 400}}])).await;
    let refused = world.chat(&key, "demo").await.expect(400);
    let record = world.explained(refused.header("x-frontdoor-request-id")).await;
    assert_eq!(record["decision"]["attempts"].as_array().unwrap().len(), 1, "{record}");
}

#[tokio::test]
async fn a_providers_refused_credential_is_not_the_callers_401() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    script(&world, json!([{"behaviour": {"status": 401}}])).await;
    let refused = world.chat(&key, "sim-gpt").await.expect(502);
    assert_eq!(refused.json()["error"]["code"], "upstream_credential", "{}", refused.text());
}

#[tokio::test]
async fn after_the_first_content_there_is_no_silent_switch_but_a_well_formed_error() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    for behaviour in [json!({"cut_after": 4}), json!({"error_after": 4})] {
        script(&world, json!([{"model": "sim-gpt", "behaviour": behaviour}])).await;
        let answer = world.chat_with(&key, streamed("demo")).await.expect(200);
        assert_eq!(answer.header("x-frontdoor-provider"), "sim-openai");
        let events = answer.events();
        assert!(!text_of(&answer).is_empty(), "content had come: {}", answer.text());
        assert!(events.last().unwrap()["error"].is_object(), "{behaviour}: {}", answer.text());
        let record = world.explained(answer.header("x-frontdoor-request-id")).await;
        assert_ne!(record["code"], "ok", "{record}");
    }
}

#[tokio::test]
async fn a_stream_that_stalls_is_ended_by_the_idle_timeout() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let impatient = "kind: Provider\nname: sim-openai\nspec: {dialect: openai, base_url: 'http://127.0.0.1:9100/v1', timeouts: {idle: 300ms}}\n";
    let version = world.apply(impatient).await;
    world.enforced(version).await;
    script(&world, json!([{"model": "sim-gpt", "behaviour": {"stall_after": 4}}])).await;
    let answer = world.chat_with(&key, streamed("demo")).await.expect(200);
    assert!(answer.events().last().unwrap()["error"].is_object(), "{}", answer.text());
}

#[tokio::test]
async fn a_slow_first_byte_goes_to_the_next_target() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let impatient = "kind: Provider\nname: sim-openai\nspec: {dialect: openai, base_url: 'http://127.0.0.1:9100/v1', timeouts: {first_byte: 200ms}}\n";
    let version = world.apply(impatient).await;
    world.enforced(version).await;
    script(&world, json!([{"model": "sim-gpt", "behaviour": {"latency_ms": 5000}}])).await;
    let answer = world.chat(&key, "demo").await.expect(200);
    assert_eq!(answer.header("x-frontdoor-provider"), "sim-anthropic");
}

#[tokio::test]
async fn any_cut_of_the_bytes_gives_the_same_stream() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    for model in ["sim-gpt", "sim-claude"] {
        script(&world, json!([])).await;
        let whole = text_of(&world.chat_with(&key, streamed(model)).await.expect(200));
        assert!(!whole.is_empty());
        for size in [1, 3, 7] {
            script(&world, json!([{"behaviour": {"chunk_bytes": size}}])).await;
            let answer = world.chat_with(&key, streamed(model)).await.expect(200);
            assert_eq!(text_of(&answer), whole, "{model} in pieces of {size}");
        }
    }
}

#[tokio::test]
async fn the_callers_key_never_reaches_a_provider() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    world.chat(&key, "sim-gpt").await.expect(200);
    let seen = world.http.get(&format!("{}/__simulator/requests", world.simulator_url()), &[]).await.text();
    assert!(seen.contains("Hello"), "{seen}");
    assert!(!seen.contains("x-frontdoor"), "{seen}");
    assert!(!seen.contains(&key), "{seen}");
}

#[tokio::test]
async fn routing_rules_decide_by_caller_tags_and_the_call_itself() {
    let world = World::open().await;
    let route = r#"
kind: Route
name: by-tag
spec:
  models: [demo]
  rules:
    - name: cheap
      when: 'has(tags.tier) && tags.tier == "cheap"'
      targets: [{model: sim-gpt}]
    - name: with-tools
      when: 'tools > 0 && caller.team == "first-team"'
      targets: [{model: sim-claude}]
"#;
    let version = world.apply(route).await;
    world.enforced(version).await;
    let key = world.key("first-app").await;
    let tools = json!({"model": "demo", "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]});
    let answer = world.chat_with(&key, tools).await.expect(200);
    assert_eq!(answer.header("x-frontdoor-model"), "sim-claude", "{}", answer.text());
    let record = world.explained(answer.header("x-frontdoor-request-id")).await;
    assert_eq!(record["decision"]["rule"], "with-tools", "{record}");
    // No rule holds: the model's own targets serve.
    assert_eq!(world.chat(&key, "demo").await.expect(200).header("x-frontdoor-model"), "demo");
}
