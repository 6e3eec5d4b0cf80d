//! The official SDKs, unmodified, current and previous major versions, in environments that `make test` makes.

use std::{path::PathBuf, process::Stdio};

use frontdoor_tests::World;
use tokio::process::Command;

fn python(set: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv").join(set).join("bin/python");
    assert!(path.exists(), "{} is missing: `make test` makes it (scripts/setup test)", path.display());
    path
}

async fn passes(set: &str, script: &str, arguments: &[&str]) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sdk").join(script);
    let output = Command::new(python(set))
        .arg(script)
        .args(arguments)
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .await
        .expect("python runs");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn openai(set: &str) {
    let world = World::open().await;
    let key = world.key("first-app").await;
    let base_url = format!("{}/v1", world.url());
    passes(set, "openai_calls.py", &[&base_url, &key, "sim-gpt", "sim-claude", "demo"]).await;
}

async fn anthropic(set: &str) {
    let world = World::open().await;
    let key = world.key("first-app").await;
    passes(set, "anthropic_calls.py", &[&world.url(), &key, "sim-claude", "sim-gpt", "demo"]).await;
}

#[tokio::test]
async fn the_openai_sdk_works_unmodified_whoever_serves_the_model() {
    openai("current").await;
}

#[tokio::test]
async fn the_previous_openai_sdk_works_unmodified_whoever_serves_the_model() {
    openai("previous").await;
}

#[tokio::test]
async fn the_anthropic_sdk_works_unmodified_whoever_serves_the_model() {
    anthropic("current").await;
}

#[tokio::test]
async fn the_previous_anthropic_sdk_works_unmodified_whoever_serves_the_model() {
    anthropic("previous").await;
}
