//! The decision itself, pure: a snapshot and a request in, the next version or the reasons against it out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::{Catalog, Change, Diagnostic, Kind, Name, Resource, ResourceDiff, ResourceId, Severity};

use super::{Precondition, Refusal, Request, Wanted, error, rollback, warning};
use crate::catalog::Snapshot;
use crate::history::{Body, ChangedResource, Manifest, ManifestEntry, Operation};

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
    pub catalog: Catalog,
    /// The same, by digests.
    pub manifest: Manifest,
    /// What the history records of the difference.
    pub changed: Vec<ChangedResource>,
    /// The bodies that are new.
    pub bodies: Vec<Body>,
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
    let (manifest, changed, bodies) = manifest(&base.manifest, &changes);
    let (mut groups, mut diff) = (Vec::new(), Vec::new());
    if !changed.is_empty() {
        groups = compile(base, &catalog, &changes, &mut warnings)?;
        diff = policy::diff(&base.catalog, &catalog);
    }
    Ok(Proposed { diff, warnings, groups, catalog, manifest, changed, bodies })
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

/// The next version's manifest, how it differs, and the bodies that are new in it.
fn manifest(base: &Manifest, changes: &[Change]) -> (Manifest, Vec<ChangedResource>, Vec<Body>) {
    let wanted: BTreeMap<(String, String), Option<Body>> = changes
        .iter()
        .map(|change| match change {
            Change::Put(resource) => {
                let id = (resource.kind().to_string(), resource.name.to_string());
                (id, Some(Body::of(resource.canonical())))
            }
            Change::Delete(id) => ((id.kind.to_string(), id.name.to_string()), None),
        })
        .collect();
    let (mut entries, mut changed, mut bodies) =
        (Vec::with_capacity(base.entries.len()), Vec::new(), Vec::new());
    let mut old = base.entries.iter().peekable();
    for ((kind, name), body) in wanted {
        while let Some(entry) = old.next_if(|entry| (&entry.kind, &entry.name) < (&kind, &name)) {
            entries.push(entry.clone());
        }
        let before = old.next_if(|entry| entry.kind == kind && entry.name == name);
        let before = before.map(|entry| entry.sha256.clone());
        let after = body.as_ref().map(|body| body.sha256.clone());
        if let Some(body) = &body {
            let size = u64::try_from(body.bytes.len()).unwrap_or(u64::MAX);
            let (kind, name) = (kind.clone(), name.clone());
            entries.push(ManifestEntry { kind, name, sha256: body.sha256.clone(), size });
        }
        let op = match (&before, &after) {
            (None, Some(_)) => Operation::Created,
            (Some(_), None) => Operation::Deleted,
            (Some(before), Some(after)) if before != after => Operation::Updated,
            (Some(_), Some(_)) | (None, None) => continue,
        };
        changed.push(ChangedResource { kind, name, op, before, after });
        bodies.extend(body);
    }
    entries.extend(old.cloned());
    (Manifest { entries }, changed, bodies)
}

/// Compiles every group whose resources change. Returns their names.
fn compile(
    base: &Snapshot,
    next: &Catalog,
    changes: &[Change],
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<String>, Refusal> {
    let version = base.version.saturating_add(1);
    let (mut diagnostics, mut affected) = (Vec::new(), Vec::new());
    let mut unenforced = written(changes);
    for group in next.groups() {
        let resources = next.select(&group);
        if !unenforced.is_empty() {
            for resource in &resources {
                unenforced.remove(&resource.id());
            }
        }
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
    warnings.extend(
        unenforced
            .iter()
            .map(|id| warning(id, "not_selected", format!("no group selects {id}, so no proxy enforces it"))),
    );
    Ok(affected)
}

/// What a change puts, except groups, which select and are not selected.
fn written(changes: &[Change]) -> BTreeSet<ResourceId> {
    let puts = changes.iter().filter_map(|change| match change {
        Change::Put(resource) => Some(resource.id()),
        Change::Delete(_) => None,
    });
    puts.filter(|id| id.kind != Kind::Group).collect()
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

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::testing::{delete, provider, put};

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        proptest::collection::btree_map("[a-d][a-c]?", proptest::option::of(0..3_u8), 0..12).prop_map(
            |wanted| {
                let change = |(name, label): (String, Option<u8>)| match label {
                    None => delete(&format!("Provider/{name}")),
                    Some(label) => {
                        let mut document = provider(&name);
                        document["labels"] = serde_json::json!({"n": label.to_string()});
                        put(&document)
                    }
                };
                wanted.into_iter().map(change).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn a_manifest_made_by_merging_is_the_one_made_from_scratch(first in changes(), second in changes()) {
            let (base, _, _) = manifest(&Manifest::default(), &first);
            let (next, changed, bodies) = manifest(&base, &second);

            let catalog = Catalog::new().with(&first).with(&second);
            let entries = catalog.iter().map(|(id, resource)| {
                let body = Body::of(resource.canonical());
                let size = u64::try_from(body.bytes.len()).unwrap();
                ManifestEntry { kind: id.kind.to_string(), name: id.name.to_string(), sha256: body.sha256, size }
            });
            prop_assert_eq!(&next, &Manifest::new(entries));
            prop_assert_eq!(&changed, &base.changes_to(&next));
            let new: Vec<_> = changed.iter().filter_map(|change| change.after.clone()).collect();
            prop_assert_eq!(bodies.into_iter().map(|body| body.sha256).collect::<Vec<_>>(), new);
        }
    }
}
