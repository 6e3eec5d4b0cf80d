//! Reads what a provider reports as an error and decides what kind of fault it is.
//!
//! The table is one for all dialects: status first, then the words that correct it.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Fault, FaultClass, exception, google};
use crate::{Dialect, civil};

/// The longest message taken over from a provider, in characters.
const MOST_MESSAGE: usize = 600;

/// The parts of an error body that either dialect may have.
#[derive(Debug, Default)]
struct Report {
    kind: String,
    code: String,
    status: Option<u16>,
    message: String,
    param: Option<String>,
    /// The status of the model's own server behind the provider.
    original: Option<u16>,
    /// What Google tells beside the message.
    google: Option<google::Details>,
}

/// Reads an error answer of a provider.
///
/// `header` gives a header of the answer by its lower-case name.
#[must_use]
pub fn decode_fault(
    dialect: Dialect,
    status: u16,
    header: &dyn Fn(&str) -> Option<String>,
    body: &[u8],
) -> Fault {
    let mut report = Report::read(body);
    if let Some(name) = header("x-amzn-errortype").filter(|name| !name.trim().is_empty()) {
        report.kind = exception::word(&name);
    }
    // Cohere's own number for a key that is not known.
    let status = if dialect == Dialect::Cohere && status == 498 { 401 } else { status };
    let mut fault = report.fault(status);
    let told = report.google.as_ref().and_then(|google| google.retry);
    fault.retry_after = retry_after(dialect, fault.class, header).or(told);
    fault.should_retry = match header("x-should-retry").as_deref().map(str::trim) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    fault
}

/// Reads an error that came inside a success: a record of a stream or a whole body.
pub(crate) fn decode_in_band(body: &[u8]) -> Fault {
    let report = Report::read(body);
    // Some tell the kind in `type`, some in `code`.
    let known = || status_of(&report.kind).or_else(|| status_of(&report.code));
    let status = report.status.or_else(known).unwrap_or(500);
    report.fault(status)
}

/// Reads an exception of AWS that came inside a stream.
pub(crate) fn decode_exception(name: &str, body: &[u8]) -> Fault {
    let mut report = Report::read(body);
    report.kind = exception::word(name);
    let status = exception::status(&report.kind).unwrap_or(500);
    report.fault(status)
}

impl Report {
    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: Option<Value>,
            #[serde(alias = "Message")]
            message: Option<Value>,
            #[serde(rename = "__type")]
            exception: Option<String>,
            #[serde(rename = "originalStatusCode")]
            original: Option<u16>,
            detail: Option<Value>,
            code: Option<Value>,
            #[serde(rename = "type")]
            kind: Option<Value>,
        }
        // Where a stream was asked for, Google puts an error into a list.
        let list = serde_json::from_slice::<Vec<&RawValue>>(body).unwrap_or_default();
        let body = list.first().map_or(body, |first| first.get().as_bytes());
        let Ok(body) = serde_json::from_slice::<Body>(body) else { return Self::default() };
        let outer = Value::Object(
            [("message", body.message.or(body.detail)), ("code", body.code), ("type", body.kind)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
        );
        let mut report = match body.error {
            Some(Value::String(message)) => Self { message, ..Self::default() },
            Some(error @ Value::Object(_)) => Self::from_value(&error),
            _ => Self::from_value(&outer),
        };
        if let Some(name) = body.exception {
            report.kind = exception::word(&name);
        }
        report.original = body.original.filter(|status| (400..600).contains(status));
        report
    }

    fn from_value(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = error.get("code").or_else(|| error.get("status")).and_then(Value::as_u64);
        let message = match error.get("message") {
            Some(Value::String(message)) => message.clone(),
            Some(other) if !other.is_null() => other.to_string(),
            _ => String::new(),
        };
        let details =
            error.get("details").and_then(|details| details.get("error_code")).and_then(Value::as_str);
        let google = google::read(error);
        let word = |own: String, read: fn(&google::Details) -> &str| match &google {
            Some(google) if own.is_empty() => read(google).to_owned(),
            _ => own,
        };
        Self {
            kind: word(text("type"), |google| &google.status),
            code: word(details.map_or_else(|| text("code"), str::to_owned), |google| &google.reason),
            status: number.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code)),
            message,
            param: error
                .get("param")
                .and_then(Value::as_str)
                .or_else(|| google.as_ref()?.field.as_deref())
                .map(str::to_owned),
            original: None,
            google,
        }
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.code == *word || self.kind == *word)
    }

    fn mentions(&self, phrases: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    fn fault(&self, status: u16) -> Fault {
        let class = self.class(status);
        let code = self.stable_code(class);
        let message = match class {
            // A refused credential is often quoted in the message, and it is ours, not the caller's.
            FaultClass::Credential => format!("the provider refused its credential ({status})"),
            _ if self.message.is_empty() => format!("the provider answered with status {status}"),
            _ => sanitise(&self.message),
        };
        let mut fault = Fault::new(class, code, message);
        fault.param = self.param.as_deref().map(sanitise);
        fault
    }

    fn class(&self, status: u16) -> FaultClass {
        if self.is_exhausted(status) {
            return FaultClass::QuotaExhausted;
        }
        if self.is_filtered(status) {
            return FaultClass::Filtered;
        }
        if self.is_too_large(status) {
            return FaultClass::TooLarge;
        }
        if self.says(&["overloaded_error", "model_not_ready", "service_unavailable", "internal_server"]) {
            return FaultClass::Transient;
        }
        if status == 499 && self.says(&["cancelled"]) {
            return FaultClass::Transient;
        }
        if self.says(&["validation"]) && self.mentions(&["model identifier is invalid"]) {
            return FaultClass::NotFound;
        }
        match self.original.unwrap_or(status) {
            401 | 403 => FaultClass::Credential,
            404 | 405 => FaultClass::NotFound,
            429 => FaultClass::RateLimited,
            408 | 409 | 424 | 425 | 498 => FaultClass::Transient,
            400..=499 => self.class_of_refusal(),
            _ => FaultClass::Transient,
        }
    }

    /// Some providers wrap other failures in a 400.
    fn class_of_refusal(&self) -> FaultClass {
        if self.says(&[
            "model_not_found",
            "not_found_error",
            "model_decommissioned",
            "resource_not_found",
            "previous_response_not_found",
        ]) {
            FaultClass::NotFound
        } else if self.says(&[
            "authentication_error",
            "invalid_api_key",
            "api_key_invalid",
            "api_key_expired",
            "permission_error",
            "access_denied",
            "unrecognized_client",
            "expired_token",
            "invalid_signature",
            "incomplete_signature",
        ]) {
            FaultClass::Credential
        } else if self.says(&["rate_limit_error", "rate_limit_exceeded", "throttling", "too_many_requests"]) {
            FaultClass::RateLimited
        } else if self.says(&["server_error", "api_error", "internal_server_error", "timeout_error"]) {
            FaultClass::Transient
        } else {
            FaultClass::Invalid
        }
    }

    fn is_exhausted(&self, status: u16) -> bool {
        // Google says of every limit that it is the current quota.
        if let Some(google) = &self.google {
            return status == 402 || google.is_spent;
        }
        let words = [
            "insufficient_quota",
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "enforced_spend_limit_reached",
            "credit_exhausted",
            "insufficient_credits",
            "service_quota_exceeded",
        ];
        let phrases = [
            "credit balance is too low",
            "exceeded your current quota",
            "insufficient credits",
            "api calls / month",
        ];
        status == 402 || self.says(&words) || ((400..500).contains(&status) && self.mentions(&phrases))
    }

    fn is_filtered(&self, status: u16) -> bool {
        let words = [
            "content_filter",
            "content_policy_violation",
            "responsible_ai_policy_violation",
            "image_content_policy_violation",
            "misalignment_policy_violation",
            "bio_policy",
        ];
        (400..500).contains(&status)
            && (self.says(&words)
                || self.mentions(&["content filtering policy", "content management policy"]))
    }

    fn is_too_large(&self, status: u16) -> bool {
        let words = ["context_length_exceeded", "request_too_large", "string_above_max_length"];
        let phrases = [
            "maximum context length",
            "prompt is too long",
            "context window",
            "exceeds the maximum number of tokens",
            "exceed context limit",
            "input is too long",
            "too many input tokens",
            "too many tokens",
        ];
        status == 413 || self.says(&words) || (status == 400 && self.mentions(&phrases))
    }

    /// The provider's word when it is a plain identifier, since words become metric labels; ours otherwise.
    fn stable_code(&self, class: FaultClass) -> Cow<'static, str> {
        let plain = |word: &&String| {
            (1..=48).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        match [&self.code, &self.kind].into_iter().find(plain) {
            Some(word) => Cow::Owned(word.clone()),
            None => Cow::Borrowed(class.code()),
        }
    }
}

impl FaultClass {
    /// The code of a fault that brought none.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Transient => "provider_failed",
            Self::RateLimited => "rate_limit_exceeded",
            Self::QuotaExhausted => "insufficient_quota",
            Self::Credential => "credential_refused",
            Self::NotFound => "not_found",
            Self::TooLarge => "request_too_large",
            Self::Invalid => "invalid_request",
            Self::Filtered => "content_filter",
            Self::Unsupported => "unsupported",
        }
    }
}

/// The status an in-band error stands for.
fn status_of(kind: &str) -> Option<u16> {
    let status = match kind {
        "invalid_request_error"
        | "invalid_prompt"
        | "bio_policy"
        | "misalignment_policy_violation"
        | "image_content_policy_violation"
        | "invalid_image"
        | "invalid_image_url"
        | "invalid_base64_image"
        | "invalid_image_format"
        | "unsupported_image_media_type"
        | "failed_to_download_image"
        | "image_file_not_found"
        | "empty_image_file"
        | "image_parse_error"
        | "image_too_small"
        | "data_residency_mismatch" => 400,
        "image_too_large" | "image_file_too_large" => 413,
        "authentication_error" => 401,
        "billing_error" | "insufficient_quota" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" | "requests" | "tokens" | "rate_limit_exceeded" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        "server_error" | "api_error" => 500,
        _ => return None,
    };
    Some(status)
}

/// How long the provider asks to wait: its own header first, then the reset of a limit that is used up.
fn retry_after(
    dialect: Dialect,
    class: FaultClass,
    header: &dyn Fn(&str) -> Option<String>,
) -> Option<Duration> {
    let number = |name: &str, unit: f64| civil::seconds(header(name)?.trim().parse::<f64>().ok()? * unit);
    let now = || civil::parse_http_date(&header("date")?);
    let at = |time: Option<u64>| Some(Duration::from_secs(time?.saturating_sub(now()?)));
    // Cerebras counts in plain seconds.
    let wait =
        |text: &str| civil::parse_duration(text).or_else(|| civil::seconds(text.trim().parse::<f64>().ok()?));
    let asked = number("retry-after-ms", 0.001)
        .or_else(|| number("retry-after", 1.0))
        .or_else(|| at(civil::parse_http_date(header("retry-after")?.trim())));
    if asked.is_some() || class != FaultClass::RateLimited {
        return asked;
    }
    let is_spent = |name: String| header(&name).is_some_and(|left| left.trim() == "0");
    if dialect == Dialect::OpenAi && is_spent("x-ratelimit-remaining".to_owned()) {
        return reset(header("x-ratelimit-reset")?.trim().parse().ok()?, now);
    }
    let resets = DIMENSIONS.into_iter().filter_map(|what| match dialect {
        Dialect::OpenAi | Dialect::Responses if is_spent(format!("x-ratelimit-remaining-{what}")) => {
            wait(&header(&format!("x-ratelimit-reset-{what}"))?)
        }
        Dialect::Anthropic if is_spent(format!("anthropic-ratelimit-{what}-remaining")) => {
            at(civil::parse_rfc3339(header(&format!("anthropic-ratelimit-{what}-reset"))?.trim()))
        }
        _ => None,
    });
    resets.max()
}

/// What is limited, as the headers of OpenAI, Anthropic and Cerebras name it.
const DIMENSIONS: [&str; 8] = [
    "requests",
    "tokens",
    "input-tokens",
    "output-tokens",
    "requests-day",
    "requests-minute",
    "tokens-day",
    "tokens-minute",
];

/// The wait until a reset that is told in seconds, or as an epoch in seconds or in milliseconds: its size tells which.
fn reset(told: f64, now: impl Fn() -> Option<u64>) -> Option<Duration> {
    const FIRST_EPOCH: f64 = 500_000_000.0;
    let epoch = if told > FIRST_EPOCH * 1_000.0 { told / 1_000.0 } else { told };
    if epoch < FIRST_EPOCH {
        return civil::seconds(told);
    }
    Some(civil::seconds(epoch)?.saturating_sub(Duration::from_secs(now()?)))
}

/// A provider's message without anything that looks like a credential, and not too long.
pub(crate) fn sanitise(message: &str) -> String {
    let mut clean = String::with_capacity(message.len().min(MOST_MESSAGE));
    let mut rest = message;
    while !rest.is_empty() {
        let end = rest.find(is_border).unwrap_or(rest.len());
        let (word, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        clean.push_str(if looks_secret(word) { "[redacted]" } else { word });
        let mut tail_chars = tail.chars();
        clean.extend(tail_chars.next().map(|c| if c.is_control() { ' ' } else { c }));
        rest = tail_chars.as_str();
        if clean.chars().count() > MOST_MESSAGE {
            clean = clean.chars().take(MOST_MESSAGE).chain(['…']).collect();
            break;
        }
    }
    clean
}

fn is_border(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.' | '/' | '+'))
}

fn looks_secret(word: &str) -> bool {
    const PREFIXES: [&str; 12] =
        ["sk-", "sk_", "rk-", "pk-", "gsk_", "xai-", "AIza", "fd_", "fda_", "org-", "csk-", "pa-"];
    let is_long = word.len() >= 32
        && !word.contains(['/', '.'])
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().any(|b| b.is_ascii_alphabetic());
    is_long || (word.len() >= 8 && PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
}
