//! The kind `Provider`: where models are served, in which dialect and with which credential.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{SecretRef, Span, diagnostic::Report, limits};

/// What an operator writes about a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// How the provider speaks.
    pub dialect: Dialect,
    /// What the official SDK of that dialect takes as its base URL. Plain `http://` only to loopback.
    pub base_url: String,
    /// Where the credential is found. Omitted: the provider needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<SecretRef>,
    /// Headers added to every request. Never for credentials.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How long to wait for what.
    #[serde(default, skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// Whether to speak HTTP/2 to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub http2: bool,
    /// The field in which an OpenAI-compatible provider takes the limit of output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens_field: Option<MaxTokensField>,
}

/// How a provider speaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI chat completions and embeddings, and all that is compatible with them.
    OpenAi,
    /// Anthropic messages.
    Anthropic,
}

/// The name of the field that limits output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_tokens`, which most OpenAI-compatible servers understand.
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's newer models insist on.
    MaxCompletionTokens,
}

/// How long to wait for what. What is omitted comes from the next wider place: rule, then provider, then [`Timeouts::DEFAULT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    /// From the request until the first byte of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Span>,
    /// Between two pieces of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// From the request until the end of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Span>,
}

impl Timeouts {
    /// What holds where nothing is authored. The first byte is not in it: that of a whole answer comes only when all of it has
    /// been written, so whoever waits has to know what for.
    pub const DEFAULT: Timeouts = Timeouts {
        connect: Some(Span::from_millis(5_000)),
        first_byte: None,
        idle: Some(Span::from_millis(60_000)),
        total: Some(Span::from_millis(600_000)),
    };

    /// These timeouts, completed by `wider` where nothing is said.
    pub fn or(self, wider: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.or(wider.connect),
            first_byte: self.first_byte.or(wider.first_byte),
            idle: self.idle.or(wider.idle),
            total: self.total.or(wider.total),
        }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Timeouts::default()
    }

    pub(crate) fn check(&self, path: &str, report: &mut Report) {
        let parts = [("connect", self.connect), ("first_byte", self.first_byte), ("idle", self.idle)];
        for (name, part) in parts {
            if let (Some(part), Some(total)) = (part, self.total)
                && part > total
            {
                let message = format!("{part} can never pass, because `total` ends the call after {total}");
                report.error(format_args!("{path}.{name}"), "invalid_value", message);
            }
        }
    }
}

impl ProviderSpec {
    pub(crate) fn check(&self, report: &mut Report) {
        if let Err(message) = normalise(&self.base_url, self.dialect) {
            report.error("spec.base_url", "invalid_value", message);
        }
        self.timeouts.check("spec.timeouts", report);
        if self.max_tokens_field.is_some() && self.dialect != Dialect::OpenAi {
            let message = "only a provider of the dialect `openai` has a choice here; remove the field";
            report.error("spec.max_tokens_field", "invalid_value", message);
        }
        if self.headers.len() > limits::HEADERS {
            report.error("spec.headers", "too_large", format!("at most {} headers", limits::HEADERS));
        }
        for (name, value) in &self.headers {
            let path = crate::path::Path(vec![
                crate::path::Step::Key("spec".into()),
                crate::path::Step::Key("headers".into()),
                crate::path::Step::Key(name.clone()),
            ]);
            if let Err(message) = check_header(name, value) {
                report.error(path, "invalid_value", message);
            }
        }
    }
}

/// Headers that carry credentials or belong to the connection, so that policy must not set them.
const RESERVED_HEADERS: [&str; 14] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "proxy-authorization",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "expect",
];

/// Never repeats the value: it could be a credential in the wrong place.
fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("this is not a header's name".to_owned());
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("header names are written in lower case: `{}`", name.to_ascii_lowercase()));
    }
    if RESERVED_HEADERS.contains(&name) {
        return Err(format!("`{name}` is set by the proxy; a credential is written as `spec.credential`"));
    }
    if value.len() > limits::HEADER_VALUE_BYTES || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(format!(
            "a header's value is printable ASCII of at most {} bytes",
            limits::HEADER_VALUE_BYTES
        ));
    }
    Ok(())
}

/// The base URL without its trailing slash, as calls append paths to it. An `openai` URL without a path gets `/v1`, an
/// `anthropic` one loses a trailing `/v1`, as in the official SDKs.
pub(crate) fn normalise(base_url: &str, dialect: Dialect) -> Result<String, String> {
    if base_url.len() > 2048 || !base_url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a URL is ASCII without spaces, of at most 2048 characters".to_owned());
    }
    let example = match dialect {
        Dialect::OpenAi => "https://api.openai.com/v1",
        Dialect::Anthropic => "https://api.anthropic.com",
    };
    let (scheme, rest) =
        base_url.split_once("://").ok_or_else(|| format!("write a whole URL, such as `{example}`"))?;
    let is_plain = match scheme {
        "https" => false,
        "http" => true,
        _ => {
            return Err(format!(
                "a URL begins with `https://` (or `http://` to loopback), such as `{example}`"
            ));
        }
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("a URL must not hold a user name or password; write `spec.credential`".to_owned());
    }
    if rest.contains(['?', '#', '\\', '"', '<', '>', '`', '{', '}', '|', '^']) {
        return Err("a base URL has neither query nor fragment".to_owned());
    }
    let host = check_authority(authority)?;
    if is_plain && !is_loopback(host) {
        return Err(format!("plain `http://` is allowed to loopback only; write `https://{rest}`"));
    }
    let path = path.trim_end_matches('/');
    let path = match dialect {
        Dialect::OpenAi if path.is_empty() => "/v1",
        Dialect::OpenAi => path,
        Dialect::Anthropic => path.strip_suffix("/v1").unwrap_or(path),
    };
    Ok(format!("{scheme}://{}{path}", authority.to_ascii_lowercase()))
}

/// Returns the host.
fn check_authority(authority: &str) -> Result<&str, String> {
    let wrong = || "the URL's host or port is not valid".to_owned();
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or_else(wrong)?;
        let (host, port) = authority.split_at_checked(end + 1).ok_or_else(wrong)?;
        (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) })
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    if let Some(port) = port
        && (!port.bytes().all(|byte| byte.is_ascii_digit())
            || port.parse::<u16>().map_or(true, |port| port == 0))
    {
        return Err(wrong());
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_v6 = host.starts_with('[') && matches!(bare.parse(), Ok(IpAddr::V6(_)));
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| !label.is_empty() && label.len() <= 63)
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-' || byte == b'_');
    if is_v6 || is_name { Ok(bare) } else { Err(wrong()) }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::{Dialect, check_header, normalise};

    #[test]
    fn a_base_url_is_what_the_official_sdk_takes() {
        for (dialect, written, meant) in [
            (Dialect::OpenAi, "https://api.openai.com/v1", "https://api.openai.com/v1"),
            (Dialect::OpenAi, "https://API.openai.com/v1/", "https://api.openai.com/v1"),
            (Dialect::OpenAi, "http://localhost:8000", "http://localhost:8000/v1"),
            (Dialect::OpenAi, "https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
            (Dialect::OpenAi, "http://[::1]:11434/v1", "http://[::1]:11434/v1"),
            (Dialect::Anthropic, "https://api.anthropic.com", "https://api.anthropic.com"),
            (Dialect::Anthropic, "https://api.anthropic.com/v1/", "https://api.anthropic.com"),
            (Dialect::Anthropic, "http://127.0.0.2:9100/x/v1", "http://127.0.0.2:9100/x"),
        ] {
            assert_eq!(normalise(written, dialect).as_deref(), Ok(meant));
        }
    }

    #[test]
    fn a_url_that_leaks_or_cannot_work_is_refused() {
        for (written, reason) in [
            ("http://api.openai.com/v1", "loopback only"),
            ("http://127.0.0.1.evil.example/v1", "loopback only"),
            ("https://user:secret@api.openai.com", "user name"),
            ("https://api.openai.com/v1?x=1", "query"),
            ("https://", "host or port"),
            ("https://a..b", "host or port"),
            ("https://a:0/v1", "host or port"),
            ("https://a:99999/v1", "host or port"),
            ("https://[zz]/v1", "host or port"),
            ("ftp://a/v1", "begins with"),
            ("api.openai.com", "whole URL"),
            ("https://a b", "without spaces"),
        ] {
            let error = normalise(written, Dialect::OpenAi).unwrap_err();
            assert!(error.contains(reason), "{written}: {error}");
        }
    }

    #[test]
    fn a_header_cannot_carry_a_credential_or_break_the_request() {
        assert_eq!(check_header("x-title", "frontdoor"), Ok(()));
        for (name, value) in [
            ("authorization", "planted"),
            ("X-A", "planted"),
            ("a b", "planted"),
            ("x-a", "planted\r\nb: c"),
            ("", "planted"),
        ] {
            assert!(!check_header(name, value).unwrap_err().contains("planted"));
        }
    }
}
