//! What went wrong in an attempt, and what the caller is told when nothing else is left to try.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use dialect::{Fault, FaultClass};

use crate::failure::{Failure, Retry, code};
use crate::upstream::auth::AuthError;
use crate::upstream::client::ConnectTimeout;
use crate::upstream::encoding::EncodingError;
use crate::upstream::retry::Class;

/// A provider may ask for any pause; a caller's SDK that is told of a long one would sleep through it.
const LONGEST_PAUSE_TOLD: Duration = Duration::from_secs(60);

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What it means for the next try.
    pub(super) class: Class,
    /// The word for the record.
    pub(super) outcome: &'static str,
    /// The provider's status; 0 when no answer came.
    pub(super) status: u16,
    /// What the provider asked for.
    pub(super) retry_after: Option<Duration>,
    /// What the provider said of retrying.
    pub(super) should_retry: Option<bool>,
    provider: Box<str>,
    /// The provider's own word, or ours; safe to show.
    word: Cow<'static, str>,
    /// Safe to show to the caller.
    message: String,
    param: Option<Box<str>>,
}

impl Trouble {
    /// The provider answered, and the answer is an error or makes no sense.
    pub(super) fn fault(provider: &str, status: u16, fault: Fault) -> Self {
        let class = class_of(fault.class);
        Self {
            class,
            outcome: outcome_of(class),
            status,
            retry_after: fault.retry_after,
            should_retry: fault.should_retry,
            provider: provider.into(),
            word: fault.code,
            message: fault.message,
            param: fault.param.map(String::into_boxed_str),
        }
    }

    /// The call could not be written for the target.
    pub(super) fn before_sending(provider: &str, fault: Fault) -> Self {
        Self::fault(provider, 0, fault)
    }

    /// The proxy has no credential for the provider.
    pub(super) fn no_credential(provider: &str, error: &AuthError) -> Self {
        Self::ours(provider, Class::Credential, "no_credential", error.to_string())
    }

    /// No answer: the client's own error.
    pub(super) fn transport(provider: &str, error: &hyper_util::client::legacy::Error) -> Self {
        let causes = Causes(error);
        if causes_of(error).any(|source| source.is::<ConnectTimeout>()) {
            return Self::ours(provider, Class::Unreachable, "connect_timeout", causes.to_string());
        }
        if error.is_connect() {
            return Self::ours(provider, Class::Unreachable, "connect", causes.to_string());
        }
        let is_garbage = error
            .source()
            .and_then(|source| source.downcast_ref::<hyper::Error>())
            .is_some_and(|source| source.is_parse());
        if is_garbage {
            return Self::ours(provider, Class::Transient, "not_http", causes.to_string());
        }
        Self::ours(provider, Class::Unreachable, "reset", causes.to_string())
    }

    /// The connection did not stand within what a rule allows.
    pub(super) fn unconnected(provider: &str, limit: Duration) -> Self {
        Self::ours(provider, Class::Unreachable, "connect_timeout", ConnectTimeout(limit).to_string())
    }

    /// The answer's body broke off.
    pub(super) fn cut(provider: &str, status: u16, error: &hyper::Error) -> Self {
        Self { status, ..Self::ours(provider, Class::Transient, "cut", Causes(error).to_string()) }
    }

    /// The answer's body is not in the coding that its head names, or in one that nobody here knows.
    pub(super) fn unreadable(provider: &str, status: u16, error: &EncodingError) -> Self {
        Self { status, ..Self::ours(provider, Class::Transient, "content_coding", error.to_string()) }
    }

    /// Something did not come in time.
    pub(super) fn overdue(provider: &str, status: u16, message: String) -> Self {
        Self { status, ..Self::ours(provider, Class::Overdue, "timeout", message) }
    }

    /// The answer is larger than the proxy takes.
    pub(super) fn oversized_answer(provider: &str, status: u16, most: usize) -> Self {
        let message = format!("the answer is larger than {most} bytes");
        Self { status, ..Self::ours(provider, Class::Transient, "oversized_answer", message) }
    }

    /// What is asked for does not make a URL at the provider.
    pub(super) fn no_url(provider: &str) -> Self {
        let message = "what is asked for does not make a URL at the provider".to_owned();
        Self::ours(provider, Class::Invalid, "no_url", message)
    }

    /// The proxy's own mistake.
    pub(super) fn internal(provider: &str, message: impl Into<String>) -> Self {
        Self::ours(provider, Class::Unsupported, "internal", message.into())
    }

    fn ours(provider: &str, class: Class, outcome: &'static str, message: String) -> Self {
        Self {
            class,
            outcome,
            status: 0,
            retry_after: None,
            should_retry: None,
            provider: provider.into(),
            word: Cow::Borrowed(outcome),
            message,
            param: None,
        }
    }

    /// Whether the target had no part in it: there was nothing to authorise the request with, so none was sent.
    pub(super) fn is_ours(&self) -> bool {
        self.outcome == "no_credential"
    }

    /// For the record: the provider's code, or our own description. Never an upstream body.
    pub(super) fn detail(&self) -> Cow<'static, str> {
        if self.word == self.outcome { Cow::Owned(self.message.clone()) } else { self.word.clone() }
    }

    /// What the caller is told.
    pub(super) fn into_failure(self) -> Failure {
        let Self { class, provider, message, .. } = self;
        let told = format!("provider `{provider}`: {message}");
        let pause = self.retry_after.filter(|pause| *pause <= LONGEST_PAUSE_TOLD);
        let failure = match class {
            Class::Unreachable | Class::Transient => {
                // Retried here already: a caller that retries as well would multiply the attempts.
                Failure::upstream(code::UPSTREAM_FAILED, 502, Retry::Never, told).with_retry_after(pause)
            }
            Class::Overdue => Failure::upstream(code::UPSTREAM_TIMEOUT, 504, Retry::Never, told),
            Class::RateLimited => {
                Failure::upstream(code::UPSTREAM_RATE_LIMITED, 429, Retry::SameTarget, told)
                    .with_retry_after(pause)
            }
            Class::QuotaExhausted => Failure::upstream(code::UPSTREAM_RATE_LIMITED, 429, Retry::Never, told),
            Class::Credential => {
                let told = if self.status == 0 {
                    told
                } else {
                    format!(
                        "provider `{provider}` refuses the proxy's own credential; the caller's key is fine"
                    )
                };
                Failure::upstream(code::UPSTREAM_CREDENTIAL, 502, Retry::Never, told)
            }
            Class::NotFound => Failure::upstream(code::UPSTREAM_FAILED, 502, Retry::Never, told),
            Class::TooLarge => {
                let status = if self.status == 413 { 413 } else { 400 };
                Failure::caller(code::REQUEST_TOO_LARGE, status, told)
            }
            Class::Unsupported if self.outcome == "internal" => Failure::internal(told),
            Class::Unsupported => Failure::caller(code::UNSUPPORTED, 400, message),
            Class::Invalid | Class::Filtered => {
                let status = if self.status == 422 { 422 } else { 400 };
                Failure::caller(code::INVALID_REQUEST, status, message)
            }
        };
        match self.param {
            Some(param) => failure.with_param(param),
            None => failure,
        }
    }
}

/// Of all that went wrong, what tells the caller most: the latest among the weightiest. `continues` is what the call goes on from,
/// which lives at one provider alone.
pub(super) fn failure(troubles: Vec<Trouble>, continues: Option<&str>) -> Failure {
    if let Some(id) = continues.filter(|_| troubles.iter().any(|trouble| trouble.class == Class::NotFound)) {
        let is_unknown = |trouble: &Trouble| matches!(trouble.class, Class::NotFound | Class::Unsupported);
        if troubles.iter().all(is_unknown) {
            let message =
                format!("no target of the model holds `{}`", id.chars().take(200).collect::<String>());
            return Failure::caller(code::UNKNOWN_OBJECT, 404, message);
        }
    }
    let weightiest = troubles.into_iter().max_by_key(|trouble| match trouble.class {
        Class::Invalid | Class::Filtered => 4,
        Class::Unreachable
        | Class::Overdue
        | Class::Transient
        | Class::RateLimited
        | Class::QuotaExhausted => 3,
        Class::TooLarge => 2,
        Class::NotFound | Class::Credential => 1,
        Class::Unsupported => 0,
    });
    weightiest.map_or_else(
        || Failure::internal("the plan had no target that could be tried"),
        Trouble::into_failure,
    )
}

fn class_of(class: FaultClass) -> Class {
    match class {
        FaultClass::Transient => Class::Transient,
        FaultClass::RateLimited => Class::RateLimited,
        FaultClass::QuotaExhausted => Class::QuotaExhausted,
        FaultClass::Credential => Class::Credential,
        FaultClass::NotFound => Class::NotFound,
        FaultClass::TooLarge => Class::TooLarge,
        FaultClass::Invalid => Class::Invalid,
        FaultClass::Filtered => Class::Filtered,
        FaultClass::Unsupported => Class::Unsupported,
    }
}

fn outcome_of(class: Class) -> &'static str {
    match class {
        Class::Unreachable => "connect",
        Class::Overdue => "timeout",
        Class::Transient => "transient",
        Class::RateLimited => "rate_limited",
        Class::QuotaExhausted => "quota_exhausted",
        Class::Credential => "credential",
        Class::NotFound => "not_found",
        Class::TooLarge => "too_large",
        Class::Unsupported => "unsupported",
        Class::Invalid => "invalid",
        Class::Filtered => "filtered",
    }
}

/// What lies below an error.
fn causes_of<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// The causes of an error, on one line: the outermost layer of the client only says `client error (…)`.
struct Causes<'a>(&'a (dyn Error + 'static));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut is_first = true;
        for error in causes_of(self.0) {
            if !is_first {
                f.write_str(": ")?;
            }
            is_first = false;
            write!(f, "{error}")?;
        }
        if is_first { write!(f, "{}", self.0) } else { Ok(()) }
    }
}
