//! Answers that real providers gave, replayed through the proxy: the official SDK of every dialect reads the same out of them.

use std::{path::PathBuf, process::Stdio};

use frontdoor_tests::World;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

/// One application per dialect; `replayed` is served by a provider that speaks it.
fn policy(port: &str, dialects: &[&str]) -> String {
    let address = format!("http://127.0.0.1:{port}");
    let mut rules = String::new();
    let mut documents = String::new();
    for dialect in dialects {
        let base_url = match *dialect {
            "openai" | "responses" => format!("{address}/v1"),
            _ => address.clone(),
        };
        let more = match *dialect {
            "bedrock" => ", aws: {region: eu-west-1}",
            // What was recorded of it are chat completions.
            "openai" => ", quirks: {responses: translate}",
            _ => "",
        };
        let target = format!("{{provider: {dialect}, prices: {{input: 1, output: 2}}}}");
        documents += &format!(
            "kind: Provider\nname: {dialect}\nspec: {{dialect: {dialect}, base_url: '{base_url}'{more}}}\n---\n\
             kind: Model\nname: from-{dialect}\nspec: {{targets: [{target}], max_output_tokens: 8000}}\n---\n\
             kind: Consumer\nname: {dialect}\nspec: {{organisation: example, team: replay, models: ['*']}}\n---\n"
        );
        rules += &format!(
            "    - {{name: {dialect}, when: 'caller.application == \"{dialect}\"', targets: [{{model: from-{dialect}}}]}}\n"
        );
    }
    let target = "{provider: openai, prices: {input: 1, output: 2}}";
    documents
        + &format!(
            "kind: Model\nname: replayed\nspec: {{targets: [{target}], max_output_tokens: 8000}}\n---\n"
        )
        + &format!("kind: Route\nname: replay\nspec:\n  models: [replayed]\n  rules:\n{rules}")
}

const DIALECTS: [&str; 6] = ["openai", "responses", "anthropic", "gemini", "bedrock", "cohere"];

/// Directories of recordings: ours, and one more in `FRONTDOOR_RECORDINGS`.
#[expect(clippy::disallowed_methods, reason = "a test has no settings.rs")]
fn directories() -> Vec<PathBuf> {
    let ours = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/dialect/tests/recordings");
    let more = std::env::var_os("FRONTDOOR_RECORDINGS").map(PathBuf::from);
    std::iter::once(ours).chain(more).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sdk_reads_what_a_recorded_answer_says_whoever_gave_it() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join(".venv/current/bin/python");
    assert!(python.exists(), "{} is missing: `make test` makes it (scripts/setup test)", python.display());
    let mut child = Command::new(python)
        .arg(here.join("sdk/matrix/replay.py"))
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut port = String::new();
    output.read_line(&mut port).await.unwrap();

    let world = World::with_policy(&policy(port.trim(), &DIALECTS)).await;
    let mut keys = json!({});
    for dialect in DIALECTS {
        keys[dialect] = world.key(dialect).await.into();
    }
    let told = json!({"proxy": world.url(), "keys": keys, "directories": directories()});
    let mut input = child.stdin.take().unwrap();
    input.write_all(told.to_string().as_bytes()).await.unwrap();
    drop(input);
    let mut lines = String::new();
    output.read_to_string(&mut lines).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{lines}");

    let cells: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::fs::write(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("recordings.jsonl"), &lines).unwrap();
    let wrong: Vec<String> =
        cells.iter().filter(|cell| cell["outcome"] == "different").map(Value::to_string).collect();
    assert!(cells.len() > 100, "only {} recordings were read", cells.len());
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}
