//! Bad input at every door: a clear error naming the thing and the way out, never a panic, nothing lost.

use bytes::Bytes;
use frontdoor_tests::{World, world::ADMIN_TOKEN};
use http::Method;
use serde_json::{Value, json};

async fn raw_chat(world: &World, key: &str, body: impl Into<Bytes>) -> frontdoor_tests::Reply {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let url = format!("{}/v1/chat/completions", world.url());
    world.http.send(Method::POST, &url, &headers, body.into()).await
}

#[tokio::test]
async fn bodies_that_are_not_calls_are_refused_by_what_is_wrong_with_them() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let deep = format!(r#"{{"model":"demo","messages":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<(Bytes, &str)> = vec![
        (Bytes::new(), "JSON"),
        (Bytes::from_static(b"{\"model\": \"demo\""), "JSON"),
        (Bytes::from_static(b"[]"), "object"),
        (Bytes::from_static(b"{\"model\": \"\xff\xfe\", \"messages\": []}"), "UTF-8"),
        (Bytes::from_static(b"{\"messages\": []}"), "model"),
        (Bytes::from_static(b"{\"model\": 5, \"messages\": []}"), "model"),
        (Bytes::from_static(b"{\"model\": \"demo\", \"stream\": \"yes\", \"messages\": []}"), "stream"),
        (Bytes::from(deep), "deep"),
    ];
    for (body, expected) in cases {
        let shown = String::from_utf8_lossy(body.get(..60).unwrap_or(&body)).into_owned();
        let reply = raw_chat(&world, &key, body).await;
        assert_eq!(reply.status, 400, "{shown}: {}", reply.text());
        let error = reply.json()["error"].clone();
        assert_eq!(error["code"], "invalid_request", "{shown}: {error}");
        assert!(error["message"].as_str().unwrap().contains(expected), "{shown}: {error}");
    }
    world.chat(&key, "demo").await.expect(200);
}

#[tokio::test]
async fn a_body_of_100_mb_is_refused_in_the_callers_shape() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let body = Bytes::from(vec![b' '; 100 * 1024 * 1024]);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let url = format!("{}/v1/chat/completions", world.url());
    // The proxy may close while the caller is still sending: an answer or a cut, but never 100 MB taken in.
    match world.http.try_send(Method::POST, &url, &headers, body).await {
        Ok(reply) => {
            assert_eq!(reply.status, 413, "{}", reply.text());
            assert_eq!(reply.json()["error"]["code"], "request_too_large");
        }
        Err(error) => assert!(error.contains("onnection") || error.contains("roken pipe"), "{error}"),
    }
    world.chat(&key, "demo").await.expect(200);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    world.http.get(&format!("{}/v1/nothing", world.url()), &headers).await.expect(404);
    let wrong = world.http.get(&format!("{}/v1/chat/completions", world.url()), &headers).await.expect(405);
    assert_eq!(wrong.header("allow"), "POST");
}

/// Posts a raw change and returns the problem's diagnostics.
async fn refused(world: &World, content_type: &str, body: impl Into<Bytes>) -> (u16, Value) {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
    let url = format!("{}/v1/changes", world.admin());
    let reply = world.http.send(Method::POST, &url, &headers, body.into()).await;
    assert!((400..500).contains(&reply.status), "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/problem+json", "{}", reply.text());
    (reply.status, reply.json())
}

#[tokio::test]
async fn documents_that_mean_nothing_are_refused_with_their_place_and_the_way_out() {
    let world = World::open().await;
    let head = world.head().await;
    let spec = |kind: &str, name: &str, spec: Value| json!({"kind": kind, "name": name, "spec": spec});
    let target = json!([{"provider": "sim-openai"}]);
    let cases = [
        (spec("Model", "m", json!({"targets": target, "contxt_window": 5})), "context_window"),
        (spec("Model", "m", json!({"targets": "sim-openai"})), "targets"),
        (spec("Model", "m", json!({"targets": [{"provider": "sim-opnai"}]})), "sim-openai"),
        (spec("Modl", "m", json!({})), "Model"),
        (spec("Route", "r", json!({"rules": [{"when": "tools >"}]})), "when"),
        (spec("Route", "r", json!({"rules": [{"when": "1 + 1"}]})), "true or false"),
        (spec("Route", "r", json!({"rules": [{"when": "nobody.knows == 1"}]})), "nobody"),
        (spec("Quota", "q", json!({"limits": {"requests_per_minute": 0}})), "requests_per_minute"),
        (spec("Provider", "p", json!({"dialect": "openai", "base_url": "http://example.com"})), "https"),
        (
            spec(
                "Provider",
                "p",
                json!({"dialect": "openai", "base_url": "https://a", "credential": "sk-secret"}),
            ),
            "env:",
        ),
    ];
    for (document, expected) in cases {
        let body = json!({"message": "bad", "documents": [document]}).to_string();
        let (_, problem) = refused(&world, "application/json", body).await;
        assert!(problem.to_string().contains(expected), "{document}: {problem}");
        assert!(!problem["diagnostics"].as_array().unwrap().is_empty(), "{document}: {problem}");
    }
    assert_eq!(world.head().await, head, "nothing was half applied");
}

#[tokio::test]
async fn a_name_twice_in_one_change_is_refused() {
    let world = World::open().await;
    let document = json!({"kind": "Consumer", "name": "twice", "spec": {"organisation": "o", "team": "t", "models": ["*"]}});
    let body = json!({"message": "bad", "documents": [document, document]}).to_string();
    let (_, problem) = refused(&world, "application/json", body).await;
    assert!(problem.to_string().contains("Consumer/twice"), "{problem}");
}

#[tokio::test]
async fn admin_bodies_that_are_not_json_are_refused() {
    let world = World::open().await;
    for body in [&b"{"[..], b"\xff\xfe", b"[1]", b"{\"documnts\": []}"] {
        let (status, problem) = refused(&world, "application/json", body.to_vec()).await;
        assert!(status < 500 && problem["title"].is_string(), "{problem}");
    }
    let deep = format!("{{\"documents\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    refused(&world, "application/json", deep).await;
    world.admin_get("/v1/fleet").await.expect(200);
}

#[tokio::test]
async fn an_unknown_query_parameter_is_refused() {
    let world = World::open().await;
    world.admin_get("/v1/history?limt=5").await.expect(400);
    world.admin_get("/v1/usage?by=nothing").await.expect(400);
    world.admin_get("/v1/resources/Model/none").await.expect(404);
    world.admin_get("/v1/history/999999").await.expect(404);
}
