//! The corpus: documents that must parse forever, and documents that are refused with words that help.
//!
//! `INSTA_UPDATE=always cargo test -p frontdoor-policy --test corpus` writes the snapshots anew.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use frontdoor_policy::{
    Catalog, Diagnostic, Kind, Name, attach_locations, compile, json_schema, parse_located, parse_resource,
    preset_names,
};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "json"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn compare(folder: &str, file: &Path, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(file.file_name().unwrap().to_str().unwrap(), text));
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

/// All that a change with this file alone would be answered with.
fn findings(file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    let bytes = fs::read(file).unwrap();
    let Ok(text) = String::from_utf8(bytes.clone()) else {
        return lines(&parse_resource(&bytes).unwrap_err());
    };
    let parsed = match parse_located(name, &text) {
        Err(diagnostics) => return lines(&diagnostics),
        Ok(parsed) => parsed,
    };
    let catalog: Catalog = parsed.iter().map(|parsed| parsed.resource.clone().into()).collect();
    let mut found = Vec::new();
    for group in catalog.groups() {
        match compile(&group, 1, &catalog.select(&group)) {
            Ok(compiled) => found.extend(compiled.warnings),
            Err(diagnostics) => found.extend(diagnostics),
        }
    }
    attach_locations(&mut found, &parsed);
    lines(&found)
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_a_way_out() {
    for file in files("bad") {
        let text = findings(&file);
        assert!(!text.is_empty(), "{} was accepted", file.display());
        assert!(!text.contains("planted"), "{} leaks: {text}", file.display());
        compare("bad", &file, &text);
    }
}

#[test]
fn documents_of_the_golden_corpus_mean_what_they_always_meant() {
    for file in files("golden") {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let parsed =
            parse_located(name, &text).unwrap_or_else(|diagnostics| panic!("{}", lines(&diagnostics)));
        let mut canonical = String::new();
        for parsed in parsed {
            let bytes = parsed.resource.canonical();
            let again =
                parse_resource(&bytes).unwrap_or_else(|diagnostics| panic!("{}", lines(&diagnostics)));
            assert_eq!(again, parsed.resource);
            assert_eq!(again.canonical(), bytes);
            canonical.push_str(&format!("{}\n{}\n", String::from_utf8(bytes).unwrap(), again.digest()));
        }
        compare("golden", &file, &canonical);
    }
}

#[test]
fn every_kind_has_golden_examples() {
    let mut kinds = Vec::new();
    for file in files("golden") {
        let parsed = parse_located("golden", &fs::read_to_string(&file).unwrap()).unwrap();
        kinds.extend(parsed.iter().map(|parsed| parsed.resource.kind()));
    }
    for kind in Kind::ALL {
        assert!(
            kinds.iter().filter(|found| **found == kind).count() >= 2,
            "{kind} needs a small and a full example"
        );
    }
}

#[test]
fn the_published_schema_is_current() {
    for kind in Kind::ALL {
        let text = serde_json::to_string_pretty(&json_schema(kind)).unwrap();
        compare("schema", Path::new(&format!("{kind}.json")), &text);
    }
}

#[test]
fn every_preset_has_an_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers");
    let mut shown: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    shown.sort();
    assert_eq!(shown, preset_names().collect::<Vec<_>>());
}

#[test]
fn the_examples_compile_without_a_finding() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let entries = fs::read_dir(&folder).unwrap().chain(fs::read_dir(folder.join("providers")).unwrap());
    let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    let count = files.len();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let parsed = parse_located(&file.display().to_string(), &text)
            .unwrap_or_else(|diagnostics| panic!("{}", lines(&diagnostics)));
        let catalog: Catalog = parsed.into_iter().map(|parsed| parsed.resource.into()).collect();
        let group = Name::default_group();
        let compiled = compile(&group, 1, &catalog.select(&group))
            .unwrap_or_else(|diagnostics| panic!("{}: {}", file.display(), lines(&diagnostics)));
        assert_eq!(lines(&compiled.warnings), "", "{}", file.display());
    }
    assert!(count >= 10, "one file for each situation");
}
