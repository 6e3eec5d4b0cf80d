//! Native calls: where at a provider they go, and which headers pass in either direction.
//!
//! The caller's credentials, what belongs to one connection, and what is ours never go along; neither do the provider's cookies and
//! its limits come back. It must not know who may call what.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED,
    HOST, ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use policy::{Dialect, Platform};

use crate::frontend::passage::Passage;
use crate::upstream::provider::Upstream;

/// What belongs to a connection, or proves who somebody is. Neither goes through.
const KEPT: [HeaderName; 18] = [
    ACCEPT_ENCODING,
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    ORIGIN,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    REFERER,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
];
/// The same, by names that have no constant.
const KEPT_TOO: [&str; 12] = [
    "alt-svc",
    "api-key",
    "keep-alive",
    "proxy-connection",
    "strict-transport-security",
    "x-api-key",
    "x-goog-api-key",
    // Who pays is not for the caller to say.
    "x-goog-user-project",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-http-method-override",
    "x-original-url",
];
/// Families of which nothing goes through.
const KEPT_FAMILIES: [&str; 6] =
    ["x-frontdoor-", "x-forwarded-", "x-real-", "x-ratelimit-", "anthropic-ratelimit-", "x-amz-security-"];

impl Upstream {
    /// Where a passage leads at this provider.
    pub(super) fn passage_uri(&self, passage: &Passage) -> Result<Uri, InvalidUri> {
        let provider = self.provider();
        let path = passage.path.as_str();
        let mut query = passage.query.clone();
        let path = match (&passage.held, &provider.platform, provider.dialect) {
            (Some(_), Platform::Azure { api_version }, _) if api_version == "v1" => {
                format!("/openai/v1{path}")
            }
            (Some(_), Platform::Azure { api_version }, _) => {
                let rest = query.iter().flat_map(|query| query.split('&'));
                let rest = rest.filter(|pair| !pair.starts_with("api-version="));
                let pairs: Vec<String> =
                    rest.map(str::to_owned).chain([format!("api-version={api_version}")]).collect();
                query = Some(pairs.join("&"));
                format!("/openai{path}")
            }
            (Some(_), _, Dialect::Anthropic) => format!("/v1{path}"),
            (Some(_), ..) => path.to_owned(),
            (None, ..) => once(self.base().path(), path).to_owned(),
        };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        self.below(&format!("{path}{query}"))
    }

    /// The headers of a native call: the caller's own but for what stays here, and what policy has written.
    pub(super) fn passage_headers(&self, from: &HeaderMap) -> HeaderMap {
        let mut headers = through(from);
        for (name, value) in self.fixed_headers() {
            // What policy has written the caller cannot change; what is merely usual it can.
            let is_authored = self.provider().headers.contains_key(name.as_str());
            if is_authored || !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
        if !from.contains_key(http::header::CONTENT_TYPE) {
            headers.remove(http::header::CONTENT_TYPE);
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers
    }
}

/// The headers of a native answer. Where uploads are told to go on is left as it is: SDKs go there without any key.
pub(super) fn passed_back(from: &HeaderMap) -> HeaderMap {
    let mut headers = through(from);
    // It is taken off on the way.
    headers.remove(CONTENT_ENCODING);
    headers
}

/// A path without the version that the base URL ends with: whoever has an SDK write it means it once.
fn once<'a>(base: &str, path: &'a str) -> &'a str {
    let last = base.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_version =
        last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(last));
    rest.filter(|rest| is_version && rest.starts_with('/')).unwrap_or(path)
}

/// What may pass.
fn through(from: &HeaderMap) -> HeaderMap {
    let listed: Vec<String> = from
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut headers = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        let text = name.as_str();
        let is_kept = KEPT.contains(name)
            || KEPT_TOO.contains(&text)
            || KEPT_FAMILIES.iter().any(|family| text.starts_with(family))
            || listed.iter().any(|listed| listed == text);
        if !is_kept {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}
