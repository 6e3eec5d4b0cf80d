//! What a proxy says it did with a version, understood and bounded: it comes over the wire and goes into the fleet.

use policy::Digest;

use super::hello;
use crate::fleet::{ProxyPhase, RefusalDiagnostic};

const MAX_DIAGNOSTICS: usize = 20;
const MAX_DIAGNOSTIC_TEXT: usize = 512;

/// A status with its fields understood and bounded.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) version: u64,
    pub(super) digest: Digest,
    pub(super) phase: ProxyPhase,
    pub(super) took_us: u64,
    pub(super) diagnostics: Vec<RefusalDiagnostic>,
}

impl Reported {
    pub(super) fn read(status: proto::Status) -> Option<Self> {
        let phase = match proto::Phase::try_from(status.phase).ok()? {
            proto::Phase::Unspecified => return None,
            proto::Phase::Received => ProxyPhase::Received,
            proto::Phase::Staged => ProxyPhase::Staged,
            proto::Phase::Active => ProxyPhase::Active,
            proto::Phase::Rejected => ProxyPhase::Rejected,
            proto::Phase::Reverted => ProxyPhase::Reverted,
        };
        let diagnostics =
            status.diagnostics.into_iter().take(MAX_DIAGNOSTICS).map(|diagnostic| RefusalDiagnostic {
                resource: hello::cut(diagnostic.resource, MAX_DIAGNOSTIC_TEXT),
                path: hello::cut(diagnostic.path, MAX_DIAGNOSTIC_TEXT),
                code: hello::cut(diagnostic.code, MAX_DIAGNOSTIC_TEXT),
                message: hello::cut(diagnostic.message, MAX_DIAGNOSTIC_TEXT),
            });
        Some(Self {
            version: status.version,
            digest: status.digest.parse().ok()?,
            phase,
            took_us: status.took_us,
            diagnostics: diagnostics.collect(),
        })
    }
}
