use super::*;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn contender(index: usize) -> Contender<'static> {
    Contender { identity: NAMES[index], weight: 1, fitness: Fitness::Well, latency: 0.0, price: None }
}

fn contenders(count: usize, change: impl Fn(usize, &mut Contender<'static>)) -> Vec<Contender<'static>> {
    (0..count)
        .map(|index| {
            let mut one = contender(index);
            change(index, &mut one);
            one
        })
        .collect()
}

fn order(order: Order<'_>, contenders: &[Contender<'_>], random: &mut dyn FnMut() -> f64) -> Vec<usize> {
    rank(order, contenders, random).into_iter().map(|place| place.index).collect()
}

/// For strategies that draw nothing.
fn no_chance() -> f64 {
    panic!("this strategy must not draw")
}

#[test]
fn each_strategy_orders_by_its_own_measure() {
    let all = contenders(4, |index, one| {
        one.latency = [30.0, 10.0, 40.0, 20.0][index];
        one.price = [Some(300), None, Some(100), Some(200)][index];
    });
    let two = &all[..2];
    for (strategy, contenders, expected) in [
        (Order::Priority, all.as_slice(), vec![0, 1, 2, 3]),
        (Order::Cheapest, &all, vec![2, 3, 0, 1]),
        (Order::Sticky(None), &all, vec![0, 1, 2, 3]),
        (Order::LeastLatency, two, vec![1, 0]),
        (Order::Priority, &[], vec![]),
        (Order::LeastLatency, &[], vec![]),
    ] {
        assert_eq!(order(strategy, contenders, &mut no_chance), expected, "{strategy:?}");
    }
}

#[test]
fn what_should_not_be_called_goes_last_under_every_strategy_and_says_why() {
    let all = contenders(3, |index, one| {
        one.price = Some(1);
        if index == 0 {
            one.fitness = Fitness::Resting(Duration::from_millis(1500));
        }
    });
    let key: &[u8] = b"key";
    for strategy in
        [Order::Priority, Order::Weighted, Order::LeastLatency, Order::Cheapest, Order::Sticky(Some(key))]
    {
        let places = rank(strategy, &all, &mut || 0.5);
        assert_eq!(places[2].index, 0, "{strategy:?}");
        assert_eq!(places[2].reason, "last: breaker open for 1500 ms more");
    }
}

#[test]
fn weights_are_kept_in_the_first_choice_and_zero_is_chosen_last() {
    let all = contenders(3, |index, one| one.weight = [3, 1, 0][index]);
    let mut generator = fastrand::Rng::with_seed(7);
    let mut first = [0; 3];
    for _ in 0..10_000 {
        let order = order(Order::Weighted, &all, &mut || generator.f64());
        first[order[0]] += 1;
        assert_eq!(order[2], 2);
    }
    assert!((7_300..7_700).contains(&first[0]), "{first:?}");
}

#[test]
fn the_better_of_two_never_lets_the_worst_win_and_the_best_wins_most() {
    let all = contenders(5, |index, one| one.latency = [50.0, 10.0, 40.0, 20.0, 30.0][index]);
    let mut generator = fastrand::Rng::with_seed(7);
    let mut first = [0; 5];
    for _ in 0..10_000 {
        let order = order(Order::LeastLatency, &all, &mut || generator.f64());
        first[order[0]] += 1;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4]);
    }
    assert_eq!(first[0], 0);
    assert!(first[1] > first[3] && first[3] > first[4] && first[4] > first[2], "{first:?}");
}

#[test]
fn the_draw_of_two_leaves_sick_targets_out() {
    let all = contenders(4, |index, one| {
        one.latency = [1.0, 2.0, 3.0, 4.0][index];
        if index == 0 {
            one.fitness = Fitness::Probing;
        }
    });
    let mut generator = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let order = order(Order::LeastLatency, &all, &mut || generator.f64());
        assert_eq!(order[3], 0);
    }
}

#[test]
fn a_key_keeps_its_target_when_another_target_leaves() {
    let all = contenders(5, |_, _| {});
    for number in 0..500 {
        let key = format!("conversation {number}");
        let before = order(Order::Sticky(Some(key.as_bytes())), &all, &mut no_chance);
        let without: Vec<Contender<'_>> =
            all.iter().copied().filter(|one| one.identity != NAMES[before[4]]).collect();
        let after = order(Order::Sticky(Some(key.as_bytes())), &without, &mut no_chance);
        assert_eq!(without[after[0]].identity, NAMES[before[0]]);
    }
}

#[test]
fn keys_spread_by_weight() {
    let all = contenders(3, |index, one| one.weight = [1, 2, 1][index]);
    let mut first = [0; 3];
    for number in 0..8_000 {
        let key = format!("caller-{number}");
        first[order(Order::Sticky(Some(key.as_bytes())), &all, &mut no_chance)[0]] += 1;
    }
    assert!((3_700..4_300).contains(&first[1]) && (1_800..2_200).contains(&first[0]), "{first:?}");
}

#[test]
fn the_hash_is_the_same_on_every_proxy_forever() {
    assert_eq!(hash(b"", b""), 1_998_855_519_756_462_295);
    assert_eq!(hash(b"key", b"openai/gpt"), 13_593_356_010_493_013_403);
}
