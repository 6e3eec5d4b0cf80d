//! The flows against a server that stands for all of Google's.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::upstream::auth::tests::server::{Act, Machine, Server, ok};

/// 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;

fn granted_as(token: &str) -> Act {
    ok(json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).to_string())
}

/// Tells with each token how it was got.
fn cloud(seen: &crate::upstream::auth::tests::server::Seen) -> Act {
    let line = seen.line.as_str();
    if line.starts_with("GET /computeMetadata/") {
        granted_as("of-metadata")
    } else if line.contains(":generateAccessToken") {
        ok(json!({"accessToken": "of-impersonation", "expireTime": "2027-01-15T09:00:00Z"}).to_string())
    } else if line == "POST /v1/token" {
        granted_as("of-exchange")
    } else if line == "POST /token" && seen.body.contains("refresh_token") {
        granted_as("of-user")
    } else if line == "POST /token" {
        granted_as("of-service-account")
    } else if line == "GET /subject" {
        ok(json!({"value": "subject.jwt"}).to_string())
    } else {
        Act::Reply(404, String::new())
    }
}

fn google(ask: Ask, machine: &Machine, server: &Server) -> Google {
    Google { ask, places: machine.places(), fetcher: server.fetcher() }
}

async fn bearer_of(google: &Google) -> Result<String, SourceError> {
    google.fetch(NOW_MS).await.map(|fresh| fresh.value.bearer.to_str().unwrap().to_owned())
}

fn reference(path: &str) -> SecretRef {
    format!("file:{path}").parse().unwrap()
}

fn user() -> String {
    json!({"type": "authorized_user", "client_id": "c", "client_secret": "planted", "refresh_token": "planted",
           "quota_project_id": "pays"})
    .to_string()
}

fn external(source: &Value, impersonate: bool) -> String {
    let mut account = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
    });
    if impersonate {
        account["service_account_impersonation_url"] = json!(
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken"
        );
    }
    account.to_string()
}

fn pem(key: &RsaKeyPair) -> String {
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(key).unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

#[tokio::test]
async fn a_service_account_states_who_it_is_and_signs_that() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    let file = json!({"type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": pem(&key),
                      "client_email": "a@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token"});
    let path = machine.write("key.json", &file.to_string());
    let google = google(Ask::ServiceAccount(reference(&path)), &machine, &server);
    let fresh = google.fetch(NOW_MS).await.unwrap();
    assert_eq!(fresh.value.bearer, "Bearer of-service-account");
    assert!(fresh.value.bearer.is_sensitive());
    assert_eq!(fresh.life, Life::Until(NOW_MS + 3_599_000));

    let seen = &server.seen()[0];
    assert_eq!(seen.field("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let assertion = seen.field("assertion");
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let part =
        |text: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap() };
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(part(header), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    let now = NOW_MS / 1000;
    assert_eq!(
        part(claims),
        json!({"iss": "a@p.iam.gserviceaccount.com", "scope": SCOPE, "aud": "https://oauth2.googleapis.com/token",
               "iat": now, "exp": now + 3600})
    );
}

#[tokio::test]
async fn the_usual_places_are_looked_at_in_their_order() {
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    let google = google(Ask::ApplicationDefault, &machine, &server);
    assert_eq!(bearer_of(&google).await.unwrap(), "Bearer of-metadata");
    machine.write(".config/gcloud/application_default_credentials.json", &user());
    let fresh = google.fetch(NOW_MS).await.unwrap();
    assert_eq!(fresh.value.bearer, "Bearer of-user");
    assert_eq!(fresh.value.quota_project.unwrap(), "pays");
    let path =
        machine.write("external.json", &external(&json!({"file": machine.write("t", "subject.jwt")}), false));
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &path);
    assert_eq!(bearer_of(&google).await.unwrap(), "Bearer of-exchange");
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", "/not/there.json");
    assert!(
        bearer_of(&google).await.unwrap_err().to_string().contains("/not/there.json"),
        "what is named must be there"
    );
}

#[tokio::test]
async fn a_workloads_token_is_exchanged_from_a_file_and_from_a_url() {
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    let token = machine.write("token", "subject.jwt\n");
    let url = json!({"url": "http://169.254.169.254/subject", "headers": {"Metadata": "True"},
                     "format": {"type": "json", "subject_token_field_name": "value"}});
    for (source, requests) in [(json!({"file": token}), 1), (url, 2)] {
        let path = machine.write("external.json", &external(&source, false));
        let google = google(Ask::WorkloadIdentity(reference(&path)), &machine, &server);
        let before = server.seen().len();
        assert_eq!(bearer_of(&google).await.unwrap(), "Bearer of-exchange");
        let seen = server.seen();
        assert_eq!(seen.len() - before, requests);
        let exchange = seen.last().unwrap();
        assert_eq!(exchange.field("subject_token"), "subject.jwt");
        assert_eq!(exchange.field("grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
        assert!(exchange.field("audience").ends_with("/providers/q"));
        assert_eq!(exchange.field("scope"), SCOPE);
    }
    assert_eq!(server.seen()[1].header("metadata"), "True");
}

#[tokio::test]
async fn a_workload_acts_as_a_service_account_where_the_settings_say_so() {
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    let source = json!({"file": machine.write("token", "subject.jwt")});
    let path = machine.write("external.json", &external(&source, true));
    let google = google(Ask::WorkloadIdentity(reference(&path)), &machine, &server);
    let fresh = google.fetch(NOW_MS).await.unwrap();
    assert_eq!(fresh.value.bearer, "Bearer of-impersonation");
    assert_eq!(fresh.life, Life::Until(NOW_MS + 3_600_000));
    assert_eq!(server.seen()[1].header("authorization"), "Bearer of-exchange");
    assert_eq!(serde_json::from_str::<Value>(&server.seen()[1].body).unwrap()["scope"], json!([SCOPE]));
}

#[tokio::test]
async fn a_workload_on_aws_proves_itself_with_a_signed_question() {
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    for (name, value) in
        [("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", "planted"), ("AWS_REGION", "eu-west-1")]
    {
        machine.set(name, value);
    }
    let source = json!({"environment_id": "aws1",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"});
    let path = machine.write("external.json", &external(&source, false));
    let google = google(Ask::WorkloadIdentity(reference(&path)), &machine, &server);
    assert_eq!(bearer_of(&google).await.unwrap(), "Bearer of-exchange");
    let subject = server.seen()[0].field("subject_token");
    assert!(subject.starts_with("%7B%22"), "encoded once more: {subject}");
    for part in ["sts.eu-west-1.amazonaws.com", "x-goog-cloud-target-resource", "AKENV", "GetCallerIdentity"]
    {
        assert!(subject.contains(part), "{part}: {subject}");
    }
    assert!(!subject.contains("planted"));
}

#[tokio::test]
async fn a_person_may_act_as_a_service_account() {
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    let file = json!({"type": "impersonated_service_account", "delegates": [],
        "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken",
        "source_credentials": serde_json::from_str::<Value>(&user()).unwrap()});
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &machine.write("adc.json", &file.to_string()));
    assert_eq!(
        bearer_of(&google(Ask::ApplicationDefault, &machine, &server)).await.unwrap(),
        "Bearer of-impersonation"
    );
    assert_eq!(server.seen()[1].header("authorization"), "Bearer of-user");
}

#[tokio::test]
async fn the_metadata_server_is_asked_as_it_wants_and_has_to_say_who_it_is() {
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    let google = google(Ask::Metadata, &machine, &server);
    assert_eq!(bearer_of(&google).await.unwrap(), "Bearer of-metadata");
    let seen = &server.seen()[0];
    assert!(seen.line.starts_with(
        "GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2F"
    ));
    assert_eq!(seen.header("metadata-flavor"), "Google");
}

#[tokio::test]
async fn a_file_that_is_wrong_is_told_by_its_place_and_never_quoted() {
    let (machine, server) = (Machine::new(), Server::start(cloud).await);
    let broken_key =
        json!({"type": "service_account", "private_key": "planted", "client_email": "a"}).to_string();
    let program = external(&json!({"executable": {"command": "planted"}}), false);
    let elsewhere = external(&json!({"url": "http://example.com/planted"}), false);
    for text in [
        "planted",
        "{}",
        r#"{"type":"planted"}"#,
        r#"{"type":"service_account","private_key":"planted"}"#,
        &broken_key,
        &program,
    ] {
        let path = machine.write("adc.json", text);
        machine.set("GOOGLE_APPLICATION_CREDENTIALS", &path);
        let error =
            bearer_of(&google(Ask::ApplicationDefault, &machine, &server)).await.unwrap_err().to_string();
        assert!(!error.contains("planted"), "{error}");
    }
    let path = machine.write("adc.json", &elsewhere);
    let open = Google {
        ask: Ask::WorkloadIdentity(reference(&path)),
        places: machine.places(),
        fetcher: crate::upstream::auth::tests::server::fetcher(None),
    };
    assert!(bearer_of(&open).await.unwrap_err().to_string().contains("https://"));
    let wrong = google(Ask::ServiceAccount(reference(&path)), &machine, &server);
    assert!(bearer_of(&wrong).await.unwrap_err().to_string().contains("not the key of a service account"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn answers_that_are_no_token_are_errors_that_do_not_repeat_them() {
    let machine = Machine::new();
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &machine.write("adc.json", &user()));
    let huge = "x".repeat(1 << 20);
    for (status, answer) in [
        (200, "planted"),
        (200, r#"{"access_token":"planted"}"#),
        (200, r#"{"access_token":"pla\nnted","expires_in":3600}"#),
        (200, r#"{"access_token":"","expires_in":3600}"#),
        (200, r#"{"access_token":"planted","expires_in":-1}"#),
        (200, &huge),
        (302, "planted"),
        (400, r#"{"error":"invalid_grant","error_description":"planted"}"#),
        (401, r#"{"error":"a planted word with blanks"}"#),
    ] {
        let answer = answer.to_owned();
        let server = Server::start(move |_| Act::Reply(status, answer.clone())).await;
        let error =
            bearer_of(&google(Ask::ApplicationDefault, &machine, &server)).await.unwrap_err().to_string();
        assert!(!error.contains("planted"), "{error}");
        assert_eq!(error.contains("`invalid_grant`"), status == 400, "{error}");
    }
}
