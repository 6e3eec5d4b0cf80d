//! With a source that is told what to give, and tokio's paused clock.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use parking_lot::Mutex as SyncMutex;
use tokio::sync::Notify;
use tokio::time::advance;

use super::*;

const START_MS: u64 = 1_800_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);

/// What the source does when it is asked.
#[derive(Clone, Copy)]
enum Mood {
    /// A token for an hour.
    Gives,
    /// The same token again, for an hour.
    GivesTheSame,
    /// A token that is over already.
    GivesOld,
    Fails,
    /// Gives once it is told to go on.
    Waits,
    Hangs,
}

#[derive(Clone)]
struct Fake {
    mood: Arc<SyncMutex<Mood>>,
    asked: Arc<AtomicU64>,
    go_on: Arc<Notify>,
}

impl Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fake")
    }
}

impl Source for Fake {
    type Value = u64;

    async fn fetch(&self, now_ms: u64) -> Result<Fresh<u64>, SourceError> {
        let mut value = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mood = *self.mood.lock();
        let life = match mood {
            Mood::Gives => Life::seconds(now_ms, 3600),
            Mood::GivesTheSame => {
                value = 1;
                Life::seconds(now_ms, 3600)
            }
            Mood::GivesOld => Life::Until(now_ms),
            Mood::Fails => return Err(SourceError::broken("out of order")),
            Mood::Waits => {
                self.go_on.notified().await;
                Life::seconds(now_ms, 3600)
            }
            Mood::Hangs => std::future::pending().await,
        };
        Ok(Fresh { value, life })
    }
}

struct Scene {
    fake: Fake,
    tokens: Arc<Tokens<Fake>>,
    clock: Clock,
}

impl Scene {
    fn new(mood: Mood) -> Self {
        let fake =
            Fake { mood: Arc::new(SyncMutex::new(mood)), asked: Arc::default(), go_on: Arc::default() };
        let tokens = Arc::new(Tokens::new("p", fake.clone()));
        Self { fake, tokens, clock: Clock::tokio(START_MS) }
    }

    fn turn(&self, mood: Mood) {
        *self.fake.mood.lock() = mood;
    }

    fn asked(&self) -> u64 {
        self.fake.asked.load(Ordering::Relaxed)
    }

    async fn value(&self) -> Result<u64, String> {
        self.tokens.get(&self.clock).await.map(|held| held.value).map_err(|error| error.to_string())
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_and_kept() {
    let scene = Scene::new(Mood::Gives);
    assert!(scene.tokens.ready(&scene.clock).is_none());
    for _ in 0..3 {
        assert_eq!(scene.value().await, Ok(1));
        advance(Duration::from_secs(600)).await;
    }
    assert!(scene.tokens.ready(&scene.clock).is_some());
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_without_a_token_asks_once() {
    let scene = Scene::new(Mood::Waits);
    let crowd = join_all((0..50).map(|_| scene.value()));
    let opening = async {
        tokio::task::yield_now().await;
        scene.fake.go_on.notify_one();
    };
    let (values, ()) = tokio::join!(crowd, opening);
    assert!(values.iter().all(|value| *value == Ok(1)), "{values:?}");
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn near_the_end_the_first_to_notice_renews_and_the_others_go_on_with_the_old_one() {
    let scene = Scene::new(Mood::Gives);
    scene.value().await.unwrap();
    advance(HOUR - Duration::from_secs(299)).await;
    scene.turn(Mood::Waits);
    let first = scene.value();
    let others = async {
        let values = join_all((0..20).map(|_| scene.value())).await;
        assert!(values.iter().all(|value| *value == Ok(1)), "{values:?}");
        scene.fake.go_on.notify_one();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first, Ok(2));
    assert_eq!(scene.asked(), 2);
    assert_eq!(scene.value().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn five_minutes_before_the_end_or_a_tenth_of_a_short_life_is_near() {
    let now = Instant::now();
    let renewed_after = |life_ms: u64| {
        let fresh = Fresh { value: (), life: Life::Until(START_MS + life_ms) };
        hold(fresh, None, START_MS, now).unwrap().renew_ms.into_inner() - START_MS
    };
    assert_eq!(renewed_after(3_600_000), 3_300_000);
    assert_eq!(renewed_after(600_000), 540_000);
    let a_year = 365 * 24 * 3_600_000;
    assert!(renewed_after(a_year) < 24 * 3_600_000, "nobody is believed for a year");
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_keeps_the_old_token_to_its_end_and_not_longer() {
    let scene = Scene::new(Mood::Gives);
    scene.value().await.unwrap();
    advance(HOUR - Duration::from_secs(200)).await;
    scene.turn(Mood::Fails);
    for _ in 0..5 {
        assert_eq!(scene.value().await, Ok(1));
    }
    assert_eq!(scene.asked(), 2, "after a failure nobody asks again at once");
    advance(REST_AHEAD).await;
    assert_eq!(scene.value().await, Ok(1));
    assert_eq!(scene.asked(), 3);
    advance(Duration::from_secs(170)).await;
    assert_eq!(scene.value().await, Err("out of order".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_calls_fail_at_once_until_it_is_time_to_ask_again() {
    let scene = Scene::new(Mood::Fails);
    for _ in 0..20 {
        scene.value().await.unwrap_err();
    }
    assert_eq!(scene.asked(), 1);
    scene.turn(Mood::Gives);
    advance(REST).await;
    assert_eq!(scene.value().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_source_costs_a_bounded_wait_that_the_crowd_shares() {
    let scene = Scene::new(Mood::Hangs);
    let before = Instant::now();
    let values = join_all((0..20).map(|_| scene.value())).await;
    assert!(values.iter().all(Result::is_err));
    assert_eq!(before.elapsed(), PATIENCE);
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_source_delays_a_call_that_has_a_token_only_briefly() {
    let scene = Scene::new(Mood::Gives);
    scene.value().await.unwrap();
    advance(HOUR - Duration::from_secs(200)).await;
    scene.turn(Mood::Hangs);
    let before = Instant::now();
    assert_eq!(scene.value().await, Ok(1));
    assert_eq!(before.elapsed(), PATIENCE_AHEAD);
}

#[tokio::test(start_paused = true)]
async fn when_the_caller_that_fetches_leaves_the_next_one_fetches() {
    let scene = Scene::new(Mood::Hangs);
    let leaving = timeout(Duration::from_secs(1), scene.value());
    assert!(leaving.await.is_err());
    scene.turn(Mood::Gives);
    assert_eq!(scene.value().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_when_it_comes_is_no_token() {
    let scene = Scene::new(Mood::GivesOld);
    assert!(scene.value().await.unwrap_err().contains("already expired"));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_fetched_anew_once_and_then_the_credential_is_given_up() {
    let scene = Scene::new(Mood::Gives);
    let first = scene.tokens.get(&scene.clock).await.unwrap();
    advance(Duration::from_secs(120)).await;
    assert!(scene.tokens.rejected(first.generation, &scene.clock));
    let second = scene.tokens.get(&scene.clock).await.unwrap();
    assert_eq!((second.value, scene.asked()), (2, 2));
    assert!(!scene.tokens.rejected(second.generation, &scene.clock), "a new one was rejected as well");
    assert_eq!(scene.value().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_rejected_with_the_old_token_take_the_one_that_is_there() {
    let scene = Scene::new(Mood::Gives);
    let first = scene.tokens.get(&scene.clock).await.unwrap();
    advance(Duration::from_secs(120)).await;
    assert!(scene.tokens.rejected(first.generation, &scene.clock));
    scene.value().await.unwrap();
    for _ in 0..20 {
        assert!(scene.tokens.rejected(first.generation, &scene.clock));
        assert_eq!(scene.value().await, Ok(2));
    }
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_the_rejected_token_again_is_not_asked_for_every_call() {
    let scene = Scene::new(Mood::GivesTheSame);
    let first = scene.tokens.get(&scene.clock).await.unwrap();
    advance(Duration::from_secs(120)).await;
    assert!(scene.tokens.rejected(first.generation, &scene.clock));
    for _ in 0..20 {
        let again = scene.tokens.get(&scene.clock).await.unwrap();
        assert_eq!(again.generation, first.generation);
        assert!(!scene.tokens.rejected(again.generation, &scene.clock));
    }
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_does_not_take_a_token_away_while_its_source_is_out_of_order() {
    let scene = Scene::new(Mood::Gives);
    let first = scene.tokens.get(&scene.clock).await.unwrap();
    advance(Duration::from_secs(120)).await;
    scene.turn(Mood::Fails);
    assert!(scene.tokens.rejected(first.generation, &scene.clock));
    assert_eq!(scene.value().await, Ok(1));
    scene.turn(Mood::Gives);
    advance(Duration::from_secs(60)).await;
    assert_eq!(scene.value().await, Ok(3));
}
