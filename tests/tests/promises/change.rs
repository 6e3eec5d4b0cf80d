//! A policy change: one act, checked whole, live on the proxies milliseconds later, and on record.

use frontdoor_tests::{World, eventually, world::POLICY};
use serde_json::{Value, json};

#[tokio::test]
async fn the_next_call_obeys_a_change() {
    let world = World::open().await;
    let key = world.key("first-app").await;
    assert_eq!(world.chat(&key, "demo").await.expect(200).header("x-frontdoor-provider"), "sim-openai");
    let moved = "kind: Model\nname: demo\nspec: {targets: [{provider: sim-anthropic, model: sim-claude}], max_output_tokens: 100}\n";
    let version = world.apply(moved).await;
    world.enforced(version).await;
    let answer = world.chat(&key, "demo").await.expect(200);
    assert_eq!(answer.header("x-frontdoor-provider"), "sim-anthropic");
    assert_eq!(answer.header("x-frontdoor-policy-version"), version.to_string());
}

#[tokio::test]
async fn the_fleet_says_which_proxy_runs_which_version() {
    let world = World::without_policy(None, 3).await;
    let version = world.apply(POLICY).await;
    let fleet = eventually("three acks", || async {
        let fleet = world.admin_get("/v1/fleet").await.expect(200).json();
        let items = fleet["items"].as_array().unwrap();
        let active = items.iter().filter(|proxy| proxy["version"] == version).count();
        if active == 3 { Ok(fleet) } else { Err(fleet.to_string()) }
    })
    .await;
    assert_eq!(fleet["head"], version);
    assert!(fleet["items"].as_array().unwrap().iter().all(|proxy| proxy["connected"] == true), "{fleet}");
}

#[tokio::test]
async fn a_change_is_whole_or_not_at_all() {
    let world = World::open().await;
    let head = world.head().await;
    let half_bad = "
kind: Consumer
name: fine
spec: {organisation: o, team: t, models: [demo]}
---
kind: Model
name: dangling
spec: {targets: [{provider: nobody}]}
";
    let refused = world.try_apply(half_bad).await.expect(422).json();
    let diagnostics = refused["diagnostics"].as_array().unwrap();
    assert!(diagnostics.iter().any(|diagnostic| diagnostic["resource"] == "Model/dangling"), "{refused}");
    assert!(diagnostics[0]["message"].as_str().unwrap().contains("nobody"), "{refused}");
    assert_eq!(world.head().await, head);
    world.admin_get("/v1/resources/Consumer/fine").await.expect(404);
}

#[tokio::test]
async fn a_change_that_changes_nothing_makes_no_version() {
    let world = World::open().await;
    let head = world.head().await;
    assert_eq!(world.apply(POLICY).await, head);
}

#[tokio::test]
async fn two_changes_each_valid_alone_never_both_commit_when_invalid_together() {
    let world = World::open().await;
    for round in 0..10 {
        world
            .apply(&format!(
                "kind: Model\nname: base-{round}\nspec: {{targets: [{{provider: sim-openai}}]}}\n"
            ))
            .await;
        let route = format!(
            "kind: Route\nname: r-{round}\nspec: {{rules: [{{targets: [{{model: base-{round}}}]}}]}}\n"
        );
        let path = format!("/v1/resources/Model/base-{round}");
        let (put, delete) = tokio::join!(world.try_apply(&route), world.admin_delete(&path));
        let done = [put.status, delete.status].iter().filter(|status| **status < 300).count();
        assert_eq!(done, 1, "{} / {}", put.text(), delete.text());
    }
}

#[tokio::test]
async fn a_stale_if_match_is_refused() {
    let world = World::open().await;
    let path = format!("{}/v1/resources/Consumer/first-app", world.admin());
    let bearer = format!("Bearer {}", frontdoor_tests::world::ADMIN_TOKEN);
    let read = world.http.get(&path, &[("authorization", &bearer)]).await.expect(200);
    let etag = read.header("etag").to_owned();
    let mut document = read.json();
    document["spec"]["team"] = json!("other");
    let put = |document: Value, etag: String| {
        let (http, path, bearer) = (world.http.clone(), path.clone(), bearer.clone());
        async move {
            let headers = [
                ("authorization", bearer.as_str()),
                ("if-match", &etag),
                ("content-type", "application/json"),
            ];
            http.send(http::Method::PUT, &path, &headers, document.to_string().into()).await
        }
    };
    assert!(put(document.clone(), etag.clone()).await.status < 300);
    document["spec"]["team"] = json!("third");
    put(document, etag).await.expect(412);
}

#[tokio::test]
async fn the_history_says_who_when_and_why_and_its_hashes_cover_each_other() {
    let world = World::open().await;
    world.apply("kind: Consumer\nname: other\nspec: {organisation: o, team: t, models: [demo]}\n").await;
    let history = world.admin_get("/v1/history").await.expect(200).json();
    let items = history["items"].as_array().unwrap();
    assert_eq!(items[0]["previous_hash"], items[1]["hash"]);
    assert_eq!(items[0]["message"], "a test");
    assert!(items[0]["author"].as_str().is_some_and(|author| !author.is_empty()));
    assert!(items[0]["time_ms"].as_u64().is_some_and(|time| time > 1_700_000_000_000));
    assert_eq!(world.admin_get("/v1/verify").await.expect(200).json()["intact"], true);
}

#[tokio::test]
async fn every_admin_call_is_authenticated() {
    let world = World::open().await;
    let paths =
        world.admin_get("/openapi.json").await.expect(200).json()["paths"].as_object().unwrap().clone();
    assert!(paths.len() >= 10, "{}", paths.len());
    for (path, methods) in paths.iter().filter(|(path, _)| path.starts_with("/v1/")) {
        let url = format!("{}{}", world.admin(), path.replace(['{', '}'], ""));
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            let method: http::Method = method.to_uppercase().parse().unwrap();
            for headers in [&[][..], &[("authorization", "Bearer fda_wrong")]] {
                let reply = world.http.send(method.clone(), &url, headers, bytes::Bytes::new()).await;
                assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text());
            }
        }
    }
}

#[tokio::test]
async fn twenty_thousand_resources_are_one_change_and_reach_the_proxy() {
    let world = World::open().await;
    let documents: Vec<Value> = (0..20_000)
        .map(|number| {
            json!({"kind": "Consumer", "name": format!("app-{number}"),
                "spec": {"organisation": "o", "team": format!("team-{}", number % 100), "models": ["demo"]}})
        })
        .collect();
    let body = json!({"message": "many", "documents": documents});
    let version =
        world.admin_post("/v1/changes", &body).await.expect(200).json()["version"].as_u64().unwrap();
    world.enforced(version).await;
    let key = world.key("app-19999").await;
    world.chat(&key, "demo").await.expect(200);
}

#[tokio::test]
async fn every_example_is_accepted_as_it_stands() {
    let examples = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
    let mut tried = 0;
    for path in frontdoor_tests::files(examples) {
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let world = World::without_policy(None, 0).await;
            let reply = world.try_apply(&std::fs::read_to_string(&path).unwrap()).await;
            assert_eq!(reply.status, 200, "{}: {}", path.display(), reply.text());
            tried += 1;
        }
    }
    assert!(tried >= 3, "{tried}");
}
