//! What operators read of records.

use dialect::Usage;

use super::*;

fn answered(provider: &str, model: &str) -> Record {
    Record {
        operation: "messages",
        provider: provider.to_owned(),
        model: model.to_owned(),
        code: code::OK,
        duration_us: 1_500_000,
        first_byte_us: 200_000,
        tokens: Usage { input: 10, cache_read: 5, output: 7, ..Usage::default() },
        priced: true,
        cost_nano_usd: 2_500_000_000,
        unknown_events: 3,
        ..Record::default()
    }
}

fn text(metrics: &Metrics) -> String {
    metrics.encode(Gauges { in_flight: 3, policy_version: 42, dropped_records: 1 }).unwrap()
}

#[test]
fn a_call_is_counted_with_its_tokens_times_and_cost() {
    let metrics = Metrics::new();
    metrics.observe(&answered("openai", "gpt-x"));
    metrics.observe(&answered("openai", "gpt-x"));
    let text = text(&metrics);
    for line in [
        r#"frontdoor_calls_total{operation="messages",provider="openai",model="gpt-x",code="ok"} 2"#,
        r#"frontdoor_cost_usd_total{provider="openai",model="gpt-x"} 5.0"#,
        r#"frontdoor_unknown_events_total{provider="openai",model="gpt-x"} 6"#,
        "frontdoor_calls_in_flight 3",
        "frontdoor_policy_version 42",
        "frontdoor_records_dropped 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for part in [
        r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-x",gen_ai_token_type="input"} 30.0"#,
        r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat","#,
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("frontdoor_failures_total{"));
}

#[test]
fn a_failure_is_counted_by_its_code_and_its_tries_by_outcome() {
    let metrics = Metrics::new();
    let attempt =
        crate::exchange::Attempt { provider: "openai".into(), outcome: "overloaded", ..Default::default() };
    let mut record = Record { operation: "chat", code: code::UPSTREAM_FAILED, ..Record::default() };
    record.decision.attempts = vec![attempt.clone(), attempt];
    metrics.observe(&record);
    let text = text(&metrics);
    assert!(text.contains(r#"frontdoor_failures_total{code="upstream_failed"} 1"#), "{text}");
    assert!(text.contains(r#"frontdoor_attempts_total{provider="openai",outcome="overloaded"} 2"#), "{text}");
}

#[test]
fn what_a_caller_wrote_is_never_a_label() {
    let metrics = Metrics::new();
    let record = Record {
        operation: "chat",
        asked_model: "who-knows".into(),
        key_id: "k_1".into(),
        code: code::UNKNOWN_MODEL,
        ..Record::default()
    };
    metrics.observe(&record);
    assert!(!text(&metrics).contains("who-knows"));
    assert!(!text(&metrics).contains("k_1"));
}
