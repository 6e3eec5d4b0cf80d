//! From the wire's record to a ledger line: bounds are checked once, here.
//!
//! Numbers that cannot be true make the record refused, because a wrong sum is worse than a missing one that is
//! counted as refused. Text that is too long is cut instead: losing the end of a reason must not lose the cost.
//! A line holds what the sums need and the record as JSON; nothing behind this module sees the wire's types.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::record::{
    CallerRecord, CandidateRecord, DecisionRecord, LimitRecord, RequestRecord, ServedRecord, SourceRecord,
    TokenRecord, TryRecord,
};
use super::rollup::{Place, Sums};

const MAX_ID: usize = 128;
const MAX_TEXT: usize = 256;
const MAX_DETAIL: usize = 512;
const MAX_TAGS: usize = 32;
const MAX_LIST: usize = 64;
/// No single call has a million million tokens.
const MAX_TOKENS: u64 = 1_000_000_000_000;
/// A hundred thousand USD: far above any call, far below where sums of many could overflow.
const MAX_COST_NANO_USD: i64 = 100_000_000_000_000;
/// The end of the year 9999.
const MAX_UNIX_MS: u64 = 253_402_300_799_999;
const HOUR_MS: u64 = 3_600_000;

/// One record, checked, as the ledger writes it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) proxy_id: String,
    pub(super) boot_id: String,
    pub(super) lane: i64,
    pub(super) sequence: i64,
    pub(super) request_id: String,
    pub(super) place: Place,
    pub(super) sums: Sums,
    /// [`RequestRecord`] as JSON.
    pub(super) body: String,
}

/// Checks one record and makes its line; the error says which number or id cannot be.
pub(super) fn line(proxy_id: &str, record: proto::CallRecord) -> Result<Line, String> {
    let tokens = tokens(record.tokens.as_ref())?;
    let cost = record.cost_nano_usd;
    if !(-MAX_COST_NANO_USD..=MAX_COST_NANO_USD).contains(&cost) {
        return Err(format!("cost_nano_usd {cost} is out of bounds"));
    }
    let sequence =
        i64::try_from(record.sequence).map_err(|_too_large| "sequence is out of bounds".to_owned())?;
    let started = started(record.started_ms)?;
    let hour = i64::try_from(record.started_ms / HOUR_MS)
        .map_err(|_too_large| "started_ms is out of bounds".to_owned())?;
    let policy_version = i64::try_from(record.policy_version)
        .map_err(|_too_large| "policy_version is out of bounds".to_owned())?;
    let lane = record.lane;
    let priced = record.priced;

    let record = document(proxy_id, started, tokens, record)?;
    let body = serde_json::to_string(&record).map_err(|error| error.to_string())?;
    let served = record.served.unwrap_or_default();
    let place = Place {
        hour,
        organisation: record.caller.organisation,
        team: record.caller.team,
        application: record.caller.application,
        key: record.caller.key,
        model: served.model,
        provider: served.provider,
        policy_version,
        tags: serde_json::to_string(&record.caller.tags).map_err(|error| error.to_string())?,
    };
    let sums = Sums::of_call(&record.code, &tokens, priced.then_some(cost), record.estimated)?;
    Ok(Line {
        proxy_id: record.source.proxy_id,
        boot_id: record.source.boot_id,
        lane: i64::from(lane),
        sequence,
        request_id: record.request_id,
        place,
        sums,
        body,
    })
}

fn document(
    proxy_id: &str,
    started: String,
    tokens: TokenRecord,
    record: proto::CallRecord,
) -> Result<RequestRecord, String> {
    let served = (!record.provider.is_empty()).then(|| ServedRecord {
        model: cut(record.model, MAX_TEXT),
        provider: cut(record.provider, MAX_TEXT),
        upstream_model: cut(record.upstream_model, MAX_TEXT),
    });
    Ok(RequestRecord {
        request_id: id("request_id", record.request_id)?,
        started,
        duration_us: record.duration_us,
        first_byte_us: (record.first_byte_us > 0).then_some(record.first_byte_us),
        caller: CallerRecord {
            organisation: cut(record.organisation, MAX_TEXT),
            team: cut(record.team, MAX_TEXT),
            application: cut(record.application, MAX_TEXT),
            key: cut(record.key_id, MAX_TEXT),
            tags: tags(record.tags),
        },
        operation: cut(record.operation, MAX_TEXT),
        dialect: cut(record.dialect, MAX_TEXT),
        streamed: record.streamed,
        asked_model: cut(record.asked_model, MAX_TEXT),
        served,
        status: record.status,
        code: id("code", record.code)?,
        stop_reason: cut(record.stop_reason, MAX_TEXT),
        tokens,
        estimated: record.estimated,
        cost_nano_usd: record.priced.then_some(record.cost_nano_usd),
        policy_version: record.policy_version,
        group: cut(record.group, MAX_TEXT),
        decision: decision(record.decision.unwrap_or_default()),
        source: SourceRecord {
            proxy_id: id("proxy_id", proxy_id.to_owned())?,
            boot_id: id("boot_id", record.boot_id)?,
            lane: record.lane,
            sequence: record.sequence,
        },
    })
}

fn decision(decision: proto::Decision) -> DecisionRecord {
    DecisionRecord {
        route: cut(decision.route, MAX_TEXT),
        rule: cut(decision.rule, MAX_TEXT),
        strategy: cut(decision.strategy, MAX_TEXT),
        candidates: decision.candidates.into_iter().take(MAX_LIST).map(candidate).collect(),
        attempts: decision.attempts.into_iter().take(MAX_LIST).map(attempt).collect(),
        limits: decision.limits.into_iter().take(MAX_LIST).map(limit).collect(),
        refusal: cut(decision.refusal, MAX_DETAIL),
    }
}

fn candidate(candidate: proto::Candidate) -> CandidateRecord {
    CandidateRecord {
        model: cut(candidate.model, MAX_TEXT),
        provider: cut(candidate.provider, MAX_TEXT),
        upstream_model: cut(candidate.upstream_model, MAX_TEXT),
        rank: (candidate.rank > 0).then_some(candidate.rank),
        reason: cut(candidate.reason, MAX_DETAIL),
    }
}

fn attempt(attempt: proto::Attempt) -> TryRecord {
    TryRecord {
        provider: cut(attempt.provider, MAX_TEXT),
        upstream_model: cut(attempt.upstream_model, MAX_TEXT),
        started_us: attempt.started_us,
        took_us: attempt.took_us,
        status: (attempt.status > 0).then_some(attempt.status),
        outcome: cut(attempt.outcome, MAX_TEXT),
        detail: cut(attempt.detail, MAX_DETAIL),
    }
}

fn limit(check: proto::LimitCheck) -> LimitRecord {
    LimitRecord {
        quota: cut(check.quota, MAX_TEXT),
        limit: cut(check.limit, MAX_TEXT),
        bucket: cut(check.bucket, MAX_DETAIL),
        ceiling: check.ceiling,
        remaining: check.remaining,
        admitted: check.admitted,
    }
}

fn tokens(tokens: Option<&proto::Tokens>) -> Result<TokenRecord, String> {
    let tokens = tokens.copied().unwrap_or_default();
    let record = TokenRecord {
        input: tokens.input,
        cache_read: tokens.cache_read,
        cache_write: tokens.cache_write,
        output: tokens.output,
        reasoning: tokens.reasoning,
    };
    let classes = [record.input, record.cache_read, record.cache_write, record.output, record.reasoning];
    match classes.iter().find(|count| **count > MAX_TOKENS) {
        Some(count) => Err(format!("{count} tokens in one call are out of bounds")),
        None => Ok(record),
    }
}

fn started(started_ms: u64) -> Result<String, String> {
    if started_ms > MAX_UNIX_MS {
        return Err(format!("started_ms {started_ms} is out of bounds"));
    }
    let ms = i64::try_from(started_ms).map_err(|error| error.to_string())?;
    Timestamp::from_millisecond(ms).map(|time| time.to_string()).map_err(|error| error.to_string())
}

/// A field that the ledger cannot do without.
fn id(field: &str, text: String) -> Result<String, String> {
    match text.len() {
        0 => Err(format!("{field} is empty")),
        1..=MAX_ID => Ok(text),
        length => Err(format!("{field} has {length} bytes, at most {MAX_ID} are allowed")),
    }
}

/// The first tags by name, so that the same call gives the same line.
fn tags(tags: HashMap<String, String>) -> BTreeMap<String, String> {
    let sorted: BTreeMap<String, String> = tags.into_iter().collect();
    sorted.into_iter().take(MAX_TAGS).map(|(name, value)| (cut(name, MAX_ID), cut(value, MAX_TEXT))).collect()
}

/// At most `max` bytes, ending at a character.
fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
    text
}
