//! What changed between two catalogs, field by field; and the inverse: applying a difference.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Catalog, Change, Resource, ResourceId,
    parse::{Node, resource_from_node},
    path::{Path, Step},
};

/// What happened to one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceDiff {
    /// Which one.
    pub resource: ResourceId,
    /// What happened to it.
    pub op: Op,
    /// The fields. For a created or deleted resource one entry with an empty path: the whole document.
    pub fields: Vec<FieldDiff>,
}

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It is new.
    Created,
    /// It was there and is different.
    Updated,
    /// It is gone.
    Deleted,
}

/// What happened to one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDiff {
    /// Where: `spec.targets[0].weight`.
    pub path: String,
    /// What was there; nothing if the field is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there; nothing if the field is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Why a difference could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{resource}: {reason}")]
pub struct ApplyError {
    /// The resource on which it failed.
    pub resource: String,
    /// What did not fit.
    pub reason: String,
}

/// What changed from `old` to `new`, by kind and name. `apply(old, diff(old, new))` is `new`.
pub fn diff(old: &Catalog, new: &Catalog) -> Vec<ResourceDiff> {
    let ids: BTreeSet<&ResourceId> = old.iter().chain(new.iter()).map(|(id, _)| id).collect();
    let mut changes = Vec::new();
    for id in ids {
        let (op, fields) = match (old.get(id), new.get(id)) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(before), Some(after)) => (Op::Updated, diff_fields(before, after)),
            (Some(before), None) => (Op::Deleted, vec![whole(Some(before), None)]),
            (None, after) => (Op::Created, vec![whole(None, after.map(AsRef::as_ref))]),
        };
        changes.push(ResourceDiff { resource: id.clone(), op, fields });
    }
    changes
}

fn whole(before: Option<&Resource>, after: Option<&Resource>) -> FieldDiff {
    FieldDiff {
        path: String::new(),
        before: before.map(Resource::to_value),
        after: after.map(Resource::to_value),
    }
}

fn diff_fields(before: &Resource, after: &Resource) -> Vec<FieldDiff> {
    let mut found = Vec::new();
    compare(&before.to_value(), &after.to_value(), &mut Path::default(), &mut found);
    found
}

/// Descends where both sides are of the same shape. Lists are compared by position.
fn compare(before: &Value, after: &Value, path: &mut Path, found: &mut Vec<FieldDiff>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                step(path, Step::Key(key.clone()), old.get(key), new.get(key), found);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                step(path, Step::Index(index), old.get(index), new.get(index), found);
            }
        }
        _ if before == after => {}
        _ => found.push(FieldDiff {
            path: path.to_string(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

fn step(
    path: &mut Path,
    next: Step,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<FieldDiff>,
) {
    path.0.push(next);
    match (before, after) {
        (Some(before), Some(after)) => compare(before, after, path, found),
        _ => found.push(FieldDiff { path: path.to_string(), before: before.cloned(), after: after.cloned() }),
    }
    path.0.pop();
}

/// The catalog after these differences. Refuses what does not fit: `before` must be what is there.
pub fn apply(old: &Catalog, changes: &[ResourceDiff]) -> Result<Catalog, ApplyError> {
    let changes: Result<Vec<Change>, ApplyError> =
        changes.iter().map(|change| apply_one(old, change)).collect();
    Ok(old.with(&changes?))
}

fn apply_one(old: &Catalog, change: &ResourceDiff) -> Result<Change, ApplyError> {
    let failed = |reason: String| ApplyError { resource: change.resource.to_string(), reason };
    let mut document = old.get(&change.resource).map(|resource| resource.to_value());
    if document.is_none() != (change.op == Op::Created) {
        let reason = if document.is_none() { "it does not exist" } else { "it exists already" };
        return Err(failed(reason.to_owned()));
    }
    // From the last to the first, so that what is removed from a list's end does not move the rest.
    for field in change.fields.iter().rev().filter(|field| field.after.is_none()) {
        replace(&mut document, field).map_err(failed)?;
    }
    for field in change.fields.iter().filter(|field| field.after.is_some()) {
        replace(&mut document, field).map_err(failed)?;
    }
    let Some(document) = document else {
        return Ok(Change::Delete(change.resource.clone()));
    };
    let resource = resource_from_node(&Node::from_value(&document), "").map_err(|diagnostics| {
        let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        failed(lines.join("; "))
    })?;
    if resource.id() != change.resource {
        return Err(failed(format!("the document is that of {}", resource.id())));
    }
    Ok(Change::Put(std::sync::Arc::new(resource)))
}

/// Puts `after` in the place of `before`.
fn replace(document: &mut Option<Value>, field: &FieldDiff) -> Result<(), String> {
    let mismatch = || format!("`{}` is not what the difference begins with", field.path);
    let path: Path = field.path.parse()?;
    let Some((last, parents)) = path.0.split_last() else {
        if *document != field.before {
            return Err(mismatch());
        }
        document.clone_from(&field.after);
        return Ok(());
    };
    let mut place = document.as_mut().ok_or_else(mismatch)?;
    for parent in parents {
        place = match parent {
            Step::Key(key) => place.get_mut(key.as_str()),
            Step::Index(index) => place.get_mut(*index),
        }
        .ok_or_else(mismatch)?;
    }
    let present = match last {
        Step::Key(key) => place.get(key.as_str()),
        Step::Index(index) => place.get(*index),
    };
    if present != field.before.as_ref() {
        return Err(mismatch());
    }
    match (place, last, field.after.clone()) {
        (Value::Object(fields), Step::Key(key), Some(after)) => {
            fields.insert(key.clone(), after);
        }
        (Value::Object(fields), Step::Key(key), None) => {
            fields.remove(key);
        }
        (Value::Array(items), Step::Index(index), Some(after)) if *index == items.len() => items.push(after),
        (Value::Array(items), Step::Index(index), Some(after)) => {
            *items.get_mut(*index).ok_or_else(mismatch)? = after;
        }
        (Value::Array(items), Step::Index(index), None) if *index + 1 == items.len() => {
            items.pop();
        }
        _ => return Err(mismatch()),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
