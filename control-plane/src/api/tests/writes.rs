//! Writing: one atomic change at a time, checked as a whole, recorded, and safe to repeat.

use http::Method;
use serde_json::{Value, json};

use super::world::{World, consumer, model, path_of, provider, route};

#[tokio::test]
async fn a_change_answers_with_its_version_commit_and_difference() {
    let world = World::start().await;
    let body = json!({"message": "first", "documents": [provider("sim"), model("small", "sim")]});
    let done = world.call(Method::POST, "/v1/changes").json(&body).send().await.expect_status(200).json();
    assert_eq!(done["version"], 1);
    assert_eq!((&done["dry_run"], &done["committed"]), (&json!(false), &json!(true)));
    assert_eq!(done["groups"], json!(["default"]));
    assert_eq!(done["changes"].as_array().unwrap().len(), 2);
    let commit = world.get("/v1/history/1").await.json()["commit"].clone();
    assert_eq!((&commit["commit_id"], &commit["message"]), (&done["commit_id"], &json!("first")));
    world.stop().await;
}

#[tokio::test]
async fn a_dry_run_tells_what_would_happen_and_writes_nothing() {
    let world = World::with_policy().await;
    let body = json!({"documents": [model("more", "sim")]});
    let call = world.call(Method::POST, "/v1/changes?dry_run=true");
    let done = call.json(&body).send().await.expect_status(200).json();
    assert_eq!(
        (&done["dry_run"], &done["committed"], &done["version"]),
        (&json!(true), &json!(false), &json!(1))
    );
    assert_eq!(done["changes"][0]["op"], "created");
    let refused = world.call(Method::POST, "/v1/changes?dry_run=true");
    refused.json(&json!({"documents": [model("more", "nobody")]})).send().await.expect_refused(&["nobody"]);
    assert_eq!(world.get("/v1/history").await.json()["items"].as_array().unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_change_without_effect_makes_no_version_and_says_so() {
    let world = World::with_policy().await;
    let done = world.change(&[provider("sim")]).await.expect_status(200).json();
    assert_eq!((&done["version"], &done["committed"]), (&json!(1), &json!(false)));
    assert_eq!(done["changes"], json!([]));
    assert_eq!(done["warnings"][0]["code"], "no_effect");
    assert_eq!(world.get("/v1/history").await.json()["items"].as_array().unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_policy_is_refused_with_every_reason_and_changes_nothing() {
    let world = World::with_policy().await;
    let mut unknown = consumer("a");
    unknown["spec"]["modles"] = json!(["*"]);
    world.change(&[unknown.clone()]).await.expect_refused(&["Consumer/a", "modles"]);
    let mut wrong = model("a", "sim");
    wrong["spec"]["targets"][0]["weight"] = json!("heavy");
    world.change(&[wrong.clone()]).await.expect_refused(&["weight"]);
    world.change(&[model("a", "nobody")]).await.expect_refused(&["Model/a", "nobody"]);
    world.change(&[route("r", "caller.team ==")]).await.expect_refused(&["Route/r", "when"]);
    world.change(&[route("r", "'text'")]).await.expect_refused(&["Route/r", "when"]);
    world.change(&[consumer("a"), consumer("a")]).await.expect_refused(&["duplicate", "Consumer/a"]);
    world.change(&[json!({"kind": "Cake", "name": "a", "spec": {}})]).await.expect_refused(&["Cake"]);

    // One good document does not save the others, and all reasons are told at once.
    let problem =
        world.change(&[consumer("good"), unknown, wrong]).await.expect_refused(&["documents[1]", "modles"]);
    assert!(problem.to_string().contains("documents[2]"), "{problem}");
    world.get("/v1/resources/Consumer/good").await.expect_problem(404, "not_found");

    // Somebody still needs it.
    let delete = world.call(Method::DELETE, "/v1/resources/Provider/sim").send().await;
    delete.expect_refused(&["sim"]);
    let twice = json!({"documents": [consumer("a")], "delete": [{"kind": "Consumer", "name": "a"}]});
    world.call(Method::POST, "/v1/changes").json(&twice).send().await.expect_refused(&["more than once"]);
    let absent = json!({"delete": [{"kind": "Consumer", "name": "nobody"}]});
    world.call(Method::POST, "/v1/changes").json(&absent).send().await.expect_refused(&["Consumer/nobody"]);
    assert_eq!(world.get("/v1/history").await.json()["items"].as_array().unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn yaml_is_taken_too_and_its_mistakes_are_told_by_line() {
    let world = World::with_policy().await;
    let good = "kind: Model\nname: y1\nspec:\n  targets:\n    - provider: sim\n---\nkind: Model\nname: y2\nspec:\n  targets:\n    - provider: sim\n";
    let call = world.call(Method::POST, "/v1/changes?message=from%20yaml");
    let done = call.body("application/yaml", good).send().await.expect_status(200).json();
    assert_eq!(done["changes"].as_array().unwrap().len(), 2);
    assert_eq!(world.get("/v1/history/2").await.json()["commit"]["message"], "from yaml");
    let bad = good.replace("provider: sim", "provider: nobody").replace("y1", "y3").replace("y2", "y4");
    let refused = world.call(Method::POST, "/v1/changes").body("application/yaml", bad).send().await;
    refused.expect_refused(&["nobody", "body:5"]);
    let single = "kind: Consumer\nname: c\nspec: {organisation: o, team: t, models: ['*']}\n";
    let put =
        world.call(Method::PUT, "/v1/resources/Consumer/c").body("application/yaml", single).send().await;
    put.expect_status(201);
    let several =
        world.call(Method::PUT, "/v1/resources/Consumer/c").body("application/yaml", good).send().await;
    several.expect_problem(400, "one_document");
    world.stop().await;
}

#[tokio::test]
async fn a_write_under_a_condition_that_no_longer_holds_is_refused() {
    let world = World::with_policy().await;
    let path = "/v1/resources/Consumer/chat";
    let tag = world.get(path).await.header("etag");
    let mut changed = consumer("chat");
    changed["spec"]["team"] = json!("sales");
    let put = |document: Value, name: &'static str, value: String| {
        world.call(Method::PUT, &path_of(&document)).header(name, &value).json(&document).send()
    };
    let first = put(changed.clone(), "if-match", tag.clone()).await.expect_status(200);
    let stale = put(consumer("chat"), "if-match", tag.clone()).await;
    let problem = stale.expect_problem(412, "precondition_failed");
    assert!(
        problem["detail"].as_str().unwrap().contains(first.header("etag").trim_matches('"')),
        "{problem}"
    );
    put(changed.clone(), "if-none-match", "*".to_owned()).await.expect_problem(412, "precondition_failed");
    put(consumer("new"), "if-match", "*".to_owned()).await.expect_problem(412, "precondition_failed");
    put(consumer("new"), "if-none-match", "*".to_owned()).await.expect_status(201);
    put(changed.clone(), "if-match", "yesterday".to_owned()).await.expect_problem(400, "invalid_etag");
    let stale = world.call(Method::DELETE, path).header("if-match", &tag).send().await;
    stale.expect_problem(412, "precondition_failed");
    let fresh = world.call(Method::DELETE, path).header("if-match", &first.header("etag")).send().await;
    fresh.expect_status(200);
    world.stop().await;
}

#[tokio::test]
async fn a_document_under_another_name_is_refused() {
    let world = World::with_policy().await;
    let call = world.call(Method::PUT, "/v1/resources/Model/other");
    call.json(&model("small", "sim")).send().await.expect_refused(&["Model/other", "Model/small"]);
    world.stop().await;
}

#[tokio::test]
async fn repeating_a_change_with_its_key_answers_the_same_and_does_nothing_again() {
    let world = World::with_policy().await;
    let body = json!({"message": "once", "documents": [model("more", "sim")]});
    let send = |body: Value, key: &'static str| {
        world.call(Method::POST, "/v1/changes").header("idempotency-key", key).json(&body).send()
    };
    let first = send(body.clone(), "k1").await.expect_status(200);
    let undone = world.call(Method::DELETE, "/v1/resources/Model/more").send().await;
    undone.expect_status(200);
    let second = send(body.clone(), "k1").await.expect_status(200);
    assert_eq!(first.json(), second.json());
    assert_eq!(second.header("idempotent-replayed"), "true");
    world.get("/v1/resources/Model/more").await.expect_problem(404, "not_found");

    let other = json!({"documents": [model("less", "sim")]});
    send(other, "k1").await.expect_problem(422, "idempotency_key_reused");

    // A change without effect is remembered as well: later, the same request would have one.
    let nothing = json!({"documents": [model("small", "sim")]});
    let kept = send(nothing.clone(), "k2").await.expect_status(200);
    let mut changed = model("small", "sim");
    changed["labels"] = json!({"a": "b"});
    world.put(&changed).await.expect_status(200);
    assert_eq!(send(nothing, "k2").await.expect_status(200).json(), kept.json());
    assert_eq!(world.get("/v1/resources/Model/small").await.json(), changed);

    // What was refused may be tried again.
    let refused = json!({"documents": [model("late", "later")]});
    send(refused.clone(), "k3").await.expect_refused(&["later"]);
    world.put(&provider("later")).await.expect_status(201);
    send(refused, "k3").await.expect_status(200);
    world.stop().await;
}

#[tokio::test]
async fn a_rollback_is_a_new_version_with_the_older_content() {
    let world = World::with_policy().await;
    let mut changed = consumer("chat");
    changed["spec"]["team"] = json!("sales");
    let body =
        json!({"documents": [changed, model("more", "sim")], "delete": [{"kind": "Model", "name": "large"}]});
    world.call(Method::POST, "/v1/changes").json(&body).send().await.expect_status(200);
    let call = world.call(Method::POST, "/v1/rollback");
    let done = call.json(&json!({"version": 1, "message": "undo"})).send().await.expect_status(200).json();
    assert_eq!(done["version"], 3);
    assert_eq!(world.get("/v1/history/1/diff/3").await.json()["changes"], json!([]));
    assert_eq!(world.get("/v1/history/3").await.json()["commit"]["message"], "undo");
    let none = world.call(Method::POST, "/v1/rollback").json(&json!({"version": 9})).send().await;
    none.expect_problem(404, "not_found");
    let again = world.call(Method::POST, "/v1/rollback").json(&json!({"version": 1})).send().await;
    assert_eq!(again.expect_status(200).json()["committed"], false);
    world.stop().await;
}

#[tokio::test]
async fn a_rollback_makes_no_revoked_key_good_again_and_keeps_newer_ones() {
    let world = World::with_policy().await;
    let key = || world.call(Method::POST, "/v1/keys").json(&json!({"consumer": "chat"})).send();
    let old = key().await.expect_status(201).json();
    let version = old["version"].as_u64().unwrap();
    let revoke = format!("/v1/keys/{}", old["id"].as_str().unwrap());
    world.call(Method::DELETE, &revoke).send().await.expect_status(200);
    let new = key().await.expect_status(201).json();
    world.put(&model("more", "sim")).await.expect_status(201);

    let back = world.call(Method::POST, "/v1/rollback").json(&json!({"version": version})).send().await;
    back.expect_status(200);
    world.get("/v1/resources/Model/more").await.expect_problem(404, "not_found");
    let keys = world.get("/v1/keys").await.json();
    let is_revoked = |id: &Value| {
        keys["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["id"] == *id)
            .map(|key| key["revoked"].clone())
    };
    assert_eq!(is_revoked(&old["id"]), Some(json!(true)));
    assert_eq!(is_revoked(&new["id"]), Some(json!(false)));

    // Before the consumer there can be no key of it.
    let to_nothing = world.call(Method::POST, "/v1/rollback").json(&json!({"version": 0})).send().await;
    let done = to_nothing.expect_status(200).json();
    assert_eq!(
        done["warnings"].as_array().unwrap().iter().filter(|it| it["code"] == "key_deleted").count(),
        2
    );
    world.stop().await;
}

#[tokio::test]
async fn a_write_is_seen_by_the_next_read() {
    let world = World::with_policy().await;
    for n in 0..20 {
        let document = model(&format!("m{n}"), "sim");
        world.put(&document).await.expect_status(201);
        world.get(&path_of(&document)).await.expect_status(200);
    }
    world.stop().await;
}

#[tokio::test]
async fn twenty_thousand_resources_are_one_change() {
    let world = World::with_policy().await;
    let documents: Vec<Value> = (0..20_000).map(|n| model(&format!("model-{n:05}"), "sim")).collect();
    let done = world.change(&documents).await.expect_status(200).json();
    assert_eq!(done["version"], 2);
    assert_eq!(done["changes"].as_array().unwrap().len(), 20_000);
    let last = world.get("/v1/resources/Model/model-19999").await.expect_status(200);
    assert_eq!(last.json(), model("model-19999", "sim"));
    world.stop().await;
}

#[tokio::test]
async fn a_resource_no_group_selects_is_allowed_with_a_warning() {
    let world = World::with_policy().await;
    let group =
        json!({"kind": "Group", "name": "default", "spec": {"select": [{"kinds": ["Provider", "Model"]}]}});
    world.put(&group).await.expect_status(201);
    let done = world.put(&consumer("lonely")).await.expect_status(201).json();
    assert_eq!(done["warnings"][0]["code"], "not_selected", "{done}");
    world.stop().await;
}
