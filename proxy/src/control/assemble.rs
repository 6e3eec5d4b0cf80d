//! Puts an offered version together from its frames. Nothing that comes over the stream is believed: every size is bounded before
//! memory is taken, every body is checked against its digest, and whatever was not announced ends the stream.
//!
//! It must not know what a body means.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use policy::{Digest, Manifest, limits};
use proto::{Frame, Offer};

use crate::control::last_good::{Kept, LARGEST_VERSION};

/// The most that one frame may carry.
const FRAME_BYTES: usize = 16 * 1024;
/// The largest manifest: twice what the most resources with long names need.
const MANIFEST_BYTES: u64 = 32 << 20;

/// Bodies by digest.
pub(super) type Bodies = HashMap<Digest, Bytes>;

/// Why an offer is not believed. After it the stream is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Violation(pub(super) String);

/// A complete offer whose bodies are not all there: the control plane thinks that we have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing(pub(super) Digest);

/// An offer under way.
#[derive(Debug)]
pub(super) struct Assembly {
    offer: Offer,
    digest: Digest,
    frames: u32,
    manifest: Option<(Bytes, Manifest)>,
    /// Announced by the manifest and not received yet, with their sizes.
    wanted: HashMap<Digest, u64>,
    received: Bodies,
    part: Option<Part>,
}

/// The body that is being received.
#[derive(Debug)]
struct Part {
    digest: Digest,
    total: u64,
    bytes: BytesMut,
}

impl Assembly {
    /// Begins with what the offer announces. `manifest` is the one that is held, if it is the one offered.
    pub(super) fn begin(offer: Offer, held_manifest: Option<&Bytes>) -> Result<Self, Violation> {
        let digest = parse_digest(&offer.digest)?;
        if offer.version == 0 {
            return Err(Violation("an offer without a version".to_owned()));
        }
        if offer.manifest_bytes > MANIFEST_BYTES {
            return Err(Violation(format!(
                "a manifest of {} bytes is announced; at most {MANIFEST_BYTES} are taken",
                offer.manifest_bytes
            )));
        }
        let mut assembly = Self {
            offer,
            digest,
            frames: 0,
            manifest: None,
            wanted: HashMap::new(),
            received: HashMap::new(),
            part: None,
        };
        if let Some(held) = held_manifest.filter(|held| Digest::of(held) == digest) {
            assembly.read_manifest(held.clone())?;
        }
        Ok(assembly)
    }

    /// What was offered.
    pub(super) const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Takes one frame.
    pub(super) fn take(&mut self, frame: &Frame) -> Result<(), Violation> {
        self.frames = self.frames.saturating_add(1);
        if self.frames > self.offer.frames {
            return Err(Violation(format!("more than the {} frames announced", self.offer.frames)));
        }
        if frame.chunk.len() > FRAME_BYTES {
            let length = frame.chunk.len();
            return Err(Violation(format!("a frame of {length} bytes; at most {FRAME_BYTES} are taken")));
        }
        let digest = parse_digest(&frame.digest)?;
        let mut part = match self.part.take() {
            Some(part) if part.digest == digest && part.total == frame.total => part,
            Some(part) => return Err(Violation(format!("body {} broke off", part.digest))),
            None => Part { digest, total: self.announced(digest, frame.total)?, bytes: BytesMut::new() },
        };
        let so_far = part.bytes.len() as u64;
        if frame.offset != so_far || so_far + frame.chunk.len() as u64 > part.total {
            return Err(Violation(format!("a frame of body {digest} is out of place")));
        }
        if frame.chunk.is_empty() && part.total > 0 {
            return Err(Violation(format!("an empty frame of body {digest}")));
        }
        part.bytes.extend_from_slice(&frame.chunk);
        if (part.bytes.len() as u64) < part.total {
            self.part = Some(part);
            return Ok(());
        }
        self.complete(digest, part.bytes.freeze())
    }

    /// The whole version, with what was held already taken from `held`. Comes with the bodies by digest, also when some are missing.
    pub(super) fn finish(
        self,
        group: &str,
        store_id: &str,
        held: &dyn Fn(&Digest) -> Option<Bytes>,
    ) -> Result<(Bodies, Result<Kept, Missing>), Violation> {
        if self.part.is_some() || self.frames != self.offer.frames {
            let (came, announced) = (self.frames, self.offer.frames);
            return Err(Violation(format!("{came} of {announced} frames came before the activation")));
        }
        let Some((manifest, read)) = self.manifest else {
            return Err(Violation("an offer without its manifest".to_owned()));
        };
        let mut all = Bodies::with_capacity(read.entries.len());
        let mut bodies = Vec::with_capacity(read.entries.len());
        let mut missing = None;
        for entry in &read.entries {
            match self.received.get(&entry.sha256).cloned().or_else(|| held(&entry.sha256)) {
                Some(body) => {
                    bodies.push(body.clone());
                    all.insert(entry.sha256, body);
                }
                None => missing = Some(Missing(entry.sha256)),
            }
        }
        let kept = Kept {
            version: self.offer.version,
            digest: self.offer.digest,
            group: if group.is_empty() { read.group } else { group.to_owned() },
            store_id: store_id.to_owned(),
            manifest,
            bodies,
        };
        Ok((all, missing.map_or(Ok(kept), Err)))
    }

    /// The size that was announced for a body, which its first frame must repeat.
    fn announced(&self, digest: Digest, total: u64) -> Result<u64, Violation> {
        // The manifest may come although it is held; bodies only once it is known.
        let expected = if digest == self.digest {
            Some(self.offer.manifest_bytes)
        } else {
            self.wanted.get(&digest).copied()
        };
        match expected {
            Some(expected) if expected == total => Ok(total),
            Some(expected) => {
                Err(Violation(format!("body {digest} has {total} bytes where {expected} were announced")))
            }
            None => Err(Violation(format!("body {digest} was not announced"))),
        }
    }

    fn complete(&mut self, digest: Digest, body: Bytes) -> Result<(), Violation> {
        if Digest::of(&body) != digest {
            return Err(Violation(format!("body {digest} does not match its digest")));
        }
        if digest == self.digest {
            return self.read_manifest(body);
        }
        self.wanted.remove(&digest);
        self.received.insert(digest, body);
        Ok(())
    }

    fn read_manifest(&mut self, body: Bytes) -> Result<(), Violation> {
        let manifest = Manifest::parse(&body).map_err(Violation)?;
        if manifest.entries.len() > limits::RESOURCES {
            let (count, most) = (manifest.entries.len(), limits::RESOURCES);
            return Err(Violation(format!("{count} resources in one version; at most {most} are taken")));
        }
        let mut sum = body.len() as u64;
        for entry in &manifest.entries {
            if entry.size > limits::RESOURCE_BYTES as u64 {
                return Err(Violation(format!(
                    "{}/{} has {} bytes; at most {} are taken",
                    entry.kind,
                    entry.name,
                    entry.size,
                    limits::RESOURCE_BYTES
                )));
            }
            sum = sum.saturating_add(entry.size);
        }
        if sum > LARGEST_VERSION {
            return Err(Violation(format!("a version of {sum} bytes; at most {LARGEST_VERSION} are taken")));
        }
        self.wanted = manifest.entries.iter().map(|entry| (entry.sha256, entry.size)).collect();
        self.manifest = Some((body, manifest));
        Ok(())
    }
}

fn parse_digest(text: &str) -> Result<Digest, Violation> {
    text.parse().map_err(|error| Violation(format!("a digest that is none: {error}")))
}
