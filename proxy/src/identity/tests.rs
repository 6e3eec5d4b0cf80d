//! Who is let in, and what a refusal gives away.

use http::HeaderValue;

use super::*;
use crate::scene;

const KEYS: &str = r#"---
kind: Key
name: k_expiring
spec: {consumer: first, hash: HASH1, created: "2026-01-01T00:00:00Z", expires: "2026-02-01T00:00:00Z"}
---
kind: Key
name: k_revoked
spec: {consumer: first, hash: HASH2, created: "2026-01-01T00:00:00Z", revoked: true}
---
kind: Key
name: k_narrow
spec: {consumer: first, hash: HASH3, created: "2026-01-01T00:00:00Z", models: ["lar*"]}
"#;

fn policy(more: &str) -> Policy {
    let keys = KEYS
        .replace("HASH1", &scene::hash("fd_expiring"))
        .replace("HASH2", &scene::hash("fd_revoked"))
        .replace("HASH3", &scene::hash("fd_narrow"));
    scene::policy(1, &format!("{keys}{more}"))
}

fn identify(headers: &HeaderMap, now_ms: u64) -> Result<Caller, Failure> {
    identify_with(&scene::pepper(), headers, now_ms)
}

fn identify_with(pepper: &Pepper, headers: &HeaderMap, now_ms: u64) -> Result<Caller, Failure> {
    super::identify(&policy(""), pepper, headers, None, now_ms)
}

#[test]
fn a_key_is_found_in_either_header_whatever_the_case_of_the_scheme() {
    let mut headers = scene::headers("fd_one");
    assert_eq!(identify(&headers, scene::NOW_MS).unwrap().key().id.as_str(), "k_one");

    headers.insert(AUTHORIZATION, HeaderValue::from_static("bEARER  fd_one "));
    assert_eq!(identify(&headers, scene::NOW_MS).unwrap().key().id.as_str(), "k_one");

    headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic Zm9vOmJhcg=="));
    headers.insert("x-api-key", HeaderValue::from_static("fd_two"));
    assert_eq!(identify(&headers, scene::NOW_MS).unwrap().key().id.as_str(), "k_two");
}

#[test]
fn every_bad_key_is_answered_alike() {
    let mut opaque = HeaderMap::new();
    opaque.insert("x-api-key", HeaderValue::from_bytes(b"fd_\xff\xfe").unwrap());
    let mut bare = HeaderMap::new();
    bare.insert(AUTHORIZATION, HeaderValue::from_static("Bearer"));
    let mut refusals = vec![HeaderMap::new(), opaque, bare];
    refusals.extend(["", "fd_", "fd_unknown", "sk-foreign", "fd_revoked", "fd_expiring"].map(scene::headers));
    refusals.push(scene::headers(&"x".repeat(8_000)));

    let told: Vec<_> = refusals
        .iter()
        .map(|headers| {
            let failure = identify(headers, scene::NOW_MS).unwrap_err();
            (failure.code, failure.status, failure.message)
        })
        .collect();
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    assert_eq!((told[0].0, told[0].1), (code::INVALID_KEY, 401));
}

#[test]
fn a_key_is_good_until_the_moment_it_expires() {
    let expires_ms = 1_769_904_000_000;
    let headers = scene::headers("fd_expiring");
    assert!(identify(&headers, expires_ms - 1).is_ok());
    assert!(identify(&headers, expires_ms).is_err());
}

#[test]
fn without_a_pepper_nobody_is_let_in_and_everybody_is_asked_to_come_again() {
    let failure = identify_with(&Pepper::default(), &scene::headers("fd_one"), scene::NOW_MS).unwrap_err();
    assert_eq!((failure.code, failure.status), (code::POLICY_NOT_READY, 503));
    assert!(failure.retry_after.is_some());
}

fn refusal(policy: &Policy, key: &str, asked: &str) -> (&'static str, u16, String) {
    let failure = resolve(policy, &scene::caller(policy, key), asked).unwrap_err();
    (failure.code, failure.status, failure.message)
}

#[test]
fn a_model_outside_the_keys_patterns_is_refused_without_telling_whether_it_exists() {
    let policy = policy("");
    let (existing, missing) = (refusal(&policy, "fd_two", "large"), refusal(&policy, "fd_two", "smell"));
    assert_eq!((existing.0, existing.1), (code::MODEL_NOT_PERMITTED, 403));
    assert_eq!(existing.2.replace("large", "smell"), missing.2);
    assert_eq!((missing.0, missing.1), (existing.0, existing.1));
}

#[test]
fn a_group_may_hide_models_and_then_nothing_is_told_either() {
    let policy = policy("---\nkind: Group\nname: default\nspec: {unlisted_models: hide}\n");
    let (existing, missing) = (refusal(&policy, "fd_two", "large"), refusal(&policy, "fd_two", "lorge"));
    assert_eq!((existing.0, existing.1), (code::UNKNOWN_MODEL, 404));
    assert_eq!(existing.2.replace("large", "lorge"), missing.2);
}

#[test]
fn an_unknown_model_is_answered_with_the_nearest_names_that_the_key_may_use() {
    let policy = policy("");
    let (code, status, message) = refusal(&policy, "fd_one", "smal");
    assert_eq!((code, status), (code::UNKNOWN_MODEL, 404));
    assert!(message.contains("nearest names: small"), "{message}");
    let (_, _, message) = refusal(&policy, "fd_narrow", "largo");
    assert!(message.contains("large") && !message.contains("small"), "{message}");
}

#[test]
fn a_key_narrows_what_its_consumer_may_use() {
    let policy = policy("");
    let caller = scene::caller(&policy, "fd_narrow");
    assert!(resolve(&policy, &caller, "large").is_ok());
    assert_eq!(resolve(&policy, &caller, "small").unwrap_err().status, 403);
}

#[test]
fn a_name_longer_than_any_model_is_refused_as_it_is() {
    let policy = policy("");
    let (code, status, message) = refusal(&policy, "fd_one", &"m".repeat(10_000));
    assert_eq!((code, status), (code::INVALID_REQUEST, 400));
    assert!(message.len() < 200);
}
