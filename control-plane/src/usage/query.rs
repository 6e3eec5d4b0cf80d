//! Asking the sums: by which dimensions, for which hours, with which filters.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::error::LedgerError;
use super::ledger::Ledger;

/// More rows than anyone reads: the question is too wide.
const MAX_ROWS: usize = 10_000;
const MAX_DIMENSIONS: usize = 12;
const HOUR_MS: u64 = 3_600_000;

/// What usage can be asked by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The hour in which calls were accepted, as RFC 3339.
    Hour,
    /// The consumer's organisation.
    Organisation,
    /// The consumer's team.
    Team,
    /// The consumer's application.
    Application,
    /// The key's id.
    Key,
    /// The `Model` resource that served; empty for calls that reached no provider.
    Model,
    /// The provider that served; empty for calls that reached none.
    Provider,
    /// The policy version that decided.
    PolicyVersion,
    /// The value of one tag, written `tag:NAME`; empty for calls without it.
    Tag(String),
}

/// One question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// One row for each combination of these; empty for one row in total.
    pub by: Vec<Dimension>,
    /// From the hour that holds this moment on.
    pub since_ms: Option<u64>,
    /// Up to the end of the hour that holds the moment before this one.
    pub until_ms: Option<u64>,
    /// Only calls where the dimension has this value; several for one dimension mean any of them.
    pub filters: Vec<(Dimension, String)>,
}

/// One answer. Serialized with the dimensions first, under their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The values, in the order asked.
    pub dimensions: Vec<(Dimension, String)>,
    /// All calls, refused ones included.
    pub calls: i64,
    /// Calls that ended with a failure; a caller hanging up is none.
    pub errors: i64,
    /// Input that no provider cache knew.
    pub input_tokens: i64,
    /// Input read from a provider's cache.
    pub cache_read_tokens: i64,
    /// Input written to a provider's cache.
    pub cache_write_tokens: i64,
    /// Output, reasoning included.
    pub output_tokens: i64,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: i64,
    /// The exact sum of the calls that had a price.
    pub cost_nano_usd: i64,
    /// Calls that used tokens without a known price: their cost is missing above.
    pub unpriced_calls: i64,
    /// Calls whose tokens the proxy counted because the provider told none.
    pub estimated_calls: i64,
}

impl Ledger {
    /// Sums of the hours that overlap the span asked for, dearest first, or in order of the dimensions when one is the hour.
    pub async fn query(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, LedgerError> {
        if query.by.len() > MAX_DIMENSIONS {
            return Err(LedgerError::Query(format!(
                "usage can be asked by at most {MAX_DIMENSIONS} dimensions at once"
            )));
        }
        let mut sql = statement(query)?;
        let sql = sql.build().persistent(false);
        let rows = match self.readers() {
            Some(readers) => sql.fetch_all(readers).await,
            None => sql.fetch_all(&mut self.pen().await.connection).await,
        };
        let rows = rows.map_err(|source| self.failed(source))?;
        if rows.len() > MAX_ROWS {
            return Err(LedgerError::Query(format!(
                "the answer has more than {MAX_ROWS} rows: ask for a shorter time, fewer dimensions, or filter"
            )));
        }
        rows.iter().map(|row| usage_row(query, row).map_err(|source| self.failed(source))).collect()
    }
}

fn statement(query: &UsageQuery) -> Result<QueryBuilder<Sqlite>, LedgerError> {
    let mut sql = QueryBuilder::new("SELECT ");
    for dimension in &query.by {
        push_expression(&mut sql, dimension);
        sql.push(", ");
    }
    sql.push(
        "SUM(calls), SUM(errors), SUM(input), SUM(cache_read), SUM(cache_write), SUM(output), SUM(reasoning), \
         SUM(cost_nano_usd), SUM(unpriced_calls), SUM(estimated_calls) FROM usage_hourly WHERE 1",
    );
    if let Some(since_ms) = query.since_ms {
        sql.push(" AND hour >= ").push_bind(hours(since_ms / HOUR_MS));
    }
    if let Some(until_ms) = query.until_ms {
        sql.push(" AND hour < ").push_bind(hours(until_ms.div_ceil(HOUR_MS)));
    }
    push_filters(&mut sql, &query.filters)?;
    // Without a group there would be one row of nulls over no rows at all.
    sql.push(" GROUP BY ");
    if query.by.is_empty() {
        sql.push("1 = 1");
    } else {
        let columns: Vec<String> = (1..=query.by.len()).map(|column| column.to_string()).collect();
        sql.push(columns.join(", "));
    }
    let cost_column = query.by.len() + 8;
    let calls_column = query.by.len() + 1;
    if query.by.contains(&Dimension::Hour) {
        let columns: Vec<String> = (1..=query.by.len()).map(|column| column.to_string()).collect();
        sql.push(" ORDER BY ").push(columns.join(", "));
    } else {
        sql.push(format_args!(" ORDER BY {cost_column} DESC, {calls_column} DESC"));
        for column in 1..=query.by.len() {
            sql.push(format_args!(", {column}"));
        }
    }
    sql.push(format_args!(" LIMIT {}", MAX_ROWS + 1));
    Ok(sql)
}

fn push_filters(sql: &mut QueryBuilder<Sqlite>, filters: &[(Dimension, String)]) -> Result<(), LedgerError> {
    let mut seen: Vec<&Dimension> = Vec::new();
    for (dimension, _value) in filters {
        if seen.contains(&dimension) {
            continue;
        }
        seen.push(dimension);
        sql.push(" AND ");
        push_expression(sql, dimension);
        sql.push(" IN (");
        let mut values = sql.separated(", ");
        for (_same, value) in filters.iter().filter(|(other, _value)| other == dimension) {
            values.push_bind(filter_value(dimension, value)?);
        }
        sql.push(")");
    }
    Ok(())
}

/// Rejects what would silently match nothing.
fn filter_value(dimension: &Dimension, value: &str) -> Result<String, LedgerError> {
    match dimension {
        Dimension::PolicyVersion if value.parse::<u64>().is_err() => {
            Err(LedgerError::Query(format!("`{value}` is no policy version: a whole number is needed")))
        }
        Dimension::Hour => {
            Err(LedgerError::Query("filter by time with since and until, not with hour".to_owned()))
        }
        Dimension::PolicyVersion
        | Dimension::Organisation
        | Dimension::Team
        | Dimension::Application
        | Dimension::Key
        | Dimension::Model
        | Dimension::Provider
        | Dimension::Tag(_) => Ok(value.to_owned()),
    }
}

/// Every expression is text, so that a row reads alike whatever was asked.
fn push_expression(sql: &mut QueryBuilder<Sqlite>, dimension: &Dimension) {
    match dimension {
        Dimension::Hour => sql.push("strftime('%Y-%m-%dT%H:00:00Z', hour * 3600, 'unixepoch')"),
        Dimension::Organisation => sql.push("organisation"),
        Dimension::Team => sql.push("team"),
        Dimension::Application => sql.push("application"),
        Dimension::Key => sql.push("key"),
        Dimension::Model => sql.push("model"),
        Dimension::Provider => sql.push("provider"),
        Dimension::PolicyVersion => sql.push("CAST(policy_version AS TEXT)"),
        // A value is looked up by comparing names: a path would have to be quoted.
        Dimension::Tag(name) => sql
            .push("COALESCE((SELECT tag.value FROM json_each(usage_hourly.tags) AS tag WHERE tag.key = ")
            .push_bind(name.clone())
            .push("), '')"),
    };
}

fn hours(hours: u64) -> i64 {
    i64::try_from(hours).unwrap_or(i64::MAX)
}

fn usage_row(query: &UsageQuery, row: &SqliteRow) -> Result<UsageRow, sqlx::Error> {
    let mut dimensions = Vec::with_capacity(query.by.len());
    for (column, dimension) in query.by.iter().enumerate() {
        dimensions.push((dimension.clone(), row.try_get::<String, _>(column)?));
    }
    let sum = |offset: usize| row.try_get::<i64, _>(query.by.len() + offset);
    Ok(UsageRow {
        calls: sum(0)?,
        errors: sum(1)?,
        input_tokens: sum(2)?,
        cache_read_tokens: sum(3)?,
        cache_write_tokens: sum(4)?,
        output_tokens: sum(5)?,
        reasoning_tokens: sum(6)?,
        cost_nano_usd: sum(7)?,
        unpriced_calls: sum(8)?,
        estimated_calls: sum(9)?,
        dimensions,
    })
}

impl UsageRow {
    /// The cost in USD as an exact decimal.
    pub fn cost_usd(&self) -> String {
        let sign = if self.cost_nano_usd < 0 { "-" } else { "" };
        let nano = self.cost_nano_usd.unsigned_abs();
        let (whole, fraction) = (nano / 1_000_000_000, nano % 1_000_000_000);
        let digits = format!("{fraction:09}");
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{digits}") }
    }
}

impl Serialize for UsageRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A number literal with all its digits: a float would round what was summed exactly.
        let cost = RawValue::from_string(self.cost_usd()).map_err(serde::ser::Error::custom)?;
        let mut map = serializer.serialize_map(Some(self.dimensions.len() + 10))?;
        for (dimension, value) in &self.dimensions {
            map.serialize_entry(&dimension.to_string(), value)?;
        }
        map.serialize_entry("calls", &self.calls)?;
        map.serialize_entry("errors", &self.errors)?;
        map.serialize_entry("input_tokens", &self.input_tokens)?;
        map.serialize_entry("cache_read_tokens", &self.cache_read_tokens)?;
        map.serialize_entry("cache_write_tokens", &self.cache_write_tokens)?;
        map.serialize_entry("output_tokens", &self.output_tokens)?;
        map.serialize_entry("reasoning_tokens", &self.reasoning_tokens)?;
        map.serialize_entry("cost_usd", &cost)?;
        map.serialize_entry("unpriced_calls", &self.unpriced_calls)?;
        map.serialize_entry("estimated_calls", &self.estimated_calls)?;
        map.end()
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: Cow<'_, str> = match self {
            Self::Hour => "hour".into(),
            Self::Organisation => "organisation".into(),
            Self::Team => "team".into(),
            Self::Application => "application".into(),
            Self::Key => "key".into(),
            Self::Model => "model".into(),
            Self::Provider => "provider".into(),
            Self::PolicyVersion => "policy_version".into(),
            Self::Tag(name) => format!("tag:{name}").into(),
        };
        f.write_str(&name)
    }
}

impl FromStr for Dimension {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hour" => Ok(Self::Hour),
            "organisation" => Ok(Self::Organisation),
            "team" => Ok(Self::Team),
            "application" => Ok(Self::Application),
            "key" => Ok(Self::Key),
            "model" => Ok(Self::Model),
            "provider" => Ok(Self::Provider),
            "policy_version" => Ok(Self::PolicyVersion),
            _ => match text.strip_prefix("tag:") {
                Some(name) if !name.is_empty() => Ok(Self::Tag(name.to_owned())),
                _ => Err(LedgerError::Query(format!(
                    "unknown dimension `{text}`: use hour, organisation, team, application, key, model, provider, policy_version or tag:NAME"
                ))),
            },
        }
    }
}
