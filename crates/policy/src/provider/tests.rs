use super::{Auth, Platform, ProviderSpec, Quirks, Resolved, check_header};
use crate::{Spec, diagnostic::Report, parse_documents};

fn spec(text: &str) -> Box<ProviderSpec> {
    let text = format!("{{kind: Provider, name: p, spec: {text}}}");
    let Spec::Provider(spec) = parse_documents("test", &text).unwrap().remove(0).spec else {
        panic!("{text}")
    };
    spec
}

fn resolved(text: &str) -> Resolved {
    let mut report = Report::new("p");
    let resolved = spec(text).resolve(&mut report);
    let findings = report.into_diagnostics();
    assert!(findings.is_empty(), "{text}: {findings:?}");
    resolved.unwrap()
}

#[test]
fn a_cloud_has_a_platform_an_address_and_a_way_to_sign_in() {
    let azure = |api_version: &str| Platform::Azure { api_version: api_version.to_owned() };
    let vertex = Platform::Vertex { project: "acme:p".to_owned(), location: "global".to_owned() };
    let bedrock = Platform::Bedrock { region: "us-gov-west-1".to_owned() };
    for (text, platform, base_url, auth) in [
        (
            "{preset: azure, base_url: 'https://x.openai.azure.com/openai/v1/', credential: 'env:K'}",
            azure("v1"),
            "https://x.openai.azure.com",
            "key",
        ),
        (
            "{preset: azure, base_url: 'https://x.example', azure: {api_version: 2025-04-01-preview},
              auth: {entra: {source: workload_identity}}}",
            azure("2025-04-01-preview"),
            "https://x.example",
            "entra",
        ),
        (
            "{preset: vertex, vertex: {project: 'acme:p', location: global}}",
            vertex.clone(),
            "https://aiplatform.googleapis.com",
            "google",
        ),
        (
            "{preset: vertex-anthropic, vertex: {project: 'acme:p', location: global}, base_url: 'http://localhost:9100'}",
            vertex,
            "http://localhost:9100",
            "google",
        ),
        (
            "{dialect: bedrock, aws: {region: us-gov-west-1}, credential: 'env:BEDROCK_API_KEY'}",
            bedrock.clone(),
            "https://bedrock-runtime.us-gov-west-1.amazonaws.com",
            "key",
        ),
        (
            "{preset: bedrock-anthropic, aws: {region: us-gov-west-1}, base_url: 'http://127.0.0.1:9100'}",
            bedrock,
            "http://127.0.0.1:9100",
            "aws",
        ),
        (
            "{preset: gemini, credential: 'file:/k'}",
            Platform::Direct,
            "https://generativelanguage.googleapis.com",
            "key",
        ),
        ("{preset: ollama}", Platform::Direct, "http://localhost:11434/v1", "none"),
    ] {
        let resolved = resolved(text);
        let way = match (&resolved.auth, &resolved.spec.credential) {
            (Some(Auth::Aws(_)), None) => "aws",
            (Some(Auth::Google(_)), None) => "google",
            (Some(Auth::Entra(_)), None) => "entra",
            (None, Some(_)) => "key",
            (None, None) => "none",
            (Some(_), Some(_)) => "both",
        };
        assert_eq!(
            (resolved.platform, resolved.base_url.as_str(), way),
            (platform, base_url, auth),
            "{text}"
        );
    }
}

#[test]
fn what_differs_for_a_model_is_added_to_what_differs_for_all() {
    let quirks = spec(
        "{preset: openai, quirks: {unsupported: [seed], only: {n: [1]}, developer_role: true, models: [
            {names: ['a*'], quirks: {unsupported: [stop], only: {stop: [x]}, developer_role: false}},
            {names: [ab], quirks: {unsupported: [user], only: {n: [2]}}}]}}",
    )
    .quirks;
    let of = |model: &str| {
        let found = quirks.for_model(model).into_owned();
        let only: Vec<String> = found.only.unwrap().keys().cloned().collect();
        (found.unsupported.unwrap().join(" "), only.join(" "), found.developer_role)
    };
    assert_eq!(of("b"), ("seed".to_owned(), "n".to_owned(), Some(true)));
    assert_eq!(of("ac"), ("seed stop".to_owned(), "n stop".to_owned(), Some(false)));
    assert_eq!(of("ab"), ("seed stop user".to_owned(), "n stop".to_owned(), Some(false)));
    assert_eq!(quirks.for_model("ab").only.as_ref().unwrap()["n"], [serde_json::json!(2)]);
    assert!(matches!(quirks.for_model("b"), std::borrow::Cow::Borrowed(_)));
    assert!(Quirks::default().is_empty() && !quirks.is_empty());
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
