//! One span for one record, by the OpenTelemetry conventions for generative AI. The only place that spells their attributes.

use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};

use crate::exchange::{Record, Trace};
use crate::failure::code;

/// The conventions' word for one of our operations.
pub(super) fn operation_name(operation: &'static str) -> &'static str {
    match operation {
        "messages" | "responses" | "converse" => "chat",
        other => other,
    }
}

/// Makes the record's span and hands it to the exporter's queue.
pub(super) fn export(tracer: &lifecycle::Tracer, record: &Record) {
    let started = UNIX_EPOCH + Duration::from_millis(record.started_ms);
    let name = format!("{} {}", operation_name(record.operation), record.asked_model);
    let builder = tracer
        .span_builder(name)
        .with_kind(SpanKind::Client)
        .with_start_time(started)
        .with_attributes(attributes(record));
    let mut span = tracer.build_with_context(builder, &parent(record.trace));
    if record.code != code::OK {
        span.set_status(Status::error(record.code));
    }
    span.end_with_timestamp(started + Duration::from_micros(record.duration_us));
}

fn parent(trace: Trace) -> Context {
    if trace.trace_id == 0 {
        return Context::new();
    }
    let flags = TraceFlags::default().with_sampled(trace.is_sampled);
    let span = SpanContext::new(
        TraceId::from(trace.trace_id),
        SpanId::from(trace.parent_id),
        flags,
        true,
        TraceState::default(),
    );
    Context::new().with_remote_span_context(span)
}

fn attributes(record: &Record) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", operation_name(record.operation)),
        KeyValue::new("frontdoor.request.id", record.request_id.clone()),
        KeyValue::new("frontdoor.policy.version", count(record.policy_version)),
        KeyValue::new("frontdoor.streamed", record.streamed),
        KeyValue::new("http.response.status_code", i64::from(record.status)),
    ];
    let texts: [(&'static str, &str); 10] = [
        ("gen_ai.request.model", &record.asked_model),
        ("gen_ai.provider.name", &record.provider),
        (
            "gen_ai.response.model",
            if record.response_model.is_empty() { &record.upstream_model } else { &record.response_model },
        ),
        ("frontdoor.model", &record.model),
        ("frontdoor.organisation", &record.organisation),
        ("frontdoor.team", &record.team),
        ("frontdoor.application", &record.application),
        ("frontdoor.route", &record.decision.route),
        ("frontdoor.rule", &record.decision.rule),
        ("error.type", if record.code == code::OK { "" } else { record.code }),
    ];
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    attributes.extend(texts.map(|(name, text)| KeyValue::new(name, text.to_owned())));
    if record.tokens.total() > 0 {
        let tokens = record.tokens;
        attributes.push(KeyValue::new("gen_ai.usage.input_tokens", count(tokens.all_input())));
        attributes.push(KeyValue::new("gen_ai.usage.output_tokens", count(tokens.output)));
        attributes.push(KeyValue::new("gen_ai.usage.cache_read.input_tokens", count(tokens.cache_read)));
        attributes.push(KeyValue::new("gen_ai.usage.cache_creation.input_tokens", count(tokens.cache_write)));
        attributes.push(KeyValue::new("frontdoor.usage.estimated", record.estimated));
    }
    if !record.stop_reason.is_empty() {
        let reasons = Array::String(vec![StringValue::from(record.stop_reason.to_string())]);
        attributes.push(KeyValue::new("gen_ai.response.finish_reasons", Value::Array(reasons)));
    }
    if record.priced {
        attributes.push(KeyValue::new("frontdoor.cost.nano_usd", record.cost_nano_usd));
    }
    attributes
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_tells_the_models_the_usage_and_the_failure_but_no_empty_fields() {
        let record = Record {
            operation: "messages",
            asked_model: "claude".into(),
            provider: "anthropic".into(),
            upstream_model: "claude-9".into(),
            code: code::UPSTREAM_TIMEOUT,
            tokens: dialect::Usage { input: 3, cache_read: 4, output: 5, ..Default::default() },
            ..Record::default()
        };
        let attributes = attributes(&record);
        let value = |name: &str| {
            attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string())
        };
        assert_eq!(value("gen_ai.operation.name").as_deref(), Some("chat"));
        assert_eq!(value("gen_ai.response.model").as_deref(), Some("claude-9"));
        assert_eq!(value("gen_ai.usage.input_tokens").as_deref(), Some("7"));
        assert_eq!(value("error.type").as_deref(), Some(code::UPSTREAM_TIMEOUT));
        assert_eq!(value("frontdoor.team"), None);
    }

    #[test]
    fn a_span_hangs_below_the_callers() {
        let trace = Trace { trace_id: 7, parent_id: 9, is_sampled: true };
        let context = parent(trace);
        let span = context.span();
        assert_eq!(span.span_context().trace_id(), TraceId::from(7_u128));
        assert!(span.span_context().is_remote());
        assert!(!parent(Trace::default()).has_active_span());
    }
}
