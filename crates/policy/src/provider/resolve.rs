//! What an authored provider means: its preset filled in, its platform, address and way to sign in found.

use super::{Auth, Dialect, Platform, ProviderSpec, address, platform, preset};
use crate::diagnostic::Report;

/// A provider's spec with nothing left to find out.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) dialect: Dialect,
    pub(crate) base_url: String,
    pub(crate) platform: Platform,
    pub(crate) auth: Option<Auth>,
    /// What else is said, by the author or the preset.
    pub(crate) spec: ProviderSpec,
}

impl ProviderSpec {
    /// Resolves the spec; nothing if it makes no sense, which is then reported.
    pub(crate) fn resolve(&self, report: &mut Report) -> Option<Resolved> {
        let spec = preset::complete(self, report)?;
        let Some(dialect) = spec.dialect else {
            let message =
                "write how the provider speaks, such as `dialect: openai`, or a `preset` that knows";
            report.error("spec.dialect", "missing_field", message);
            return None;
        };
        let written = platform::Written {
            azure: spec.azure.as_ref(),
            vertex: spec.vertex.as_ref(),
            aws: spec.aws.as_ref(),
        };
        let platform = written.resolve(dialect, report)?;
        let auth = spec.auth.as_ref().and_then(|auth| auth.resolve(dialect, &platform, report));
        if spec.auth.is_some() && spec.credential.is_some() {
            let message = "a plain key and a way to sign in are two; remove `credential` or `auth`";
            report.error("spec.auth", "contradiction", message);
        }
        spec.quirks.check(dialect, "spec.quirks", report);
        if platform.wants_credential()
            && spec.base_url.is_none()
            && spec.credential.is_none()
            && spec.auth.is_none()
        {
            let message = "the cloud will answer nobody; write how to sign in, such as `auth: {aws: {}}` or `auth: {google: {}}`";
            report.warning("spec.auth", "missing_credential", message);
        }
        let Some(base_url) = spec.base_url.clone().or_else(|| address::default_for(&platform)) else {
            let example = address::example(dialect, &platform);
            let message = format!("write where the provider is, such as `base_url: {example}`");
            report.error("spec.base_url", "missing_field", message);
            return None;
        };
        match address::normalise(&base_url, dialect, &platform) {
            Ok(base_url) => Some(Resolved { dialect, base_url, platform, auth, spec }),
            Err(message) => {
                report.error("spec.base_url", "invalid_value", message);
                None
            }
        }
    }
}
