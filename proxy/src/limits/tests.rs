//! Who may start, who must wait, and that nothing reserved is ever lost.

use std::sync::Arc;

use lifecycle::Clock;
use proptest::prelude::*;

use super::*;
use crate::exchange::Record;
use crate::identity;
use crate::scene;

/// A policy with quotas, its live side and a clock that stands still.
struct World {
    policy: Policy,
    live: Live,
    clock: Clock,
}

impl World {
    fn new(quotas: &str) -> Self {
        let (policy, clock) = (scene::policy(1, quotas), Clock::manual(scene::NOW_MS));
        let live = Live::build(&policy, None, &clock);
        Self { policy, live, clock }
    }

    fn change(&mut self, quotas: &str) {
        self.policy = scene::policy(self.policy.version + 1, quotas);
        self.live = Live::build(&self.policy, Some(&self.live), &self.clock);
    }

    fn admit(&self, key: &str, model: &str, fields: &str) -> Result<Admitted, Failure> {
        self.admit_recorded(key, model, fields).0
    }

    fn admit_recorded(&self, key: &str, model: &str, fields: &str) -> (Result<Admitted, Failure>, Record) {
        let inbound = scene::inbound(model, fields);
        let caller = scene::caller(&self.policy, key);
        let permitted = identity::permit(&self.policy, caller, &inbound.call).unwrap();
        let (mut exchange, kept) = scene::exchange(&self.clock);
        let admitted = admit(&self.policy, &self.live, permitted, &inbound, &mut exchange);
        drop(exchange);
        let record = kept.0.lock().pop().unwrap();
        (admitted, record)
    }

    /// What is left of the tokens of the only bucket, as the next call would be told.
    fn tokens_left(&self) -> i64 {
        let (admitted, record) = self.admit_recorded("fd_one", "small", r#","max_tokens":1"#);
        drop(admitted);
        let check = record.decision.limits.iter().find(|check| check.limit == "tokens_per_minute").unwrap();
        // The question itself reserves a little, always the same.
        check.remaining
    }
}

fn quota(name: &str, spec: &str) -> String {
    format!("---\nkind: Quota\nname: {name}\nspec: {spec}\n")
}

#[tokio::test]
async fn calls_beyond_the_minute_are_refused_with_the_time_at_which_there_is_room() {
    let world = World::new(&quota("q", "{limits: {requests_per_minute: 3}}"));
    for _ in 0..3 {
        world.admit("fd_one", "small", "").unwrap().settle(1, 1);
    }
    let (refused, record) = world.admit_recorded("fd_one", "small", "");
    let failure = refused.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::RATE_LIMITED, 429));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(20)));
    assert!(failure.message.contains("`q` allows 3 calls per minute"), "{}", failure.message);
    let check = &record.decision.limits[0];
    assert_eq!(
        (check.limit, check.ceiling, check.remaining, check.admitted),
        ("requests_per_minute", 3, 0, false)
    );

    world.clock.advance(Duration::from_secs(20));
    world.admit("fd_one", "small", "").unwrap();
}

#[tokio::test]
async fn buckets_are_kept_apart_by_their_dimensions_and_shared_otherwise() {
    let world = World::new(&quota("q", "{per: [key], limits: {requests_per_minute: 1}}"));
    world.admit("fd_one", "small", "").unwrap();
    assert!(world.admit("fd_one", "large", "").is_err());
    world.admit("fd_two", "small", "").unwrap();

    let world = World::new(&quota("q", "{per: [team], limits: {requests_per_minute: 1}}"));
    world.admit("fd_one", "small", "").unwrap();
    let failure = world.admit("fd_two", "small", "").unwrap_err();
    assert!(failure.message.contains("team=support"), "{}", failure.message);

    let world = World::new(&quota("q", "{per: [application, model], limits: {requests_per_minute: 1}}"));
    let (_, record) = world.admit_recorded("fd_one", "large", "");
    assert_eq!(record.decision.limits[0].bucket, "application=first,model=large");
    world.admit("fd_one", "small", "").unwrap();
}

#[tokio::test]
async fn a_quota_counts_only_those_it_applies_to() {
    let world = World::new(&quota(
        "q",
        r#"{applies_to: {application: second}, models: ["sm*"], limits: {requests_per_minute: 1}}"#,
    ));
    for _ in 0..3 {
        world.admit("fd_one", "small", "").unwrap();
    }
    world.admit("fd_two", "small", "").unwrap();
    assert!(world.admit("fd_two", "small", "").is_err());
}

#[tokio::test]
async fn a_refusal_by_one_quota_gives_back_what_the_others_had_given() {
    let quotas = [
        quota("a", "{limits: {requests_per_minute: 2, tokens_per_minute: 100000, concurrency: 2}}"),
        quota("b", "{limits: {requests_per_minute: 1}}"),
    ];
    let world = World::new(&quotas.concat());
    drop(world.admit("fd_one", "small", "").unwrap());
    let (refused, record) = world.admit_recorded("fd_one", "small", "");
    assert!(refused.unwrap_err().message.contains("`b`"));
    let of_a = |record: &Record| {
        record
            .decision
            .limits
            .iter()
            .filter(|check| check.quota == "a")
            .map(|check| check.remaining)
            .collect::<Vec<_>>()
    };
    let (_, again) = world.admit_recorded("fd_one", "small", "");
    assert_eq!(of_a(&record), of_a(&again));
}

#[tokio::test]
async fn calls_at_the_same_time_are_counted_until_they_end_whatever_the_end() {
    let world = World::new(&quota("q", "{limits: {concurrency: 2}}"));
    let (first, second) =
        (world.admit("fd_one", "small", "").unwrap(), world.admit("fd_one", "small", "").unwrap());
    let failure = world.admit("fd_one", "small", "").unwrap_err();
    assert_eq!((failure.code, failure.status), (code::CONCURRENCY_LIMITED, 429));
    assert!(failure.retry_after.is_some());
    drop(first);
    let third = world.admit("fd_one", "small", "").unwrap();
    second.settle(10, 5);
    third.settle(10, 5);
    world.admit("fd_one", "small", "").unwrap();
}

#[tokio::test]
async fn tokens_are_reserved_by_estimate_and_settled_by_real_use() {
    let world = World::new(&quota("q", "{limits: {tokens_per_minute: 1000}}"));
    let before = world.tokens_left();
    let admitted = world.admit("fd_one", "small", r#","max_tokens":500"#).unwrap();
    assert!(world.tokens_left() <= before - 256, "the guess for a first answer is reserved");
    admitted.settle(100, 50);
    assert_eq!(world.tokens_left(), before - 100);

    drop(world.admit("fd_one", "small", "").unwrap());
    assert_eq!(world.tokens_left(), before - 100, "a call that came to nothing costs nothing");
}

#[tokio::test]
async fn a_call_that_could_never_fit_is_told_so_without_a_time() {
    let world = World::new(&quota("q", "{limits: {tokens_per_minute: 20}}"));
    let failure = world.admit("fd_one", "small", r#","max_tokens":5000"#).unwrap_err();
    assert_eq!((failure.code, failure.retry_after), (code::RATE_LIMITED, None));
    assert!(failure.message.contains("lower the cap on output"), "{}", failure.message);
}

#[tokio::test]
async fn several_answers_to_one_call_are_reserved_for() {
    let world = World::new(&quota("q", "{limits: {tokens_per_minute: 1000}}"));
    assert!(world.admit("fd_one", "small", r#","max_tokens":100,"n":20"#).is_err());
    world.admit("fd_one", "small", r#","max_tokens":100,"n":2"#).unwrap();
}

#[tokio::test]
async fn the_guess_for_a_models_answers_follows_what_they_were() {
    let world = World::new(&quota("q", "{limits: {tokens_per_minute: 4000000}}"));
    for _ in 0..300 {
        world.admit("fd_one", "small", "").unwrap().settle(2_100, 2_000);
    }
    let inbound = scene::inbound("small", "");
    let permitted =
        identity::permit(&world.policy, scene::caller(&world.policy, "fd_one"), &inbound.call).unwrap();
    let estimate = world.live.estimate(&permitted, &inbound);
    assert!((1_500..3_000).contains(&estimate), "{estimate}");
}

#[tokio::test]
async fn a_new_version_resets_nothing_and_an_edited_limit_keeps_what_was_used() {
    let mut world = World::new(&quota("q", "{limits: {requests_per_minute: 4}}"));
    for _ in 0..3 {
        world.admit("fd_one", "small", "").unwrap();
    }
    world.change(
        &[quota("q", "{limits: {requests_per_minute: 4}}"), quota("r", "{limits: {concurrency: 9}}")]
            .concat(),
    );
    world.admit("fd_one", "small", "").unwrap();
    assert!(world.admit("fd_one", "small", "").is_err());

    world.change(&quota("q", "{limits: {requests_per_minute: 6}}"));
    world.admit("fd_one", "small", "").unwrap();
    world.admit("fd_one", "small", "").unwrap();
    assert!(world.admit("fd_one", "small", "").is_err());
}

#[tokio::test]
async fn a_call_admitted_by_an_older_version_is_ended_for_the_newer_one_as_well() {
    let mut world = World::new(&quota("q", "{limits: {concurrency: 1}}"));
    let admitted = world.admit("fd_one", "small", "").unwrap();
    world.change(&quota("q", "{limits: {concurrency: 1, requests_per_minute: 100}}"));
    assert!(world.admit("fd_one", "small", "").is_err());
    drop(admitted);
    world.admit("fd_one", "small", "").unwrap();
}

#[tokio::test]
async fn callers_are_told_of_the_tightest_limit() {
    let quotas = [
        quota("wide", "{limits: {requests_per_minute: 1000, tokens_per_minute: 1000000}}"),
        quota("tight", "{per: [key], limits: {requests_per_minute: 5}}"),
    ];
    let world = World::new(&quotas.concat());
    let inbound = scene::inbound("small", "");
    let permitted =
        identity::permit(&world.policy, scene::caller(&world.policy, "fd_one"), &inbound.call).unwrap();
    let (mut exchange, _kept) = scene::exchange(&world.clock);
    let _admitted = admit(&world.policy, &world.live, permitted, &inbound, &mut exchange).unwrap();
    let state = *exchange.limit_state().state();
    assert_eq!(state.requests.map(|limit| (limit.limit, limit.remaining)), Some((5, 4)));
    assert_eq!(state.tokens.map(|limit| limit.limit), Some(1_000_000));
}

#[tokio::test]
async fn buckets_that_hold_nothing_are_forgotten_when_others_need_the_room() {
    let keys: Vec<String> = (0..300).map(|n| format!("fd_many_{n}")).collect();
    let mut documents = quota("q", "{per: [key], limits: {requests_per_minute: 60, concurrency: 5}}");
    for (n, key) in keys.iter().enumerate() {
        let hash = scene::hash(key);
        documents.push_str(&format!(
            "---\nkind: Key\nname: k_many_{n}\nspec: {{consumer: first, hash: {hash}, created: \"2026-01-01T00:00:00Z\"}}\n"
        ));
    }
    let world = World::new(&documents);
    for key in &keys {
        drop(world.admit(key, "small", "").unwrap());
    }
    assert_eq!(world.live.count_buckets(), 300);
    world.clock.advance(Duration::from_secs(60));
    world.live.sweep(&world.clock);
    assert_eq!(world.live.count_buckets(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn when_every_call_has_ended_nothing_runs_and_exactly_the_real_use_is_counted(
        calls in prop::collection::vec((0_u64..300, any::<bool>(), 1_u32..200), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let world = World::new(&quota("q", "{limits: {tokens_per_minute: 100000, concurrency: 8}}"));
        let before = world.tokens_left();
        let mut open = Vec::new();
        let mut used = 0_i64;
        for (real, is_settled, cap) in calls {
            match world.admit("fd_one", "small", &format!(r#","max_tokens":{cap}"#)) {
                Ok(admitted) => open.push((admitted, real, is_settled)),
                Err(failure) => prop_assert_eq!(failure.code, code::CONCURRENCY_LIMITED),
            }
        }
        for (admitted, real, is_settled) in open {
            if is_settled {
                admitted.settle(real, real);
                used += i64::try_from(real).unwrap();
            } else {
                drop(admitted);
            }
        }
        let left = world.tokens_left();
        prop_assert!((left - (before - used)).abs() <= 1, "left {left}, before {before}, used {used}");
        let (admitted, record) = world.admit_recorded("fd_one", "small", "");
        prop_assert!(admitted.is_ok());
        prop_assert_eq!(record.decision.limits[0].remaining, 7);
    }
}

#[tokio::test]
async fn two_threads_never_admit_more_than_the_limit() {
    let world = Arc::new(World::new(&quota("q", "{limits: {requests_per_minute: 500}}")));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let world = Arc::clone(&world);
            std::thread::spawn(move || {
                (0..250).filter(|_| world.admit("fd_one", "small", "").is_ok()).count()
            })
        })
        .collect();
    let admitted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(admitted, 500);
}
