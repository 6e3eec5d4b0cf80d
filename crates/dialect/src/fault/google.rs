//! What `google.rpc.Status` tells beside a message: reasons, violated quotas, and how long to wait.

use std::time::Duration;

use serde_json::Value;

use crate::civil;

/// What the details of an error told.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// The canonical code, in lower case.
    pub(super) status: String,
    /// Why, in lower case.
    pub(super) reason: String,
    /// How long to wait.
    pub(super) retry: Option<Duration>,
    /// A quota of the day is used up, or there never was one.
    pub(super) is_spent: bool,
    /// The field that is wrong.
    pub(super) field: Option<String>,
}

/// Reads an error, if it is one of Google's: its `status` is a word in capitals.
pub(super) fn read(error: &Value) -> Option<Details> {
    let status = error.get("status")?.as_str()?;
    let is_word = !status.is_empty() && status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let mut read = Details { status: status.to_ascii_lowercase(), ..Details::default() };
    for detail in error.get("details").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| detail.get(name).and_then(Value::as_str);
        if let Some(reason) = text("reason") {
            read.reason = reason.to_ascii_lowercase();
        }
        if let Some(delay) = text("retryDelay").and_then(|delay| delay.strip_suffix('s')) {
            read.retry = delay.parse().ok().and_then(civil::seconds);
        }
        let violations = |name: &str| detail.get(name).and_then(Value::as_array).into_iter().flatten();
        read.is_spent |= violations("violations").any(is_spent);
        let field = violations("fieldViolations").find_map(|violation| violation.get("field")?.as_str());
        read.field = read.field.or_else(|| field.map(str::to_owned));
    }
    is_word.then_some(read)
}

/// A quota of the day does not come back within a call's patience, and one of nothing never does.
fn is_spent(violation: &Value) -> bool {
    let text = |name: &str| violation.get(name).and_then(Value::as_str).unwrap_or_default();
    text("quotaId").contains("PerDay") || text("quotaValue") == "0"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::{Dialect, Fault, FaultClass, decode_fault};

    fn decode(status: u16, body: &Value) -> Fault {
        decode_fault(Dialect::Gemini, status, &|_| None, body.to_string().as_bytes())
    }

    fn error(code: u16, status: &str, message: &str, details: &Value) -> Value {
        json!({"error": {"code": code, "message": message, "status": status, "details": details}})
    }

    fn quota(id: &str) -> Value {
        let message = "You exceeded your current quota, please check your plan and billing details.";
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id, "quotaValue": "5"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"},
        ]);
        error(429, "RESOURCE_EXHAUSTED", message, &details)
    }

    #[test]
    fn a_limit_of_a_minute_is_a_rate_and_tells_how_long_to_wait() {
        let fault = decode(429, &quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"));
        assert_eq!(fault.class, FaultClass::RateLimited);
        assert_eq!(fault.code, "resource_exhausted");
        assert_eq!(fault.retry_after, Some(Duration::from_millis(34_070)));
    }

    #[test]
    fn a_limit_of_a_day_is_a_quota() {
        let fault = decode(429, &quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"));
        assert_eq!(fault.class, FaultClass::QuotaExhausted);
        let plain =
            error(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", &json!([]));
        assert_eq!(decode(429, &plain).class, FaultClass::RateLimited);
    }

    #[test]
    fn a_wrong_key_is_a_credential_although_google_says_400() {
        let details =
            json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
        let fault = decode(400, &error(400, "INVALID_ARGUMENT", "API key not valid.", &details));
        assert_eq!(fault.class, FaultClass::Credential);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "contents[0].parts", "description": "empty"}]}]);
        let fault = decode(400, &error(400, "INVALID_ARGUMENT", "Bad.", &details));
        assert_eq!((fault.class, fault.param.as_deref()), (FaultClass::Invalid, Some("contents[0].parts")));
    }

    #[test]
    fn every_status_has_its_class_also_inside_a_list() {
        for (code, status, message, class) in [
            (404, "NOT_FOUND", "models/x is not found", FaultClass::NotFound),
            (403, "PERMISSION_DENIED", "no", FaultClass::Credential),
            (401, "UNAUTHENTICATED", "no", FaultClass::Credential),
            (500, "INTERNAL", "oh", FaultClass::Transient),
            (503, "UNAVAILABLE", "The model is overloaded.", FaultClass::Transient),
            (504, "DEADLINE_EXCEEDED", "late", FaultClass::Transient),
            (499, "CANCELLED", "The operation was cancelled.", FaultClass::Transient),
            (
                400,
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                FaultClass::TooLarge,
            ),
        ] {
            let body = error(code, status, message, &Value::Null);
            assert_eq!(decode(code, &body).class, class, "{status}");
            assert_eq!(decode(code, &json!([body])).class, class, "{status} in a list");
        }
    }
}
