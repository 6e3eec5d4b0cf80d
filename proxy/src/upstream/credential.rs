//! Finds the secret behind a reference when it is needed, and reads a file again when it has changed.
//!
//! The value never leaves this room except as a header that is marked sensitive. It must not know which provider it is for.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use parking_lot::Mutex;
use policy::SecretRef;
use tokio::time::Instant;

/// Reads an environment variable: the port to `settings.rs`, the only place that knows the environment.
#[derive(Clone)]
pub struct ReadEnv(Arc<Read>);

type Read = dyn Fn(&str) -> Option<String> + Send + Sync;

impl ReadEnv {
    /// Asks `read` for each variable.
    pub fn new(read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The value of one variable.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl fmt::Debug for ReadEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadEnv")
    }
}

/// How often a file is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// No credential is longer.
const LONGEST: u64 = 64 * 1024;

/// A secret that is needed for every call to a provider.
pub struct Credential {
    reference: SecretRef,
    prefix: &'static str,
    read_env: ReadEnv,
    seen: Mutex<Option<Seen>>,
    /// Whether the last look found nothing: told once, not for every call.
    is_missing: AtomicBool,
}

#[derive(Clone)]
struct Seen {
    value: HeaderValue,
    looked_at: Instant,
    /// What tells a changed file from the same one; `None` for an environment variable, which does not change.
    stamp: Option<Stamp>,
}

type Stamp = (Option<SystemTime>, u64);

/// Why there is no secret. Never holds it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The variable is not set in the proxy's environment.
    #[error("the environment variable `{0}` is not set for the proxy")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the credential file `{0}` cannot be read")]
    Unreadable(String, #[source] io::Error),
    /// There is something, but it cannot be sent.
    #[error("`{0}` is empty or holds characters that a header cannot carry")]
    NotAHeader(String),
    /// The proxy cannot open sealed secrets.
    #[error("`{0}` is a sealed secret, which this proxy cannot open; use `env:NAME` or `file:/path`")]
    Sealed(String),
}

impl Credential {
    /// A credential that is looked up when it is first needed. `prefix` stands before it in the header.
    pub fn new(reference: SecretRef, prefix: &'static str, read_env: ReadEnv) -> Self {
        Self { reference, prefix, read_env, seen: Mutex::new(None), is_missing: AtomicBool::new(false) }
    }

    /// The header's value now.
    pub fn header(&self, now: Instant) -> Result<HeaderValue, CredentialError> {
        let found = self.find(now);
        match &found {
            Ok(_) => self.is_missing.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.is_missing.swap(true, Ordering::Relaxed) {
                    let error = error as &dyn Error;
                    tracing::error!(
                        error,
                        "a provider's credential cannot be used; its targets are passed over"
                    );
                }
            }
        }
        found
    }

    fn find(&self, now: Instant) -> Result<HeaderValue, CredentialError> {
        let seen = self.seen.lock().clone();
        if let Some(seen) = &seen
            && (seen.stamp.is_none() || now.saturating_duration_since(seen.looked_at) < LOOK_AGAIN)
        {
            return Ok(seen.value.clone());
        }
        let fresh = match &self.reference {
            SecretRef::Env(name) => {
                let secret = self.read_env.get(name).ok_or_else(|| CredentialError::NotSet(name.clone()))?;
                Seen { value: self.to_header(&secret)?, looked_at: now, stamp: None }
            }
            SecretRef::File(path) => self.look_at(path, seen, now)?,
            SecretRef::Sealed(_) => return Err(CredentialError::Sealed(self.reference.to_string())),
        };
        let value = fresh.value.clone();
        *self.seen.lock() = Some(fresh);
        Ok(value)
    }

    fn look_at(&self, path: &str, seen: Option<Seen>, now: Instant) -> Result<Seen, CredentialError> {
        let unreadable = |error| CredentialError::Unreadable(path.to_owned(), error);
        let metadata = fs::metadata(path).map_err(unreadable)?;
        let stamp = Some((metadata.modified().ok(), metadata.len()));
        if let Some(seen) = seen.filter(|seen| seen.stamp == stamp) {
            return Ok(Seen { looked_at: now, ..seen });
        }
        if metadata.len() > LONGEST {
            return Err(CredentialError::NotAHeader(self.reference.to_string()));
        }
        let secret = fs::read_to_string(path).map_err(unreadable)?;
        Ok(Seen { value: self.to_header(secret.trim_end_matches(['\n', '\r']))?, looked_at: now, stamp })
    }

    fn to_header(&self, secret: &str) -> Result<HeaderValue, CredentialError> {
        let wrong = || CredentialError::NotAHeader(self.reference.to_string());
        if secret.trim().is_empty() {
            return Err(wrong());
        }
        // The error of the conversion is dropped on purpose: it could quote the secret.
        let mut value = HeaderValue::try_from(format!("{}{secret}", self.prefix)).or(Err(wrong()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("reference", &self.reference).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
