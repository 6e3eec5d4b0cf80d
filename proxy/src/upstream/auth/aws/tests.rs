//! The sources against a server that stands for all of AWS's.

use super::*;
use crate::upstream::auth::tests::server::{Act, Machine, Server, ok};

/// 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;

const STS: &str = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser>\
     <Credentials><SessionToken>tok+/=</SessionToken><SecretAccessKey>sec/ret</SecretAccessKey><Expiration>2027-01-15T09:00:00Z</Expiration>\
     <AccessKeyId>ASIASTS</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";

fn found(id: &str) -> String {
    format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{id}","SecretAccessKey":"sec/ret","Token":"tok","Expiration":"2027-01-15T14:00:00Z"}}"#
    )
}

fn aws(ask: Ask, machine: &Machine, server: &Server) -> Aws {
    Aws { ask, region: "eu-central-1".to_owned(), places: machine.places(), fetcher: server.fetcher() }
}

async fn id(aws: &Aws) -> Result<String, SourceError> {
    aws.fetch(NOW_MS).await.map(|fresh| fresh.value.access_key_id().to_owned())
}

/// Answers for the token service, the container endpoint and the instance's metadata.
fn cloud(line: &str) -> Act {
    match line {
        "POST /" => ok(STS),
        "PUT /latest/api/token" => ok("session-of-imds"),
        "GET /latest/meta-data/iam/security-credentials/" => ok("my-role\n"),
        "GET /latest/meta-data/iam/security-credentials/my-role" => ok(found("ASIAINSTANCE")),
        "GET /v2/credentials/1" => ok(found("ASIACONTAINER")),
        _ => Act::Reply(404, String::new()),
    }
}

#[tokio::test]
async fn authored_references_are_read_and_a_changed_file_is_seen() {
    let (machine, server) = (Machine::new(), Server::start(|_| Act::Reply(500, String::new())).await);
    machine.set("ID", "AKSTATIC");
    let secret = machine.write("secret", "first\n");
    let ask = Ask::Static {
        access_key_id: "env:ID".parse().unwrap(),
        secret_access_key: format!("file:{secret}").parse().unwrap(),
        session_token: None,
    };
    let aws = aws(ask, &machine, &server);
    let first = aws.fetch(NOW_MS).await.unwrap();
    assert_eq!((first.value.access_key_id(), first.value.secret_access_key()), ("AKSTATIC", "first"));
    assert!(matches!(first.life, Life::LookAgainAfter(_)));
    machine.write("secret", "second\n");
    assert_eq!(aws.fetch(NOW_MS).await.unwrap().value.secret_access_key(), "second");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_token_in_a_file_is_exchanged_for_a_role_and_read_anew_each_time() {
    let machine = Machine::new();
    let server = Server::start(|seen| cloud(&seen.line)).await;
    let file = machine.write("token", "first.jwt\n");
    let ask = Ask::WebIdentity { role_arn: Some("arn:aws:iam::1:role/r".to_owned()), token_file: Some(file) };
    let aws = aws(ask, &machine, &server);
    let fresh = aws.fetch(NOW_MS).await.unwrap();
    assert_eq!(fresh.value.access_key_id(), "ASIASTS");
    assert_eq!((fresh.value.secret_access_key(), fresh.value.session_token()), ("sec/ret", Some("tok+/=")));
    assert_eq!(fresh.life, Life::Until(NOW_MS + 3_600_000));
    machine.write("token", "second.jwt\n");
    aws.fetch(NOW_MS).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(seen[0].field("Action"), "AssumeRoleWithWebIdentity");
    assert_eq!(seen[0].field("RoleArn"), "arn:aws:iam::1:role/r");
    assert_eq!(
        (seen[0].field("WebIdentityToken"), seen[1].field("WebIdentityToken")),
        ("first.jwt".to_owned(), "second.jwt".to_owned())
    );
}

#[tokio::test]
async fn the_usual_chain_takes_the_first_that_is_set_up() {
    let machine = Machine::new();
    let server = Server::start(|seen| cloud(&seen.line)).await;
    let aws = aws(Ask::Environment, &machine, &server);
    assert_eq!(id(&aws).await.unwrap(), "ASIAINSTANCE");
    machine.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1");
    assert_eq!(id(&aws).await.unwrap(), "ASIACONTAINER");
    machine
        .write(".aws/credentials", "[default]\naws_access_key_id = AKPROFILE\naws_secret_access_key = s\n");
    assert_eq!(id(&aws).await.unwrap(), "AKPROFILE");
    machine.set("AWS_WEB_IDENTITY_TOKEN_FILE", &machine.write("token", "jwt"));
    machine.set("AWS_ROLE_ARN", "arn:r");
    assert_eq!(id(&aws).await.unwrap(), "ASIASTS");
    machine.set("AWS_ACCESS_KEY_ID", "AKENV");
    machine.set("AWS_SECRET_ACCESS_KEY", "s");
    machine.set("AWS_SESSION_TOKEN", "t");
    let fresh = aws.fetch(NOW_MS).await.unwrap();
    assert_eq!((fresh.value.access_key_id(), fresh.value.session_token()), ("AKENV", Some("t")));
}

#[tokio::test]
async fn a_source_of_the_chain_that_is_set_up_and_fails_ends_it() {
    let machine = Machine::new();
    let server = Server::start(|seen| cloud(&seen.line)).await;
    let aws = aws(Ask::Environment, &machine, &server);
    machine.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/credentials");
    machine.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere");
    assert!(id(&aws).await.unwrap_err().to_string().contains("/nowhere"));
    machine.set("AWS_WEB_IDENTITY_TOKEN_FILE", "/not/there");
    assert!(id(&aws).await.unwrap_err().to_string().contains("AWS_ROLE_ARN"));
    machine.set("AWS_ROLE_ARN", "arn:r");
    assert!(id(&aws).await.unwrap_err().to_string().contains("/not/there"));
    machine.set("AWS_ACCESS_KEY_ID", "AKENV");
    assert!(id(&aws).await.unwrap_err().to_string().contains("AWS_SECRET_ACCESS_KEY"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_instance_is_asked_in_version_two() {
    let machine = Machine::new();
    let server = Server::start(|seen| cloud(&seen.line)).await;
    let fresh = aws(Ask::Instance, &machine, &server).fetch(NOW_MS).await.unwrap();
    assert_eq!(fresh.life, Life::Until(NOW_MS + 6 * 3_600_000));
    let seen = server.seen();
    assert_eq!(seen[0].header("x-aws-ec2-metadata-token-ttl-seconds"), "300");
    assert_eq!(seen[1].header("x-aws-ec2-metadata-token"), "session-of-imds");
    assert_eq!(seen[2].header("x-aws-ec2-metadata-token"), "session-of-imds");
    machine.set("AWS_EC2_METADATA_DISABLED", "true");
    assert!(id(&aws(Ask::Instance, &machine, &server)).await.is_err());
}

#[tokio::test]
async fn a_container_is_asked_with_the_token_of_the_platform() {
    let machine = Machine::new();
    let server = Server::start(|_| ok(found("ASIAPOD"))).await;
    machine.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials");
    machine.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &machine.write("pod-token", "pod.jwt\n"));
    assert_eq!(id(&aws(Ask::Environment, &machine, &server)).await.unwrap(), "ASIAPOD");
    assert_eq!(server.seen()[0].line, "GET /v1/credentials");
    assert_eq!(server.seen()[0].header("authorization"), "pod.jwt");
}

#[tokio::test]
async fn where_nothing_is_set_up_the_error_names_what_could_be() {
    let machine = Machine::new();
    let server = Server::start(|_| Act::Reply(404, String::new())).await;
    let error = id(&aws(Ask::Environment, &machine, &server)).await.unwrap_err().to_string();
    for word in [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "profile",
        "metadata",
    ] {
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_tells_its_code_and_nothing_that_was_sent() {
    let machine = Machine::new();
    let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized: planted.jwt</Message></Error></ErrorResponse>";
    let server = Server::start(move |_| Act::Reply(403, refusal.to_owned())).await;
    let file = machine.write("token", "planted.jwt");
    let ask = Ask::WebIdentity { role_arn: Some("arn:r".to_owned()), token_file: Some(file) };
    let error = id(&aws(ask, &machine, &server)).await.unwrap_err().to_string();
    assert!(error.contains("403 `AccessDenied`") && !error.contains("planted"), "{error}");
}

#[tokio::test]
async fn garbage_is_an_error_that_does_not_repeat_it() {
    let huge = "x".repeat(1 << 20);
    let half = STS.replace("<SecretAccessKey>sec/ret</SecretAccessKey>", "");
    let odd = STS.replace("2027-01-15T09:00:00Z", "planted");
    let split = STS.replace("sec/ret", "planted\nsecret");
    for answer in ["planted".to_owned(), String::new(), r#"{"planted":1}"#.to_owned(), half, odd, split, huge]
    {
        let machine = Machine::new();
        let answer_of_all = answer.clone();
        let server = Server::start(move |_| ok(answer_of_all.clone())).await;
        let file = machine.write("token", "jwt");
        for ask in
            [Ask::WebIdentity { role_arn: Some("arn:r".to_owned()), token_file: Some(file) }, Ask::Instance]
        {
            let error = id(&aws(ask, &machine, &server)).await.unwrap_err().to_string();
            assert!(!error.contains("planted"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_with_a_hiccup_is_asked_once_more() {
    let machine = Machine::new();
    let calls = std::sync::atomic::AtomicU32::new(0);
    let server = Server::start(move |seen| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Act::Reply(503, String::new()),
        _ => cloud(&seen.line),
    })
    .await;
    let ask = Ask::WebIdentity {
        role_arn: Some("arn:r".to_owned()),
        token_file: Some(machine.write("token", "jwt")),
    };
    assert_eq!(id(&aws(ask, &machine, &server)).await.unwrap(), "ASIASTS");
    assert_eq!(server.seen().len(), 2);
}
