//! Which SDK works with which provider behind the proxy, feature by feature: every cell of `docs/compatibility.md` is what a call
//! just gave. `make compatibility` writes the document; the test here compares.

mod providers;
mod table;

use std::{path::PathBuf, process::Stdio};

use frontdoor_tests::World;
use providers::{Behind, providers};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

/// One process that runs callers, all of them in one interpreter.
#[derive(Debug, Clone, Copy)]
enum Worker {
    /// An environment of `scripts/setup test`, and the modules of `tests/sdk/matrix` to run in it.
    Python(&'static str, &'static [&'static str]),
    Node,
}

const WORKERS: [Worker; 5] = [
    Worker::Python(
        "current",
        &[
            "openai_chat",
            "openai_responses",
            "anthropic_messages",
            "google_genai",
            "bedrock_runtime",
            "instructor_clients",
        ],
    ),
    Worker::Node,
    Worker::Python("frameworks", &["langchain_models", "pydantic_ai_models"]),
    Worker::Python("llama_index", &["llama_index_models"]),
    Worker::Python("previous", &["openai_chat", "openai_responses", "anthropic_messages"]),
];

/// What the callers try, in the order of the table's rows.
const FEATURES: &str = include_str!("../../sdk/matrix/features.json");

/// What came of one cell.
#[derive(Debug, Clone)]
struct Cell {
    caller: String,
    provider: String,
    feature: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Yes,
    /// Refused before the provider was asked, with this field named.
    Refused(String),
    /// Why it is not so.
    No(String),
}

#[derive(Debug, Clone)]
struct Feature {
    id: String,
    title: String,
    /// The fields that a refusal may name.
    fields: Vec<String>,
}

fn features() -> Vec<Feature> {
    let told: Vec<Value> = serde_json::from_str(FEATURES).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fields =
        |one: &Value| one["fields"].as_array().map_or(Vec::new(), |all| all.iter().map(text).collect());
    told.iter()
        .map(|one| Feature { id: text(&one["id"]), title: text(&one["title"]), fields: fields(one) })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_published_table_of_compatibility_is_what_a_run_gives() {
    let features = features();
    let [a, b, c, d, e] = WORKERS.map(|worker| run(worker, &features));
    let (a, b, c, d, e) = tokio::join!(a, b, c, d, e);
    let cells = [a, b, c, d, e].concat();
    let document = table::document(&cells, &features, &providers());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    if is_to_be_written() {
        std::fs::write(&path, &document).unwrap();
        println!("{document}");
        return;
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    let different = table::differences(&published, &document);
    assert!(
        different.is_empty(),
        "docs/compatibility.md differs from this run; `make compatibility` writes it anew. Each cell with what was seen: {}\n{different}",
        log().display()
    );
}

#[expect(clippy::disallowed_methods, reason = "a test has no settings.rs")]
fn is_to_be_written() -> bool {
    std::env::var_os("FRONTDOOR_COMPATIBILITY").is_some()
}

/// Where each cell is written down with what was seen, one JSON line each.
fn log() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compatibility");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Runs one worker's callers in a world of their own, because they script the simulator and read its ledger.
async fn run(worker: Worker, features: &[Feature]) -> Vec<Cell> {
    let world = World::without_policy(None, 1).await;
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(world.directory.path().join("authority.pem"), authority.cert.pem()).unwrap();
    let served = serve(&world).await;
    let told = json!({
        "proxy": world.url(),
        "simulator": world.simulator_url(),
        "providers": served,
        "features": features.iter().map(|feature| feature.id.as_str()).collect::<Vec<_>>(),
    });
    let mut command = command(worker);
    command.env_remove("HTTP_PROXY").env_remove("http_proxy").env("NO_PROXY", "127.0.0.1");
    // Python's libraries read every authority that the machine trusts for each client they make: 50 ms that nobody needs here.
    command.env("SSL_CERT_FILE", world.directory.path().join("authority.pem"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(told.to_string().as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{worker:?}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let name = format!("{worker:?}").replace(|c: char| !c.is_alphanumeric(), "-");
    std::fs::write(log().join(format!("{name}.jsonl")), &lines).unwrap();
    lines.lines().map(|line| cell(line, features)).collect()
}

fn command(worker: Worker) -> Command {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let (program, script, arguments) = match worker {
        Worker::Python(set, modules) => {
            (here.join(".venv").join(set).join("bin/python"), here.join("sdk/matrix/worker.py"), modules)
        }
        Worker::Node => (PathBuf::from("node"), here.join("sdk/node/worker.mjs"), &[][..]),
    };
    let is_there = script.exists() && (program.is_relative() || program.exists());
    assert!(is_there, "{} is missing: `make test` makes it (scripts/setup test)", program.display());
    let mut command = Command::new(program);
    command.arg(script).args(arguments);
    command
}

fn cell(line: &str, features: &[Feature]) -> Cell {
    let told: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let feature = features.iter().find(|feature| told["feature"] == *feature.id).unwrap();
    let detail = text("detail");
    let is_named = || feature.fields.iter().any(|field| detail.contains(field.as_str()));
    let outcome = match told["outcome"].as_str() {
        Some("yes") => Outcome::Yes,
        Some("refused") if is_named() => Outcome::Refused(detail),
        Some("refused") => Outcome::No(format!("refused for `{detail}`, which is not what was asked")),
        _ => Outcome::No(detail),
    };
    Cell { caller: text("caller"), provider: text("provider"), feature: feature.id.clone(), outcome }
}

/// Applies what is needed for each provider, and makes a key for each by which routing tells them apart: the application's
/// calls are the same whoever serves it.
async fn serve(world: &World) -> Vec<Value> {
    let all = providers();
    let documents: Vec<String> = all.iter().map(Behind::documents).collect();
    let routing = providers::routing(&all);
    let version = world.apply(&format!("{}---\n{routing}", documents.join("---\n"))).await;
    world.enforced(version).await;
    let mut told = Vec::new();
    for provider in all {
        let key = world.key(&format!("on-{}", provider.name)).await;
        told.push(provider.told(&key));
    }
    told
}
