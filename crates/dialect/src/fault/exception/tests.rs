#![expect(clippy::needless_pass_by_value, reason = "builders of bodies read best with literals")]

use serde_json::{Value, json};

use super::word;
use crate::{Dialect, Fault, FaultClass, decode_fault};

fn fault(dialect: Dialect, status: u16, kind: Option<&str>, body: Value) -> Fault {
    let header = |name: &str| kind.filter(|_| name == "x-amzn-errortype").map(str::to_owned);
    decode_fault(dialect, status, &header, body.to_string().as_bytes())
}

#[test]
fn an_exception_is_known_in_every_spelling() {
    for name in [
        "throttlingException",
        "ThrottlingException",
        "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        "com.amazon.coral.service#ThrottlingException",
    ] {
        assert_eq!(word(name), "throttling", "{name}");
    }
    assert_eq!(word("ServiceQuotaExceededException"), "service_quota_exceeded");
}

#[test]
fn each_exception_of_bedrock_has_its_class_whoever_is_spoken_to_there() {
    for (status, kind, class) in [
        (400, "ValidationException", FaultClass::Invalid),
        (400, "ServiceQuotaExceededException", FaultClass::QuotaExhausted),
        (400, "ThrottlingException", FaultClass::RateLimited),
        (403, "AccessDeniedException", FaultClass::Credential),
        (403, "ExpiredTokenException", FaultClass::Credential),
        (400, "UnrecognizedClientException", FaultClass::Credential),
        (404, "ResourceNotFoundException", FaultClass::NotFound),
        (408, "ModelTimeoutException", FaultClass::Transient),
        (424, "ModelErrorException", FaultClass::Transient),
        (424, "ModelStreamErrorException", FaultClass::Transient),
        (429, "ThrottlingException", FaultClass::RateLimited),
        (429, "ModelNotReadyException", FaultClass::Transient),
        (500, "InternalServerException", FaultClass::Transient),
        (503, "ServiceUnavailableException", FaultClass::Transient),
    ] {
        for dialect in [Dialect::Bedrock, Dialect::Anthropic] {
            let by_header = fault(dialect, status, Some(kind), json!({"message": "x"}));
            let by_body =
                fault(dialect, status, None, json!({"__type": format!("com.amazon#{kind}"), "Message": "x"}));
            assert_eq!((by_header.class, by_body.class), (class, class), "{kind}");
            assert_eq!(by_header.code, word(kind), "{kind}");
        }
    }
}

#[test]
fn the_status_behind_a_model_error_decides() {
    for (original, class) in [
        (500, FaultClass::Transient),
        (503, FaultClass::Transient),
        (429, FaultClass::RateLimited),
        (400, FaultClass::Invalid),
        (404, FaultClass::NotFound),
    ] {
        let body = json!({"message": "x", "originalStatusCode": original, "originalMessage": "y"});
        assert_eq!(
            fault(Dialect::Bedrock, 424, Some("ModelStreamErrorException"), body).class,
            class,
            "{original}"
        );
    }
}

#[test]
fn what_a_refusal_says_corrects_its_class() {
    for (message, class) in [
        ("The provided model identifier is invalid.", FaultClass::NotFound),
        ("Input is too long for requested model.", FaultClass::TooLarge),
        ("Malformed input request: extraneous key [x] is not permitted", FaultClass::Invalid),
    ] {
        let found = fault(Dialect::Bedrock, 400, Some("ValidationException"), json!({"message": message}));
        assert_eq!(found.class, class, "{message}");
    }
    // The same words are about a rate when they come with its status.
    let rate = json!({"message": "Too many tokens, please wait before trying again."});
    assert_eq!(
        fault(Dialect::Bedrock, 429, Some("ThrottlingException"), rate).class,
        FaultClass::RateLimited
    );
}

#[test]
fn cohere_s_own_numbers_and_words_are_known() {
    for (status, message, class) in [
        (401, "invalid api token", FaultClass::Credential),
        (498, "invalid token", FaultClass::Credential),
        (404, "model 'x' not found", FaultClass::NotFound),
        (
            429,
            "You are using a Trial key, which is limited to 20 API calls / minute.",
            FaultClass::RateLimited,
        ),
        (
            429,
            "You are using a Trial key, which is limited to 1000 API calls / month.",
            FaultClass::QuotaExhausted,
        ),
        (
            400,
            "too many tokens: the total number of tokens in the prompt cannot exceed 4081",
            FaultClass::TooLarge,
        ),
        (422, "invalid request: message must be at least 1 token long", FaultClass::Invalid),
        (503, "service unavailable", FaultClass::Transient),
    ] {
        assert_eq!(
            fault(Dialect::Cohere, status, None, json!({"id": "x", "message": message})).class,
            class,
            "{message}"
        );
    }
}
