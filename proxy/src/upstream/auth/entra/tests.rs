//! The flows against a server that stands for the directory and for the machine's metadata.

use super::*;
use crate::upstream::auth::tests::server::{Act, Machine, Server, ok};

const NOW_MS: u64 = 1_800_000_000_000;
const GRANTED: &str =
    r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"ey.entra"}"#;

fn entra(ask: Ask, machine: &Machine, server: &Server) -> Entra {
    let (tenant, client_id) = (Some("contoso.com".to_owned()), Some("app-1".to_owned()));
    Entra { ask, tenant, client_id, places: machine.places(), fetcher: server.fetcher() }
}

async fn error(entra: &Entra) -> String {
    entra.fetch(NOW_MS).await.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn an_applications_secret_is_exchanged_for_a_token() {
    let (machine, server) = (Machine::new(), Server::start(|_| ok(GRANTED)).await);
    machine.set("SECRET", "s3cr3t~&=");
    let fresh = entra(Ask::ClientSecret("env:SECRET".parse().unwrap()), &machine, &server)
        .fetch(NOW_MS)
        .await
        .unwrap();
    assert_eq!(fresh.value, "Bearer ey.entra");
    assert!(fresh.value.is_sensitive());
    assert_eq!(fresh.life, Life::Until(NOW_MS + 3_599_000));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /contoso.com/oauth2/v2.0/token");
    for (field, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", "app-1"),
        ("client_secret", "s3cr3t~&="),
        ("scope", "https://cognitiveservices.azure.com/.default"),
    ] {
        assert_eq!(seen.field(field), value);
    }
}

#[tokio::test]
async fn a_workloads_token_is_read_anew_each_time_and_its_names_come_from_the_environment() {
    let (machine, server) = (Machine::new(), Server::start(|_| ok(GRANTED)).await);
    let ask = Ask::WorkloadIdentity { token_file: None };
    let entra = Entra { tenant: None, client_id: None, ..entra(ask, &machine, &server) };
    for name in ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"] {
        assert!(error(&entra).await.contains(&format!("`{name}`")));
        let value =
            if name.ends_with("FILE") { machine.write("token", "first.jwt\n") } else { "x".to_owned() };
        machine.set(name, &value);
    }
    entra.fetch(NOW_MS).await.unwrap();
    machine.write("token", "second.jwt\n");
    entra.fetch(NOW_MS).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /x/oauth2/v2.0/token");
    assert_eq!(
        seen[0].field("client_assertion_type"),
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    assert_eq!(
        (seen[0].field("client_assertion"), seen[1].field("client_assertion")),
        ("first.jwt".to_owned(), "second.jwt".to_owned())
    );
}

#[tokio::test]
async fn a_managed_identity_is_asked_at_the_machine_or_at_the_app_service() {
    let granted = r#"{"access_token":"ey.mi","expires_in":"86399","expires_on":"1800086399","resource":"r"}"#;
    let (machine, server) = (Machine::new(), Server::start(move |_| ok(granted)).await);
    let entra = entra(Ask::ManagedIdentity, &machine, &server);
    let fresh = entra.fetch(NOW_MS).await.unwrap();
    assert_eq!((fresh.value.to_str().unwrap(), fresh.life), ("Bearer ey.mi", Life::Until(1_800_086_399_000)));
    machine.set("IDENTITY_ENDPOINT", "http://172.16.1.2:8081/msi/token");
    assert!(error(&entra).await.contains("`IDENTITY_HEADER`"), "Azure Arc has no header");
    machine.set("IDENTITY_HEADER", "header-1");
    entra.fetch(NOW_MS).await.unwrap();
    let resource = "resource=https%3A%2F%2Fcognitiveservices.azure.com&client_id=app-1";
    assert_eq!(
        server.lines(),
        [
            format!("GET /metadata/identity/oauth2/token?{resource}&api-version=2018-02-01"),
            format!("GET /msi/token?{resource}&api-version=2019-08-01"),
        ]
    );
    let seen = server.seen();
    assert_eq!((seen[0].header("metadata"), seen[1].header("x-identity-header")), ("true", "header-1"));
}

#[tokio::test]
async fn an_app_service_that_only_tells_the_moment_of_the_end_is_understood() {
    let granted = r#"{"access_token":"ey.mi","expires_on":"1800003600","token_type":"Bearer"}"#;
    let (machine, server) = (Machine::new(), Server::start(move |_| ok(granted)).await);
    let fresh = entra(Ask::ManagedIdentity, &machine, &server).fetch(NOW_MS).await.unwrap();
    assert_eq!(fresh.life, Life::Until(NOW_MS + 3_600_000));
}

#[tokio::test]
async fn a_refusal_tells_the_number_that_can_be_looked_up_and_nothing_else() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: planted. Trace ID: 1"}"#;
    let (machine, server) =
        (Machine::new(), Server::start(move |_| Act::Reply(401, refusal.to_owned())).await);
    machine.set("SECRET", "planted");
    let error = error(&entra(Ask::ClientSecret("env:SECRET".parse().unwrap()), &machine, &server)).await;
    assert!(error.contains("401 `AADSTS7000215`") && !error.contains("planted"), "{error}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (machine, server) = (Machine::new(), Server::start(|_| ok(GRANTED)).await);
    let told = error(&entra(Ask::ClientSecret("env:SECRET".parse().unwrap()), &machine, &server)).await;
    assert!(told.contains("`SECRET` is not set"), "{told}");
    let ask = Ask::WorkloadIdentity { token_file: Some("/not/there".to_owned()) };
    assert!(error(&entra(ask, &machine, &server)).await.contains("`/not/there`"));
    machine.set("IDENTITY_ENDPOINT", "http://example.com/token");
    machine.set("IDENTITY_HEADER", "h");
    let fetcher = crate::upstream::auth::tests::server::fetcher(None);
    let open = Entra { fetcher, ..entra(Ask::ManagedIdentity, &machine, &server) };
    assert!(error(&open).await.contains("private address"), "a secret is not sent in the open");
    assert!(server.seen().is_empty());
}
