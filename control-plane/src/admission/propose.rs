//! The decision itself, pure: a snapshot and a request in, the next version or the reasons against it out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::{Catalog, Change, Diagnostic, Kind, Name, Resource, ResourceDiff, ResourceId, Severity};

use super::{Precondition, Refusal, Request, Wanted, error, rollback, warning};
use crate::catalog::Snapshot;
use crate::history::{Manifest, ManifestEntry};

/// A change that may be committed.
#[derive(Debug)]
pub struct Proposed {
    /// The difference to the version before; empty when the change has no effect.
    pub diff: Vec<ResourceDiff>,
    /// What is allowed and yet looks like a mistake.
    pub warnings: Vec<Diagnostic>,
    /// The groups whose policy changes.
    pub groups: Vec<String>,
    /// Everything in the next version.
    pub manifest: Manifest,
    /// The bodies that are new, by digest (hex).
    pub written: Vec<(String, Arc<Resource>)>,
}

impl Proposed {
    /// A message for a change that came without one.
    pub(super) fn summary(&self) -> String {
        match self.diff.as_slice() {
            [only] => format!("change {}", only.resource),
            several => format!("change {} resources", several.len()),
        }
    }
}

/// Decides a request against a snapshot.
pub fn propose(base: &Snapshot, request: &Request) -> Result<Proposed, Refusal> {
    for precondition in &request.preconditions {
        check_precondition(base, precondition)?;
    }
    let (changes, mut warnings) = match &request.change {
        Wanted::Apply(changes) => {
            check_changes(base, changes)?;
            (changes.clone(), Vec::new())
        }
        Wanted::Rollback(target) => rollback::changes(base, target),
    };
    let catalog = base.catalog.with(&changes);
    let (manifest, written) = manifest(base, &changes);
    if manifest == base.manifest {
        return Ok(Proposed {
            diff: Vec::new(),
            warnings,
            groups: Vec::new(),
            manifest,
            written: Vec::new(),
        });
    }
    let groups = compile(base, &catalog, &mut warnings)?;
    let diff = policy::diff(&base.catalog, &catalog);
    Ok(Proposed { diff, warnings, groups, manifest, written })
}

fn check_precondition(base: &Snapshot, precondition: &Precondition) -> Result<(), Refusal> {
    let refuse = |text: String| Err(Refusal::Precondition(text));
    match precondition {
        Precondition::Exists(id) if base.digest_of(id).is_none() => {
            refuse(format!("{id} does not exist in version {}", base.version))
        }
        Precondition::Absent(id) if base.digest_of(id).is_some() => {
            refuse(format!("{id} exists already in version {}", base.version))
        }
        Precondition::Matches(id, digests) => match base.digest_of(id) {
            None => refuse(format!("{id} does not exist in version {}", base.version)),
            Some(current) if digests.iter().any(|digest| digest == current) => Ok(()),
            Some(current) => refuse(format!(
                "{id} was changed since it was read: its ETag is \"{current}\" in version {}; read it again and apply the change to that",
                base.version
            )),
        },
        Precondition::Exists(_) | Precondition::Absent(_) => Ok(()),
    }
}

/// The checks that do not need the rest of the policy: each resource for itself, and that none is named twice.
fn check_changes(base: &Snapshot, changes: &[Change]) -> Result<(), Refusal> {
    let mut diagnostics = Vec::new();
    let mut named = BTreeSet::new();
    for change in changes {
        let id = match change {
            Change::Put(resource) => {
                diagnostics.extend(resource.check().into_iter().filter(is_error));
                resource.id()
            }
            Change::Delete(id) => {
                if base.digest_of(id).is_none() {
                    let message =
                        format!("{id} cannot be deleted: version {} does not have it", base.version);
                    diagnostics.push(error(id, "unknown_resource", message));
                }
                id.clone()
            }
        };
        if !named.insert(id.clone()) {
            let message = format!("{id} is in this change more than once: keep one of them");
            diagnostics.push(error(&id, "duplicate", message));
        }
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(Refusal::Invalid(diagnostics)) }
}

/// The next version's manifest and the bodies that are new in it.
fn manifest(base: &Snapshot, changes: &[Change]) -> (Manifest, Vec<(String, Arc<Resource>)>) {
    let mut entries: BTreeMap<(String, String), ManifestEntry> = base
        .manifest
        .entries
        .iter()
        .map(|entry| ((entry.kind.clone(), entry.name.clone()), entry.clone()))
        .collect();
    let mut written = Vec::new();
    for change in changes {
        match change {
            Change::Put(resource) => {
                let canonical = resource.canonical();
                let sha256 = crate::history::sha256_hex(&canonical);
                let (kind, name) = (resource.kind().to_string(), resource.name.to_string());
                let size = u64::try_from(canonical.len()).unwrap_or(u64::MAX);
                let entry =
                    ManifestEntry { kind: kind.clone(), name: name.clone(), sha256: sha256.clone(), size };
                if entries.insert((kind, name), entry.clone()) != Some(entry) {
                    written.push((sha256, Arc::clone(resource)));
                }
            }
            Change::Delete(id) => {
                entries.remove(&(id.kind.to_string(), id.name.to_string()));
            }
        }
    }
    (Manifest { entries: entries.into_values().collect() }, written)
}

/// Compiles every group whose resources change. Returns their names.
fn compile(base: &Snapshot, next: &Catalog, warnings: &mut Vec<Diagnostic>) -> Result<Vec<String>, Refusal> {
    let version = base.version.saturating_add(1);
    let mut diagnostics = Vec::new();
    let mut affected = Vec::new();
    let mut enforced = BTreeSet::new();
    for group in next.groups() {
        let resources = next.select(&group);
        enforced.extend(resources.iter().map(|resource| resource.id()));
        if is_same(&base.catalog, &group, &resources) {
            continue;
        }
        match policy::compile(&group, version, &resources) {
            Ok(compiled) => merge(warnings, &group, compiled.warnings),
            Err(errors) => merge(&mut diagnostics, &group, errors),
        }
        affected.push(group.to_string());
    }
    if diagnostics.iter().any(is_error) {
        return Err(Refusal::Invalid(diagnostics));
    }
    affected.extend(vanished(&base.catalog, next));
    warnings.extend(unenforced(&base.catalog, next, &enforced));
    Ok(affected)
}

/// Whether a group had the same resources before.
fn is_same(before: &Catalog, group: &Name, now: &[Arc<Resource>]) -> bool {
    if !before.groups().contains(group) {
        return false;
    }
    let before = before.select(group);
    let pairs = before.iter().zip(now);
    before.len() == now.len() && pairs.into_iter().all(|(one, other)| Arc::ptr_eq(one, other) || one == other)
}

/// Groups that are gone: their proxies get nothing new any more.
fn vanished(before: &Catalog, next: &Catalog) -> Vec<String> {
    let now = next.groups();
    before.groups().into_iter().filter(|group| !now.contains(group)).map(|group| group.to_string()).collect()
}

/// Adds what one group's compiler said. Groups share resources, so the same words are kept once.
fn merge(into: &mut Vec<Diagnostic>, group: &Name, said: Vec<Diagnostic>) {
    let name_of = |diagnostic: &Diagnostic| {
        (
            diagnostic.resource.clone(),
            diagnostic.path.clone(),
            diagnostic.code.clone(),
            diagnostic.message.clone(),
        )
    };
    let known: BTreeSet<_> = into.iter().map(name_of).collect();
    for mut diagnostic in said {
        if diagnostic.resource.is_empty() {
            diagnostic.resource = format!("{}/{group}", Kind::Group);
        }
        if !known.contains(&name_of(&diagnostic)) {
            into.push(diagnostic);
        }
    }
}

/// New or changed resources that no group of proxies gets.
fn unenforced(before: &Catalog, next: &Catalog, enforced: &BTreeSet<ResourceId>) -> Vec<Diagnostic> {
    let is_new = |resource: &Arc<Resource>| before.get(&resource.id()) != Some(resource);
    next.iter()
        .filter(|(id, resource)| id.kind != Kind::Group && is_new(resource) && !enforced.contains(id))
        .map(|(id, _)| warning(id, "not_selected", format!("no group selects {id}, so no proxy enforces it")))
        .collect()
}

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error
}
