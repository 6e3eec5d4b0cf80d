//! The address of a provider: what an operator may write as a base URL and what calls append paths to. It must not know
//! credentials.

// From `core`, which has addresses and no sockets.
use core::net::IpAddr;

use super::{Dialect, Platform};

/// The base URL without its trailing slash, as calls append paths to it. What the official SDK of the dialect takes is accepted:
/// an `openai` URL without a path gets `/v1`, the others lose the version that every call's path begins with.
pub(super) fn normalise(base_url: &str, dialect: Dialect, platform: &Platform) -> Result<String, String> {
    let example = example(dialect, platform);
    let parts = parts(base_url, &example)?;
    let path = parts.path.trim_end_matches('/');
    let without = |versions: &[&str]| {
        versions.iter().find_map(|version| path.strip_suffix(version)).unwrap_or(path).to_owned()
    };
    let path = match (dialect, platform) {
        (_, Platform::Azure { .. }) => without(&["/openai/v1", "/openai"]),
        (_, Platform::Vertex { .. }) => without(&["/v1", "/v1beta1"]),
        (Dialect::OpenAi | Dialect::Responses, _) if path.is_empty() => "/v1".to_owned(),
        (Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock, _) | (_, Platform::Bedrock { .. }) => {
            path.to_owned()
        }
        (Dialect::Gemini, _) if path.ends_with("/openai") => {
            return Err(format!(
                "this address speaks the dialect `openai`; for `gemini` write `{example}`, or write `dialect: openai`"
            ));
        }
        (Dialect::Anthropic, Platform::Direct) => without(&["/v1"]),
        (Dialect::Gemini, Platform::Direct) => without(&["/v1beta", "/v1"]),
        (Dialect::Cohere, Platform::Direct) => without(&["/v2", "/v1"]),
    };
    Ok(format!("{}://{}{path}", parts.scheme, parts.authority.to_ascii_lowercase()))
}

/// Where the provider is if nobody has written it; only clouds have such places.
pub(super) fn default_for(platform: &Platform) -> Option<String> {
    match platform {
        Platform::Direct | Platform::Azure { .. } => None,
        Platform::Vertex { location, .. } => Some(match location.as_str() {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            "us" | "eu" => format!("https://aiplatform.{location}.rep.googleapis.com"),
            _ => format!("https://{location}-aiplatform.googleapis.com"),
        }),
        Platform::Bedrock { region } => {
            let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
            Some(format!("https://bedrock-runtime.{region}.amazonaws.com{suffix}"))
        }
    }
}

/// What to write, for messages.
pub(super) fn example(dialect: Dialect, platform: &Platform) -> String {
    let example = match (dialect, platform) {
        (_, Platform::Azure { .. }) => "https://NAME.openai.azure.com",
        (_, Platform::Vertex { .. }) => "https://LOCATION-aiplatform.googleapis.com",
        (Dialect::Bedrock, _) | (_, Platform::Bedrock { .. }) => {
            "https://bedrock-runtime.REGION.amazonaws.com"
        }
        (Dialect::OpenAi | Dialect::Responses, _) => "https://api.openai.com/v1",
        (Dialect::Anthropic, _) => "https://api.anthropic.com",
        (Dialect::Gemini, _) => "https://generativelanguage.googleapis.com",
        (Dialect::Cohere, _) => "https://api.cohere.com",
    };
    example.to_owned()
}

/// Whether an endpoint that tokens or credentials come from may be asked: over TLS, or on this machine.
pub(super) fn check_endpoint(url: &str) -> Result<(), String> {
    parts(url, "https://sts.example.com").map(|_| ())
}

/// A URL taken apart.
struct Parts<'u> {
    scheme: &'u str,
    authority: &'u str,
    path: &'u str,
}

fn parts<'u>(url: &'u str, example: &str) -> Result<Parts<'u>, String> {
    if url.len() > 2048 || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a URL is ASCII without spaces, of at most 2048 characters".to_owned());
    }
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| format!("write a whole URL, such as `{example}`"))?;
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
    Ok(Parts { scheme, authority, path })
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

#[cfg(test)]
mod tests {
    use super::{check_endpoint, default_for, normalise};
    use crate::{Dialect, Platform};

    fn vertex(location: &str) -> Platform {
        Platform::Vertex { project: "p".to_owned(), location: location.to_owned() }
    }

    fn bedrock(region: &str) -> Platform {
        Platform::Bedrock { region: region.to_owned() }
    }

    #[test]
    fn a_base_url_is_what_the_official_sdk_takes() {
        for (dialect, written, meant) in [
            (Dialect::OpenAi, "https://api.openai.com/v1", "https://api.openai.com/v1"),
            (Dialect::OpenAi, "https://API.openai.com/v1/", "https://api.openai.com/v1"),
            (Dialect::OpenAi, "http://localhost:8000", "http://localhost:8000/v1"),
            (Dialect::OpenAi, "https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
            (Dialect::OpenAi, "http://[::1]:11434/v1", "http://[::1]:11434/v1"),
            (Dialect::Responses, "https://a", "https://a/v1"),
            (Dialect::Anthropic, "https://api.anthropic.com", "https://api.anthropic.com"),
            (Dialect::Anthropic, "https://api.anthropic.com/v1/", "https://api.anthropic.com"),
            (Dialect::Anthropic, "http://127.0.0.2:9100/x/v1", "http://127.0.0.2:9100/x"),
            (Dialect::Gemini, "https://g.example/v1beta/", "https://g.example"),
            (Dialect::Gemini, "https://g.example/v1", "https://g.example"),
            (Dialect::Gemini, "https://g.example/door", "https://g.example/door"),
            (Dialect::Cohere, "https://api.cohere.com/v2", "https://api.cohere.com"),
            (Dialect::Cohere, "https://api.cohere.com/v1/", "https://api.cohere.com"),
            (Dialect::Bedrock, "https://vpce.example/v1/", "https://vpce.example/v1"),
        ] {
            assert_eq!(normalise(written, dialect, &Platform::Direct).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn what_a_cloud_puts_into_every_path_is_not_kept_in_the_base_url() {
        let azure = Platform::Azure { api_version: "v1".to_owned() };
        for (dialect, platform, written, meant) in [
            (Dialect::OpenAi, &azure, "https://x.openai.azure.com/", "https://x.openai.azure.com"),
            (Dialect::OpenAi, &azure, "https://x.openai.azure.com/openai/v1/", "https://x.openai.azure.com"),
            (Dialect::OpenAi, &azure, "https://x.openai.azure.com/openai", "https://x.openai.azure.com"),
            (Dialect::Gemini, &vertex("us"), "http://localhost:1/v1", "http://localhost:1"),
            (Dialect::Anthropic, &vertex("us"), "https://a.example/x/v1beta1", "https://a.example/x"),
            (Dialect::Anthropic, &bedrock("r"), "https://a.example/v1", "https://a.example/v1"),
        ] {
            assert_eq!(normalise(written, dialect, platform).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn a_cloud_has_an_address_for_each_of_its_places() {
        let at = |platform: Platform| default_for(&platform);
        for (platform, address) in [
            (vertex("europe-west1"), "https://europe-west1-aiplatform.googleapis.com"),
            (vertex("global"), "https://aiplatform.googleapis.com"),
            (vertex("eu"), "https://aiplatform.eu.rep.googleapis.com"),
            (bedrock("eu-central-1"), "https://bedrock-runtime.eu-central-1.amazonaws.com"),
            (bedrock("cn-north-1"), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(at(platform).as_deref(), Some(address));
        }
        assert_eq!(at(Platform::Direct), None);
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
            let error = normalise(written, Dialect::OpenAi, &Platform::Direct).unwrap_err();
            assert!(error.contains(reason), "{written}: {error}");
        }
        let door = "https://generativelanguage.googleapis.com/v1beta/openai";
        assert!(normalise(door, Dialect::Gemini, &Platform::Direct).unwrap_err().contains("dialect: openai"));
    }

    #[test]
    fn tokens_come_over_tls_or_from_this_machine() {
        assert_eq!(check_endpoint("http://127.0.0.1:9100/token"), Ok(()));
        assert_eq!(check_endpoint("https://sts.eu-west-1.amazonaws.com"), Ok(()));
        for written in ["http://169.254.169.254", "http://metadata.google.internal/", "sts", "https://a?b"] {
            assert!(check_endpoint(written).is_err(), "{written}");
        }
    }
}
