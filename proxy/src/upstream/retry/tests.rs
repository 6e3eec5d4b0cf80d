use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The first attempt of a call with plenty of time, another target, and jitter at its ceiling.
fn after(class: Class) -> Situation {
    Situation {
        class,
        retry_after: None,
        should_retry: None,
        tries_here: 1,
        tries: 1,
        has_next: true,
        time_left: Duration::from_secs(60),
        jitter: 1.0,
    }
}

fn check(situation: Situation, expected: Next) {
    assert_eq!(decide(&situation, &RetryRules::default(), || true), expected, "{situation:?}");
}

#[test]
fn the_first_failure_of_each_class_is_answered_by_the_table() {
    let base = RetryRules::default().base;
    for (class, expected) in [
        (Class::Unreachable, Next::SameTarget(base)),
        (Class::Overdue, Next::NextTarget),
        (Class::Transient, Next::SameTarget(base)),
        (Class::RateLimited, Next::NextTarget),
        (Class::QuotaExhausted, Next::NextTarget),
        (Class::Credential, Next::NextTarget),
        (Class::NotFound, Next::NextTarget),
        (Class::TooLarge, Next::NextTarget),
        (Class::Unsupported, Next::NextTarget),
        (Class::Invalid, Next::GiveUp),
        (Class::Filtered, Next::GiveUp),
    ] {
        check(after(class), expected);
    }
}

#[test]
fn without_another_target_what_cannot_be_repeated_is_given_up() {
    for class in
        [Class::Overdue, Class::RateLimited, Class::QuotaExhausted, Class::Credential, Class::NotFound]
    {
        check(Situation { has_next: false, ..after(class) }, Next::GiveUp);
    }
}

#[test]
fn a_target_is_left_after_its_share_of_tries_and_the_call_after_all_of_its() {
    check(Situation { tries_here: 2, tries: 2, ..after(Class::Transient) }, Next::NextTarget);
    check(Situation { tries_here: 1, tries: 3, ..after(Class::Transient) }, Next::GiveUp);
    check(Situation { tries: 3, ..after(Class::Credential) }, Next::GiveUp);
    check(Situation { tries: 3, ..after(Class::Unsupported) }, Next::NextTarget);
}

#[test]
fn an_unreachable_target_is_repeated_once_however_many_tries_it_may_have() {
    let rules = RetryRules { per_target: 5, attempts: 10, ..RetryRules::default() };
    let situation = Situation { tries_here: 2, tries: 2, ..after(Class::Unreachable) };
    assert_eq!(decide(&situation, &rules, || true), Next::NextTarget);
}

#[test]
fn retry_after_is_a_floor_up_to_the_inline_cap_and_a_reason_to_leave_above_it() {
    for class in [Class::Transient, Class::RateLimited] {
        check(Situation { retry_after: Some(SECOND * 3), ..after(class) }, Next::SameTarget(SECOND * 3));
        check(Situation { retry_after: Some(SECOND * 5), ..after(class) }, Next::SameTarget(SECOND * 5));
        check(Situation { retry_after: Some(SECOND * 6), ..after(class) }, Next::NextTarget);
    }
}

#[test]
fn a_provider_that_asks_not_to_be_retried_is_left() {
    check(Situation { should_retry: Some(false), ..after(Class::Transient) }, Next::NextTarget);
    check(Situation { should_retry: Some(true), ..after(Class::Invalid) }, Next::GiveUp);
}

#[test]
fn a_wait_that_would_outlast_the_deadline_is_not_begun() {
    let short = Situation { retry_after: Some(SECOND * 2), time_left: SECOND, ..after(Class::Transient) };
    check(short, Next::NextTarget);
    check(Situation { has_next: false, ..short }, Next::GiveUp);
}

#[test]
fn an_empty_budget_turns_a_repetition_into_a_failover() {
    let rules = RetryRules::default();
    assert_eq!(decide(&after(Class::Transient), &rules, || false), Next::NextTarget);
    let alone = Situation { has_next: false, ..after(Class::Transient) };
    assert_eq!(decide(&alone, &rules, || false), Next::GiveUp);
}

#[test]
fn the_budget_is_asked_only_when_a_repetition_is_wanted() {
    let rules = RetryRules::default();
    for class in [Class::Credential, Class::Invalid, Class::Overdue, Class::RateLimited] {
        decide(&after(class), &rules, || panic!("{class:?} must not draw on the budget"));
    }
}

#[test]
fn backoff_doubles_up_to_its_ceiling_and_jitter_reaches_down_to_nothing() {
    let rules = RetryRules { per_target: 10, attempts: 10, ..RetryRules::default() };
    let delays: Vec<u128> = (1..8).map(|tries| backoff(&rules, tries, 1.0).as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1600, 2000, 2000]);
    assert_eq!(backoff(&rules, 3, 0.0), Duration::ZERO);
    assert_eq!(backoff(&rules, 3, 0.5), Duration::from_millis(200));
}

#[test]
fn only_what_says_something_about_the_target_is_charged_to_it() {
    for (class, expected) in [
        (Class::Unreachable, Toll::Failure),
        (Class::Overdue, Toll::Failure),
        (Class::Transient, Toll::Failure),
        (Class::RateLimited, Toll::Cooldown(SECOND)),
        (Class::QuotaExhausted, Toll::Cooldown(SECOND * 300)),
        (Class::Credential, Toll::Cooldown(SECOND * 30)),
        (Class::NotFound, Toll::None),
        (Class::TooLarge, Toll::None),
        (Class::Unsupported, Toll::None),
        (Class::Invalid, Toll::None),
        (Class::Filtered, Toll::None),
    ] {
        assert_eq!(toll(class, None), expected, "{class:?}");
    }
    assert_eq!(toll(Class::RateLimited, Some(SECOND * 7)), Toll::Cooldown(SECOND * 7));
    assert_eq!(toll(Class::RateLimited, Some(SECOND * 1_000_000)), Toll::Cooldown(SECOND * 3600));
}

#[test]
fn repetitions_stay_a_share_of_live_traffic() {
    let budget = RetryBudget::new();
    while budget.withdraw() {}
    for _ in 0..100 {
        budget.deposit(20);
    }
    let granted = (0..1000).filter(|_| budget.withdraw()).count();
    assert_eq!(granted, 20);
}

#[test]
fn a_quiet_time_does_not_save_up_without_bound() {
    let budget = RetryBudget::new();
    for _ in 0..100_000 {
        budget.deposit(100);
    }
    assert_eq!((0..10_000).filter(|_| budget.withdraw()).count(), 100);
}
