//! Keeps one credential that runs out: fetched when it is first needed, renewed ahead of its end, shared by all calls.
//!
//! Whoever first notices that the end is near fetches the next one; the others go on with the old one while it holds. Nobody else
//! does it, because a fetch belongs to a call: there is no background task to supervise, and a provider that nobody calls costs its token
//! server nothing. A failed renewal keeps the old one to its end. It must not know what the credential is.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use lifecycle::Clock;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::source::SourceError;

/// How long a call without any credential waits for one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a call that has one waits for the next.
const PATIENCE_AHEAD: Duration = Duration::from_secs(3);
/// After a failure nobody asks again for so long.
const REST: Duration = Duration::from_secs(5);
/// The same while the old one still holds: each try may keep a call waiting that need not wait.
const REST_AHEAD: Duration = Duration::from_secs(30);
/// Renewed so long before its end, or at a tenth of its life if that is less.
const AHEAD_MS: u64 = 5 * 60 * 1000;
/// Not used so shortly before its end: the request has to arrive as well.
const MARGIN_MS: u64 = 5_000;
/// A younger credential that is rejected is not wrong because of its age: fetching another one would not help.
const TOO_YOUNG_TO_BLAME: Duration = Duration::from_secs(60);
/// Nobody gives out longer ones; a server that says so is not believed.
const LONGEST_LIFE_MS: u64 = 24 * 60 * 60 * 1000;

/// Where a credential comes from.
pub(super) trait Source: Debug + Send + Sync {
    /// The credential.
    type Value: PartialEq + Send + Sync;

    /// Asks for one.
    fn fetch(&self, now_ms: u64) -> impl Future<Output = Result<Fresh<Self::Value>, SourceError>> + Send;
}

/// A credential as its source gives it.
pub(super) struct Fresh<V> {
    pub(super) value: V,
    pub(super) life: Life,
}

/// How long a credential is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Until then, in milliseconds since 1970.
    Until(u64),
    /// It has no known end, but what it was read from may have changed after a while.
    LookAgainAfter(Duration),
}

impl Life {
    /// So many seconds from now on.
    pub(super) const fn seconds(now_ms: u64, seconds: u64) -> Self {
        Self::Until(now_ms.saturating_add(seconds.saturating_mul(1000)))
    }
}

/// A credential with its times.
pub(super) struct Held<V> {
    pub(super) value: V,
    /// Tells this one from those before and after it; the same one, fetched again, keeps its number.
    pub(super) generation: u64,
    fetched_at: Instant,
    /// When another one is asked for; at once, when the provider has rejected this one.
    renew_ms: AtomicU64,
    end_ms: u64,
}

/// Why there is no credential.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::upstream) enum TokenError {
    /// The source gave nothing.
    #[error(transparent)]
    Source(Arc<SourceError>),
    /// Somebody else's fetch did not end in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Overdue,
}

/// The credential of one provider.
pub(super) struct Tokens<S: Source> {
    source: S,
    /// Whose it is, for the log.
    provider: Box<str>,
    held: ArcSwapOption<Held<S::Value>>,
    flight: Mutex<Flight<S::Value>>,
}

/// What only the one that fetches sees.
struct Flight<V> {
    last: Option<Arc<Held<V>>>,
    failed: Option<(Instant, TokenError)>,
}

impl<S: Source> Tokens<S> {
    pub(super) fn new(provider: &str, source: S) -> Self {
        Self {
            source,
            provider: provider.into(),
            held: ArcSwapOption::empty(),
            flight: Mutex::new(Flight { last: None, failed: None }),
        }
    }

    /// The credential, if there is one that needs no renewal yet.
    pub(super) fn ready(&self, clock: &Clock) -> Option<Arc<Held<S::Value>>> {
        let held = self.held.load();
        let held = held.as_ref()?;
        (clock.unix_ms() < held.renew_ms.load(Ordering::Relaxed)).then(|| Arc::clone(held))
    }

    /// The credential, renewed if its time has come.
    pub(super) async fn get(&self, clock: &Clock) -> Result<Arc<Held<S::Value>>, TokenError> {
        if let Some(held) = self.ready(clock) {
            return Ok(held);
        }
        if let Some(old) = self.usable(clock) {
            return Ok(self.renew_ahead(clock).await.unwrap_or(old));
        }
        let Ok(mut flight) = timeout(PATIENCE, self.flight.lock()).await else {
            return Err(TokenError::Overdue);
        };
        if let Some(held) = self.usable(clock) {
            return Ok(held);
        }
        if let Some(error) = flight.failure_within(REST, clock) {
            return Err(error);
        }
        self.fetch(&mut flight, clock, PATIENCE).await
    }

    /// Tells that the provider has rejected this generation. True if another one is there or may be had.
    pub(super) fn rejected(&self, generation: u64, clock: &Clock) -> bool {
        let held = self.held.load_full();
        let Some(held) = held.filter(|held| held.generation == generation) else {
            return true;
        };
        if clock.now().saturating_duration_since(held.fetched_at) < TOO_YOUNG_TO_BLAME {
            return false;
        }
        // It stays until another one is there: the source may be away, and not every rejection is the credential's fault.
        held.renew_ms.store(0, Ordering::Relaxed);
        true
    }

    fn usable(&self, clock: &Clock) -> Option<Arc<Held<S::Value>>> {
        self.held.load_full().filter(|held| clock.unix_ms() < held.end_ms)
    }

    /// The next credential; nothing if somebody else is fetching it, or if it cannot be had now.
    async fn renew_ahead(&self, clock: &Clock) -> Option<Arc<Held<S::Value>>> {
        let mut flight = self.flight.try_lock().ok()?;
        if let Some(held) = self.ready(clock) {
            return Some(held);
        }
        if flight.failure_within(REST_AHEAD, clock).is_some() {
            return None;
        }
        self.fetch(&mut flight, clock, PATIENCE_AHEAD).await.ok()
    }

    async fn fetch(
        &self,
        flight: &mut Flight<S::Value>,
        clock: &Clock,
        patience: Duration,
    ) -> Result<Arc<Held<S::Value>>, TokenError> {
        let now_ms = clock.unix_ms();
        let fetched = match timeout(patience, self.source.fetch(now_ms)).await {
            Ok(fetched) => fetched.and_then(|fresh| hold(fresh, flight.last.as_deref(), now_ms, clock.now())),
            Err(_elapsed) => Err(SourceError::broken(format!("no answer within {} s", patience.as_secs()))),
        };
        match fetched {
            Ok(held) => {
                let held = Arc::new(held);
                flight.last = Some(Arc::clone(&held));
                flight.failed = None;
                self.held.store(Some(Arc::clone(&held)));
                Ok(held)
            }
            Err(error) => {
                let provider = &*self.provider;
                if self.usable(clock).is_some() {
                    tracing::warn!(provider, source = ?self.source, %error, "the provider's credential cannot be renewed; the old one is used until its end");
                } else {
                    tracing::error!(provider, source = ?self.source, %error, "the provider's credential cannot be had; its targets are passed over");
                }
                let error = TokenError::Source(Arc::new(error));
                flight.failed = Some((clock.now(), error.clone()));
                Err(error)
            }
        }
    }
}

impl<V> Flight<V> {
    fn failure_within(&self, rest: Duration, clock: &Clock) -> Option<TokenError> {
        let (at, error) = self.failed.as_ref()?;
        (clock.now().saturating_duration_since(*at) < rest).then(|| error.clone())
    }
}

/// Sets the times of a fresh credential.
fn hold<V: PartialEq>(
    fresh: Fresh<V>,
    last: Option<&Held<V>>,
    now_ms: u64,
    now: Instant,
) -> Result<Held<V>, SourceError> {
    let generation = match last {
        None => 1,
        Some(last) if last.value == fresh.value => last.generation,
        Some(last) => last.generation + 1,
    };
    let (renew_ms, end_ms) = match fresh.life {
        Life::LookAgainAfter(pause) => {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            (now_ms.saturating_add(pause_ms), u64::MAX)
        }
        Life::Until(end_ms) => {
            let life_ms = end_ms.saturating_sub(now_ms).min(LONGEST_LIFE_MS);
            if life_ms == 0 {
                return Err(SourceError::broken(
                    "what came has already expired; is this machine's clock right?",
                ));
            }
            let ahead_ms = AHEAD_MS.min(life_ms / 10);
            let margin_ms = MARGIN_MS.min(life_ms / 20);
            (now_ms + (life_ms - ahead_ms), now_ms + (life_ms - margin_ms))
        }
    };
    Ok(Held { value: fresh.value, generation, fetched_at: now, renew_ms: renew_ms.into(), end_ms })
}

impl<S: Source> Debug for Tokens<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
