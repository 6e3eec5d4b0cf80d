//! What a new user does: `frontdoor up`, the printed call, the verbs.

use std::{path::Path, process::Output};

use frontdoor_tests::{Frontdoor, Http, child::ANY_PORT, run_cli};
use serde_json::{Value, json};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_frontdoor-under-test"))
}

/// A verb against this `up`, and its JSON answer.
fn verb(up: &Frontdoor, data: &Path, arguments: &[&str]) -> Value {
    let output = raw_verb(up, data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stdout)))
}

fn raw_verb(up: &Frontdoor, data: &Path, arguments: &[&str]) -> Output {
    let admin = up.text("/admin");
    let data = data.to_str().unwrap();
    let common = ["--server", &admin, "--data", data, "-o", "json"];
    run_cli(program(), arguments.iter().copied().chain(common))
}

/// Any port for everything but the simulator, whose address the starter policy remembers.
fn ports() -> Vec<String> {
    let simulator = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut arguments: Vec<String> = ANY_PORT.iter().map(|argument| (*argument).to_owned()).collect();
    *arguments.last_mut().unwrap() = simulator.to_string();
    arguments
}

async fn chat(up: &Frontdoor, model: &str) -> frontdoor_tests::Reply {
    let bearer = format!("Bearer {}", up.key());
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
    Http::default()
        .post(&format!("{}/v1/chat/completions", up.proxy()), &[("authorization", &bearer)], &body)
        .await
}

#[tokio::test]
async fn up_prints_a_key_that_works_and_the_next_up_goes_on_with_it() {
    let ports = ports();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let first = Frontdoor::up(program(), &data, &ports).unwrap();
    let answer = chat(&first, "demo").await.expect(200);
    assert_eq!(answer.header("x-frontdoor-provider"), "sim-openai");
    let key = first.key();
    assert_eq!(first.stop(), Some(0), "SIGTERM drains and ends well");

    let second = Frontdoor::up(program(), &data, &ports).unwrap();
    assert_eq!(second.key(), key, "the key of the first time still works");
    chat(&second, "demo").await.expect(200);
}

#[tokio::test]
async fn up_goes_on_after_being_killed() {
    let ports = ports();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let mut first = Frontdoor::up(program(), &data, &ports).unwrap();
    chat(&first, "demo").await.expect(200);
    first.kill();
    let second = Frontdoor::up(program(), &data, &ports).unwrap();
    chat(&second, "demo").await.expect(200);
    let versions = verb(&second, &data, &["history"]);
    assert_eq!(
        versions["items"].as_array().unwrap().len(),
        2,
        "the policy and the key, once each: {versions}"
    );
}

#[tokio::test]
async fn every_verb_answers() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let up = Frontdoor::up(program(), &data, ANY_PORT.iter().copied().chain(["--proxies", "2"])).unwrap();
    let answer = chat(&up, "demo").await.expect(200);
    let id = answer.header("x-frontdoor-request-id").to_owned();

    let fleet = verb(&up, &data, &["fleet"]);
    assert_eq!(fleet["items"].as_array().unwrap().len(), 2, "{fleet}");
    assert!(
        fleet["items"].as_array().unwrap().iter().all(|proxy| proxy["version"] == fleet["head"]),
        "{fleet}"
    );

    let change = directory.path().join("change.yaml");
    std::fs::write(
        &change,
        "kind: Consumer\nname: second-app\nspec: {organisation: example, team: b, models: [demo]}\n",
    )
    .unwrap();
    let change = change.to_str().unwrap();
    let preview = verb(&up, &data, &["apply", "-f", change, "--dry-run"]);
    assert_eq!(preview["changes"].as_array().unwrap().len(), 1, "{preview}");
    let before = verb(&up, &data, &["history"])["items"][0]["version"].as_u64().unwrap();
    let difference = verb(&up, &data, &["diff", "-f", change]);
    assert_eq!(difference["changes"][0]["op"], "created", "{difference}");
    let applied = verb(&up, &data, &["apply", "-f", change, "-m", "add an application"]);
    assert_eq!(applied["version"], before + 1);
    assert_eq!(verb(&up, &data, &["history"])["items"][0]["message"], "add an application");
    assert_eq!(
        verb(&up, &data, &["history", "consumer", "second-app"])["items"].as_array().unwrap().len(),
        1
    );
    verb(&up, &data, &["show", &(before + 1).to_string()]);
    let difference = verb(&up, &data, &["diff", &before.to_string(), &(before + 1).to_string()]);
    assert_eq!(difference["changes"].as_array().unwrap().len(), 1, "{difference}");
    assert_eq!(verb(&up, &data, &["get", "consumer", "second-app"])["name"], "second-app");
    assert_eq!(verb(&up, &data, &["get", "consumer"])["items"].as_array().unwrap().len(), 2);

    let made = verb(&up, &data, &["key", "create", "second-app", "--note", "for a test"]);
    assert!(made["key"].as_str().unwrap().starts_with("fd_"));
    let listed = verb(&up, &data, &["key", "list"]);
    assert!(!listed.to_string().contains(made["key"].as_str().unwrap()), "a key is shown once");
    verb(&up, &data, &["key", "revoke", made["id"].as_str().unwrap()]);
    // An application goes only after its keys, so that no key is left to nobody.
    assert_eq!(raw_verb(&up, &data, &["delete", "consumer", "second-app"]).status.code(), Some(1));
    verb(&up, &data, &["delete", "key", made["id"].as_str().unwrap()]);
    verb(&up, &data, &["delete", "consumer", "second-app"]);
    let rolled = verb(&up, &data, &["rollback", &before.to_string(), "-m", "back"]);
    assert!(rolled["version"].as_u64().unwrap() > before + 1, "a rollback is a new, higher version");

    let record = frontdoor_tests::eventually("the record", || async {
        let output = raw_verb(&up, &data, &["explain", &id]);
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    });
    let record: Value = serde_json::from_slice(&record.await).unwrap();
    assert_eq!(record["served"]["provider"], "sim-openai", "{record}");
    let usage = verb(&up, &data, &["usage", "--by", "team,model", "--since", "1h"]);
    assert_eq!(usage["rows"][0]["calls"], 1, "{usage}");
    assert_eq!(verb(&up, &data, &["audit", "verify"])["intact"], true);
    assert!(verb(&up, &data, &["schema", "route"]).is_object());
}

#[tokio::test]
async fn an_exported_history_verifies_offline_and_a_changed_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let up = Frontdoor::up(program(), &data, ANY_PORT).unwrap();
    let exported = raw_verb(&up, &data, &["audit", "export"]);
    assert!(exported.status.success());
    let export = directory.path().join("history.jsonl");
    std::fs::write(&export, &exported.stdout).unwrap();
    let verified = run_cli(program(), ["audit", "verify", export.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));

    let changed = String::from_utf8(exported.stdout).unwrap().replacen("starter policy", "other policy", 1);
    std::fs::write(&export, changed).unwrap();
    let verified = run_cli(program(), ["audit", "verify", export.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&verified.stderr).contains("broken at version 1"));
}

#[tokio::test]
async fn a_list_is_told_to_its_end_however_many_pages_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let up = Frontdoor::up(program(), &data, ANY_PORT).unwrap();
    let made = verb(&up, &data, &["key", "create", "first-app"]);
    let key = verb(&up, &data, &["get", "key", made["id"].as_str().unwrap()]);
    let keys = (0..1_100).map(|number| {
        let mut key = key.clone();
        key["name"] = json!(format!("k_{number:016x}"));
        key["spec"]["hash"] = json!(format!("{number:064x}"));
        key.to_string()
    });
    let many = directory.path().join("keys.yaml");
    std::fs::write(&many, keys.collect::<Vec<_>>().join("\n---\n")).unwrap();
    verb(&up, &data, &["apply", "-f", many.to_str().unwrap()]);
    assert_eq!(verb(&up, &data, &["key", "list"])["items"].as_array().unwrap().len(), 1_102);
    assert_eq!(verb(&up, &data, &["get", "key"])["items"].as_array().unwrap().len(), 1_102);
    let count =
        |limit: &str| verb(&up, &data, &["history", "--limit", limit])["items"].as_array().unwrap().len();
    assert_eq!((count("600"), count("1")), (4, 1));
}

#[tokio::test]
async fn tables_are_plain_text_when_nobody_looks_at_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let up = Frontdoor::up(program(), &data, ANY_PORT).unwrap();
    let admin = up.text("/admin");
    for arguments in
        [&["fleet"][..], &["history"], &["usage"], &["key", "list"], &["get", "model"], &["show", "1"]]
    {
        let output = run_cli(
            program(),
            arguments.iter().copied().chain(["--server", &admin, "--data", data.to_str().unwrap()]),
        );
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.is_empty(), "{arguments:?}");
        assert!(!text.contains('\x1b'), "{arguments:?}: {text}");
    }
}

#[test]
fn exit_status_2_is_a_usage_error_and_3_an_unreachable_control_plane() {
    assert_eq!(run_cli(program(), ["no-such-verb"]).status.code(), Some(2));
    let unreachable = run_cli(program(), ["fleet", "--server", "http://127.0.0.1:9", "--token", "t"]);
    assert_eq!(unreachable.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&unreachable.stderr)
            .contains("no control plane answers at http://127.0.0.1:9")
    );
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run_cli(program(), ["completions", shell]);
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("rollback"),
            "{shell}"
        );
    }
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--ops-listen", "--admin-listen", "--grpc-listen", "--simulator-listen"] {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = ANY_PORT.map(str::to_owned);
        let position = arguments.iter().position(|argument| argument == flag).unwrap();
        arguments[position + 1].clone_from(&address);
        let error = Frontdoor::up(program(), &directory.path().join("state"), arguments).unwrap_err();
        assert!(error.contains(&address) && error.contains("listen"), "{flag}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

#[test]
fn an_unwritable_data_directory_is_named_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let error = Frontdoor::up(program(), &file.join("state"), ANY_PORT).unwrap_err();
    assert!(error.contains("a-file") && error.contains("--data"), "{error}");
}

#[tokio::test]
async fn up_with_a_policy_uses_only_that_one() {
    let directory = tempfile::tempdir().unwrap();
    let (data, policy) = (directory.path().join("state"), directory.path().join("policy.yaml"));
    let first = Frontdoor::up(program(), &data, ANY_PORT).unwrap();
    assert_eq!(first.stop(), Some(0));
    std::fs::write(&policy, "kind: Consumer\nname: only\nspec: {organisation: o, team: t, models: ['*']}\n")
        .unwrap();
    let policy = policy.to_str().unwrap();
    let second =
        Frontdoor::up(program(), &data, ANY_PORT.iter().copied().chain(["--policy", policy])).unwrap();
    assert_eq!(verb(&second, &data, &["get", "consumer"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(verb(&second, &data, &["get", "model"])["items"], json!([]));
    chat(&second, "demo").await.expect(404);
}
