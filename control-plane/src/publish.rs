//! From the catalog to what each group's proxies are to run: select, check that it compiles, encode once.
//!
//! Publishing takes no input but the catalog, so a restart is a replay. A group that cannot be compiled keeps its last
//! good version and raises an alarm ([`Publisher::problems`]); it never takes another group along.
//!
//! It must not know proxies or sessions: they watch their group's channel, where only the newest version waits.

mod follow;
mod published;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use policy::{Catalog, Diagnostic, Digest, Manifest, Name, ResourceId};
use serde::Serialize;
use tokio::sync::watch;

pub use follow::start;
pub use published::Published;

/// A group's newest version, or none yet.
pub type GroupVersions = watch::Receiver<Option<Arc<Published>>>;

/// Hands out each group's newest version. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

/// Why a group does not get the newest version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// The group.
    pub group: String,
    /// The version it should have.
    pub version: u64,
    /// The version its proxies keep; absent when they never had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keeps: Option<u64>,
    /// When this began, in milliseconds since 1970.
    pub since_ms: u64,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug)]
struct Shared {
    groups: Mutex<HashMap<Name, watch::Sender<Option<Arc<Published>>>>>,
    problems: Mutex<BTreeMap<Name, Problem>>,
    head: watch::Sender<u64>,
}

impl Publisher {
    /// Nothing published yet.
    fn new() -> Self {
        let shared =
            Shared { groups: Mutex::default(), problems: Mutex::default(), head: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// The group's newest version, now and from now on. A group that does not exist has none until it does.
    pub fn group(&self, group: &Name) -> GroupVersions {
        let mut groups = self.shared.groups.lock();
        groups.retain(|name, versions| {
            name == group || versions.receiver_count() > 0 || versions.borrow().is_some()
        });
        groups.entry(group.clone()).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// The newest version that was published, whatever the group; 0 before the first.
    pub fn head(&self) -> u64 {
        *self.shared.head.borrow()
    }

    /// The newest published version, followed.
    pub fn heads(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// Groups that do not get the newest version, with the reason. Empty when all is well.
    pub fn problems(&self) -> Vec<Problem> {
        self.shared.problems.lock().values().cloned().collect()
    }

    /// Publishes one version to every group.
    fn publish(&self, version: u64, catalog: &Catalog, now_ms: u64) {
        // Version 0 is the empty store: nothing was decided yet, so there is nothing to enforce.
        if version == 0 {
            return;
        }
        let groups = catalog.groups();
        for group in &groups {
            self.publish_group(version, catalog, group, now_ms);
        }
        self.alarm_for_vanished(&groups, version, now_ms);
        self.shared.head.send_replace(version);
    }

    fn publish_group(&self, version: u64, catalog: &Catalog, group: &Name, now_ms: u64) {
        let before = self.current(group);
        if let Some(before) = before.as_ref().filter(|before| before.version >= version) {
            if before.version > version {
                tracing::error!(
                    group.name = group.as_str(),
                    policy.version = version,
                    kept.version = before.version,
                    "the store went back to an older version; proxies keep the newer one"
                );
            }
            return;
        }
        let manifest = catalog.manifest(group);
        let encoded = Bytes::from(manifest.canonical());
        let digest = Digest::of(&encoded);
        // Equal content was compiled before, so only the number is new.
        if let Some(before) = before.as_ref().filter(|before| before.digest == digest) {
            self.announce(group, before.renumbered(version));
            return;
        }
        let selected = catalog.select(group);
        let outcome = policy::compile(group, version, &selected).and_then(|compiled| {
            let parts = parts(catalog, &manifest, before.as_deref()).map_err(|id| {
                vec![alarm_diagnostic(
                    id.to_string(),
                    "missing_body",
                    "listed in the manifest and not in the catalog",
                )]
            })?;
            Ok((parts, compiled.warnings.len()))
        });
        match outcome {
            Ok((parts, warnings)) => {
                tracing::info!(
                    group.name = group.as_str(),
                    policy.version = version,
                    policy.digest = %digest,
                    resources = selected.len(),
                    warnings,
                    "published a version"
                );
                self.announce(group, Published::new(version, digest, encoded, parts));
            }
            Err(diagnostics) => self.alarm(group, version, diagnostics, now_ms),
        }
    }

    fn current(&self, group: &Name) -> Option<Arc<Published>> {
        self.shared.groups.lock().get(group).and_then(|versions| versions.borrow().clone())
    }

    fn announce(&self, group: &Name, published: Published) {
        self.shared.problems.lock().remove(group);
        let mut groups = self.shared.groups.lock();
        let versions = groups.entry(group.clone()).or_insert_with(|| watch::Sender::new(None));
        versions.send_replace(Some(Arc::new(published)));
    }

    /// Raises the alarm once for each version that a group cannot get.
    fn alarm(&self, group: &Name, version: u64, diagnostics: Vec<Diagnostic>, now_ms: u64) {
        let keeps = self.current(group).map(|published| published.version);
        let mut problems = self.shared.problems.lock();
        let since_ms = problems.get(group).map_or(now_ms, |problem| problem.since_ms);
        let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            group.name = group.as_str(),
            policy.version = version,
            kept.version = keeps,
            diagnostics = diagnostics.len(),
            first,
            "a group's policy cannot be published; its proxies keep what they have"
        );
        let problem = Problem { group: group.to_string(), version, keeps, since_ms, diagnostics };
        problems.insert(group.clone(), problem);
    }

    /// Groups that are watched or were published, and are no more in the policy.
    fn alarm_for_vanished(&self, existing: &[Name], version: u64, now_ms: u64) {
        let vanished: Vec<Name> = {
            let groups = self.shared.groups.lock();
            let gone = groups.iter().filter(|(name, versions)| {
                !existing.contains(name) && versions.receiver_count() > 0 && versions.borrow().is_some()
            });
            gone.map(|(name, _versions)| name.clone()).collect()
        };
        self.shared
            .problems
            .lock()
            .retain(|name, _problem| existing.contains(name) || vanished.contains(name));
        self.shared
            .groups
            .lock()
            .retain(|name, versions| existing.contains(name) || versions.receiver_count() > 0);
        for group in vanished {
            let diagnostic = alarm_diagnostic(
                format!("Group/{group}"),
                "group_deleted",
                "the group was deleted while proxies are in it: author it again or move them",
            );
            self.alarm(&group, version, vec![diagnostic], now_ms);
        }
    }
}

/// The manifest's bodies in its order; bodies that the version before has as well are shared with it.
fn parts(
    catalog: &Catalog,
    manifest: &Manifest,
    before: Option<&Published>,
) -> Result<Vec<(Digest, Bytes)>, ResourceId> {
    let mut parts = Vec::with_capacity(manifest.entries.len());
    for entry in &manifest.entries {
        let shared = before.and_then(|before| before.bodies.get(&entry.sha256)).cloned();
        let body = match shared {
            Some(body) => body,
            None => {
                let id = ResourceId { kind: entry.kind, name: entry.name.clone() };
                let Some(body) = catalog.body(&id) else { return Err(id) };
                Bytes::from_owner(Arc::clone(body))
            }
        };
        parts.push((entry.sha256, body));
    }
    Ok(parts)
}

fn alarm_diagnostic(resource: String, code: &'static str, message: &str) -> Diagnostic {
    let severity = policy::Severity::Error;
    let message = message.to_owned();
    Diagnostic { severity, resource, path: String::new(), location: None, code: code.into(), message }
}

#[cfg(test)]
pub(crate) mod tests;
