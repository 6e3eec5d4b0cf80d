//! The shared files of AWS's tools: `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use zeroize::Zeroizing;

use super::sts::{self, Role};
use super::{Aws, PROFILE, credentials};
use crate::upstream::auth::source::{Places, SourceError};
use crate::upstream::auth::token::{Fresh, Life};

/// A role's source may be a role as well; a chain is not longer than this, so that a circle ends.
const LONGEST_CHAIN: usize = 5;

/// The settings of one profile.
type Profile = BTreeMap<String, Zeroizing<String>>;

/// Profiles by name.
type Profiles = BTreeMap<String, Profile>;

/// The credentials of a profile: the one named, else that of `AWS_PROFILE`, else `default`.
pub(super) async fn fetch(
    aws: &Aws,
    name: Option<&str>,
    now_ms: u64,
) -> Result<Fresh<Credentials>, SourceError> {
    let asked = name.map(str::to_owned).or_else(|| aws.places.env("AWS_PROFILE"));
    let profiles = read(&aws.places)?;
    let found = resolve(aws, &profiles, asked.as_deref().unwrap_or("default"), now_ms).await;
    // Nobody asked for `default`: it need not be there.
    if asked.is_some() { found.map_err(SourceError::required) } else { found }
}

/// Follows a profile to its base, then assumes the roles on the way back.
async fn resolve(
    aws: &Aws,
    profiles: &Profiles,
    first: &str,
    now_ms: u64,
) -> Result<Fresh<Credentials>, SourceError> {
    let mut roles = Vec::new();
    let mut name = first;
    let mut found = loop {
        let here = |what: &str| SourceError::broken(format!("the AWS profile `{name}` {what}"));
        let profile = profiles.get(name).ok_or_else(|| {
            let missing = format!("there is no AWS profile `{name}` in the shared files");
            if name == first { SourceError::Absent(missing) } else { SourceError::Broken(missing) }
        })?;
        let value = |key: &str| profile.get(key).map(|value| value.as_str());
        // A profile that lends its keys to another one lends them, not its role.
        let lends_keys = !roles.is_empty() && value("aws_access_key_id").is_some();
        let Some(arn) = value("role_arn").filter(|_| !lends_keys) else {
            break keys(profile, name)?;
        };
        if value("mfa_serial").is_some() {
            return Err(here(
                "wants a second factor, which a proxy does not have; use a role without `mfa_serial`",
            ));
        }
        let role = Role {
            arn: arn.to_owned(),
            session: value("role_session_name").map(str::to_owned),
            external_id: value("external_id").map(str::to_owned),
            duration_seconds: value("duration_seconds").map(str::to_owned),
        };
        if let Some(file) = value("web_identity_token_file") {
            break sts::assume_role_with_web_identity(aws, &role, file).await?;
        }
        roles.push(role);
        if roles.len() > LONGEST_CHAIN {
            return Err(here("has a chain of source profiles that is too long or goes in a circle"));
        }
        match (value("source_profile"), value("credential_source")) {
            // A profile that names itself means its own keys.
            (Some(source), _) if source == name => break keys(profile, name)?,
            (Some(source), _) => name = source,
            (None, Some("Environment")) => break aws.environment().map_err(SourceError::required)?,
            (None, Some("Ec2InstanceMetadata")) => {
                break aws.instance().await.map_err(SourceError::required)?;
            }
            (None, Some("EcsContainer")) => break aws.container().await.map_err(SourceError::required)?,
            (None, _) => {
                return Err(here(
                    "has a `role_arn`, but no `source_profile`, `credential_source` or `web_identity_token_file`",
                ));
            }
        }
    };
    while let Some(role) = roles.pop() {
        found = sts::assume_role(aws, &found.value, &role, now_ms).await?;
    }
    Ok(found)
}

/// The keys that stand in a profile.
fn keys(profile: &Profile, name: &str) -> Result<Fresh<Credentials>, SourceError> {
    let value = |key: &str| profile.get(key).map(|value| value.as_str());
    if let (Some(id), Some(secret)) = (value("aws_access_key_id"), value("aws_secret_access_key")) {
        let value = credentials(id, secret, value("aws_session_token"), "profile")?;
        return Ok(Fresh { value, life: Life::LookAgainAfter(PROFILE) });
    }
    let other = ["credential_process", "sso_session", "sso_start_url", "login_session"];
    let what = match other.into_iter().find(|key| profile.contains_key(*key)) {
        Some(key) => format!("uses `{key}`, which needs a program or a person; give it keys or a role"),
        None => "has neither keys nor a role".to_owned(),
    };
    // A profile that only sets a region is common, and the chain goes on past it.
    let told = format!("the AWS profile `{name}` {what}");
    Err(if what.starts_with("has") { SourceError::Absent(told) } else { SourceError::Broken(told) })
}

/// Reads both files; where both have a setting, that of the credentials file holds.
fn read(places: &Places) -> Result<Profiles, SourceError> {
    let mut profiles = Profiles::new();
    let files = [
        ("AWS_CONFIG_FILE", ".aws/config", true),
        ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", false),
    ];
    let mut missing = None;
    for (variable, usual, is_config) in files {
        let named = places.env(variable);
        let path = match named.clone().map_or_else(|| places.below_home(usual), Ok) {
            Ok(path) => path,
            Err(error) => {
                missing = Some(error);
                continue;
            }
        };
        match places.file(&path) {
            Ok(text) => parse(&text, is_config, &mut profiles),
            Err(error @ SourceError::Absent(_)) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if profiles.is_empty() => Err(error),
        Some(_) | None => Ok(profiles),
    }
}

/// Reads one file into what is already known. In the config file sections are called `[profile NAME]`, but for `[default]`; other
/// sections are none of ours.
fn parse(text: &str, is_config: bool, profiles: &mut Profiles) {
    let mut section: Option<String> = None;
    for line in text.lines() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let title = title.trim();
            section = match title.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t'])) {
                Some(name) if is_config => Some(name.trim().trim_matches('"').to_owned()),
                None if !is_config || title == "default" => Some(title.to_owned()),
                Some(_) | None => None,
            };
            continue;
        }
        // Nested settings belong to services, not to credentials.
        if let (Some(section), Some((key, value)), false) = (&section, line.split_once('='), is_nested) {
            let end = value.find(" #").or_else(|| value.find(" ;")).unwrap_or(value.len());
            let value = value.get(..end).unwrap_or_default().trim();
            let profile = profiles.entry(section.clone()).or_default();
            profile.insert(key.trim().to_ascii_lowercase(), Zeroizing::new(value.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests;
