//! One version for one group, encoded once and shared by every session that sends it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use policy::Digest;

/// Bases for which the difference is remembered: proxies are at very few different versions at a time.
const REMEMBERED_BASES: usize = 16;

/// What a group's proxies are to run. Invariant: `bodies` holds a body for every digest in `order`, and nothing else.
#[derive(Debug)]
pub struct Published {
    /// Our own counter, strictly increasing.
    pub version: u64,
    /// SHA-256 of `manifest`.
    pub digest: Digest,
    /// The canonical manifest.
    pub manifest: Bytes,
    /// Canonical resource bodies by their digest.
    pub bodies: Arc<HashMap<Digest, Bytes>>,
    /// The digests in the manifest's order, each once.
    order: Arc<[Digest]>,
    /// What a proxy lacks that has the version with the given digest.
    lacking: Mutex<HashMap<Digest, Arc<[Digest]>>>,
}

impl Published {
    /// `parts` are the bodies in the manifest's order.
    pub(crate) fn new(version: u64, digest: Digest, manifest: Bytes, parts: Vec<(Digest, Bytes)>) -> Self {
        let mut bodies = HashMap::with_capacity(parts.len());
        let mut order = Vec::with_capacity(parts.len());
        for (digest, body) in parts {
            if bodies.insert(digest, body).is_none() {
                order.push(digest);
            }
        }
        Self {
            version,
            digest,
            manifest,
            bodies: Arc::new(bodies),
            order: order.into(),
            lacking: Mutex::default(),
        }
    }

    /// The same content under a higher version.
    pub(crate) fn renumbered(&self, version: u64) -> Self {
        Self {
            version,
            digest: self.digest,
            manifest: self.manifest.clone(),
            bodies: Arc::clone(&self.bodies),
            order: Arc::clone(&self.order),
            lacking: Mutex::default(),
        }
    }

    /// Every body's digest, in the manifest's order.
    pub(crate) fn order(&self) -> Arc<[Digest]> {
        Arc::clone(&self.order)
    }

    /// What is here and not in `base`, in the manifest's order. Worked out once for all proxies that have `base`:
    /// comparing 20,000 digests for each of 10,000 proxies would take longer than sending the difference.
    pub(crate) fn lacking_from(&self, base: &Self) -> Arc<[Digest]> {
        if let Some(known) = self.lacking.lock().get(&base.digest) {
            return Arc::clone(known);
        }
        let new = self.order.iter().filter(|digest| !base.bodies.contains_key(digest)).copied();
        let new: Arc<[Digest]> = new.collect();
        let mut lacking = self.lacking.lock();
        if lacking.len() >= REMEMBERED_BASES {
            lacking.clear();
        }
        lacking.insert(base.digest, Arc::clone(&new));
        new
    }

    /// What is here and not among `told`, in the manifest's order.
    pub(crate) fn lacking_among(&self, told: &HashSet<Digest>) -> Arc<[Digest]> {
        if told.is_empty() {
            return self.order();
        }
        self.order.iter().filter(|digest| !told.contains(digest)).copied().collect()
    }
}
