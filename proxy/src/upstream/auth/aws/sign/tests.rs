//! Against AWS's own test vectors and against what botocore signs.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z.
const VECTOR_TIME_MS: u64 = 1_440_938_160_000;

/// Name, method, path and query, signature.
const VECTORS: &[(&str, &str, &str, &str)] = &[
    ("get-vanilla", "GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-vanilla-with-session-token",
        "GET",
        "/",
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    ),
    (
        "get-unreserved",
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    (
        "get-slashes-normalized",
        "GET",
        "//example//",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "get-relative-normalized",
        "GET",
        "/example/..",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/?Param2=value2&Param1=value1",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-query-order-encoded",
        "GET",
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    ("post-vanilla", "POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-vanilla-query",
        "POST",
        "/?Param1=value1",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
];

fn signature(request: &Request<()>) -> String {
    let authorization = request.headers()[AUTHORIZATION].to_str().unwrap();
    authorization.rsplit("Signature=").next().unwrap().to_owned()
}

/// Of AWS's test suite for signers, those cases that have no header which is not signed here.
#[test]
fn awss_own_vectors_are_met() {
    let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
    for (name, method, path, expected) in VECTORS {
        let session = name.contains("token").then(|| token.to_owned());
        let credentials = Credentials::new(ID, SECRET, session, None, "test");
        let uri = format!("https://example.amazonaws.com{path}");
        let mut request = Request::builder().method(*method).uri(uri).body(()).unwrap();
        let scope = Scope { region: "us-east-1", service: "service" };
        sign(&mut request, b"", &credentials, scope, VECTOR_TIME_MS).unwrap();
        assert_eq!(signature(&request), *expected, "{name}");
    }
}

#[derive(Deserialize)]
struct Golden {
    unix_ms: u64,
    access_key_id: String,
    secret_access_key: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    region: String,
    session_token: Option<String>,
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
    amz_date: String,
    authorization: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

fn signed(golden: &Golden, case: &Case) -> Request<()> {
    let (id, secret) = (&golden.access_key_id, &golden.secret_access_key);
    let credentials = Credentials::new(id, secret, case.session_token.clone(), None, "test");
    let mut request = Request::builder().method(case.method.as_str()).uri(&case.url);
    for (name, value) in &case.headers {
        request = request.header(name, value);
    }
    // None of these is signed: they may change on the way.
    let request =
        request.header("user-agent", "frontdoor").header("accept", "*/*").header("traceparent", "00-1-2-00");
    let mut request = request.body(()).unwrap();
    let scope = Scope { region: &case.region, service: "bedrock" };
    sign(&mut request, case.body.as_bytes(), &credentials, scope, golden.unix_ms).unwrap();
    request
}

#[test]
fn requests_to_bedrock_are_signed_as_botocore_signs_them() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 5);
    for case in &golden.cases {
        let request = signed(&golden, case);
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("authorization"), Some(case.authorization.as_str()), "{}", case.url);
        assert_eq!(header("x-amz-date"), Some(case.amz_date.as_str()));
        assert_eq!(header("x-amz-security-token"), case.session_token.as_deref());
        assert_eq!(request.uri().to_string(), case.url, "what is sent does not change");
    }
}

#[test]
fn what_is_signed_is_sensitive_and_signing_again_replaces_it() {
    let golden = golden();
    let case = &golden.cases[1];
    let mut request = signed(&golden, case);
    let session = case.session_token.clone();
    let credentials =
        Credentials::new(&golden.access_key_id, &golden.secret_access_key, session, None, "test");
    let scope = Scope { region: &case.region, service: "bedrock" };
    sign(&mut request, case.body.as_bytes(), &credentials, scope, golden.unix_ms).unwrap();
    assert_eq!(request.headers()["authorization"], case.authorization);
    assert_eq!(request.headers().get_all("authorization").iter().count(), 1);
    assert!(request.headers()["authorization"].is_sensitive());
    assert!(request.headers()["x-amz-security-token"].is_sensitive());
}

#[test]
fn the_host_is_signed_with_its_port_unless_that_is_the_usual_one() {
    for (url, expected) in [
        ("http://127.0.0.1:9000/model/m/converse", "127.0.0.1:9000"),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com:443/model/m/converse",
            "bedrock-runtime.us-east-1.amazonaws.com",
        ),
        ("http://localhost:80/", "localhost"),
        ("https://[::1]:8443/", "[::1]:8443"),
    ] {
        assert_eq!(host(&url.parse().unwrap()).as_deref(), Some(expected));
    }
}
