//! Authorizers as policy asks for them.

use lifecycle::Clock;
use policy::{Name, compile, parse_documents};
use tokio::time::advance;

use super::*;
use server::{Act, Machine, Server, ok};

pub(super) mod server;

const START_MS: u64 = 1_800_000_000_000;

fn provider(spec: &str) -> Arc<compiled::Provider> {
    let text = format!(
        "kind: Provider\nname: p\nspec: {{{spec}}}\n---\nkind: Model\nname: m\nspec: {{targets: [{{provider: p, model: x}}]}}\n"
    );
    let resources: Vec<_> = parse_documents("test", &text).unwrap().into_iter().map(Arc::new).collect();
    let policy = compile(&Name::default_group(), 1, &resources).unwrap().policy;
    Arc::clone(&policy.model("m").unwrap().model.targets[0].provider)
}

fn authorizer(spec: &str, machine: &Machine, clock: &Clock) -> Authorizer {
    Authorizer::build(&provider(spec), &machine.parts(clock)).unwrap()
}

fn request() -> Request<()> {
    Request::post("https://example.com/model/a%3Ab/converse")
        .header("content-type", "application/json")
        .body(())
        .unwrap()
}

async fn authorized(authorizer: &Authorizer, clock: &Clock) -> Result<(Request<()>, Used), AuthError> {
    let mut request = request();
    let used = authorizer.authorize(&mut request, &Bytes::from_static(b"{}"), clock).await?;
    Ok((request, used))
}

const BEDROCK: &str = "dialect: bedrock, aws: {region: eu-central-1}, base_url: \"https://bedrock-runtime.eu-central-1.amazonaws.com\"";
const AZURE: &str = "dialect: openai, azure: {api_version: v1}, base_url: \"https://n.openai.azure.com\"";
const VERTEX: &str = "dialect: gemini, vertex: {project: p, location: global}, base_url: \"https://aiplatform.googleapis.com\"";

#[tokio::test]
async fn a_plain_key_stands_in_the_header_of_its_dialect_and_cloud() {
    let machine = Machine::new();
    machine.set("KEY", "sk-planted");
    let clock = Clock::tokio(START_MS);
    for (spec, header, value) in [
        ("dialect: openai, base_url: \"https://e.com\"", "authorization", "Bearer sk-planted"),
        ("dialect: responses, base_url: \"https://e.com\"", "authorization", "Bearer sk-planted"),
        ("dialect: cohere, base_url: \"https://e.com\"", "authorization", "Bearer sk-planted"),
        ("dialect: anthropic, base_url: \"https://e.com\"", "x-api-key", "sk-planted"),
        ("dialect: gemini, base_url: \"https://e.com\"", "x-goog-api-key", "sk-planted"),
        (AZURE, "api-key", "sk-planted"),
        (BEDROCK, "authorization", "Bearer sk-planted"),
        (VERTEX, "authorization", "Bearer sk-planted"),
    ] {
        let authorizer = authorizer(&format!("{spec}, credential: env:KEY"), &machine, &clock);
        let (request, used) = authorized(&authorizer, &clock).await.unwrap();
        assert_eq!(request.headers()[header], value, "{spec}");
        assert!(request.headers()[header].is_sensitive());
        assert_eq!(request.headers().len(), 2, "{spec}");
        assert!(!authorizer.rejected(used, &clock));
        assert!(!format!("{authorizer:?}").contains("planted"));
    }
}

#[tokio::test]
async fn a_provider_that_needs_nothing_gets_nothing() {
    let (machine, clock) = (Machine::new(), Clock::tokio(START_MS));
    let authorizer = authorizer("dialect: openai, base_url: \"https://e.com\"", &machine, &clock);
    let (request, _) = authorized(&authorizer, &clock).await.unwrap();
    assert_eq!(request.headers().len(), 1);
}

#[tokio::test]
async fn bedrock_gets_a_signature() {
    let (machine, clock) = (Machine::new(), Clock::tokio(START_MS));
    machine.set("ID", "AKSTATIC");
    machine.set("SECRET", "planted");
    let auth = "auth: {aws: {source: static, access_key_id: env:ID, secret_access_key: env:SECRET}}";
    let authorizer = authorizer(&format!("{BEDROCK}, {auth}"), &machine, &clock);
    let (request, _) = authorized(&authorizer, &clock).await.unwrap();
    let header = request.headers()["authorization"].to_str().unwrap();
    assert!(header.starts_with("AWS4-HMAC-SHA256 Credential=AKSTATIC/20270115/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, "), "{header}");
    assert!(!format!("{authorizer:?}").contains("planted"));
}

#[tokio::test]
async fn azure_gets_a_token_that_is_fetched_once() {
    let (machine, clock) = (Machine::new(), Clock::tokio(START_MS));
    let server = Server::start(|_| ok(r#"{"access_token":"ey.planted","expires_in":3600}"#)).await;
    machine.set("SECRET", "planted");
    let auth = format!(
        "auth: {{entra: {{source: client_secret, tenant: t, client_id: c, client_secret: env:SECRET, endpoint: \"{}\"}}}}",
        server.url
    );
    let authorizer = authorizer(&format!("{AZURE}, {auth}"), &machine, &clock);
    for _ in 0..3 {
        let (request, _) = authorized(&authorizer, &clock).await.unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer ey.planted");
    }
    assert_eq!(server.lines(), ["POST /t/oauth2/v2.0/token"]);
    assert!(!format!("{authorizer:?}").contains("planted"));
}

fn vertex_user(machine: &Machine, server: &Server) -> String {
    let user = r#"{"type":"authorized_user","client_id":"c","client_secret":"planted","refresh_token":"planted","quota_project_id":"pays"}"#;
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &machine.write("adc.json", user));
    format!("{VERTEX}, auth: {{google: {{endpoint: \"{}\"}}}}", server.url)
}

#[tokio::test]
async fn vertex_gets_a_token_and_is_told_who_pays() {
    let (machine, clock) = (Machine::new(), Clock::tokio(START_MS));
    let server = Server::start(|_| ok(r#"{"access_token":"ya29.t","expires_in":3600}"#)).await;
    let authorizer = authorizer(&vertex_user(&machine, &server), &machine, &clock);
    let (request, _) = authorized(&authorizer, &clock).await.unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer ya29.t");
    assert_eq!(request.headers()["x-goog-user-project"], "pays");
    let mut authored =
        Request::get("https://example.com").header("x-goog-user-project", "authored").body(()).unwrap();
    authorizer.authorize(&mut authored, &Bytes::new(), &clock).await.unwrap();
    assert_eq!(authored.headers()["x-goog-user-project"], "authored");
}

#[tokio::test]
async fn after_a_401_the_token_is_fetched_once_more_and_then_given_up() {
    let (machine, clock) = (Machine::new(), Clock::manual(START_MS));
    let calls = std::sync::atomic::AtomicU32::new(0);
    let server = Server::start(move |_| {
        let number = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        ok(format!(r#"{{"access_token":"token-{number}","expires_in":3600}}"#))
    })
    .await;
    let authorizer = authorizer(&vertex_user(&machine, &server), &machine, &clock);
    let (_, first) = authorized(&authorizer, &clock).await.unwrap();
    clock.advance(std::time::Duration::from_secs(600));
    assert!(authorizer.rejected(first, &clock));
    let (request, second) = authorized(&authorizer, &clock).await.unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer token-1");
    assert!(!authorizer.rejected(second, &clock));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_token_server_that_hangs_ends_in_an_error_that_names_no_path_and_no_variable() {
    let (machine, clock) = (Machine::new(), Clock::tokio(START_MS));
    let server = Server::start(|_| Act::Hang).await;
    let authorizer = authorizer(&vertex_user(&machine, &server), &machine, &clock);
    let hurried = async {
        server.arrived().await;
        tokio::time::pause();
        advance(std::time::Duration::from_secs(30)).await;
    };
    let (result, ()) = tokio::join!(authorized(&authorizer, &clock), hurried);
    let told = result.map(|_| ()).unwrap_err().to_string();
    assert_eq!(told, "no token can be had for it; the proxy's log says why");
}

#[test]
fn a_sealed_secret_is_refused_where_it_is_written() {
    let (machine, clock) = (Machine::new(), Clock::manual(START_MS));
    for (spec, path) in [
        ("dialect: openai, base_url: \"https://e.com\", credential: sealed:s".to_owned(), "/spec/credential"),
        (
            format!("{VERTEX}, auth: {{google: {{source: service_account, key: sealed:s}}}}"),
            "/spec/auth/google/key",
        ),
    ] {
        let diagnostic = Authorizer::build(&provider(&spec), &machine.parts(&clock)).unwrap_err();
        assert_eq!((diagnostic.path.as_str(), diagnostic.code.as_ref()), (path, "unsupported_secret"));
    }
}
