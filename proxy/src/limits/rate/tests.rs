//! The arithmetic of one limit.

use proptest::prelude::*;

use super::*;

const SECOND_NS: i64 = 1_000_000_000;

#[test]
fn exactly_the_limit_fits_into_a_minute_whatever_the_limit() {
    for limit in [1, 3, 7, 60, 61, 997, 100_003] {
        let rate = Rate::default();
        for _ in 0..limit {
            rate.take(0, limit, 1).unwrap();
        }
        assert!(rate.take(0, limit, 1).is_err(), "{limit}");
        assert_eq!(rate.level(0, limit).remaining, 0, "{limit}");
    }
}

#[test]
fn a_refusal_says_exactly_when_there_is_room() {
    let rate = Rate::default();
    for _ in 0..3 {
        rate.take(0, 3, 1).unwrap();
    }
    assert_eq!(rate.take(0, 3, 1), Err(Full::For(Duration::from_secs(20))));
    assert!(rate.take(20 * SECOND_NS - 1, 3, 1).is_err());
    rate.take(20 * SECOND_NS, 3, 1).unwrap();
}

#[test]
fn more_than_the_limit_is_never_possible() {
    assert_eq!(Rate::default().take(0, 100, 101), Err(Full::Forever));
}

#[test]
fn nothing_is_saved_up_beyond_the_limit() {
    let rate = Rate::default();
    rate.take(3_600 * SECOND_NS, 10, 10).unwrap();
    assert!(rate.take(3_600 * SECOND_NS, 10, 1).is_err());
}

#[test]
fn real_use_above_the_estimate_is_debt_that_later_calls_wait_for() {
    let rate = Rate::default();
    let taken = rate.take(0, 60, 10).unwrap();
    rate.settle(0, taken, 120);
    assert_eq!(rate.level(0, 60), Level { remaining: 0, reset: Duration::from_secs(120) });
    assert_eq!(rate.take(0, 60, 1), Err(Full::For(Duration::from_secs(61))));
}

#[test]
fn what_was_not_used_comes_back_but_not_into_a_newer_minute() {
    let rate = Rate::default();
    let taken = rate.take(0, 60, 60).unwrap();
    rate.settle(0, taken, 10);
    assert_eq!(rate.level(0, 60).remaining, 50);

    let rate = Rate::default();
    let early = rate.take(0, 60, 60).unwrap();
    rate.take(60 * SECOND_NS, 60, 60).unwrap();
    rate.settle(60 * SECOND_NS, early, 0);
    assert_eq!(rate.level(60 * SECOND_NS, 60).remaining, 0);
}

#[test]
fn editing_the_limit_keeps_what_was_used() {
    let rate = Rate::default();
    for _ in 0..8 {
        rate.take(0, 10, 1).unwrap();
    }
    assert_eq!(rate.level(0, 20).remaining, 12);
    assert_eq!(rate.level(0, 5).remaining, 0);
    assert_eq!(rate.level(0, 10).remaining, 2);
}

proptest! {
    #[test]
    fn after_everything_is_settled_exactly_the_real_use_remains(
        calls in prop::collection::vec((1_u64..500, 0_u64..2_000, any::<bool>()), 1..40),
        limit in 1_000_u64..10_000_000,
    ) {
        let rate = Rate::default();
        let mut open = Vec::new();
        let mut used = 0_u64;
        for (estimate, real, undone) in calls {
            if let Ok(taken) = rate.take(0, limit, estimate) {
                open.push((taken, real, undone));
            }
        }
        for (taken, real, undone) in open {
            if undone {
                rate.undo(taken);
            } else {
                rate.settle(0, taken, real);
                used += real;
            }
        }
        // Each settlement rounds down by less than a nanosecond's worth of units.
        let left = rate.level(0, limit).remaining;
        let expected = limit.saturating_sub(used);
        prop_assert!(left >= expected && left <= expected + 1, "left {left}, expected {expected}");
    }

    #[test]
    fn never_more_than_the_limit_begins_within_a_window(
        gaps in prop::collection::vec(0_i64..2_000_000_000, 1..200),
        limit in 1_u64..50,
    ) {
        let rate = Rate::default();
        let (mut now, mut begun) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            if rate.take(now, limit, 1).is_ok() {
                begun.push(now);
            }
        }
        // A full bucket plus what decays during the window.
        for start in &begun {
            let within = begun.iter().filter(|at| (*start..start + 60 * SECOND_NS).contains(at)).count();
            prop_assert!(within as u64 <= 2 * limit);
        }
    }
}
