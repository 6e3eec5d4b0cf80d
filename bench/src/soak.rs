//! The soak: everything as an operator runs it, under a steady mix of calls that succeed, are refused or are abandoned, while
//! policy changes. It passes when nothing grew, nothing failed that should not, and the ledger holds each call once.

mod callers;
mod mix;
mod verdict;
mod watch;
mod world;

use std::time::Duration;

use anyhow::bail;
use lifecycle::Clock;

use self::callers::{Callers, Tally};
use self::mix::Mix;
use self::watch::Watch;
use self::world::World;
use crate::table;

/// The part of the run that is warm-up: one in so many.
const WARM_UP: u32 = 5;

/// How often processes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a line of progress is printed.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// How long after the last call its record, and the last policy, may take to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// How long and how hard.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// Minutes under load; the first fifth is warm-up
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// Calls a second, of all kinds together
    #[arg(long, default_value_t = 150)]
    rate: u32,
    /// Connections, each a caller that waits for its answer
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Seconds between two changes of policy
    #[arg(long, default_value_t = 3)]
    change_every: u32,
    /// How many MiB the memory of one process may grow after warm-up
    #[arg(long, default_value_t = 8)]
    growth_mib: u64,
}

/// What the run came to, beside what was watched.
struct Outcome {
    tally: Tally,
    changes: u64,
    /// Changes that the control plane did not take.
    refused: Vec<String>,
}

/// Runs it and prints the verdict. What is not as it should be is an error.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut world = World::start()?;
    let mix = Mix::new(&world);
    let before = world.calls_in_ledger()?;
    let duration = Duration::from_secs(60) * plan.minutes;
    let mut watch = Watch::new(duration / WARM_UP);
    let outcome = under_load(plan, &mut world, &mix, &mut watch)?;
    let made = before + outcome.tally.made;
    let arrived = world.wait_for_arrival(made, ARRIVAL_LIMIT)?;

    let mut checks = watch.judge(plan.growth_mib);
    checks.push(verdict::nothing("calls that failed", outcome.tally.failed));
    checks.push(verdict::nothing("changes of policy refused", u64::try_from(outcome.refused.len())?));
    checks.push(verdict::equal("calls in the ledger", made, arrived.calls));
    checks.push(verdict::equal("policy version enforced", world.head(), arrived.version));
    checks.push(verdict::nothing("records dropped", arrived.dropped));
    let complaints = outcome.tally.first_failures.iter().chain(&outcome.refused).take(10);
    for complaint in complaints {
        table::say(&format!("failed: {complaint}"));
    }
    table::say(&format!(
        "\n{}\n{} calls, {} changes of policy in {} min at {} calls a second\n\n{}",
        outcome.tally.by_kind(&mix),
        outcome.tally.made,
        outcome.changes,
        plan.minutes,
        plan.rate,
        verdict::render(&checks)
    ));
    if checks.iter().all(|check| check.holds) { Ok(()) } else { bail!("the soak did not hold") }
}

/// Sends the load and changes policy meanwhile, looking at the processes every second.
fn under_load(plan: &Plan, world: &mut World, mix: &Mix, watch: &mut Watch) -> anyhow::Result<Outcome> {
    let clock = Clock::system();
    let duration = Duration::from_secs(60) * plan.minutes;
    let callers = Callers::new(mix, world.addr(), plan.rate, duration);
    let change_every = Duration::from_secs(1) * plan.change_every.max(1);
    let (mut next_change, mut next_word) = (change_every, SAY_EVERY);
    let (mut changes, mut refused) = (0, Vec::new());
    let tally = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.connections).map(|_| scope.spawn(|| callers.work())).collect();
        let started = clock.now();
        loop {
            std::thread::sleep(LOOK_EVERY);
            let elapsed = clock.now() - started;
            if elapsed >= duration {
                break;
            }
            watch.look(elapsed, world)?;
            if elapsed >= next_change {
                next_change += change_every;
                changes += 1;
                if let Err(error) = world.change_policy(changes) {
                    refused.push(format!("{error:#}"));
                }
            }
            if elapsed >= next_word {
                next_word += SAY_EVERY;
                let progress = callers.progress();
                table::say(&format!("{:>5} s  {progress}  {}", elapsed.as_secs(), watch.last_words(world)));
            }
        }
        let mut tally = Tally::new(mix);
        for thread in threads {
            match thread.join() {
                Ok(one) => tally.add(&one),
                Err(_) => bail!("a load thread panicked"),
            }
        }
        Ok(tally)
    })?;
    Ok(Outcome { tally, changes, refused })
}
