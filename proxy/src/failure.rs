//! Why a call did not get an answer: the only type of the proxy that knows HTTP statuses, and the list of its codes.
//!
//! It must not know how it is shown: `frontend` renders it in the caller's own dialect, in one function.

use std::error::Error;
use std::time::Duration;

/// The stable codes. Each is a metric label and a documentation anchor, so the list is closed.
pub mod code {
    /// No such model, as far as this key may know.
    pub const UNKNOWN_MODEL: &str = "unknown_model";
    /// The key's patterns do not cover the model.
    pub const MODEL_NOT_PERMITTED: &str = "model_not_permitted";
    /// Missing, malformed, unknown, expired or revoked: all alike to the caller.
    pub const INVALID_KEY: &str = "invalid_key";
    /// The key may not use the provider natively.
    pub const PROVIDER_NOT_PERMITTED: &str = "provider_not_permitted";
    /// No such provider.
    pub const UNKNOWN_PROVIDER: &str = "unknown_provider";
    /// Several providers could be meant.
    pub const PROVIDER_NEEDED: &str = "provider_needed";
    /// No provider that may be asked holds it.
    pub const UNKNOWN_OBJECT: &str = "unknown_object";
    /// Not a failure of ours: what the record says when a provider's own error was passed on to a native call.
    pub const PROVIDER_REFUSED: &str = "provider_refused";
    /// The call itself is wrong.
    pub const INVALID_REQUEST: &str = "invalid_request";
    /// No such path.
    pub const UNKNOWN_PATH: &str = "unknown_path";
    /// The path exists, the method does not.
    pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
    /// The body did not arrive in time.
    pub const REQUEST_TIMEOUT: &str = "request_timeout";
    /// The body is over the cap.
    pub const REQUEST_TOO_LARGE: &str = "request_too_large";
    /// A per-minute limit is used up.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// Too many calls at once.
    pub const CONCURRENCY_LIMITED: &str = "concurrency_limited";
    /// No target can serve the call.
    pub const NO_TARGET: &str = "no_target";
    /// Every target tried has failed.
    pub const UPSTREAM_FAILED: &str = "upstream_failed";
    /// No target answered in time.
    pub const UPSTREAM_TIMEOUT: &str = "upstream_timeout";
    /// The providers' own limits.
    pub const UPSTREAM_RATE_LIMITED: &str = "upstream_rate_limited";
    /// The providers refuse our credential. The caller's key is fine.
    pub const UPSTREAM_CREDENTIAL: &str = "upstream_credential";
    /// The target cannot do what the call asks for.
    pub const UNSUPPORTED: &str = "unsupported";
    /// The proxy has no policy yet.
    pub const POLICY_NOT_READY: &str = "policy_not_ready";
    /// The proxy's own fault.
    pub const INTERNAL: &str = "internal";
    /// Not a failure that anyone is told: what the record says of a caller who left.
    pub const CLIENT_GONE: &str = "client_gone";
    /// Not a failure: what the record says of an answered call.
    pub const OK: &str = "ok";
}

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The call is wrong, or the caller left.
    Caller,
    /// The policy says no.
    Policy,
    /// The providers failed.
    Upstream,
    /// The proxy failed.
    Internal,
}

/// What another try could change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing.
    Never,
    /// The same target may answer a second try.
    SameTarget,
    /// Another target may answer.
    NextTarget,
}

/// The cause below a failure, for the log.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why a call did not get an answer.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// One of [`code`].
    pub code: &'static str,
    /// Whose doing it is.
    pub origin: Origin,
    /// What another try could change.
    pub retry: Retry,
    /// The HTTP status the caller sees.
    pub status: u16,
    /// Safe to show to the caller.
    pub message: String,
    /// When the same call may succeed, where that is known.
    pub retry_after: Option<Duration>,
    /// The field of the call that is at fault.
    pub param: Option<String>,
    /// The cause, for the log alone.
    pub source: Option<Source>,
}

impl Failure {
    /// The call is wrong.
    pub fn caller(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self::new(code, Origin::Caller, Retry::Never, status, message.into())
    }

    /// The policy says no.
    pub fn policy(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self::new(code, Origin::Policy, Retry::Never, status, message.into())
    }

    /// A provider failed; `retry` says what may follow.
    pub fn upstream(code: &'static str, status: u16, retry: Retry, message: impl Into<String>) -> Self {
        Self::new(code, Origin::Upstream, retry, status, message.into())
    }

    /// The proxy failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, Origin::Internal, Retry::Never, 500, message.into())
    }

    /// Adds when the same call may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Adds the field that is at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    const fn new(code: &'static str, origin: Origin, retry: Retry, status: u16, message: String) -> Self {
        Self { code, origin, retry, status, message, retry_after: None, param: None, source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        let documented = include_str!("../../docs/failures.md");
        let source = include_str!("failure.rs");
        let codes =
            source.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1));
        let missing: Vec<&str> = codes.filter(|code| !documented.contains(&format!("`{code}`"))).collect();
        assert!(missing.is_empty(), "docs/failures.md lacks {missing:?}");
    }

    #[test]
    fn a_failure_tells_its_own_level_and_keeps_the_cause_apart() {
        let failure = Failure::internal("cannot encode the answer").with_source("broken pipe");
        assert_eq!(failure.to_string(), "internal: cannot encode the answer");
        assert_eq!(failure.source().map(ToString::to_string).as_deref(), Some("broken pipe"));
    }
}
