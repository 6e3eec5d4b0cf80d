//! What a group's proxies must have: kind, name, digest and size of each resource. Equal content has an equal digest.

use serde::{Deserialize, Serialize};

use crate::{Digest, Kind, Name, Resource};

/// Everything in a group. Invariant when made here: entries sorted by kind and name, each once.
///
/// The fields of both types stand in the order of their names, so that serializing them is their canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One entry for each resource.
    pub entries: Vec<Entry>,
    /// The group.
    pub group: String,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The digest of its canonical form.
    pub sha256: Digest,
    /// The bytes of its canonical form.
    pub size: u64,
}

impl Entry {
    /// The entry of a resource whose canonical form is `body`.
    pub fn of(resource: &Resource, body: &[u8]) -> Entry {
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Entry { kind: resource.kind(), name: resource.name.clone(), sha256: Digest::of(body), size }
    }
}

impl Manifest {
    /// A manifest of these entries.
    pub fn new(group: &Name, mut entries: Vec<Entry>) -> Manifest {
        entries.sort_unstable();
        entries.dedup();
        Manifest { group: group.to_string(), entries }
    }

    /// The manifest of these resources.
    pub fn of<'a>(group: &Name, resources: impl IntoIterator<Item = &'a Resource>) -> Manifest {
        let entry = |resource: &Resource| Entry::of(resource, &resource.canonical());
        Manifest::new(group, resources.into_iter().map(entry).collect())
    }

    /// JSON, keys sorted, no spaces.
    pub fn canonical(&self) -> Vec<u8> {
        // Serializing texts and numbers into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The digest of the canonical form.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }

    /// Reads a manifest from its JSON.
    pub fn parse(body: &[u8]) -> Result<Manifest, String> {
        serde_json::from_slice(body).map_err(|error| format!("not a manifest: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;
    use crate::{Name, parse_resource, resource::canonical_bytes};

    #[test]
    fn the_canonical_form_has_sorted_keys() {
        let resource = parse_resource(br#"{"kind":"Group","name":"default","spec":{}}"#).unwrap();
        let manifest = Manifest::of(&Name::default_group(), [&resource]);
        assert_eq!(manifest.canonical(), canonical_bytes(&serde_json::to_value(&manifest).unwrap()));
    }
}
