//! The order in which the targets of a rule are tried: one pure function for each strategy. Randomness is an argument.
//!
//! Whatever the strategy, targets that should not be called now (open breaker, cooling down) go last, in the same order among
//! themselves, and every place comes with its reason. It must not know what a target is.

use std::borrow::Cow;
use std::time::Duration;

/// How targets are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order<'a> {
    /// As written.
    Priority,
    /// By chance, in proportion to the weights.
    Weighted,
    /// The better of two, by latency and load.
    LeastLatency,
    /// By expected price; unpriced targets last.
    Cheapest,
    /// The same key gets the same target for as long as it is there (rendezvous hashing, weights included).
    /// Without a key: as written.
    Sticky(Option<&'a [u8]>),
}

/// Whether a target should be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// Yes.
    Well,
    /// Its breaker is open.
    Resting(Duration),
    /// Its breaker waits for a probe.
    Probing,
    /// It asked for a pause.
    Cooling(Duration),
}

/// What is known about a target.
#[derive(Debug, Clone, Copy)]
pub struct Contender<'a> {
    /// What makes it the same target across calls, proxies and versions.
    pub identity: &'a str,
    /// Its share.
    pub weight: u32,
    /// Whether it should be called now.
    pub fitness: Fitness,
    /// Expected cost in time, in any unit.
    pub latency: f64,
    /// Expected price of the call in nano-USD; `None` when unknown.
    pub price: Option<i64>,
}

/// One place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which contender.
    pub index: usize,
    /// Why it stands here.
    pub reason: Cow<'static, str>,
}

/// Orders the contenders; every one of them has exactly one place. `random` gives numbers from 0 up to 1.
pub fn rank(order: Order<'_>, contenders: &[Contender<'_>], random: &mut dyn FnMut() -> f64) -> Vec<Place> {
    let mut places = match order {
        Order::Priority => as_written(contenders, "priority"),
        Order::Weighted => by_chance(contenders, random),
        Order::LeastLatency => by_latency(contenders, random),
        Order::Cheapest => by_price(contenders),
        Order::Sticky(Some(key)) => by_hash(contenders, key),
        Order::Sticky(None) => as_written(contenders, "nothing to stick to; as written"),
    };
    for place in &mut places {
        if let Some(reason) = contenders.get(place.index).and_then(|contender| held_back(contender.fitness)) {
            place.reason = reason;
        }
    }
    // A stable sort keeps the strategy's order on both sides.
    places.sort_by_key(|place| {
        contenders.get(place.index).is_some_and(|contender| contender.fitness != Fitness::Well)
    });
    places
}

fn held_back(fitness: Fitness) -> Option<Cow<'static, str>> {
    let reason = match fitness {
        Fitness::Well => return None,
        Fitness::Resting(left) => format!("last: breaker open for {} ms more", left.as_millis()).into(),
        Fitness::Probing => "last: breaker half open, a probe is on its way".into(),
        Fitness::Cooling(left) => format!("last: asked for a pause of {} ms more", left.as_millis()).into(),
    };
    Some(reason)
}

fn as_written(contenders: &[Contender<'_>], reason: &'static str) -> Vec<Place> {
    (0..contenders.len()).map(|index| Place { index, reason: reason.into() }).collect()
}

/// Sorts by a score, lowest first, ties as written.
fn sorted(
    contenders: &[Contender<'_>],
    score: impl FnMut(&Contender<'_>) -> f64,
    reason: impl Fn(&Contender<'_>) -> Cow<'static, str>,
) -> Vec<Place> {
    let mut scored: Vec<(usize, f64)> = contenders.iter().map(score).enumerate().collect();
    scored.sort_by(|one, other| one.1.total_cmp(&other.1));
    scored
        .into_iter()
        .filter_map(|(index, _)| Some(Place { index, reason: reason(contenders.get(index)?) }))
        .collect()
}

/// Exponential keys: sorting by them draws without replacement in proportion to the weights.
fn by_chance(contenders: &[Contender<'_>], random: &mut dyn FnMut() -> f64) -> Vec<Place> {
    sorted(
        contenders,
        |contender| exponential(random(), contender.weight),
        |contender| format!("weight {}", contender.weight).into(),
    )
}

fn exponential(uniform: f64, weight: u32) -> f64 {
    if weight == 0 {
        return f64::INFINITY;
    }
    -(1.0 - uniform).max(f64::MIN_POSITIVE).ln() / f64::from(weight)
}

/// The better of two drawn at random goes first, so that not everyone runs to the same target at once; the rest by latency.
fn by_latency(contenders: &[Contender<'_>], random: &mut dyn FnMut() -> f64) -> Vec<Place> {
    let mut places = sorted(
        contenders,
        |contender| contender.latency,
        |contender| format!("latency score {:.0}", contender.latency).into(),
    );
    let well = |place: &Place| contenders.get(place.index).is_some_and(|one| one.fitness == Fitness::Well);
    let mut healthy: Vec<usize> =
        places.iter().enumerate().filter(|(_, place)| well(place)).map(|(at, _)| at).collect();
    if healthy.len() > 2 {
        let first = healthy.swap_remove(pick(random(), healthy.len()));
        let second = healthy.get(pick(random(), healthy.len())).copied().unwrap_or(first);
        // Places are sorted by latency, so the earlier one is the better one.
        let mut chosen = places.remove(first.min(second));
        chosen.reason = format!("{}, the better of two", chosen.reason).into();
        places.insert(0, chosen);
    }
    places
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a product of a share below 1 and a small count, clamped"
)]
fn pick(uniform: f64, count: usize) -> usize {
    ((uniform * count as f64) as usize).min(count.saturating_sub(1))
}

#[expect(clippy::cast_precision_loss, reason = "prices are compared, not added")]
fn by_price(contenders: &[Contender<'_>]) -> Vec<Place> {
    sorted(
        contenders,
        |contender| contender.price.map_or(f64::INFINITY, |nano_usd| nano_usd as f64),
        |contender| match contender.price {
            Some(nano_usd) => format!("about {:.6} USD", nano_usd as f64 / 1e9).into(),
            None => "no price known".into(),
        },
    )
}

fn by_hash(contenders: &[Contender<'_>], key: &[u8]) -> Vec<Place> {
    sorted(
        contenders,
        |contender| exponential(uniform(hash(key, contender.identity.as_bytes())), contender.weight),
        |_| "sticky by hash".into(),
    )
}

/// FNV-1a with a finishing mix. Part of the contract between proxies: the same key must meet the same target on each of them.
fn hash(key: &[u8], identity: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let folded = key
        .iter()
        .chain(&[0xff])
        .chain(identity)
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(PRIME));
    let mixed = (folded ^ (folded >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// The upper 53 bits as a number from 0 up to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn uniform(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
