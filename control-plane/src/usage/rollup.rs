//! Sums by hour and dimension: what one call adds, and the statement that adds it.

use std::collections::{HashMap, HashSet};

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::intake::Line;
use super::record::TokenRecord;

/// Different tag sets that one hour keeps apart; more are summed under [`OVERFLOW_TAGS`].
const MAX_TAG_SETS_PER_HOUR: usize = 1_000;
/// Hours whose tag sets are remembered between transactions.
const REMEMBERED_HOURS: usize = 8;
/// Where the sums of an hour with too many different tag sets go: the totals stay right, the tags are lost.
const OVERFLOW_TAGS: &str = r#"{"frontdoor.overflow":"true"}"#;
const NO_TAGS: &str = "{}";
/// Binds per row times this stays below SQLite's 32,766.
const ROWS_PER_STATEMENT: usize = 1_000;

/// The row of the sums that a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Whole hours since 1970.
    pub(super) hour: i64,
    pub(super) organisation: String,
    pub(super) team: String,
    pub(super) application: String,
    pub(super) key: String,
    pub(super) model: String,
    pub(super) provider: String,
    pub(super) policy_version: i64,
    /// A JSON object with sorted keys.
    pub(super) tags: String,
}

/// What one call, or many, add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) calls: i64,
    pub(super) errors: i64,
    pub(super) input: i64,
    pub(super) cache_read: i64,
    pub(super) cache_write: i64,
    pub(super) output: i64,
    pub(super) reasoning: i64,
    pub(super) cost_nano_usd: i64,
    pub(super) unpriced_calls: i64,
    pub(super) estimated_calls: i64,
}

impl Sums {
    /// One call. A caller who hung up is no error; every other code but `ok` is. Without tokens nothing can be unpriced.
    pub(super) fn of_call(
        code: &str,
        tokens: &TokenRecord,
        cost_nano_usd: Option<i64>,
        estimated: bool,
    ) -> Result<Self, String> {
        let count = |tokens: u64| i64::try_from(tokens).map_err(|error| error.to_string());
        let used = tokens.input + tokens.cache_read + tokens.cache_write + tokens.output > 0;
        Ok(Self {
            calls: 1,
            errors: i64::from(code != "ok" && code != "client_gone"),
            input: count(tokens.input)?,
            cache_read: count(tokens.cache_read)?,
            cache_write: count(tokens.cache_write)?,
            output: count(tokens.output)?,
            reasoning: count(tokens.reasoning)?,
            cost_nano_usd: cost_nano_usd.unwrap_or(0),
            unpriced_calls: i64::from(cost_nano_usd.is_none() && used),
            estimated_calls: i64::from(estimated),
        })
    }

    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
        self.cost_nano_usd += other.cost_nano_usd;
        self.unpriced_calls += other.unpriced_calls;
        self.estimated_calls += other.estimated_calls;
    }
}

/// Which tag sets an hour has already, so that a caller who tags every call differently cannot grow the sums without bound.
#[derive(Debug, Default)]
pub(super) struct TagSets {
    hours: HashMap<i64, HashSet<String>>,
}

impl TagSets {
    /// Reads the sets of the hours that are not remembered yet.
    async fn remember(&mut self, connection: &mut SqliteConnection, hour: i64) -> Result<(), sqlx::Error> {
        if self.hours.contains_key(&hour) {
            return Ok(());
        }
        if self.hours.len() >= REMEMBERED_HOURS {
            self.hours.clear();
        }
        let sets: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT tags FROM usage_hourly WHERE hour = ? AND tags <> '{}'")
                .bind(hour)
                .fetch_all(connection)
                .await?;
        self.hours.insert(hour, sets.into_iter().collect());
        Ok(())
    }

    /// Whether these tags are summed apart. The hour was remembered before.
    fn admits(&mut self, hour: i64, tags: &str) -> bool {
        let sets = self.hours.entry(hour).or_default();
        if sets.contains(tags) {
            return true;
        }
        let has_room = sets.len() < MAX_TAG_SETS_PER_HOUR;
        if has_room {
            sets.insert(tags.to_owned());
        }
        has_room
    }

    /// Forgets everything, after a transaction that was rolled back.
    pub(super) fn forget(&mut self) {
        self.hours.clear();
    }
}

/// Adds the lines to the sums, within the transaction that inserted them.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    tag_sets: &mut TagSets,
    lines: &[&Line],
) -> Result<(), sqlx::Error> {
    let mut sums: HashMap<Place, Sums> = HashMap::new();
    for line in lines {
        let mut place = line.place.clone();
        if place.tags != NO_TAGS {
            tag_sets.remember(connection, place.hour).await?;
            if !tag_sets.admits(place.hour, &place.tags) {
                place.tags = OVERFLOW_TAGS.to_owned();
            }
        }
        sums.entry(place).or_default().add(&line.sums);
    }
    let rows: Vec<(Place, Sums)> = sums.into_iter().collect();
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        upsert(connection, chunk).await?;
    }
    Ok(())
}

async fn upsert(connection: &mut SqliteConnection, rows: &[(Place, Sums)]) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO usage_hourly (hour, organisation, team, application, key, model, provider, policy_version, tags, \
         calls, errors, input, cache_read, cache_write, output, reasoning, cost_nano_usd, unpriced_calls, estimated_calls) ",
    );
    query.push_values(rows, |mut row, (place, sums)| {
        row.push_bind(place.hour)
            .push_bind(place.organisation.as_str())
            .push_bind(place.team.as_str())
            .push_bind(place.application.as_str())
            .push_bind(place.key.as_str())
            .push_bind(place.model.as_str())
            .push_bind(place.provider.as_str())
            .push_bind(place.policy_version)
            .push_bind(place.tags.as_str())
            .push_bind(sums.calls)
            .push_bind(sums.errors)
            .push_bind(sums.input)
            .push_bind(sums.cache_read)
            .push_bind(sums.cache_write)
            .push_bind(sums.output)
            .push_bind(sums.reasoning)
            .push_bind(sums.cost_nano_usd)
            .push_bind(sums.unpriced_calls)
            .push_bind(sums.estimated_calls);
    });
    // The primary key starts with the hour; `excluded` is the row that came second.
    query.push(
        " ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, errors = errors + excluded.errors, \
         input = input + excluded.input, cache_read = cache_read + excluded.cache_read, \
         cache_write = cache_write + excluded.cache_write, output = output + excluded.output, \
         reasoning = reasoning + excluded.reasoning, cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd, \
         unpriced_calls = unpriced_calls + excluded.unpriced_calls, \
         estimated_calls = estimated_calls + excluded.estimated_calls",
    );
    query.build().persistent(false).execute(connection).await?;
    Ok(())
}
