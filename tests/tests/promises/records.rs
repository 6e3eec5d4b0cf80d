//! One record for every call, whatever its ending; never its content.

use frontdoor_tests::{World, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn the_ledger_counts_what_the_provider_billed() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    for number in 0..20 {
        let body = json!({"model": "demo", "stream": number % 2 == 0, "messages": [{"role": "user", "content": "Hello"}]});
        world.chat_with(&key, body).await.expect(200);
    }
    let rows = world.usage("team,model,provider", 20).await;
    let billed = world.http.get(&format!("{}/__simulator/ledger", world.simulator_url()), &[]).await.json();
    let billed_output: u64 = numbers(&billed, "output_tokens");
    let counted: u64 = rows.iter().filter_map(|row| row["output_tokens"].as_u64()).sum();
    assert_eq!(counted, billed_output, "{rows:?} / {billed}");
    assert_eq!(rows[0]["team"], "first-team");
    assert!(rows[0]["cost_usd"].to_string().trim_matches('"').parse::<f64>().unwrap() > 0.0, "{rows:?}");
}

/// The sum of every `name` anywhere in `value`.
fn numbers(value: &Value, name: &str) -> u64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| if key == name { value.as_u64().unwrap_or(0) } else { numbers(value, name) })
            .sum(),
        Value::Array(items) => items.iter().map(|item| numbers(item, name)).sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn a_refused_call_leaves_a_record_as_well() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let refused = world.chat(&key, "no-such-model").await.expect(404);
    let record = world.explained(refused.header("x-frontdoor-request-id")).await;
    assert_eq!((&record["status"], &record["code"]), (&json!(404), &json!("unknown_model")), "{record}");
    assert_eq!(record["caller"]["application"], "first-app");
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_a_record_and_the_provider_is_told() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let script =
        json!({"rules": [{"model": "sim-gpt", "behaviour": {"tokens": 2000, "tokens_per_second": 20}}]});
    world.http.post(&format!("{}/__simulator/script", world.simulator_url()), &[], &script).await;
    let id = hang_up_after_the_first_bytes(&world, &key).await;
    let record = world.explained(&id).await;
    assert_eq!(record["code"], "client_gone", "{record}");
    assert_eq!(record["estimated"], true, "{record}");
    assert!(record["tokens"]["output"].as_u64().unwrap() < 1_000, "only what was streamed: {record}");
    let metrics = format!("{}/metrics", world.ops());
    eventually("no call in flight", || async {
        let text = world.http.get(&metrics, &[]).await.text();
        let busy = text
            .lines()
            .any(|line| line.contains("inflight") && !line.starts_with('#') && !line.ends_with(" 0"));
        if busy { Err(text) } else { Ok(()) }
    })
    .await;
}

/// Sends a streamed call over a raw connection and leaves once the answer has begun.
async fn hang_up_after_the_first_bytes(world: &World, key: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let address = world.url().replace("http://", "");
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    let body =
        json!({"model": "sim-gpt", "stream": true, "messages": [{"role": "user", "content": "Hello"}]})
            .to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("data: ") {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await.unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    let line = text.lines().find(|line| line.to_lowercase().starts_with("x-frontdoor-request-id")).unwrap();
    line.split_once(": ").unwrap().1.trim().to_owned()
}

#[tokio::test]
async fn prompts_answers_and_keys_are_nowhere_but_on_the_wire() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let planted = "planted-prompt-7b1f";
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": planted}]});
    let answer = world.chat_with(&key, body).await.expect(200);
    assert!(answer.text().contains(planted), "the simulator echoes");
    let record = world.explained(answer.header("x-frontdoor-request-id")).await.to_string();
    let metrics = world.http.get(&format!("{}/metrics", world.ops()), &[]).await.text();
    let policy = world.http.get(&format!("{}/policy", world.ops()), &[]).await.text();
    let history = world.admin_get("/v1/history").await.text();
    let keys = world.admin_get("/v1/keys").await.text();
    for (place, text) in
        [("record", record), ("metrics", metrics), ("policy", policy), ("history", history), ("keys", keys)]
    {
        for secret in [planted, key.as_str()] {
            assert!(!text.contains(secret), "{place} holds {secret}");
        }
    }
    for file in frontdoor_tests::files(world.directory.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        for secret in [planted, key.as_str()] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds {secret}", file.display());
        }
    }
}

#[tokio::test]
async fn metrics_are_in_prometheus_text_and_count_calls_by_outcome() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    world.chat(&key, "demo").await.expect(200);
    world.chat(&key, "nothing").await.expect(404);
    let metrics = format!("{}/metrics", world.ops());
    eventually("both calls in the metrics", || async {
        let text = world.http.get(&metrics, &[]).await.text();
        if text.contains("unknown_model") && text.contains("# TYPE") { Ok(()) } else { Err(text) }
    })
    .await;
}
