//! What the documents tell people to type works as it stands there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use cli::settings::Cli;
use frontdoor_tests::{Frontdoor, Http, child::ANY_PORT, run_cli};
use serde_json::{Value, json};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_frontdoor-under-test"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// README.md, CONTRIBUTING.md and everything in docs/, by name.
fn documents() -> Vec<(String, String)> {
    let inside = std::fs::read_dir(root().join("docs")).unwrap();
    let inside = inside.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    let names = inside.chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]);
    names.map(|name| (name.clone(), document(&name))).collect()
}

/// The code blocks of a document, each with what stands behind its fence.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    text.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap_or((block, ""))).collect()
}

/// Everything that a document tells to type after `frontdoor`: in a sentence or as a line of a code block.
fn commands(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let spans = prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
    let lines = blocks(text).into_iter().flat_map(|(_, block)| {
        let joined = block.replace("\\\n", " ");
        joined.lines().map(|line| line.trim_start_matches("$ ").to_owned()).collect::<Vec<_>>()
    });
    spans.chain(lines).filter_map(|line| line.strip_prefix("frontdoor ").map(str::to_owned)).collect()
}

/// The words of a command line. Double quotes keep words together.
fn words(line: &str) -> Vec<String> {
    line.split('"').enumerate().fold(Vec::new(), |mut words, (index, part)| {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
        words
    })
}

/// A shell would have taken these away or filled them in.
fn filled_in(line: &str) -> Vec<String> {
    let command = line.split(['>', '|']).next().unwrap().replace("KIND", "route");
    std::iter::once("frontdoor".to_owned()).chain(words(&command)).filter(|word| word != "…").collect()
}

#[test]
fn every_command_in_the_documents_is_one() {
    let mut tried = 0;
    for (name, text) in documents() {
        for line in commands(&text) {
            tried += 1;
            let Err(error) = Cli::try_parse_from(filled_in(&line)) else { continue };
            // A sentence may speak of a verb without saying what it takes.
            let is_mention = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            assert!(is_mention, "{name}: frontdoor {line}\n{error}");
        }
    }
    assert!(tried > 20, "{tried}");
}

/// All words of `text` that begin with `prefix` and go on with these characters.
fn named<'a>(text: &'a str, prefix: &'a str, goes_on: fn(char) -> bool) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).filter_map(move |(at, _)| {
        let (before, rest) = text.split_at(at);
        let word = rest.split(|character| !goes_on(character)).next()?;
        let is_whole = !before.ends_with(goes_on);
        (is_whole && word.len() > prefix.len()).then_some(word)
    })
}

#[test]
fn every_flag_and_variable_in_the_documents_exists() {
    let mut command = Cli::command();
    command.build();
    let arguments: Vec<_> = command
        .get_subcommands()
        .flat_map(|verb| std::iter::once(verb).chain(verb.get_subcommands()))
        .chain([&command])
        .flat_map(clap::Command::get_arguments)
        .collect();
    let flags: BTreeSet<String> =
        arguments.iter().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect();
    let variables: BTreeSet<String> = arguments
        .iter()
        .filter_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned()))
        .collect();
    // Flags of etcd.
    let elsewhere = ["--auto-compaction-mode", "--auto-compaction-retention"];
    for (name, text) in documents() {
        for flag in named(&text, "--", |character| character.is_ascii_lowercase() || character == '-') {
            let is_known = flags.contains(flag) || elsewhere.contains(&flag);
            assert!(is_known || flag.bytes().all(|byte| byte == b'-'), "{name}: {flag}");
        }
        for variable in
            named(&text, "FRONTDOOR_", |character| character.is_ascii_uppercase() || character == '_')
        {
            assert!(variables.contains(variable), "{name}: {variable}");
        }
    }
}

/// `frontdoor up` with as many versions as the examples speak of, and the id of a call.
async fn up_with_a_history(data: &Path) -> (Frontdoor, String) {
    let up = Frontdoor::up(program(), data, ANY_PORT).unwrap();
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let keys = format!("{}/v1/keys", up.text("/admin"));
    for _ in 0..10 {
        Http::default()
            .post(&keys, &[("authorization", &bearer)], &json!({"consumer": "first-app"}))
            .await
            .expect(201);
    }
    let bearer = format!("Bearer {}", up.key());
    let call = json!({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]});
    let url = format!("{}/v1/chat/completions", up.proxy());
    let answer = Http::default().post(&url, &[("authorization", &bearer)], &call).await.expect(200);
    let id = answer.header("x-frontdoor-request-id").to_owned();
    let record = format!("{}/v1/requests/{id}", up.text("/admin"));
    let bearer = format!("Bearer {}", token.trim());
    frontdoor_tests::eventually("the call's record", || async {
        let reply = Http::default().get(&record, &[("authorization", &bearer)]).await;
        if reply.status == 200 { Ok(()) } else { Err(reply.text()) }
    })
    .await;
    (up, id)
}

#[tokio::test]
async fn the_commands_of_the_audit_document_answer_its_questions() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let (up, id) = up_with_a_history(&data).await;
    let admin = up.text("/admin");
    let export = directory.path().join("history.jsonl");
    let lines = commands(&document("docs/audit.md"));
    assert!(lines.len() >= 9, "{lines:?}");
    for line in lines {
        let (command, to) =
            line.split_once(" > ").map_or((line.as_str(), None), |(command, to)| (command, Some(to)));
        let words = words(command).into_iter().map(|word| match word.as_str() {
            "REQUEST_ID" => id.clone(),
            "history.jsonl" => export.to_str().unwrap().to_owned(),
            _ => word,
        });
        let common = ["--server", &admin, "--data", data.to_str().unwrap()].map(str::to_owned);
        let output = run_cli(program(), words.chain(common));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{line}");
        if to.is_some() {
            std::fs::write(&export, &output.stdout).unwrap();
        }
    }
}

/// What the examples of docs/policy.md speak of and do not show.
const AROUND: &str = "
kind: Consumer
name: help-desk
spec: {organisation: example, team: support, models: ['*']}
---
kind: Model
name: support-next
spec: {targets: [{provider: sim-openai, model: sim-gpt}]}
---
kind: Model
name: long-context
spec: {targets: [{provider: sim-anthropic, model: sim-claude}]}
---
kind: Model
name: local
spec: {targets: [{provider: sim-openai, model: sim-gpt}]}
";

#[tokio::test]
async fn the_examples_of_the_policy_document_are_accepted_and_enforced() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let up = Frontdoor::up(program(), &data, ANY_PORT).unwrap();
    let admin = up.text("/admin");
    let text = document("docs/policy.md");
    let examples: Vec<&str> =
        blocks(&text).into_iter().filter(|(fence, _)| *fence == "yaml").map(|(_, block)| block).collect();
    assert!(examples.len() >= 3, "{}", examples.len());
    let run = |arguments: &[&str]| run(arguments, &admin, &data);
    for (index, example) in std::iter::once(&AROUND).chain(&examples).enumerate() {
        let file = directory.path().join(format!("{index}.yaml"));
        std::fs::write(&file, example).unwrap();
        let answer = run(&["apply", "-f", file.to_str().unwrap()]);
        assert_eq!(answer["committed"], true, "{example}\n{answer}");
        assert_eq!(answer["warnings"], json!([]), "{example}");
    }
    enforced(&admin, &data).await;
}

/// What a command answers.
fn run(arguments: &[&str], admin: &str, data: &Path) -> Value {
    let common = ["--server", admin, "--data", data.to_str().unwrap(), "-o", "json"];
    let output = run_cli(program(), arguments.iter().copied().chain(common));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the proxy enforces the newest version.
async fn enforced(admin: &str, data: &Path) {
    frontdoor_tests::eventually("the examples on the proxy", || async {
        let fleet = run(&["fleet"], admin, data);
        let proxy = &fleet["items"][0];
        let is_active = proxy["version"] == fleet["head"] && proxy["phase"] == "active";
        if is_active { Ok(()) } else { Err(fleet.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_takes_every_vendor_in_every_cloud() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let up = Frontdoor::up(program(), &data, ANY_PORT).unwrap();
    let admin = up.text("/admin");
    let vendors = root().join("examples/providers");
    let answer = run(&["apply", "-f", vendors.to_str().unwrap()], &admin, &data);
    assert_eq!(answer["committed"], true, "{answer}");
    enforced(&admin, &data).await;
    for name in [
        "bedrock-behind-openai",
        "vertex-anthropic",
        "azure-deployments",
        "compatible-server",
        "remote-images",
    ] {
        let example = root().join(format!("examples/{name}.yaml"));
        let answer = run(&["apply", "-f", example.to_str().unwrap()], &admin, &data);
        assert_eq!(answer["committed"], true, "{name}: {answer}");
        enforced(&admin, &data).await;
    }
}
