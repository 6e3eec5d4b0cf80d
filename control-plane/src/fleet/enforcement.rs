//! "Is version V enforced everywhere?" as a value.

use serde::Serialize;

use super::entry::FleetEntry;

/// How far a version has got. Proxy ids are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Enforcement {
    /// The version asked about.
    pub version: u64,
    /// Connected proxies that enforce it or a newer one.
    pub enforcing: Vec<String>,
    /// Connected proxies that do not yet.
    pub behind: Vec<String>,
    /// Connected proxies that refused it or a newer one and enforce an older one.
    pub refused: Vec<String>,
    /// Proxies that went away while enforcing an older one: nobody knows what they do now.
    pub unknown: Vec<String>,
}

impl Enforcement {
    pub(super) fn of(version: u64, fleet: &[FleetEntry]) -> Self {
        let mut enforcement =
            Self { version, enforcing: vec![], behind: vec![], refused: vec![], unknown: vec![] };
        for entry in fleet {
            let enforces = entry.version.is_some_and(|active| active >= version);
            let has_refused = entry.last_refusal.as_ref().is_some_and(|refusal| refusal.version >= version);
            let list = match (entry.connected, enforces, has_refused) {
                (true, true, _) => &mut enforcement.enforcing,
                (true, false, true) => &mut enforcement.refused,
                (true, false, false) => &mut enforcement.behind,
                (false, false, _) => &mut enforcement.unknown,
                // It went away enforcing the version, and a proxy never goes back by itself but for a crash it reports.
                (false, true, _) => continue,
            };
            list.push(entry.proxy_id.clone());
        }
        enforcement
    }

    /// Whether every proxy that may serve calls enforces the version.
    pub fn is_everywhere(&self) -> bool {
        self.behind.is_empty() && self.refused.is_empty() && self.unknown.is_empty()
    }
}
