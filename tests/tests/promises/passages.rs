//! Providers' own APIs, and the files, batches and responses that they hold, through a whole proxy.

use frontdoor_tests::{Reply, World};
use http::Method;
use serde_json::{Value, json};

const POLICY: &str = r#"
kind: Provider
name: one
spec: {dialect: openai, base_url: "http://127.0.0.1:9100/v1"}
---
kind: Provider
name: two
spec: {dialect: openai, base_url: "http://127.0.0.1:9100/v1", headers: {x-account: two}}
---
kind: Provider
name: claude
spec: {dialect: anthropic, base_url: "http://127.0.0.1:9100"}
---
kind: Model
name: both
spec: {targets: [{provider: one, model: sim-gpt}, {provider: two, model: sim-gpt}]}
---
kind: Model
name: second
spec: {targets: [{provider: two, model: sim-gpt, prices: {input: 1000, output: 1000}}]}
---
kind: Model
name: claude
spec: {targets: [{provider: claude, model: sim-claude}], max_output_tokens: 4096}
---
kind: Consumer
name: app
spec: {organisation: example, team: first, models: ["*"], providers: ["*"]}
---
kind: Consumer
name: narrow
spec: {organisation: example, team: first, models: ["*"]}
"#;

async fn send(world: &World, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut headers = headers.to_vec();
    headers.push(("content-type", "application/json"));
    world.http.send(method, &format!("{}{path}", world.url()), &headers, body.into()).await
}

#[tokio::test]
async fn a_native_call_passes_with_our_credential_and_is_metered_recorded_and_priced() {
    let world = World::with_policy(POLICY).await;
    let bearer = format!("Bearer {}", world.key("app").await);
    let key = [("authorization", bearer.as_str())];
    let call = json!({"model": "sim-gpt", "messages": [{"role": "user", "content": "Hello"}]});
    let answer = send(&world, Method::POST, "/providers/two/chat/completions", &key, &call).await.expect(200);
    assert_eq!(answer.json()["object"], "chat.completion");
    let record = world.explained(answer.header("x-frontdoor-request-id")).await;
    let served = &record["served"];
    assert_eq!((&record["operation"], &record["estimated"]), (&json!("native"), &json!(false)), "{record}");
    assert_eq!((&served["provider"], &served["model"]), (&json!("two"), &json!("providers/two")), "{record}");
    assert_eq!((&served["upstream_model"], &record["asked_model"]), (&json!("sim-gpt"), &json!("sim-gpt")));
    assert!(
        record["cost_nano_usd"].as_u64().unwrap() > 0,
        "the price of the Model with this target: {record}"
    );

    let refused = format!("Bearer {}", world.key("narrow").await);
    let refused = [("authorization", refused.as_str())];
    let error =
        send(&world, Method::POST, "/providers/two/chat/completions", &refused, &call).await.expect(403);
    assert!(
        error.text().contains("write `providers: [two]` into the spec of the Consumer `narrow`"),
        "{}",
        error.text()
    );
    send(&world, Method::GET, "/providers/two/../x", &key, &Value::Null).await.expect(400);
}

#[tokio::test]
async fn a_file_and_its_batch_live_where_they_were_made() {
    let world = World::with_policy(POLICY).await;
    let bearer = format!("Bearer {}", world.key("app").await);
    let key = ("authorization", bearer.as_str());
    let form = "--XyZ\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"sim-gpt\",\"messages\":[]}}\n\r\n--XyZ--\r\n";
    let kind = ("content-type", "multipart/form-data; boundary=XyZ");
    let url = format!("{}/v1/files", world.url());
    let unclear = world.http.send(Method::POST, &url, &[key, kind], form.into()).await.expect(400);
    assert!(unclear.text().contains("one, two"), "{}", unclear.text());
    let chosen = [key, kind, ("x-frontdoor-provider", "two")];
    let made = world.http.send(Method::POST, &url, &chosen, form.into()).await.expect(200);
    let file = made.json()["id"].as_str().unwrap().to_owned();

    let content = send(&world, Method::GET, &format!("/v1/files/{file}/content"), &[key], &Value::Null).await;
    assert_eq!(content.header("x-frontdoor-provider"), "two");
    assert!(content.expect(200).text().contains("custom_id"));
    let batch =
        json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = send(&world, Method::POST, "/v1/batches", &[key], &batch).await.expect(200);
    assert_eq!(batch.header("x-frontdoor-provider"), "two");
    let id = batch.json()["id"].as_str().unwrap().to_owned();
    let read =
        send(&world, Method::GET, &format!("/v1/batches/{id}"), &[key], &Value::Null).await.expect(200);
    assert_eq!(read.header("x-frontdoor-provider"), "two");
    send(&world, Method::DELETE, &format!("/v1/files/{file}"), &[key], &Value::Null).await.expect(200);
    send(&world, Method::GET, &format!("/v1/files/{file}"), &[key], &Value::Null).await.expect(404);
}

#[tokio::test]
async fn a_response_is_continued_at_the_provider_that_holds_it_and_nowhere_else() {
    let world = World::with_policy(POLICY).await;
    let bearer = format!("Bearer {}", world.key("narrow").await);
    let key = [("authorization", bearer.as_str())];
    let first = json!({"model": "second", "input": "Hello"});
    let first = send(&world, Method::POST, "/v1/responses", &key, &first).await.expect(200).json();
    let id = first["id"].as_str().unwrap();
    let next = json!({"model": "both", "input": "And?", "previous_response_id": id});
    let next = send(&world, Method::POST, "/v1/responses", &key, &next).await.expect(200);
    assert_eq!(next.header("x-frontdoor-provider"), "two");
    let streamed = json!({"model": "both", "input": "And?", "previous_response_id": id, "stream": true});
    let streamed = send(&world, Method::POST, "/v1/responses", &key, &streamed).await.expect(200);
    assert_eq!(streamed.header("x-frontdoor-provider"), "two");

    let read =
        send(&world, Method::GET, &format!("/v1/responses/{id}"), &key, &Value::Null).await.expect(200);
    assert_eq!(read.json()["id"], id);
    let items = format!("/v1/responses/{id}/input_items");
    assert!(
        send(&world, Method::GET, &items, &key, &Value::Null).await.expect(200).json()["data"].is_array()
    );
    send(&world, Method::DELETE, &format!("/v1/responses/{id}"), &key, &Value::Null).await.expect(200);
    let gone = json!({"model": "both", "input": "And?", "previous_response_id": id});
    let gone = send(&world, Method::POST, "/v1/responses", &key, &gone).await.expect(404);
    assert_eq!(gone.json()["error"]["code"], "unknown_object");
}

#[tokio::test]
async fn work_in_the_background_is_refused_where_no_provider_can_and_passes_where_one_can() {
    let world = World::with_policy(POLICY).await;
    let bearer = format!("Bearer {}", world.key("narrow").await);
    let key = [("authorization", bearer.as_str())];
    let call = |model: &str| json!({"model": model, "input": "Hello", "background": true});
    let refused = send(&world, Method::POST, "/v1/responses", &key, &call("claude")).await.expect(400).json();
    assert_eq!(refused["error"]["param"], "background", "{refused}");
    let taken = send(&world, Method::POST, "/v1/responses", &key, &call("second")).await.expect(200).json();
    assert!(taken["id"].is_string(), "{taken}");
}

#[tokio::test]
async fn anthropics_batches_and_files_pass_in_anthropics_words() {
    let world = World::with_policy(POLICY).await;
    let key = world.key("app").await;
    let headers = [("x-api-key", key.as_str()), ("anthropic-version", "2023-06-01")];
    let request =
        json!({"model": "sim-claude", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]});
    let batch = json!({"requests": [{"custom_id": "1", "params": request}]});
    let made = send(&world, Method::POST, "/v1/messages/batches", &headers, &batch).await.expect(200).json();
    let path = format!("/v1/messages/batches/{}", made["id"].as_str().unwrap());
    let read = send(&world, Method::GET, &path, &headers, &Value::Null).await.expect(200);
    assert_eq!(
        (read.header("x-frontdoor-provider"), read.json()["type"].clone()),
        ("claude", json!("message_batch"))
    );
    let files = send(&world, Method::GET, "/v1/files", &headers, &Value::Null).await.expect(200);
    assert_eq!(files.header("x-frontdoor-provider"), "claude");
}
