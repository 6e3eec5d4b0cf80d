//! The admin API as the verbs call it. Knows HTTP and problem documents, nothing of any one verb.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use control_plane::Secret;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use policy::Diagnostic;
use serde_json::Value;

use crate::{
    error::CliError,
    output::{cell, items},
    settings::Global,
};

/// No answer of the admin API is larger.
const ANSWER_LIMIT: usize = 256 * 1024 * 1024;
/// A change of many thousand resources takes seconds; nothing takes this long.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);

type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

/// A connection to one control plane with one token.
#[derive(Debug)]
pub(crate) struct AdminClient {
    server: String,
    token: Secret,
    http: Client<Connector, Full<Bytes>>,
}

impl AdminClient {
    /// Takes the token from the flag or the environment, else from the data directory of `frontdoor up`.
    pub(crate) fn new(global: &Global) -> Result<Self, CliError> {
        let token = match &global.token {
            Some(token) => token.clone(),
            None => token_from(&global.data)?,
        };
        Self::with_token(global, token)
    }

    pub(crate) fn with_token(global: &Global, token: Secret) -> Result<Self, CliError> {
        let server = global.server.trim_end_matches('/').to_owned();
        let uri: Uri = server
            .parse()
            .map_err(|error| CliError::Usage(format!("--server `{server}` is not a URL: {error}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(CliError::Usage(format!("--server `{server}` must begin with http:// or https://")));
        }
        let http =
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector(global)?);
        Ok(Self { server, token, http })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None).await
    }

    /// The items of a list, page by page, until there are no more or `most` of them. `path` has a query already; `after` is
    /// the parameter that takes the `next` of the page before.
    pub(crate) async fn pages(&self, path: &str, after: &str, most: usize) -> Result<Vec<Value>, CliError> {
        let mut all: Vec<Value> = Vec::new();
        let mut page = self.get(path).await?;
        loop {
            all.extend(items(&page, "/items").iter().cloned());
            match page.pointer("/next").filter(|next| !next.is_null()) {
                Some(_) if all.len() < most => {
                    let next = escape(&cell(&page, "/next"));
                    page = self.get(&format!("{path}&{after}={next}")).await?;
                }
                Some(_) | None => break,
            }
        }
        all.truncate(most);
        Ok(all)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::DELETE, path, None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.reveal()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| CliError::Usage(format!("`{path}` cannot be asked for: {error}")))?;
        let answered = tokio::time::timeout(ANSWER_DEADLINE, self.exchange(request)).await;
        let (status, bytes) = answered.unwrap_or_else(|_elapsed| {
            Err(self.unreachable(format!("no answer within {} s", ANSWER_DEADLINE.as_secs())))
        })?;
        if status.is_success() {
            return decode(&bytes);
        }
        Err(refusal(status, &bytes))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), CliError> {
        let answer = self.http.request(request).await.map_err(|error| self.unreachable(causes(&error)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT);
        let bytes = body.collect().await.map_err(|error| self.unreachable(error.to_string()))?.to_bytes();
        Ok((status, bytes))
    }

    fn unreachable(&self, reason: String) -> CliError {
        CliError::Unreachable { server: self.server.clone(), reason }
    }
}

fn token_from(data: &Path) -> Result<Secret, CliError> {
    let path = data.join("admin-token");
    let token = std::fs::read_to_string(&path).map_err(|error| {
        CliError::Usage(format!(
            "no admin token: give --token or set FRONTDOOR_TOKEN ({} cannot be read: {error})",
            path.display()
        ))
    })?;
    token.trim().parse().map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

fn connector(global: &Global) -> Result<Connector, CliError> {
    let builder = hyper_rustls::HttpsConnectorBuilder::new();
    let builder = match &global.server_ca {
        None => builder.with_webpki_roots(),
        Some(path) => builder.with_tls_config(trusting(path)?),
    };
    Ok(builder.https_or_http().enable_http1().build())
}

fn trusting(path: &Path) -> Result<rustls::ClientConfig, CliError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    let unusable = |reason: String| CliError::Usage(format!("--server-ca {}: {reason}", path.display()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn decode(bytes: &[u8]) -> Result<Value, CliError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|error| {
        CliError::refused(format!("the server's answer is not JSON ({error}); is --server right?"))
    })
}

/// Reads a problem document (RFC 9457); any other body is shown as little as possible.
fn refusal(status: StatusCode, bytes: &[u8]) -> CliError {
    let Ok(problem) = serde_json::from_slice::<Value>(bytes) else {
        return CliError::refused(format!("the server answered {status}; is --server right?"));
    };
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let message = match (text("title"), text("detail")) {
        (Some(title), Some(detail)) if title != detail => format!("{title}: {detail}"),
        (_, Some(detail)) => detail.to_owned(),
        (Some(title), None) => title.to_owned(),
        (None, None) => format!("the server answered {status}"),
    };
    let diagnostics = problem.get("diagnostics").cloned().map(serde_json::from_value::<Vec<Diagnostic>>);
    match diagnostics.transpose() {
        Ok(diagnostics) => CliError::Refused { message, diagnostics: diagnostics.unwrap_or_default() },
        Err(error) => CliError::refused(format!("{message} (its diagnostics cannot be read: {error})")),
    }
}

/// The whole chain of causes: hyper's own message alone says only "client error (Connect)".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A path segment or query value, percent-encoded.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_stars_stay_one_path_segment() {
        assert_eq!(escape("openai/gpt-5*"), "openai%2Fgpt-5%2A");
    }

    #[test]
    fn a_token_file_that_holds_no_token_is_named() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("admin-token"), "two words\n").unwrap();
        let error = token_from(data.path()).unwrap_err();
        assert_eq!(error.exit_status(), 2);
        assert!(error.to_string().contains("admin-token: a token is"), "{error}");
        std::fs::write(data.path().join("admin-token"), "fda_good\n").unwrap();
        assert_eq!(token_from(data.path()).unwrap().reveal(), "fda_good");
    }

    #[test]
    fn a_problem_document_becomes_a_refusal_with_its_diagnostics() {
        let body = br#"{"title":"policy refused","detail":"1 problem","status":422,"diagnostics":[
            {"severity":"error","resource":"Route/a","path":"/spec","code":"x","message":"m"}]}"#;
        let error = refusal(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(error.exit_status(), 1);
        let mut text = Vec::new();
        error.print(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "frontdoor: policy refused: 1 problem\n  Route/a /spec: m [x]\n"
        );
    }
}
