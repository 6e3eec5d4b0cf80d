//! What was used and what it cost, and the record of a single call.

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::Strict;
use super::operation::Operation;
use super::problem::ApiError;
use super::{Api, Routes, schema};
use crate::usage::{Dimension, RequestRecord, UsageQuery, UsageRow};

/// Which sums.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct SumQuery {
    /// One row for each combination of these, with commas between: hour, organisation, team, application, key, model,
    /// provider, policy_version, tag:NAME.
    by: Option<String>,
    /// From here on: RFC 3339, milliseconds since 1970, or how long ago, such as `24h` or `7d`.
    since: Option<String>,
    /// Up to here, written like `since`.
    until: Option<String>,
    /// Only this organisation.
    organisation: Option<String>,
    /// Only this team.
    team: Option<String>,
    /// Only this application.
    application: Option<String>,
    /// Only this key, by its id.
    key: Option<String>,
    /// Only this model.
    model: Option<String>,
    /// Only this provider.
    provider: Option<String>,
}

/// Sums, dearest first.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Sums {
    #[schemars(schema_with = "schema::usage_rows")]
    rows: Vec<UsageRow>,
}

pub(super) fn routes() -> Routes {
    vec![
        Operation::get("usage", "/v1/usage", "Sum calls, tokens and cost")
            .query::<SumQuery>()
            .answers::<Sums>(200)
            .at(sums),
        Operation::get(
            "getRequest",
            "/v1/requests/{id}",
            "Read the record of one call, with why it went where it went",
        )
        .answers::<schema::AnyRequest>(200)
        .at(request),
    ]
}

async fn sums(State(api): State<Api>, Strict(query): Strict<SumQuery>) -> Result<Json<Sums>, ApiError> {
    let mut by = Vec::new();
    for name in query.by.iter().flat_map(|by| by.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
        let dimension: Result<Dimension, _> = name.parse();
        by.push(dimension.map_err(|error| ApiError::bad_request("invalid_query", format!("`by`: {error}")))?);
    }
    let filters = [
        (Dimension::Organisation, query.organisation),
        (Dimension::Team, query.team),
        (Dimension::Application, query.application),
        (Dimension::Key, query.key),
        (Dimension::Model, query.model),
        (Dimension::Provider, query.provider),
    ];
    let now_ms = api.clock.unix_ms();
    let asked = UsageQuery {
        by,
        since_ms: query.since.map(|text| moment("since", &text, now_ms)).transpose()?,
        until_ms: query.until.map(|text| moment("until", &text, now_ms)).transpose()?,
        filters: filters.into_iter().filter_map(|(dimension, value)| Some((dimension, value?))).collect(),
    };
    Ok(Json(Sums { rows: api.ledger.query(&asked).await? }))
}

async fn request(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<RequestRecord>, ApiError> {
    match api.ledger.request(&id).await? {
        Some(record) => Ok(Json(record)),
        None => Err(ApiError::not_found(format!(
            "no record of request `{id}`: it may still be with the proxy, belong to another control plane's ledger, or be older than what is kept"
        ))),
    }
}

/// Reads a moment: RFC 3339, milliseconds since 1970, or how long ago.
fn moment(name: &str, text: &str, now_ms: u64) -> Result<u64, ApiError> {
    if let Ok(unix_ms) = text.parse::<u64>() {
        return Ok(unix_ms);
    }
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Ok(u64::try_from(stamp.as_millisecond()).unwrap_or(0));
    }
    let unit_ms = match text.chars().last() {
        Some('s') => Some(1_000),
        Some('m') => Some(60_000),
        Some('h') => Some(3_600_000),
        Some('d') => Some(86_400_000),
        _ => None,
    };
    let count = text.get(..text.len().saturating_sub(1)).and_then(|count| count.parse::<u64>().ok());
    match (count, unit_ms) {
        (Some(count), Some(unit_ms)) => Ok(now_ms.saturating_sub(count.saturating_mul(unit_ms))),
        _ => Err(ApiError::bad_request(
            "invalid_query",
            format!(
                "`{name}` is not a moment: write 2026-07-01T00:00:00Z, milliseconds since 1970, or how long ago, such as 24h or 7d"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_may_be_written_in_three_ways() {
        let now = 1_000_000_000_000;
        assert_eq!(moment("since", "1970-01-01T00:00:01Z", now).unwrap(), 1_000);
        assert_eq!(moment("since", "1234", now).unwrap(), 1_234);
        assert_eq!(moment("since", "2h", now).unwrap(), now - 7_200_000);
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "h", "yesterday", "-1h", "1w", "2026-13-01T00:00:00Z"] {
            assert!(moment("since", text, 0).is_err(), "{text:?}");
        }
    }
}
