//! Asks a token or metadata server one question, over a connection of its own: bounded in time and size, never redirected.
//!
//! A connection lives on the runtime that opened it, and questions are rare and come from any lane; so none is kept.
//! It must not know what is asked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use serde::de::DeserializeOwned;

use super::source::SourceError;
use crate::upstream::client::{self, Protocol};

/// Metadata servers are next door, and where there is none nobody answers.
const CONNECT: Duration = Duration::from_secs(2);
/// The largest answer.
const LARGEST: usize = 256 << 10;

/// Asks servers.
#[derive(Clone)]
pub(super) struct Fetcher {
    tls: Arc<rustls::ClientConfig>,
    /// Stands for the scheme and host of every URL, if authored.
    endpoint: Option<Box<str>>,
}

/// What a server said.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whom was asked, for errors.
    who: String,
}

impl Fetcher {
    pub(super) fn new(tls: &Arc<rustls::ClientConfig>, endpoint: Option<&str>) -> Self {
        let endpoint = endpoint.map(|endpoint| endpoint.trim_end_matches('/').into());
        Self { tls: Arc::clone(tls), endpoint }
    }

    /// Where a URL leads: the same, unless policy names an endpoint for all of them.
    pub(super) fn place(&self, url: &str) -> Result<Uri, SourceError> {
        let wrong = || SourceError::broken(format!("`{}` is not a URL", without_query(url)));
        let mut uri: Uri = url.parse().or(Err(wrong()))?;
        if let Some(endpoint) = &self.endpoint {
            let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            uri = format!("{endpoint}{path}").parse().or(Err(wrong()))?;
        }
        let host = uri.host().unwrap_or_default();
        let is_safe = match uri.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => is_near(host),
            _ => false,
        };
        if is_safe {
            Ok(uri)
        } else {
            let shown = without_query(url);
            Err(SourceError::broken(format!(
                "`{shown}` is not asked: it has to be https://, or http:// to a private address"
            )))
        }
    }

    /// Asks, and once more if the server had a hiccup.
    pub(super) async fn ask(&self, request: Request<Bytes>) -> Result<Said, SourceError> {
        let (head, body) = request.into_parts();
        let who = head.uri.host().unwrap_or_default().to_owned();
        let client = client::build(rustls::ClientConfig::clone(&self.tls), CONNECT, Protocol::Http1);
        let mut is_second = false;
        loop {
            let request = Request::from_parts(head.clone(), Full::new(body.clone()));
            let answer = client.request(request).await;
            let response = match answer {
                Ok(response) if response.status().is_server_error() && !is_second => {
                    is_second = true;
                    continue;
                }
                Ok(response) => response,
                Err(error) if !error.is_connect() && !is_second => {
                    is_second = true;
                    continue;
                }
                Err(error) => {
                    let what = if error.is_connect() { "cannot be reached" } else { "did not answer" };
                    return Err(SourceError::absent(format!("`{who}` {what}")));
                }
            };
            let (head, body) = response.into_parts();
            let body = match Limited::new(body, LARGEST).collect().await {
                Ok(body) => body.to_bytes(),
                Err(_too_large_or_cut) => {
                    let what = format!("the answer of `{who}` broke off or is larger than {LARGEST} bytes");
                    return Err(SourceError::broken(what));
                }
            };
            return Ok(Said { status: head.status, headers: head.headers, body, who });
        }
    }
}

impl Said {
    /// The answer, if it is a success.
    pub(super) fn ok(self) -> Result<Self, SourceError> {
        if self.status.is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    /// What a refusal means, in words that are safe to log: the status and the server's code for it.
    pub(super) fn refusal(&self) -> SourceError {
        let code = error_code(&self.body).map(|code| format!(" `{code}`")).unwrap_or_default();
        SourceError::broken(format!("`{}` answered {}{code}", self.who, self.status.as_u16()))
    }

    /// The answer as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, SourceError> {
        serde_json::from_slice(&self.body)
            .or_else(|_could_quote_the_secret| self.garbage("what was asked for"))
    }

    /// The answer as text.
    pub(super) fn text(&self) -> Result<&str, SourceError> {
        std::str::from_utf8(&self.body).or_else(|_not_text| self.garbage("text"))
    }

    pub(super) fn garbage<T>(&self, expected: &str) -> Result<T, SourceError> {
        Err(SourceError::broken(format!("the answer of `{}` is not {expected}", self.who)))
    }
}

/// The word for an error in the formats of the three clouds. Only what looks like a word is shown, and no digits but Entra's own
/// numbers: a server that puts a secret there must not get it into the log.
fn error_code(body: &[u8]) -> Option<String> {
    const ENTRA: &str = "AADSTS";
    let text = std::str::from_utf8(body).ok()?;
    // Entra's `error` says little; the number in its description is what can be looked up.
    if let Some((_, rest)) = text.split_once(ENTRA) {
        let number: String = rest.chars().take_while(char::is_ascii_digit).take(10).collect();
        return (!number.is_empty()).then(|| format!("{ENTRA}{number}"));
    }
    let word = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => {
            let error = json.get("error").or_else(|| json.get("Code")).or_else(|| json.get("code"))?;
            let within = |name: &str| error.get(name).and_then(|word| word.as_str());
            error.as_str().or_else(|| within("status")).or_else(|| within("code"))?.to_owned()
        }
        Err(_not_json) => element(text, "Code")?.to_owned(),
    };
    let is_word = (1..=64).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_.-".contains(&byte));
    is_word.then_some(word)
}

/// The text of the first XML element of that name, if it holds nothing but text without entities.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    (!text.contains(['<', '&'])).then_some(text)
}

/// Whether plain HTTP to this host stays on the machine or its own network.
fn is_near(host: &str) -> bool {
    if ["localhost", "metadata.google.internal"].contains(&host) {
        return true;
    }
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        Ok(IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        Err(_a_name) => false,
    }
}

/// A query may hold a token.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_near() {
        let near = [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "169.254.169.254",
            "10.1.2.3",
            "[fd00:ec2::254]",
            "metadata.google.internal",
        ];
        for host in near {
            assert!(is_near(host), "{host}");
        }
        for host in [
            "example.com",
            "8.8.8.8",
            "[2001:db8::1]",
            "localhost.example.com",
            "metadata.google.internal.evil",
            "",
        ] {
            assert!(!is_near(host), "{host}");
        }
    }

    #[test]
    fn the_word_for_an_error_is_found_in_each_format_and_looks_like_a_word() {
        for (body, word) in [
            (r#"{"error":"invalid_grant","error_description":"x"}"#, Some("invalid_grant")),
            (r#"{"error":"invalid_client","error_description":"AADSTS7000215: x"}"#, Some("AADSTS7000215")),
            (r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#, Some("PERMISSION_DENIED")),
            (r#"{"Code":"AccessDenied"}"#, Some("AccessDenied")),
            (
                "<ErrorResponse><Error><Code>ExpiredTokenException</Code></Error></ErrorResponse>",
                Some("ExpiredTokenException"),
            ),
            (r#"{"error":"s3cr3t"}"#, None),
            (r#"{"error":"two words"}"#, None),
            ("AADSTS", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(error_code(body.as_bytes()).as_deref(), word, "{body}");
        }
    }

    #[test]
    fn an_endpoint_takes_the_place_of_scheme_and_host_only() {
        let tls = Arc::new(client::trust().unwrap());
        let place = |endpoint: Option<&str>, url: &str| {
            Fetcher::new(&tls, endpoint).place(url).map(|uri| uri.to_string())
        };
        assert_eq!(
            place(Some("http://127.0.0.1:1/"), "https://a.b/c?d=e").unwrap(),
            "http://127.0.0.1:1/c?d=e"
        );
        assert_eq!(place(None, "https://a.b/c?d=e").unwrap(), "https://a.b/c?d=e");
        for wrong in ["http://example.com/?token=planted", "ftp://a/", "nonsense", "", "https://"] {
            let error = place(None, wrong).unwrap_err().to_string();
            assert!(!error.contains("planted"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_brings_it_down(body: Vec<u8>, text: String) {
            let _word = error_code(&body);
            let _element = element(&text, "Code");
        }
    }
}
