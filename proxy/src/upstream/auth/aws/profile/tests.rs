//! The shared files as AWS's tools write them.

use super::*;
use crate::upstream::auth::aws::Ask;
use crate::upstream::auth::tests::server::{Machine, Server, ok};
use crate::upstream::auth::token::Source;

const NOW_MS: u64 = 1_800_000_000_000;

fn sts_answer(id: &str) -> String {
    format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
         <SessionToken>t</SessionToken><Expiration>2027-01-15T09:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

/// The access key id that a profile leads to.
async fn follow(machine: &Machine, server: &Server, profile: Option<&str>) -> Result<String, SourceError> {
    let aws = Aws {
        ask: Ask::Profile(profile.map(str::to_owned)),
        region: "eu-central-1".to_owned(),
        places: machine.places(),
        fetcher: server.fetcher(),
    };
    aws.fetch(NOW_MS).await.map(|fresh| fresh.value.access_key_id().to_owned())
}

async fn sts() -> Server {
    Server::start(|seen| ok(sts_answer(&format!("of:{}", seen.field("RoleArn"))))).await
}

#[tokio::test]
async fn a_profile_is_found_by_name_by_variable_or_as_default() {
    let (machine, server) = (Machine::new(), sts().await);
    machine.write(
        ".aws/credentials",
        "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = s\n\n# one more\n[work]\naws_access_key_id=AKWORK ; mine\naws_secret_access_key=s\n",
    );
    assert_eq!(follow(&machine, &server, None).await.unwrap(), "AKDEFAULT");
    assert_eq!(follow(&machine, &server, Some("work")).await.unwrap(), "AKWORK");
    machine.set("AWS_PROFILE", "work");
    assert_eq!(follow(&machine, &server, None).await.unwrap(), "AKWORK");
}

#[tokio::test]
async fn the_files_may_be_elsewhere_and_the_credentials_file_wins() {
    let (machine, server) = (Machine::new(), sts().await);
    let config = "[profile p]\nregion = eu-west-1\naws_access_key_id = AKCONFIG\naws_secret_access_key = s\ns3 =\n  aws_access_key_id = AKNESTED\n[p]\naws_access_key_id = AKNOPROFILE\n[sso-session p]\naws_access_key_id = AKSESSION\n";
    machine.set("AWS_CONFIG_FILE", &machine.write("elsewhere/config", config));
    assert_eq!(follow(&machine, &server, Some("p")).await.unwrap(), "AKCONFIG");
    let keys =
        machine.write("elsewhere/keys", "[p]\naws_access_key_id = AKKEYS\naws_secret_access_key = s\n");
    machine.set("AWS_SHARED_CREDENTIALS_FILE", &keys);
    assert_eq!(follow(&machine, &server, Some("p")).await.unwrap(), "AKKEYS");
}

#[tokio::test]
async fn a_role_is_assumed_with_the_keys_of_its_source() {
    let (machine, server) = (Machine::new(), sts().await);
    machine.write(
        ".aws/config",
        "[profile base]\naws_access_key_id = AKBASE\naws_secret_access_key = s\n\
         [profile middle]\nrole_arn = arn:middle\nsource_profile = base\n\
         [profile top]\nrole_arn = arn:top\nsource_profile = middle\nexternal_id = e 1\nrole_session_name = me\n",
    );
    assert_eq!(follow(&machine, &server, Some("top")).await.unwrap(), "of:arn:top");
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].line, "POST /");
    assert_eq!(
        (seen[0].field("Action"), seen[0].field("RoleArn")),
        ("AssumeRole".to_owned(), "arn:middle".to_owned())
    );
    assert!(
        seen[0].header("authorization").contains("Credential=AKBASE/20270115/eu-central-1/sts/aws4_request")
    );
    assert!(seen[1].header("authorization").contains("Credential=of:arn:middle/"));
    assert_eq!(
        (seen[1].field("ExternalId"), seen[1].field("RoleSessionName")),
        ("e 1".to_owned(), "me".to_owned())
    );
    assert_eq!(seen[1].header("x-amz-security-token"), "t");
}

#[tokio::test]
async fn a_role_may_be_for_a_token_or_for_the_environments_keys() {
    let (machine, server) = (Machine::new(), sts().await);
    let token = machine.write("token", "ey.J.wt\n");
    machine.write(
        ".aws/config",
        &format!(
            "[profile token]\nrole_arn = arn:t\nweb_identity_token_file = {token}\n\
             [profile env]\nrole_arn = arn:e\ncredential_source = Environment\n"
        ),
    );
    assert_eq!(follow(&machine, &server, Some("token")).await.unwrap(), "of:arn:t");
    assert_eq!(server.seen()[0].field("WebIdentityToken"), "ey.J.wt");
    assert!(matches!(follow(&machine, &server, Some("env")).await, Err(SourceError::Broken(_))));
    machine.set("AWS_ACCESS_KEY_ID", "AKENV");
    machine.set("AWS_SECRET_ACCESS_KEY", "s");
    assert_eq!(follow(&machine, &server, Some("env")).await.unwrap(), "of:arn:e");
    assert!(server.seen()[1].header("authorization").contains("Credential=AKENV/"));
}

#[tokio::test]
async fn a_profile_that_lends_itself_its_keys_is_no_circle_and_a_circle_ends() {
    let (machine, server) = (Machine::new(), sts().await);
    machine.write(
        ".aws/config",
        "[profile self]\naws_access_key_id = AKSELF\naws_secret_access_key = s\nrole_arn = arn:s\nsource_profile = self\n\
         [profile a]\nrole_arn = arn:a\nsource_profile = b\n[profile b]\nrole_arn = arn:b\nsource_profile = a\n",
    );
    assert_eq!(follow(&machine, &server, Some("self")).await.unwrap(), "of:arn:s");
    let error = follow(&machine, &server, Some("a")).await.unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[tokio::test]
async fn what_needs_a_person_or_a_program_is_refused_by_name() {
    let (machine, server) = (Machine::new(), sts().await);
    machine.write(
        ".aws/config",
        "[profile sso]\nsso_session = s\n[profile run]\ncredential_process = /bin/true\n\
         [profile mfa]\nrole_arn = arn:m\nmfa_serial = 1\nsource_profile = run\n[profile half]\nrole_arn = arn:h\n",
    );
    for (profile, word) in [
        ("sso", "sso_session"),
        ("run", "credential_process"),
        ("mfa", "mfa_serial"),
        ("half", "source_profile"),
        ("none", "`none`"),
    ] {
        let error = follow(&machine, &server, Some(profile)).await.unwrap_err();
        assert!(matches!(&error, SourceError::Broken(what) if what.contains(word)), "{profile}: {error}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn where_nobody_asked_for_a_profile_none_need_be_there() {
    let (machine, server) = (Machine::new(), sts().await);
    assert!(matches!(follow(&machine, &server, None).await, Err(SourceError::Absent(_))));
    machine.write(".aws/config", "[default]\nregion = eu-west-1\n");
    assert!(matches!(follow(&machine, &server, None).await, Err(SourceError::Absent(_))));
}

proptest::proptest! {
    #[test]
    fn no_file_brings_it_down(text in "[\\[\\]a-z= #;\n\t\"]{0,80}", is_config: bool) {
        parse(&text, is_config, &mut Profiles::new());
    }
}
