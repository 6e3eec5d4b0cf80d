use tokio::time::advance;

use super::*;

const REST: Duration = Duration::from_secs(5);

fn breaker() -> Arc<Breaker> {
    Arc::new(Breaker::new(BreakerRules::default(), Instant::now()))
}

fn fail(breaker: &Arc<Breaker>, times: u32) {
    for _ in 0..times {
        breaker.enter(Instant::now()).unwrap().failed(Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let breaker = breaker();
    fail(&breaker, 4);
    breaker.enter(Instant::now()).unwrap().succeeded(Instant::now());
    fail(&breaker, 4);
    assert_eq!(breaker.standing(Instant::now()), Standing::Closed);

    fail(&breaker, 1);
    assert_eq!(breaker.standing(Instant::now()), Standing::Resting(REST));
    assert_eq!(breaker.enter(Instant::now()).unwrap_err(), Standing::Resting(REST));
}

#[tokio::test(start_paused = true)]
async fn a_high_share_of_failures_opens_it_also_when_they_are_scattered() {
    let breaker = breaker();
    for _ in 0..10 {
        assert_eq!(breaker.standing(Instant::now()), Standing::Closed);
        breaker.enter(Instant::now()).unwrap().succeeded(Instant::now());
        fail(&breaker, 1);
    }
    assert!(breaker.standing(Instant::now()).is_open());
}

#[tokio::test(start_paused = true)]
async fn failures_of_an_earlier_window_are_forgotten() {
    let breaker = breaker();
    for _ in 0..9 {
        breaker.enter(Instant::now()).unwrap().succeeded(Instant::now());
        fail(&breaker, 1);
    }
    advance(Duration::from_secs(10)).await;
    breaker.enter(Instant::now()).unwrap().succeeded(Instant::now());
    fail(&breaker, 1);
    assert_eq!(breaker.standing(Instant::now()), Standing::Closed);
}

#[tokio::test(start_paused = true)]
async fn after_its_rest_exactly_one_probe_is_admitted() {
    let breaker = breaker();
    fail(&breaker, 5);
    advance(REST).await;
    assert_eq!(breaker.standing(Instant::now()), Standing::ProbeDue);

    let probe = breaker.enter(Instant::now()).unwrap();
    assert!(probe.is_probe());
    assert_eq!(breaker.enter(Instant::now()).unwrap_err(), Standing::Probing);

    probe.succeeded(Instant::now());
    assert_eq!(breaker.standing(Instant::now()), Standing::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_doubles_the_rest_up_to_the_longest() {
    let breaker = breaker();
    fail(&breaker, 5);
    let mut rest = REST;
    for _ in 0..6 {
        advance(rest).await;
        fail(&breaker, 1);
        rest = (rest * 2).min(Duration::from_secs(60));
        assert_eq!(breaker.standing(Instant::now()), Standing::Resting(rest));
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_hung_up_leaves_room_for_another() {
    let breaker = breaker();
    fail(&breaker, 5);
    advance(REST).await;
    drop(breaker.enter(Instant::now()).unwrap());
    assert_eq!(breaker.standing(Instant::now()), Standing::ProbeDue);
}

#[tokio::test(start_paused = true)]
async fn a_late_success_from_before_the_opening_does_not_close_it() {
    let breaker = breaker();
    let early = breaker.enter(Instant::now()).unwrap();
    fail(&breaker, 5);
    early.succeeded(Instant::now());
    assert_eq!(breaker.standing(Instant::now()), Standing::Resting(REST));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asked_for_a_pause_gets_it_and_the_longer_pause_wins() {
    let breaker = breaker();
    breaker.cool_until(Instant::now() + Duration::from_secs(20));
    breaker.cool_until(Instant::now() + Duration::from_secs(3));
    assert_eq!(breaker.standing(Instant::now()), Standing::Cooling(Duration::from_secs(20)));
    advance(Duration::from_secs(20)).await;
    assert_eq!(breaker.standing(Instant::now()), Standing::Closed);
}
