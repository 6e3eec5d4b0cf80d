//! AWS signature version 4 over one request. It must not know where the credentials come from.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Uri};

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed: {0}")]
pub(in crate::upstream) struct SignError(String);

/// For whom it is signed.
#[derive(Debug, Clone, Copy)]
pub(in crate::upstream::auth) struct Scope<'a> {
    pub(in crate::upstream::auth) region: &'a str,
    pub(in crate::upstream::auth) service: &'a str,
}

/// Signs a request that is complete but for its signature. The path must be encoded as it is sent; it is encoded once more for the
/// signature, as every service but S3 wants it, so that a `:` or `/` in a model's name is signed right.
///
/// Signed are the host, the content type and AWS's own headers: others may be changed on the way without harm.
pub(in crate::upstream::auth) fn sign<B>(
    request: &mut Request<B>,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    now_ms: u64,
) -> Result<(), SignError> {
    let failed = |error: &dyn std::error::Error| SignError(error.to_string());
    let stale = [
        AUTHORIZATION,
        HeaderName::from_static("x-amz-date"),
        HeaderName::from_static("x-amz-security-token"),
    ];
    for name in stale {
        request.headers_mut().remove(name);
    }
    let host = host(request.uri()).ok_or_else(|| SignError("its URL has no host".to_owned()))?;
    let uri = request.uri().to_string();
    let mut headers = vec![(HOST.as_str(), host.as_str())];
    for (name, value) in request.headers() {
        if name == CONTENT_TYPE || name.as_str().starts_with("x-amz") {
            let value = value.to_str().map_err(|error| failed(&error))?;
            headers.push((name.as_str(), value));
        }
    }
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(UNIX_EPOCH + Duration::from_millis(now_ms))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?;
    let signable = SignableRequest::new(
        request.method().as_str(),
        uri.as_str(),
        headers.into_iter(),
        SignableBody::Bytes(body),
    )
    .map_err(|error| failed(&error))?;
    let signed = http_request::sign(signable, &params.into()).map_err(|error| failed(&error))?;
    let (signed, _no_query) = signed.into_parts().0.into_parts();
    for header in signed {
        // The error is dropped on purpose: it could quote the token.
        let unfit = || SignError(format!("`{}` does not fit into a header", header.name()));
        let mut value = HeaderValue::try_from(header.value()).map_err(|_unsaid| unfit())?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

/// What the client will write into `Host`.
fn host(uri: &Uri) -> Option<String> {
    let host = uri.host()?;
    let is_default = match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(443), Some("https")) | (Some(80), Some("http")) => true,
        (Some(_), _) => false,
    };
    match uri.port_u16() {
        Some(port) if !is_default => Some(format!("{host}:{port}")),
        Some(_) | None => Some(host.to_owned()),
    }
}

#[cfg(test)]
mod tests;
