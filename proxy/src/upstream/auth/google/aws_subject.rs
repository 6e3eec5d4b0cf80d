//! A workload on AWS at Google: its token is a signed request to AWS that only asks who we are. Google sends it and reads the answer.

use bytes::Bytes;
use http::Request;
use serde_json::json;
use zeroize::Zeroizing;

use super::Google;
use super::external::ExternalAccount;
use crate::upstream::auth::aws::sign::{self, Scope};
use crate::upstream::auth::aws::{self, Aws};
use crate::upstream::auth::source::{SourceError, percent_encode};
use crate::upstream::auth::token::Source;

/// Where AWS is asked who we are, if the settings do not say it.
const WHO_AM_I: &str = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";

/// The signed request, as Google wants it.
pub(super) async fn token(
    google: &Google,
    account: &ExternalAccount,
    environment: &str,
    now_ms: u64,
) -> Result<Zeroizing<String>, SourceError> {
    if environment != "aws1" {
        return Err(SourceError::broken("`credential_source.environment_id` is not `aws1`"));
    }
    let source = &account.credential_source;
    let region = region(google, source.region_url.as_deref()).await?;
    let aws = Aws {
        ask: aws::Ask::Environment,
        region: region.clone(),
        places: google.places.clone(),
        fetcher: google.fetcher.clone(),
    };
    let credentials = aws.fetch(now_ms).await?.value;
    let url =
        source.regional_cred_verification_url.as_deref().unwrap_or(WHO_AM_I).replace("{region}", &region);
    let mut request = Request::post(&url)
        .header("x-goog-cloud-target-resource", &account.audience)
        .body(Bytes::new())
        .map_err(|_unsaid| SourceError::broken("`regional_cred_verification_url` is not a URL"))?;
    let scope = Scope { region: &region, service: "sts" };
    sign::sign(&mut request, &[], &credentials, scope, now_ms)
        .map_err(|error| SourceError::broken(error.to_string()))?;
    let host = request.uri().authority().map(|authority| authority.to_string()).unwrap_or_default();
    let mut headers = vec![json!({"key": "host", "value": host})];
    for (name, value) in request.headers() {
        let value = value.to_str().map_err(|_unsaid| SourceError::broken("a signed header is not text"))?;
        headers.push(json!({"key": name.as_str(), "value": value}));
    }
    let text = Zeroizing::new(json!({"url": url, "method": "POST", "headers": headers}).to_string());
    let mut encoded = Zeroizing::new(String::new());
    percent_encode(&text, &mut encoded);
    Ok(encoded)
}

async fn region(google: &Google, url: Option<&str>) -> Result<String, SourceError> {
    if let Some(region) = google.places.env("AWS_REGION").or_else(|| google.places.env("AWS_DEFAULT_REGION"))
    {
        return Ok(region);
    }
    let Some(url) = url else {
        return Err(SourceError::broken(
            "`AWS_REGION` is not set; set it, or write `region_url` in the settings",
        ));
    };
    let request = Request::get(google.fetcher.place(url)?)
        .body(Bytes::new())
        .map_err(|_unsaid| SourceError::broken("`region_url` cannot be asked"))?;
    let said = google.fetcher.ask(request).await.map_err(SourceError::required)?.ok()?;
    // What is told is the zone: the region and a letter.
    let zone = said.text()?.trim();
    match zone.char_indices().next_back() {
        Some((last, letter)) if last > 0 && letter.is_ascii_alphabetic() => {
            Ok(zone.get(..last).unwrap_or_default().to_owned())
        }
        Some(_) | None => said.garbage("the name of a zone"),
    }
}
