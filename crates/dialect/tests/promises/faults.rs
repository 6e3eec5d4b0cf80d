//! What a provider says when it fails, and what a caller is told.

use std::time::Duration;

use frontdoor_dialect::{
    Dialect::{self, Anthropic, Bedrock, Cohere, Gemini, OpenAi, Responses},
    ErrorShape, Fault, FaultClass, decode_fault, encode_error,
};
use serde_json::{Value, json};

fn told(dialect: Dialect, status: u16, headers: &[(&str, &str)], body: &Value) -> Fault {
    let header =
        |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    decode_fault(dialect, status, &header, body.to_string().as_bytes())
}

#[test]
fn each_status_means_the_same_whoever_says_it() {
    for dialect in Dialect::ALL {
        for (status, class) in [
            (401, FaultClass::Credential),
            (403, FaultClass::Credential),
            (408, FaultClass::Transient),
            (413, FaultClass::TooLarge),
            (425, FaultClass::Transient),
            (429, FaultClass::RateLimited),
            (500, FaultClass::Transient),
            (502, FaultClass::Transient),
            (503, FaultClass::Transient),
            (504, FaultClass::Transient),
            (529, FaultClass::Transient),
            (400, FaultClass::Invalid),
            (422, FaultClass::Invalid),
            (404, FaultClass::NotFound),
            (402, FaultClass::QuotaExhausted),
        ] {
            assert_eq!(told(dialect, status, &[], &json!({})).class, class, "{dialect} {status}");
        }
    }
}

#[test]
fn a_limit_told_without_a_dimension_is_a_wait_whether_it_is_an_epoch_or_seconds() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let wait = |dialect, headers: &[(&str, &str)]| told(dialect, 429, headers, &json!({})).retry_after;
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let spent = ("x-ratelimit-remaining", "0");
    assert_eq!(wait(OpenAi, &[date, spent, ("x-ratelimit-reset", "20")]), seconds(20));
    assert_eq!(wait(OpenAi, &[date, spent, ("x-ratelimit-reset", "784111787")]), seconds(10));
    // OpenRouter counts in milliseconds.
    assert_eq!(wait(OpenAi, &[date, spent, ("x-ratelimit-reset", "784111787000")]), seconds(10));
    assert_eq!(wait(OpenAi, &[date, ("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "20")]), None);
    // Cerebras has a limit a day and one a minute; the longer of those that are spent holds.
    let cerebras = [
        ("x-ratelimit-remaining-requests-day", "5"),
        ("x-ratelimit-reset-requests-day", "33011.4"),
        ("x-ratelimit-remaining-tokens-minute", "0"),
        ("x-ratelimit-reset-tokens-minute", "11.5"),
    ];
    assert_eq!(wait(OpenAi, &cerebras), Some(Duration::from_millis(11_500)));
}

#[test]
fn azures_missing_counts_are_no_wait() {
    for left in ["-1", "", "unknown"] {
        let headers = [("x-ratelimit-remaining-requests", left), ("x-ratelimit-reset-requests", "0")];
        assert_eq!(told(OpenAi, 429, &headers, &json!({})).retry_after, None, "{left}");
    }
}

#[test]
fn a_spend_limit_is_a_quota_and_a_ramp_is_a_rate() {
    let error = |code: &str| json!({"type": "error", "error": {"type": "rate_limit_error", "message": "no", "details": {"error_code": code}}});
    assert_eq!(
        told(Anthropic, 429, &[], &error("enforced_spend_limit_reached")).class,
        FaultClass::QuotaExhausted
    );
    assert_eq!(told(Anthropic, 429, &[], &error("ramp_limit_exceeded")).class, FaultClass::RateLimited);
    for (kind, status, class) in [
        ("timeout_error", 504, FaultClass::Transient),
        ("conflict_error", 409, FaultClass::Transient),
        ("overloaded_error", 529, FaultClass::Transient),
    ] {
        let body = json!({"type": "error", "error": {"type": kind, "message": "no"}});
        assert_eq!(told(Anthropic, status, &[], &body).class, class, "{kind}");
    }
}

#[test]
fn what_aws_wraps_in_a_400_is_what_it_is() {
    let kind = |name: &str| json!({"__type": name, "message": "no"});
    for (status, name, class) in [
        (400, "ServiceQuotaExceededException", FaultClass::QuotaExhausted),
        (429, "ModelNotReadyException", FaultClass::Transient),
        (408, "ModelTimeoutException", FaultClass::Transient),
        (424, "ModelStreamErrorException", FaultClass::Transient),
        (429, "ThrottlingException", FaultClass::RateLimited),
        (400, "ThrottlingException", FaultClass::RateLimited),
    ] {
        assert_eq!(told(Bedrock, status, &[], &kind(name)).class, class, "{name}");
    }
    let behind = json!({"__type": "ModelStreamErrorException", "message": "no", "originalStatusCode": 503});
    assert_eq!(told(Bedrock, 424, &[], &behind).class, FaultClass::Transient);
}

#[test]
fn every_callers_error_has_our_id_and_a_reason_for_programs() {
    let shape = ErrorShape {
        status: 429,
        code: "budget_exceeded",
        message: "no more",
        param: Some("model"),
        request_id: "req_1",
    };
    for dialect in Dialect::ALL {
        let body: Value = serde_json::from_slice(&encode_error(dialect, &shape)).unwrap();
        let text = body.to_string();
        assert!(text.contains("req_1") && text.contains("budget_exceeded"), "{dialect}: {text}");
        let message = match dialect {
            OpenAi | Responses | Anthropic | Gemini => &body["error"]["message"],
            Bedrock | Cohere => &body["message"],
        };
        assert_eq!(message, "no more", "{dialect}");
    }
    let gemini: Value = serde_json::from_slice(&encode_error(Gemini, &shape)).unwrap();
    assert_eq!(
        (&gemini["error"]["code"], &gemini["error"]["status"]),
        (&json!(429), &json!("RESOURCE_EXHAUSTED"))
    );
    assert!(gemini["error"]["details"].is_array());
}

#[test]
fn no_provider_s_key_is_echoed_to_anybody() {
    for dialect in [OpenAi, Anthropic, Gemini, Bedrock, Cohere] {
        let key = "sk-proj-0123456789abcdefghij";
        let body = json!({"error": {"message": format!("bad key {key} in call"), "code": 400, "type": key}, "message": format!("bad {key}")});
        let fault = told(dialect, 400, &[], &body);
        assert!(!format!("{fault:?}").contains("0123456789abcdef"), "{dialect}: {fault:?}");
    }
}
