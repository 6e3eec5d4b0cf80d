//! What an SDK reads of a refusal.

use super::*;
use crate::failure::Retry;
use crate::scene;

fn rendered(failure: &Failure) -> Response<ResponseBody> {
    let (mut exchange, _kept) = scene::exchange(&Clock::system());
    render_failure(Common::of(Dialect::OpenAi, &mut exchange), Dialect::OpenAi, failure)
}

fn header<'a>(response: &'a Response<ResponseBody>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_wait_is_told_in_seconds_and_milliseconds_rounded_up() {
    let failure = Failure::policy(code::RATE_LIMITED, 429, "slow down")
        .with_retry_after(Some(Duration::from_micros(1_500_001)));
    let response = rendered(&failure);
    assert_eq!(header(&response, "retry-after"), Some("2"));
    assert_eq!(header(&response, "retry-after-ms"), Some("1501"));
    assert_eq!(header(&response, "x-should-retry"), None);
}

#[tokio::test]
async fn a_long_wait_is_never_asked_of_an_sdk() {
    let failure =
        Failure::policy(code::RATE_LIMITED, 429, "debt").with_retry_after(Some(Duration::from_secs(61)));
    let response = rendered(&failure);
    assert_eq!(header(&response, "retry-after"), None);
    assert_eq!(header(&response, "x-should-retry"), Some("false"));
}

#[tokio::test]
async fn what_we_have_tried_and_what_policy_decided_is_not_retried_by_the_sdk() {
    let tried = Failure::upstream(code::UPSTREAM_FAILED, 502, Retry::Never, "no luck");
    let paused = Failure::upstream(code::UPSTREAM_FAILED, 502, Retry::Never, "overloaded")
        .with_retry_after(Some(Duration::from_secs(7)));
    let decided = Failure::policy(code::MODEL_NOT_PERMITTED, 403, "no");
    for failure in [tried, paused, decided] {
        assert_eq!(header(&rendered(&failure), "x-should-retry"), Some("false"), "{failure}");
    }
    let busy = Failure::upstream(code::UPSTREAM_RATE_LIMITED, 429, Retry::SameTarget, "busy")
        .with_retry_after(Some(Duration::from_secs(7)));
    let response = rendered(&busy);
    assert_eq!((header(&response, "retry-after"), header(&response, "x-should-retry")), (Some("7"), None));
}

#[tokio::test]
async fn every_refusal_has_an_id_to_ask_about_which_is_also_in_anthropics_body() {
    let (mut exchange, _kept) = scene::exchange(&Clock::system());
    let id = exchange.request_id().to_owned();
    let failure = Failure::caller(code::INVALID_KEY, 401, "no");
    let common = Common::of(Dialect::Anthropic, &mut exchange);
    let response = render_failure(common, Dialect::Anthropic, &failure);
    assert_eq!(header(&response, "x-frontdoor-request-id"), Some(id.as_str()));
    assert_eq!(header(&response, "www-authenticate"), Some("Bearer"));
    let ResponseBody::Fixed(Some(body)) = response.into_body() else { panic!("a refusal has a fixed body") };
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["request_id"], id.as_str());
}
