//! What a proxy may fetch for a provider that cannot. It must not know addresses other than by name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{diagnostic::Report, limits, text::text_newtype};

/// Leave to fetch images and documents that a call names by URL, for targets that take bytes only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// From which hosts: `images.example.com`, `*.example.com` for all below it, or `*` for every public one.
    pub hosts: Vec<HostPattern>,
    /// Bytes that one of them may have. Omitted: 10 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

impl Fetch {
    /// What holds where nothing is authored.
    pub const DEFAULT_BYTES: u64 = 10 * 1024 * 1024;

    /// Whether something may be fetched from this host, given in lower case. That its addresses are public is the fetcher's to see to.
    pub fn permits(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Bytes that one thing may have.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes.unwrap_or(Self::DEFAULT_BYTES)
    }

    pub(super) fn check(&self, report: &mut Report) {
        if self.hosts.is_empty() {
            let message = "the list is empty; name hosts, such as `images.example.com`, or remove `fetch`";
            report.error("spec.fetch.hosts", "invalid_value", message);
        }
        if self.hosts.len() > limits::PATTERNS {
            let message = format!("at most {} patterns in one list", limits::PATTERNS);
            report.error("spec.fetch.hosts", "too_large", message);
        }
        if self.max_bytes.is_some_and(|bytes| bytes == 0 || bytes > limits::FETCHED_BYTES) {
            let message = format!("from 1 to {} bytes", limits::FETCHED_BYTES);
            report.error("spec.fetch.max_bytes", "invalid_value", message);
        }
    }
}

/// A host by name, or all hosts below a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `*`
    Every,
    /// `*.example.com`: `example.com` itself is not meant.
    Below(String),
    /// `example.com`
    Exact(String),
}

impl HostPattern {
    /// Whether this host, given in lower case, is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Every => true,
            HostPattern::Below(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            HostPattern::Exact(name) => name == host,
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(HostPattern::Every);
        }
        let lower = text.to_ascii_lowercase();
        let (is_below, name) = lower.strip_prefix("*.").map_or((false, lower.as_str()), |name| (true, name));
        if name.contains(['/', ':', '?', '@']) {
            return Err(
                "a host is written without scheme, port and path, such as `images.example.com`".to_owned()
            );
        }
        if name.contains('*') {
            return Err(
                "a star stands at the beginning only: `*.example.com`, or alone for every host".to_owned()
            );
        }
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err("a host is a name such as `images.example.com`, or `*.example.com` for all below it"
                .to_owned());
        }
        if name.split('.').next_back().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err("a host is written by name; addresses are not fetched from".to_owned());
        }
        Ok(if is_below { HostPattern::Below(name.to_owned()) } else { HostPattern::Exact(name.to_owned()) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Every => f.write_str("*"),
            HostPattern::Below(domain) => write!(f, "*.{domain}"),
            HostPattern::Exact(name) => f.write_str(name),
        }
    }
}

text_newtype!(HostPattern, "HostPattern", "a host such as `images.example.com` or `*.example.com`", {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "A host by name, *.NAME for all hosts below it, or * for every public one."
});

#[cfg(test)]
mod tests {
    use super::HostPattern;

    #[test]
    fn a_pattern_means_a_host_or_what_lies_below_it() {
        let matches = |pattern: &str, host: &str| pattern.parse::<HostPattern>().unwrap().matches(host);
        assert!(matches("Images.example.com", "images.example.com"));
        assert!(matches("*.example.com", "a.b.example.com"));
        assert!(matches("*", "anything"));
        for (pattern, host) in [
            ("example.com", "a.example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", "evilexample.com"),
            ("*.example.com", ".example.com"),
        ] {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused_with_a_way_out() {
        for (text, reason) in [
            ("https://a.example", "without scheme"),
            ("a.example:443", "without scheme"),
            ("a.*.example", "beginning only"),
            ("10.0.0.1", "by name"),
            ("a..b", "is a name"),
            ("", "is a name"),
        ] {
            assert!(text.parse::<HostPattern>().unwrap_err().contains(reason), "{text}");
        }
    }
}
