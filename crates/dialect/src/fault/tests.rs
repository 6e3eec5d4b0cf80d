use std::time::Duration;

use serde_json::{Value, json};

use super::{ErrorShape, Fault, FaultClass, decode_fault, decode_in_band, encode_error};
use crate::Dialect;

fn decode(status: u16, body: &Value) -> Fault {
    decode_fault(Dialect::OpenAi, status, &|_| None, body.to_string().as_bytes())
}

fn with_headers(dialect: Dialect, status: u16, headers: &[(&str, &str)]) -> Fault {
    let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
    decode_fault(dialect, status, &header, b"{}")
}

fn error(kind: &str, code: &str, message: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": message}})
}

#[test]
fn each_status_has_its_class() {
    for (status, class) in [
        (400, FaultClass::Invalid),
        (401, FaultClass::Credential),
        (402, FaultClass::QuotaExhausted),
        (403, FaultClass::Credential),
        (404, FaultClass::NotFound),
        (408, FaultClass::Transient),
        (413, FaultClass::TooLarge),
        (422, FaultClass::Invalid),
        (425, FaultClass::Transient),
        (429, FaultClass::RateLimited),
        (500, FaultClass::Transient),
        (502, FaultClass::Transient),
        (503, FaultClass::Transient),
        (504, FaultClass::Transient),
        (529, FaultClass::Transient),
    ] {
        assert_eq!(decode(status, &json!({})).class, class, "{status}");
    }
}

#[test]
fn words_correct_the_status() {
    for (status, body, class) in [
        (429, error("insufficient_quota", "insufficient_quota", "no"), FaultClass::QuotaExhausted),
        (429, error("rate_limit_error", "ramp_limit_exceeded", "slow"), FaultClass::RateLimited),
        (
            400,
            error("invalid_request_error", "", "Your credit balance is too low"),
            FaultClass::QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"type": "rate_limit_error", "message": "no",
            "details": {"error_code": "enforced_spend_limit_reached"}}}),
            FaultClass::QuotaExhausted,
        ),
        (400, error("invalid_request_error", "context_length_exceeded", "long"), FaultClass::TooLarge),
        (400, error("invalid_request_error", "", "prompt is too long: 3 > 2"), FaultClass::TooLarge),
        (400, error("invalid_request_error", "content_filter", "no"), FaultClass::Filtered),
        (400, error("invalid_request_error", "model_not_found", "no"), FaultClass::NotFound),
        (400, error("server_error", "", "oops"), FaultClass::Transient),
        (400, error("overloaded_error", "", "busy"), FaultClass::Transient),
    ] {
        assert_eq!(decode(status, &body).class, class, "{body}");
    }
}

#[test]
fn an_error_in_band_stands_for_the_status_it_would_have_had() {
    for (body, class) in [
        (
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
            FaultClass::Transient,
        ),
        (json!({"error": {"type": "rate_limit_error", "message": "x"}}), FaultClass::RateLimited),
        (json!({"error": {"code": 429, "message": "x"}}), FaultClass::RateLimited),
        (json!({"error": {"code": 502, "message": "x"}}), FaultClass::Transient),
        (json!({"error": "plain"}), FaultClass::Transient),
        (json!({"error": {"type": "invalid_request_error", "message": "x"}}), FaultClass::Invalid),
    ] {
        assert_eq!(decode_in_band(body.to_string().as_bytes()).class, class, "{body}");
    }
}

#[test]
fn the_wait_is_read_from_whatever_header_tells_it() {
    let millis = |ms| Some(Duration::from_millis(ms));
    let openai = |headers: &[(&str, &str)]| with_headers(Dialect::OpenAi, 429, headers).retry_after;
    assert_eq!(openai(&[("retry-after", "2"), ("retry-after-ms", "150")]), millis(150));
    assert_eq!(openai(&[("retry-after", "1.5")]), millis(1_500));
    assert_eq!(
        openai(&[
            ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT")
        ]),
        millis(3_000)
    );
    assert_eq!(
        openai(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-ratelimit-remaining-tokens", "12"),
            ("x-ratelimit-reset-tokens", "9m0s"),
        ]),
        millis(360_000)
    );
    assert_eq!(
        with_headers(
            Dialect::Anthropic,
            429,
            &[
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "1994-11-06T08:49:47Z"),
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ]
        )
        .retry_after,
        millis(10_000)
    );
    for headers in [&[("retry-after", "-1")], &[("retry-after", "inf")], &[("retry-after", "soon")]] {
        assert_eq!(openai(headers), None);
    }
}

#[test]
fn what_the_provider_says_about_retrying_is_kept() {
    assert_eq!(with_headers(Dialect::OpenAi, 500, &[("x-should-retry", "false")]).should_retry, Some(false));
    assert_eq!(with_headers(Dialect::OpenAi, 400, &[("x-should-retry", "true")]).should_retry, Some(true));
    assert_eq!(with_headers(Dialect::OpenAi, 500, &[]).should_retry, None);
}

#[test]
fn no_credential_survives_in_a_message() {
    let fault = decode(401, &error("", "invalid_api_key", "Incorrect API key provided: sk-abc***xyz."));
    assert_eq!(fault.message, "the provider refused its credential (401)");
    let fault =
        decode(400, &error("", "", "bad header 'Bearer sk-proj-0123456789abcdef' in org-abcdefgh1234"));
    assert_eq!(fault.message, "bad header 'Bearer [redacted]' in [redacted]");
    let fault = decode(400, &error("", "", "token 0123456789abcdef0123456789abcdef is odd"));
    assert_eq!(fault.message, "token [redacted] is odd");
}

#[test]
fn a_message_is_cut_and_garbage_becomes_a_plain_one() {
    let fault = decode(400, &error("", "", &"word ".repeat(1_000)));
    assert!(fault.message.chars().count() <= 601);
    let fault = decode_fault(Dialect::OpenAi, 502, &|_| None, b"<html>Bad gateway</html>");
    assert_eq!(
        (fault.class, fault.message.as_str()),
        (FaultClass::Transient, "the provider answered with status 502")
    );
}

#[test]
fn errors_are_written_in_the_callers_own_shape() {
    let shape = ErrorShape {
        status: 404,
        code: "unknown_model",
        message: "no `x`",
        param: Some("model"),
        request_id: "r1",
    };
    assert_eq!(
        encode_error(Dialect::OpenAi, &shape),
        concat!(
            r#"{"error":{"message":"no `x`","type":"invalid_request_error","param":"model","code":"unknown_model"},"#,
            r#""request_id":"r1"}"#
        )
    );
    assert_eq!(
        encode_error(Dialect::Anthropic, &shape),
        concat!(
            r#"{"type":"error","error":{"type":"not_found_error","message":"no `x`","code":"unknown_model","#,
            r#""param":"model"},"request_id":"r1"}"#
        )
    );
}

#[test]
fn the_anthropic_type_is_the_one_its_sdk_maps() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        let shape = ErrorShape { status, code: "c", message: "m", param: None, request_id: "r" };
        let body: Value = serde_json::from_slice(&encode_error(Dialect::Anthropic, &shape)).unwrap();
        assert_eq!(body["error"]["type"], kind, "{status}");
    }
}

#[test]
fn an_earlier_response_that_is_kept_elsewhere_is_not_found() {
    let body = error("invalid_request_error", "previous_response_not_found", "Previous response not found.");
    assert_eq!(decode(400, &body).class, FaultClass::NotFound);
}
