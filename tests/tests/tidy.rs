//! The rules of the house that no linter knows, checked on the source itself. Standard library only.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a helper of a test fails the test where it stands"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below `directory` with this extension, but not what is built or fetched.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn is_test(path: &Path) -> bool {
    let name = shown(path);
    name.starts_with("tests/")
        || name.contains("/tests/")
        || name.ends_with("tests.rs")
        || name.ends_with("testing.rs")
}

/// The file without its trailing inline tests, comments and blank lines being code as well.
fn product(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

fn sources() -> Vec<PathBuf> {
    files(&root(), "rs").into_iter().filter(|path| !is_test(path)).collect()
}

#[test]
fn crates_know_only_whom_they_may_know() {
    let ours =
        ["policy", "dialect", "lifecycle", "proto", "simulator", "cli", "control_plane", "proxy", "workflow"];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("proto", &[][..]),
        ("crates/policy", &[]),
        ("crates/dialect", &[]),
        ("crates/lifecycle", &[]),
        ("crates/simulator", &["dialect", "lifecycle"]),
        ("control-plane", &["policy", "proto", "lifecycle"]),
        ("proxy", &["policy", "dialect", "proto", "lifecycle"]),
        ("crates/cli", &["control_plane", "proxy", "simulator", "policy", "lifecycle"]),
    ]);
    let mut wrong = Vec::new();
    for (directory, may) in allowed {
        let manifest = fs::read_to_string(root().join(directory).join("Cargo.toml")).unwrap();
        for name in manifest.lines().filter_map(|line| line.strip_suffix(".workspace = true")) {
            if ours.contains(&name) && !may.contains(&name) {
                wrong.push(format!("{directory} may not depend on {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_crates_have_no_clock_no_network_and_no_disk() {
    let banned = ["tokio", "tonic", "hyper", "axum", "etcd-client", "sqlx", "lifecycle"];
    let words = ["std::time::Instant", "SystemTime", "std::env", "std::fs", "std::net"];
    let mut wrong = Vec::new();
    for directory in ["crates/policy", "crates/dialect"] {
        let manifest = fs::read_to_string(root().join(directory).join("Cargo.toml")).unwrap();
        let manifest = manifest.split("[dev-dependencies]").next().unwrap();
        wrong.extend(
            banned
                .iter()
                .filter(|name| manifest.contains(&format!("\n{name}.")))
                .map(|name| format!("{directory}: {name}")),
        );
        for path in files(&root().join(directory).join("src"), "rs").iter().filter(|path| !is_test(path)) {
            let text = product(path);
            let found = words.iter().filter(|word| code(&text).any(|line| line.contains(*word)));
            wrong.extend(found.map(|word| format!("{}: {word}", shown(path))));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Names that only some files may say, and which.
#[test]
fn a_library_is_named_only_in_its_room() {
    let rules: [(&str, &[&str], &[&str]); 6] = [
        ("etcd_client", &["control-plane/"], &["control-plane/src/store/etcd"]),
        ("axum", &["control-plane/"], &["control-plane/src/api"]),
        ("sqlx", &["control-plane/"], &["control-plane/src/store/sqlite", "control-plane/src/usage"]),
        ("proto::", &["proxy/"], &["proxy/src/control"]),
        (
            "proto::",
            &["control-plane/"],
            &[
                "control-plane/src/discovery",
                "control-plane/src/usage",
                "control-plane/src/grpc",
                "control-plane/src/fleet",
                "control-plane/src/report",
            ],
        ),
        ("tonic", &["proxy/"], &["proxy/src/control"]),
    ];
    let mut wrong = Vec::new();
    for path in sources() {
        let name = shown(&path);
        let text = product(&path);
        for (word, within, allowed) in rules {
            if within.iter().any(|prefix| name.starts_with(prefix))
                && !allowed.iter().any(|prefix| name.starts_with(prefix))
                && code(&text).any(|line| says(line, word))
            {
                wrong.push(format!("{name} names {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether `line` has `word` as a path's beginning, not inside another name.
fn says(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let is_part =
            |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        !is_part(before) && (word.ends_with(':') || !after.is_some_and(|c| c.is_alphanumeric() || c == '_'))
    })
}

#[test]
fn only_settings_read_the_environment() {
    let mut wrong = Vec::new();
    for path in sources() {
        let name = shown(&path);
        let is_plane = ["control-plane/", "proxy/", "crates/"].iter().any(|prefix| name.starts_with(prefix));
        let text = product(&path);
        let reads = code(&text).any(|line| line.contains("env::var") || line.contains("env = \""));
        if is_plane && reads && !name.ends_with("settings.rs") {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Who may look ahead all the same, and why.
const AHEAD: [(&str, &str, &str); 3] = [
    ("proxy/src/frontend/render.rs", "settle", "renders what the last room returns"),
    ("proxy/src/guard.rs", "upstream", "inspects the answer on its way back"),
    (
        "proxy/src/routing",
        "upstream",
        "ranks by the standing of breakers and measured latencies, which upstream keeps",
    ),
];

/// The rooms of the proxy in the order of a call. A room may name the proof types of those before it, never of those after.
#[test]
fn a_room_of_the_proxy_names_no_room_after_it() {
    let order = ["frontend", "identity", "limits", "guard", "cache", "routing", "upstream", "settle"];
    let mut wrong = Vec::new();
    for (position, room) in order.iter().enumerate() {
        let inside = files(&root().join("proxy/src").join(room), "rs");
        let own = root().join(format!("proxy/src/{room}.rs"));
        for path in inside.iter().chain([&own]).filter(|path| !is_test(path)) {
            let text = product(path);
            for later in order.iter().skip(position + 1) {
                let name = shown(path);
                let may = AHEAD.iter().any(|(who, whom, _)| name.starts_with(who) && later == whom);
                if !may && code(&text).any(|line| line.contains(&format!("crate::{later}"))) {
                    wrong.push(format!("{name} names {later}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The rooms of the control plane in the order of a change.
#[test]
fn a_room_of_the_control_plane_names_no_door_and_no_wiring() {
    let rooms = [
        "admission",
        "store",
        "history",
        "catalog",
        "publish",
        "discovery",
        "fleet",
        "usage",
        "access",
        "keys",
    ];
    let mut wrong = Vec::new();
    for room in rooms {
        let inside = files(&root().join("control-plane/src").join(room), "rs");
        let own = root().join(format!("control-plane/src/{room}.rs"));
        for path in inside.iter().chain([&own]).filter(|path| path.exists() && !is_test(path)) {
            let text = product(path);
            for door in ["api", "app", "process"] {
                if code(&text).any(|line| line.contains(&format!("crate::{door}"))) {
                    wrong.push(format!("{} names {door}", shown(path)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Files that may be longer than 500 lines, each with its reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn files_are_short_and_the_pipeline_is_shorter() {
    let mut wrong = Vec::new();
    for path in sources() {
        let name = shown(&path);
        let lines = product(&path).lines().count();
        let most = if name == "proxy/src/pipeline.rs" { 200 } else { 500 };
        if lines > most && !LONG.iter().any(|(listed, _)| *listed == name) {
            wrong.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_begins_with_what_it_is_for() {
    let without: Vec<String> = files(&root(), "rs")
        .iter()
        .filter(|path| !fs::read_to_string(path).unwrap().trim_start().starts_with("//!"))
        .map(|path| shown(path))
        .filter(|name| !name.ends_with("tests.rs"))
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn there_are_no_unfinished_marks_and_no_ignored_tests() {
    let marks = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["FIX", "ME"].concat(),
        ["#[ign", "ore"].concat(),
    ];
    let mut wrong = Vec::new();
    for path in files(&root(), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        wrong.extend(
            marks.iter().filter(|mark| text.contains(*mark)).map(|mark| format!("{}: {mark}", shown(&path))),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_kind_has_a_file_an_example_and_a_place_in_the_documents() {
    let kinds = ["Provider", "Model", "Route", "Consumer", "Key", "Quota", "Group"];
    let mut authored = String::new();
    for path in files(&root().join("examples"), "yaml")
        .into_iter()
        .chain(files(&root().join("crates/policy"), "yaml"))
    {
        authored.push_str(&fs::read_to_string(path).unwrap());
    }
    let documents: String =
        files(&root().join("docs"), "md").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for kind in kinds {
        let file = format!("crates/policy/src/{}.rs", kind.to_lowercase());
        assert!(root().join(&file).exists(), "{file}");
        assert!(authored.contains(&format!("kind: {kind}\n")), "no example of {kind}");
        assert!(documents.contains(&format!("`{kind}`")), "{kind} is in no document");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in files(&root(), "md") {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") && !path.parent().unwrap().join(file).exists() {
                wrong.push(format!("{} → {link}", shown(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_lock_file_knows_only_the_public_registry() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let sources: BTreeSet<&str> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert_eq!(sources, BTreeSet::from(["\"registry+https://github.com/rust-lang/crates.io-index\""]));
}
