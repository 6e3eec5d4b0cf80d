//! A record as it travels. Boot, lane and sequence are the spool's to give.

use proto::{Attempt, CallRecord, Candidate, Decision, LimitCheck, Tokens};

use crate::exchange::{self, Record};

/// The record in the words of the stream.
pub(super) fn to_wire(record: Record) -> CallRecord {
    CallRecord {
        boot_id: String::new(),
        lane: 0,
        sequence: 0,
        request_id: record.request_id,
        started_ms: record.started_ms,
        duration_us: record.duration_us,
        first_byte_us: record.first_byte_us,
        policy_version: record.policy_version,
        group: record.group,
        organisation: record.organisation,
        team: record.team,
        application: record.application,
        key_id: record.key_id,
        tags: record.tags.into_iter().collect(),
        operation: record.operation.to_owned(),
        dialect: record.dialect.to_owned(),
        streamed: record.streamed,
        asked_model: record.asked_model,
        model: record.model,
        provider: record.provider,
        upstream_model: record.upstream_model,
        status: u32::from(record.status),
        code: record.code.to_owned(),
        stop_reason: record.stop_reason.into_owned(),
        tokens: Some(Tokens {
            input: record.tokens.input,
            cache_read: record.tokens.cache_read,
            cache_write: record.tokens.cache_write,
            output: record.tokens.output,
            reasoning: record.tokens.reasoning,
        }),
        estimated: record.estimated,
        cost_nano_usd: record.cost_nano_usd,
        priced: record.priced,
        decision: Some(decision(record.decision)),
    }
}

fn decision(decision: exchange::Decision) -> Decision {
    Decision {
        route: decision.route,
        rule: decision.rule,
        strategy: decision.strategy.to_owned(),
        candidates: decision.candidates.into_iter().map(candidate).collect(),
        attempts: decision.attempts.into_iter().map(attempt).collect(),
        limits: decision.limits.into_iter().map(limit).collect(),
        refusal: decision.refusal.to_owned(),
    }
}

fn candidate(candidate: exchange::Candidate) -> Candidate {
    Candidate {
        model: candidate.model,
        provider: candidate.provider,
        upstream_model: candidate.upstream_model,
        rank: candidate.rank,
        reason: candidate.reason.into_owned(),
    }
}

fn attempt(attempt: exchange::Attempt) -> Attempt {
    Attempt {
        provider: attempt.provider,
        upstream_model: attempt.upstream_model,
        started_us: attempt.started_us,
        took_us: attempt.took_us,
        status: u32::from(attempt.status),
        outcome: attempt.outcome.to_owned(),
        detail: attempt.detail.into_owned(),
    }
}

fn limit(check: exchange::LimitCheck) -> LimitCheck {
    LimitCheck {
        quota: check.quota,
        limit: check.limit.to_owned(),
        bucket: check.bucket,
        ceiling: check.ceiling,
        remaining: check.remaining,
        admitted: check.admitted,
    }
}
