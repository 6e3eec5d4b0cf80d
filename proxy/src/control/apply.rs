//! Turns a complete version into a runtime: check every digest, parse, compile, build. All of it or nothing, on a thread where it
//! delays no call, and a panic in it is a refusal like any other.
//!
//! It must not know where the version came from.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use policy::{Diagnostic, Digest, Manifest, Name, Policy, Resource, Severity};

use crate::control::Build;
use crate::control::last_good::Kept;
use crate::runtime::{Current, Runtime};

/// Findings that are reported of one version.
const MOST_DIAGNOSTICS: usize = 100;

/// Applies a version and puts it in force. On refusal the one before stays.
pub(super) async fn apply(
    kept: Arc<Kept>,
    current: &Current,
    build: &Build,
) -> Result<Arc<Runtime>, Vec<Diagnostic>> {
    let (previous, build) = (current.load(), Arc::clone(build));
    let staged = tokio::task::spawn_blocking(move || stage(&kept, previous.as_deref(), &build)).await;
    let runtime = match staged {
        Ok(staged) => Arc::new(staged?),
        Err(error) => return Err(vec![finding("internal", format!("the version was not built: {error}"))]),
    };
    current.swap(Arc::clone(&runtime));
    Ok(runtime)
}

/// Builds a runtime from a version. Touches nothing that is in force.
fn stage(kept: &Kept, previous: Option<&Runtime>, build: &Build) -> Result<Runtime, Vec<Diagnostic>> {
    let work = || {
        let policy = compile(kept)?;
        build(policy, previous)
    };
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(vec![finding("internal", format!("building this version panicked: {message}"))])
    });
    result.map_err(|mut findings| {
        findings.truncate(MOST_DIAGNOSTICS);
        findings
    })
}

fn compile(kept: &Kept) -> Result<Policy, Vec<Diagnostic>> {
    let refuse = |code: &'static str, message: String| vec![finding(code, message)];
    let manifest = Manifest::parse(&kept.manifest).map_err(|error| refuse("bad_manifest", error))?;
    if manifest.group != kept.group {
        let message = format!("made for the group `{}`, not for `{}`", manifest.group, kept.group);
        return Err(refuse("wrong_group", message));
    }
    if manifest.entries.len() != kept.bodies.len() {
        return Err(refuse("bad_manifest", "the manifest does not list what is there".to_owned()));
    }
    let mut resources = Vec::with_capacity(manifest.entries.len());
    let mut findings = Vec::new();
    for (entry, body) in manifest.entries.iter().zip(&kept.bodies) {
        let name = format!("{}/{}", entry.kind, entry.name);
        if Digest::of(body) != entry.sha256 {
            findings.push(about(&name, "digest_mismatch", "the body does not match its digest".to_owned()));
            continue;
        }
        match policy::parse_resource(body) {
            Ok(resource) if is_listed(&resource, entry) => resources.push(Arc::new(resource)),
            Ok(resource) => {
                let message = format!("the manifest lists it, but the body is {}", resource.id());
                findings.push(about(&name, "bad_manifest", message));
            }
            Err(diagnostics) => {
                findings
                    .extend(diagnostics.into_iter().map(|one| Diagnostic { resource: name.clone(), ..one }));
            }
        }
        if findings.len() >= MOST_DIAGNOSTICS {
            return Err(findings);
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let group: Name =
        kept.group.parse().map_err(|error| refuse("wrong_group", format!("`{}`: {error}", kept.group)))?;
    let compiled = policy::compile(&group, kept.version, &resources)?;
    if compiled.policy.digest.to_string() != kept.digest {
        let message = format!("the digest is {}, but {} was offered", compiled.policy.digest, kept.digest);
        return Err(refuse("digest_mismatch", message));
    }
    Ok(compiled.policy)
}

fn is_listed(resource: &Resource, entry: &policy::Entry) -> bool {
    resource.kind() == entry.kind && resource.name == entry.name
}

/// A finding about the version as a whole.
pub(super) fn finding(code: &'static str, message: String) -> Diagnostic {
    about("", code, message)
}

fn about(resource: &str, code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        resource: resource.to_owned(),
        path: String::new(),
        location: None,
        code: code.into(),
        message,
    }
}
