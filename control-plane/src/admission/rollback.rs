//! What going back to an older version means, pure.
//!
//! A rollback restores what was authored. Keys are credentials: going back must not make a revoked key good again, nor
//! lock out an application whose key is newer than the version. So keys stay as they are, except those whose consumer
//! the older version does not have.

use std::sync::Arc;

use policy::{Change, Diagnostic, Kind, Resource, ResourceId, Spec};

use super::warning;
use crate::catalog::Snapshot;

/// The changes that lead from `base` to the content of `target`, and what to tell about them.
pub(super) fn changes(base: &Snapshot, target: &Snapshot) -> (Vec<Change>, Vec<Diagnostic>) {
    let mut changes = Vec::new();
    let mut warnings = Vec::new();
    for (id, resource) in target.catalog.iter() {
        if id.kind != Kind::Key && base.catalog.get(id) != Some(resource) {
            changes.push(Change::Put(Arc::clone(resource)));
        }
    }
    for (id, resource) in base.catalog.iter() {
        let goes = match consumer_of(resource) {
            Some(consumer) => target.catalog.get(&consumer).is_none(),
            None => target.catalog.get(id).is_none(),
        };
        if !goes {
            continue;
        }
        if id.kind == Kind::Key {
            let message =
                format!("{id} is deleted with its consumer, which version {} does not have", target.version);
            warnings.push(warning(id, "key_deleted", message));
        }
        changes.push(Change::Delete(id.clone()));
    }
    (changes, warnings)
}

/// The consumer that a key belongs to.
fn consumer_of(resource: &Resource) -> Option<ResourceId> {
    match &resource.spec {
        Spec::Key(key) => Some(ResourceId { kind: Kind::Consumer, name: key.consumer.clone() }),
        Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Route(_)
        | Spec::Consumer(_)
        | Spec::Quota(_)
        | Spec::Group(_) => None,
    }
}
