//! Reading: resources with their tags, lists at one version, the history and what it proves.

use http::Method;
use serde_json::{Value, json};

use super::world::{World, consumer, model, path_of, provider};

#[tokio::test]
async fn a_resource_comes_back_as_it_was_sent_and_its_tag_saves_reading_it_again() {
    let world = World::with_policy().await;
    let mut document = consumer("labelled");
    document["labels"] = json!({"env": "prod"});
    let put = world.put(&document).await.expect_status(201);
    let read = world.get(&path_of(&document)).await.expect_status(200);
    assert_eq!(read.json(), document);
    assert_eq!(read.header("etag"), put.header("etag"));
    let known = world.call(Method::GET, &path_of(&document)).header("if-none-match", &read.header("etag"));
    let known = known.send().await.expect_status(304);
    assert!(known.bytes.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_list_stays_at_its_version_while_others_write() {
    let world = World::start().await;
    let documents: Vec<Value> = (0..25).map(|n| provider(&format!("p{n:02}"))).collect();
    world.change(&documents).await.expect_status(200);

    let mut names = Vec::new();
    let mut path = "/v1/resources?kind=Provider&limit=10".to_owned();
    loop {
        let page = world.get(&path).await.expect_status(200).json();
        assert_eq!(page["version"], 1, "{page}");
        names.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        // Between the pages one provider goes and another comes, both ahead of the reader.
        let first = names.len() == 10;
        let body = if first {
            json!({"documents": [provider("p12x")], "delete": [{"kind": "Provider", "name": "p24"}]})
        } else {
            json!({"documents": [provider(&format!("q{}", names.len()))]})
        };
        world.call(Method::POST, "/v1/changes").json(&body).send().await.expect_status(200);
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/resources?kind=Provider&limit=10&cursor={next}"),
            None => break,
        }
    }
    let wanted: Vec<String> = (0..25).map(|n| format!("p{n:02}")).collect();
    assert_eq!(names, wanted);
    world.stop().await;
}

#[tokio::test]
async fn a_cursor_of_another_list_or_of_nobody_is_refused() {
    let world = World::with_policy().await;
    let page = world.get("/v1/resources?kind=Model&limit=1").await.json();
    let next = page["next"].as_str().unwrap();
    let other = world.get(&format!("/v1/resources?kind=Provider&cursor={next}")).await;
    other.expect_problem(400, "invalid_cursor");
    for cursor in ["x", "e30", "%00"] {
        let reply = world.get(&format!("/v1/resources?cursor={cursor}")).await;
        reply.expect_problem(400, "invalid_cursor");
    }
    for limit in ["0", "1001"] {
        world.get(&format!("/v1/resources?limit={limit}")).await.expect_problem(400, "invalid_query");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_list_is_narrowed_by_kind_and_labels() {
    let world = World::with_policy().await;
    for (name, env) in [("a", "prod"), ("b", "prod"), ("c", "test")] {
        let mut document = consumer(name);
        document["labels"] = json!({"env": env, "tier": name});
        world.put(&document).await.expect_status(201);
    }
    for (query, wanted) in [
        ("kind=consumers&label=env=prod", vec!["a", "b"]),
        ("label=env%3Dprod,tier%3Db", vec!["b"]),
        ("kind=Consumer&label=tier", vec!["a", "b", "c"]),
        ("kind=Model", vec!["large", "small"]),
        ("label=env=none", vec![]),
    ] {
        let list = world.get(&format!("/v1/resources?{query}")).await.expect_status(200).json();
        let names: Vec<_> =
            list["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
        assert_eq!(names, wanted, "{query}");
    }
    world.get("/v1/resources?label=,").await.expect_problem(400, "invalid_query");
    world.stop().await;
}

#[tokio::test]
async fn the_history_tells_who_changed_what_and_what_differs_between_any_two_versions() {
    let world = World::with_policy().await;
    let mut changed = consumer("chat");
    changed["spec"]["models"] = json!(["small"]);
    let body = json!({"message": "less for chat", "documents": [changed]});
    world.call(Method::POST, "/v1/changes").json(&body).send().await.expect_status(200);
    let delete = world.call(Method::DELETE, "/v1/resources/Model/large?message=unused").send().await;
    delete.expect_status(200);

    let history = world.get("/v1/history").await.json();
    let said: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|commit| (&commit["version"], &commit["message"]))
        .collect();
    assert_eq!(said[0], (&json!(3), &json!("unused")));
    assert_eq!(said[1], (&json!(2), &json!("less for chat")));
    assert_eq!(history["items"][1]["author"], "admin");
    assert_eq!(history["next"], Value::Null);

    let second = world.get("/v1/history/2").await.json();
    assert_eq!(second["commit"]["parent"], 1);
    let change = &second["changes"][0];
    assert_eq!((&change["op"], &change["resource"]["name"]), (&json!("updated"), &json!("chat")), "{change}");
    assert!(change["fields"][0]["path"].as_str().unwrap().starts_with("spec.models"), "{change}");

    let back = world.get("/v1/history/3/diff/1").await.json();
    let ops: Vec<_> = back["changes"].as_array().unwrap().iter().map(|change| change["op"].clone()).collect();
    assert_eq!(ops.len(), 2, "{back}");
    assert!(ops.contains(&json!("created")) && ops.contains(&json!("updated")));
    assert_eq!(world.get("/v1/history/2/diff/2").await.json()["changes"], json!([]));
    assert_eq!(world.get("/v1/history/0/diff/1").await.json()["changes"].as_array().unwrap().len(), 4);
    world.get("/v1/history/2/diff/9").await.expect_problem(404, "not_found");
    world.stop().await;
}

#[tokio::test]
async fn the_history_of_one_resource_is_found_page_by_page() {
    let world = World::with_policy().await;
    for n in 0..6 {
        let mut document = consumer(if n % 2 == 0 { "chat" } else { "other" });
        document["labels"] = json!({"n": n.to_string()});
        world.put(&document).await;
    }
    let mut versions = Vec::new();
    let mut path = "/v1/history?kind=Consumer&name=chat&limit=2".to_owned();
    loop {
        let page = world.get(&path).await.expect_status(200).json();
        versions
            .extend(page["items"].as_array().unwrap().iter().map(|item| item["version"].as_u64().unwrap()));
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/history?kind=Consumer&name=chat&limit=2&before={next}");
    }
    assert_eq!(versions, [6, 4, 2, 1]);
    world.stop().await;
}

#[tokio::test]
async fn the_chain_of_commits_is_verified_on_demand() {
    let world = World::with_policy().await;
    world.put(&model("more", "sim")).await.expect_status(201);
    let verified = world.get("/v1/verify").await.expect_status(200).json();
    assert_eq!((&verified["intact"], &verified["commits"]), (&json!(true), &json!(2)));
    assert_eq!(verified["tip"], world.get("/v1/history/2").await.json()["commit"]["hash"]);
    world.stop().await;
}

#[tokio::test]
async fn the_schema_of_every_kind_can_be_read() {
    let world = World::start().await;
    for kind in policy::Kind::ALL {
        let schema = world.get(&format!("/v1/schema/{kind}")).await.expect_status(200).json();
        assert_eq!(schema["title"], kind.to_string());
    }
    world.get("/v1/schema/Cake").await.expect_problem(400, "unknown_kind");
    world.stop().await;
}

#[tokio::test]
async fn usage_without_calls_is_an_empty_list() {
    let world = World::start().await;
    let usage = world.get("/v1/usage?by=team,model&since=24h").await.expect_status(200).json();
    assert_eq!(usage, json!({"rows": []}));
    world.stop().await;
}
