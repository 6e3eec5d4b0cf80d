//! All resources of a version, immutable: a change makes a new catalog that shares what did not change.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
};

use crate::{Digest, Entry, GroupSpec, Kind, Manifest, Name, Resource, ResourceId, Spec};

/// One change to a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Create or replace.
    Put(Arc<Resource>),
    /// Remove; removing what is not there changes nothing.
    Delete(ResourceId),
}

/// All resources of a version, ordered by kind and name. Cloning shares everything.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    items: Arc<BTreeMap<ResourceId, Arc<Item>>>,
}

/// A resource with its canonical form, which is made at most once.
#[derive(Debug)]
struct Item {
    resource: Arc<Resource>,
    sealed: OnceLock<(Arc<[u8]>, Entry)>,
}

impl Item {
    fn sealed(&self) -> &(Arc<[u8]>, Entry) {
        self.sealed.get_or_init(|| {
            let body = self.resource.canonical();
            let entry = Entry::of(&self.resource, &body);
            (Arc::from(body), entry)
        })
    }
}

impl Catalog {
    /// An empty catalog.
    pub fn new() -> Catalog {
        Catalog::default()
    }

    /// The number of resources.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no resource.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// One resource.
    pub fn get(&self, id: &ResourceId) -> Option<&Arc<Resource>> {
        self.items.get(id).map(|item| &item.resource)
    }

    /// All resources by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceId, &Arc<Resource>)> {
        self.items.iter().map(|(id, item)| (id, &item.resource))
    }

    /// The canonical form of one resource, made at most once.
    pub fn body(&self, id: &ResourceId) -> Option<&Arc<[u8]>> {
        self.items.get(id).map(|item| &item.sealed().0)
    }

    /// The digest of one resource, made at most once.
    pub fn digest(&self, id: &ResourceId) -> Option<Digest> {
        self.items.get(id).map(|item| item.sealed().1.sha256)
    }

    /// The catalog after these changes, applied in order.
    #[must_use]
    pub fn with(&self, changes: &[Change]) -> Catalog {
        let mut items = BTreeMap::clone(&self.items);
        for change in changes {
            match change {
                Change::Put(resource) => {
                    let id = resource.id();
                    if items.get(&id).is_some_and(|item| item.resource == *resource) {
                        continue;
                    }
                    let item = Item { resource: Arc::clone(resource), sealed: OnceLock::new() };
                    items.insert(id, Arc::new(item));
                }
                Change::Delete(id) => {
                    items.remove(id);
                }
            }
        }
        Catalog { items: Arc::new(items) }
    }

    /// The names of all groups, `default` always among them.
    pub fn groups(&self) -> Vec<Name> {
        let authored = self.items.keys().filter(|id| id.kind == Kind::Group).map(|id| id.name.clone());
        let mut groups: Vec<Name> = authored.chain([Name::default_group()]).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// What the proxies of a group get, ordered by kind and name: what its selectors select, the keys of the selected consumers,
    /// and the group itself. A group that is not authored gets everything; the other groups are never part of it.
    pub fn select(&self, group: &Name) -> Vec<Arc<Resource>> {
        self.selected(group).into_iter().map(|item| Arc::clone(&item.resource)).collect()
    }

    /// The manifest of a group, from digests that are made at most once.
    pub fn manifest(&self, group: &Name) -> Manifest {
        let entries = self.selected(group).into_iter().map(|item| item.sealed().1.clone()).collect();
        Manifest::new(group, entries)
    }

    /// The manifest of everything, groups included, under the name `*`.
    pub fn whole_manifest(&self) -> Manifest {
        let entries = self.items.values().map(|item| item.sealed().1.clone()).collect();
        Manifest { group: "*".to_owned(), entries }
    }

    fn selected(&self, group: &Name) -> Vec<&Arc<Item>> {
        let spec =
            match self.get(&ResourceId { kind: Kind::Group, name: group.clone() }).map(|found| &found.spec) {
                Some(Spec::Group(spec)) => spec.clone(),
                Some(_) | None => GroupSpec::default(),
            };
        let selects = |resource: &Resource| {
            spec.select.as_ref().is_none_or(|any| any.iter().any(|selector| selector.selects(resource)))
        };
        let mut consumers: HashSet<&Name> = HashSet::new();
        let mut found = Vec::new();
        for (id, item) in self.items.iter() {
            // Kinds are ordered so that consumers come before their keys.
            let is_selected = match &item.resource.spec {
                Spec::Group(_) => id.name == *group,
                Spec::Key(key) => spec.select.is_none() || consumers.contains(&key.consumer),
                Spec::Provider(_) | Spec::Model(_) | Spec::Route(_) | Spec::Consumer(_) | Spec::Quota(_) => {
                    selects(&item.resource)
                }
            };
            if is_selected && id.kind == Kind::Consumer {
                consumers.insert(&id.name);
            }
            if is_selected {
                found.push(item);
            }
        }
        found
    }
}

impl PartialEq for Catalog {
    fn eq(&self, other: &Catalog) -> bool {
        self.items.len() == other.items.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Catalog {}

impl FromIterator<Arc<Resource>> for Catalog {
    fn from_iter<I: IntoIterator<Item = Arc<Resource>>>(resources: I) -> Catalog {
        let item =
            |resource: Arc<Resource>| (resource.id(), Arc::new(Item { resource, sealed: OnceLock::new() }));
        Catalog { items: Arc::new(resources.into_iter().map(item).collect()) }
    }
}

#[cfg(test)]
mod tests;
