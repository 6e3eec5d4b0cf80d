//! Who gets in, and what is refused before anything is decided.

use http::Method;
use serde_json::json;

use super::world::{World, consumer, model, path_of, provider};

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let world = World::start().await;
    let path = "/v1/resources";
    let problem = world.anonymous(Method::GET, path).send().await.expect_problem(401, "unauthorized");
    assert!(problem["detail"].as_str().unwrap().contains("Authorization: Bearer"));
    for header in ["Bearer fda_wrong", "Bearer", "Basic abc", "Bearer  ", &world.token] {
        let reply = world.anonymous(Method::GET, path).header("authorization", header).send().await;
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{header}");
        reply.expect_problem(401, "unauthorized");
    }
    let twice = world.call(Method::GET, path).header("authorization", "Bearer x").send().await;
    twice.expect_problem(400, "invalid_header");
    world.stop().await;
}

#[tokio::test]
async fn a_token_is_shown_once_names_the_author_and_is_refused_from_its_revocation_on() {
    let world = World::start().await;
    let made = world.call(Method::POST, "/v1/tokens").json(&json!({"name": "ci"})).send().await;
    let made = made.expect_status(201).json();
    let (token, id) = (made["token"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned());
    assert!(token.starts_with("fda_") && token.len() == 47, "{token}");

    let bearer = format!("Bearer {token}");
    let put = world.anonymous(Method::PUT, "/v1/resources/Provider/sim").header("authorization", &bearer);
    put.json(&provider("sim")).send().await.expect_status(201);
    assert_eq!(world.get("/v1/history").await.json()["items"][0]["author"], "ci");
    let listed = String::from_utf8(world.get("/v1/tokens").await.bytes.to_vec()).unwrap();
    assert!(listed.contains("\"ci\"") && !listed.contains(&token) && !listed.contains("hash"), "{listed}");

    world.call(Method::DELETE, &format!("/v1/tokens/{id}")).send().await.expect_status(200);
    let again = world.anonymous(Method::GET, "/v1/resources").header("authorization", &bearer).send().await;
    again.expect_problem(401, "unauthorized");
    world.stop().await;
}

#[tokio::test]
async fn the_last_token_cannot_be_revoked_and_names_are_not_shared() {
    let world = World::start().await;
    let id = world.get("/v1/tokens").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let last = world.call(Method::DELETE, &format!("/v1/tokens/{id}")).send().await;
    last.expect_problem(409, "last_token");
    let same = world.call(Method::POST, "/v1/tokens").json(&json!({"name": "admin"})).send().await;
    same.expect_problem(409, "name_taken");
    let odd = world.call(Method::POST, "/v1/tokens").json(&json!({"name": "a b"})).send().await;
    odd.expect_problem(422, "invalid_name");
    world.call(Method::DELETE, "/v1/tokens/t_none").send().await.expect_problem(404, "not_found");
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_or_repeated_query_parameter_is_refused_by_name() {
    let world = World::start().await;
    for (path, word) in [
        ("/v1/resources?knd=Model", "knd"),
        ("/v1/resources?kind=Model&kind=Route", "kind"),
        ("/v1/resources?limit=many", "limit"),
        ("/v1/history?name=a", "kind"),
        ("/v1/usage?by=mood", "mood"),
        ("/v1/usage?since=yesterday", "since"),
    ] {
        let problem = world.get(path).await.expect_problem(400, "invalid_query");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{path}: {problem}");
    }
    let write =
        world.call(Method::POST, "/v1/changes?dryrun=true").json(&json!({"documents": []})).send().await;
    write.expect_problem(400, "invalid_query");
    world.stop().await;
}

#[tokio::test]
async fn a_body_beyond_its_cap_is_refused_and_told_the_cap() {
    let world = World::start().await;
    let large = vec![b' '; 64 * 1024 * 1024 + 1];
    let reply = world.call(Method::POST, "/v1/changes").body("application/json", large).send().await;
    let problem = reply.expect_problem(413, "body_too_large");
    assert!(problem["detail"].as_str().unwrap().contains("64 MiB"), "{problem}");
    let large = vec![b' '; 1024 * 1024 + 1];
    let reply = world.call(Method::PUT, "/v1/resources/Model/a").body("application/json", large).send().await;
    reply.expect_problem(413, "body_too_large");
    world.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_and_text_that_is_no_json_are_refused_with_their_place() {
    let world = World::start().await;
    let call = || world.call(Method::POST, "/v1/changes");
    let problem = call().body("application/json", b"{\"a\": \"\xff\"}".to_vec()).send().await;
    let problem = problem.expect_problem(400, "invalid_utf8");
    assert!(problem["detail"].as_str().unwrap().contains("byte 7"), "{problem}");
    let problem = call().body("application/json", "{\"documents\": [}").send().await;
    let problem = problem.expect_problem(400, "invalid_json");
    assert!(problem["detail"].as_str().unwrap().contains("line 1 column 16"), "{problem}");
    let deep = format!("{{\"documents\": [{}{}]}}", "[".repeat(200), "]".repeat(200));
    let reply = call().body("application/json", deep).send().await;
    assert!(reply.status.is_client_error(), "{reply:?}");
    call().body("text/csv", "a,b").send().await.expect_problem(415, "unsupported_media_type");
    call().json(&json!({"documents": [], "documnts": []})).send().await.expect_refused(&["documnts"]);
    call().json(&json!({"documents": []})).send().await.expect_problem(400, "empty_change");
    world.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_problem_too() {
    let world = World::start().await;
    world.get("/v1/nothing").await.expect_problem(404, "not_found");
    world.call(Method::DELETE, "/v1/history").send().await.expect_problem(405, "method_not_allowed");
    world.get("/v1/resources/Modle/a").await.expect_problem(400, "unknown_kind");
    world.get("/v1/resources/Model/a%20b").await.expect_problem(400, "invalid_name");
    world.get("/v1/resources/Model/a").await.expect_problem(404, "not_found");
    world.get("/v1/history/7").await.expect_problem(404, "not_found");
    world.get("/v1/history/0").await.expect_problem(404, "not_found");
    world.get("/v1/history/one").await.expect_problem(400, "invalid_version");
    world.get("/v1/requests/none").await.expect_problem(404, "not_found");
    world.call(Method::DELETE, "/v1/keys/k_none").send().await.expect_problem(404, "not_found");
    world.call(Method::DELETE, "/v1/resources/Model/a").send().await.expect_problem(404, "not_found");
    world.stop().await;
}

#[tokio::test]
async fn a_key_is_shown_once_kept_as_a_hash_and_revoked_for_good() {
    let world = World::with_policy().await;
    let order = json!({"consumer": "chat", "models": ["sm*"], "note": "for the bot"});
    let made = world.call(Method::POST, "/v1/keys").json(&order).send().await.expect_status(201).json();
    let (key, id) = (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned());
    assert!(key.starts_with("fd_") && key.len() == 46 && id.starts_with("k_"), "{made}");

    let kept = world.get("/v1/resources?kind=Key").await.json();
    assert_eq!(kept["items"][0]["spec"]["hash"].as_str().unwrap().len(), 64, "{kept}");
    for path in ["/v1/resources?kind=Key", "/v1/keys", "/v1/history", &format!("/v1/resources/Key/{id}")] {
        let text = String::from_utf8(world.get(path).await.bytes.to_vec()).unwrap();
        assert!(text.contains(&id) && !text.contains(&key), "{path}: {text}");
    }
    let path = format!("/v1/keys/{id}");
    let first = world.call(Method::DELETE, &path).send().await.expect_status(200).json();
    let second = world.call(Method::DELETE, &path).send().await.expect_status(200).json();
    assert_eq!(first["version"], second["version"], "revoking twice makes one version");
    assert_eq!(world.get("/v1/keys").await.json()["items"][0]["revoked"], true);
    world.stop().await;
}

#[tokio::test]
async fn a_key_that_could_never_be_used_is_not_made() {
    let world = World::with_policy().await;
    let order = |body| world.call(Method::POST, "/v1/keys").json(&body).send();
    order(json!({"consumer": "nobody"})).await.expect_refused(&["nobody"]);
    order(json!({"consumer": "chat", "expires": "soon"})).await.expect_refused(&["spec.expires"]);
    order(json!({"consumer": "chat", "expires": "2020-01-01T00:00:00Z"})).await.expect_status(422);
    order(json!({"consumer": "chat", "color": "red"})).await.expect_refused(&["color"]);
    let call = world.call(Method::POST, "/v1/keys").header("idempotency-key", "a");
    let reply = call.json(&json!({"consumer": "chat"})).send().await;
    reply.expect_problem(400, "idempotency_not_possible");
    world.stop().await;
}

#[tokio::test]
async fn liveness_readiness_and_metrics_need_no_token_and_tell_no_policy() {
    let world = World::with_policy().await;
    let open = |path| world.anonymous(Method::GET, path).send();
    assert_eq!(open("/livez").await.expect_status(200).bytes, "alive\n");
    assert_eq!(open("/readyz").await.expect_status(200).json(), json!({"ready": true, "pending": []}));
    let metrics = String::from_utf8(open("/metrics").await.expect_status(200).bytes.to_vec()).unwrap();
    assert!(
        metrics.contains("frontdoor_admin_calls_total{operation=\"change\",status=\"200\"} 1"),
        "{metrics}"
    );
    assert!(!metrics.contains("chat"), "{metrics}");
    world.stop().await;
}

#[tokio::test]
async fn names_with_slashes_reach_their_resource() {
    let world = World::with_policy().await;
    let document = model("meta/llama-3:free", "sim");
    world.put(&document).await.expect_status(201);
    let read = world.get(&path_of(&document)).await.expect_status(200);
    assert_eq!(read.json(), document);
    world.get("/v1/resources/models/meta%2Fllama-3:free").await.expect_status(200);
    world.put(&consumer("x/y")).await.expect_refused(&["x/y"]);
    world.stop().await;
}
