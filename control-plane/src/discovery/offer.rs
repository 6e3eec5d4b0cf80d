//! One offer, message by message: the offer itself, the manifest and the bodies in frames, then `Activate`.
//! The bytes are slices of what was encoded once for the group.

use std::sync::Arc;

use bytes::Bytes;
use policy::Digest;
use proto::sync_response::Message as Said;

use crate::publish::Published;

/// Most bytes of one frame: small enough that the transport's buffers stay small for every stream.
pub(super) const FRAME: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Offer {
    published: Arc<Published>,
    lacking: Arc<[Digest]>,
    with_manifest: bool,
    force: bool,
    bytes: u64,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Offer,
    /// Body 0 is the manifest, the others are the lacking ones in order.
    Frame {
        body: usize,
        offset: usize,
    },
    Activate,
    Done,
}

impl Offer {
    /// The manifest and the lacking bodies.
    pub(super) fn new(published: Arc<Published>, lacking: Arc<[Digest]>, force: bool) -> Self {
        let bodies = lacking.iter().filter_map(|digest| published.bodies.get(digest));
        let bytes = bodies.chain([&published.manifest]).map(length).sum();
        Self { published, lacking, with_manifest: true, force, bytes, step: Step::Offer }
    }

    /// A new number for what the proxy enforces already.
    pub(super) fn announcement(published: Arc<Published>) -> Self {
        let lacking = Arc::from([]);
        Self { published, lacking, with_manifest: false, force: false, bytes: 0, step: Step::Offer }
    }

    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// The bytes in its frames.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has_begun(&self) -> bool {
        self.step != Step::Offer
    }

    pub(super) fn is_complete(&self) -> bool {
        self.step == Step::Done
    }

    /// The next message. Not asked again once complete; then it would say `Activate` once more.
    pub(super) fn next(&mut self) -> Said {
        match self.step {
            Step::Offer => {
                self.step = self.step_to(usize::from(!self.with_manifest));
                Said::Offer(proto::Offer {
                    version: self.published.version,
                    digest: self.published.digest.to_string(),
                    manifest_bytes: length(&self.published.manifest),
                    frames: self.frames(),
                    force: self.force,
                })
            }
            Step::Frame { body, offset } => match self.body(body) {
                Some((digest, bytes)) => {
                    let end = bytes.len().min(offset.saturating_add(FRAME));
                    self.step = if end < bytes.len() {
                        Step::Frame { body, offset: end }
                    } else {
                        self.step_to(body.saturating_add(1))
                    };
                    frame(digest, &bytes, offset, end)
                }
                None => self.activate(),
            },
            Step::Activate | Step::Done => self.activate(),
        }
    }

    fn activate(&mut self) -> Said {
        self.step = Step::Done;
        let (version, digest) = (self.published.version, self.published.digest.to_string());
        Said::Activate(proto::Activate { version, digest })
    }

    fn step_to(&self, body: usize) -> Step {
        if self.with_manifest && body <= self.lacking.len() {
            Step::Frame { body, offset: 0 }
        } else {
            Step::Activate
        }
    }

    fn body(&self, body: usize) -> Option<(Digest, Bytes)> {
        if body == 0 {
            return Some((self.published.digest, self.published.manifest.clone()));
        }
        let digest = self.lacking.get(body - 1)?;
        Some((*digest, self.published.bodies.get(digest)?.clone()))
    }

    fn frames(&self) -> u32 {
        if !self.with_manifest {
            return 0;
        }
        let bodies = self.lacking.iter().filter_map(|digest| self.published.bodies.get(digest));
        let frames: usize =
            bodies.chain([&self.published.manifest]).map(|body| body.len().div_ceil(FRAME).max(1)).sum();
        u32::try_from(frames).unwrap_or(u32::MAX)
    }
}

fn frame(digest: Digest, bytes: &Bytes, offset: usize, end: usize) -> Said {
    Said::Frame(proto::Frame {
        digest: digest.to_string(),
        offset: u64::try_from(offset).unwrap_or(u64::MAX),
        total: length(bytes),
        chunk: bytes.slice(offset..end),
    })
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
