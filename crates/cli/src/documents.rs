//! Policy documents from files, directories and standard input, with their positions for diagnostics.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use policy::{Diagnostic, Parsed};

use crate::error::CliError;

/// More than any policy: a mistaken path (a disk image, a log) is refused instead of read into memory.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// Reads and checks every document in `files`. All problems of all files are told at once.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<Parsed>, CliError> {
    let mut documents = Vec::new();
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for (name, text) in texts(files)? {
        match policy::parse_located(&name, &text) {
            Ok(parsed) => documents.extend(parsed),
            Err(found) => diagnostics.extend(found),
        }
    }
    if !diagnostics.is_empty() {
        let message = match diagnostics.len() {
            1 => "the documents have a problem".to_owned(),
            n => format!("the documents have {n} problems"),
        };
        return Err(CliError::Refused { message, diagnostics });
    }
    if documents.is_empty() {
        return Err(CliError::Usage("the files hold no documents".to_owned()));
    }
    Ok(documents)
}

fn texts(files: &[PathBuf]) -> Result<Vec<(String, String)>, CliError> {
    let mut texts = Vec::new();
    for path in files {
        if path == Path::new("-") {
            texts.push(("-".to_owned(), text_of("-", std::io::stdin().lock())?));
        } else if path.is_dir() {
            for inner in documents_in(path)? {
                texts.push(open(&inner)?);
            }
        } else {
            texts.push(open(path)?);
        }
    }
    Ok(texts)
}

fn open(path: &Path) -> Result<(String, String), CliError> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|error| CliError::Usage(format!("{name} cannot be read: {error}")))?;
    let text = text_of(&name, file)?;
    Ok((name, text))
}

fn text_of(name: &str, from: impl Read) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    from.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::Usage(format!("{name} cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(CliError::Usage(format!("{name} is larger than {} MiB", FILE_LIMIT / 1024 / 1024)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::refused(format!("{name} is not UTF-8: byte {at} (counted from 0) begins no character"))
    })
}

/// The YAML and JSON files directly in `directory`, by name.
fn documents_in(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable =
        |error: std::io::Error| CliError::Usage(format!("{} cannot be read: {error}", directory.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "kind: Consumer\nname: a\nspec: {organisation: o, team: t, models: ['*']}\n";

    #[test]
    fn a_directory_stands_for_its_yaml_and_json_files() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), MODEL).unwrap();
        std::fs::write(directory.path().join("notes.txt"), "not a policy").unwrap();
        let resources = read(&[directory.path().to_owned()]).unwrap();
        assert_eq!(resources.len(), 1);
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_refused_by_name_and_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bad.yaml");
        std::fs::write(&path, b"kind: \xff\n").unwrap();
        let error = read(std::slice::from_ref(&path)).unwrap_err();
        assert!(error.to_string().contains("bad.yaml is not UTF-8: byte 6"), "{error}");
        assert_eq!(error.exit_status(), 1);
    }

    #[test]
    fn a_missing_file_is_a_usage_error() {
        assert_eq!(read(&[PathBuf::from("no/such.yaml")]).unwrap_err().exit_status(), 2);
    }
}
