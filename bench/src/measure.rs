//! The run: starts everything once, then measures scenario by scenario in rounds that alternate between the contenders, so that
//! what the machine does meanwhile falls on all of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::child::{Cores, Place, Program, Running, free_port};
use crate::frontdoor::{self, Setup, Started};
use crate::load::{self, Call, Load, Measured, Pace, Target};
use crate::scenario::{SCRIPT, Scenario};
use crate::table::{self, Row};

/// How thoroughly to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// Rounds of every contender in every scenario
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Measure the floor alone
    #[arg(long)]
    floor_only: bool,
    /// Leave bench/README.md as it is
    #[arg(long)]
    dry_run: bool,
    /// The file whose table is replaced
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))]
    readme: PathBuf,
}

/// How long after a round its last record may take to arrive in the ledger.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// Something that calls go through.
enum Contender {
    Floor { process: Running, addr: SocketAddr },
    Frontdoor(Box<Started>),
}

impl Contender {
    fn name(&self) -> &'static str {
        match self {
            Self::Floor { .. } => "floor",
            Self::Frontdoor(_) => "Frontdoor",
        }
    }

    fn process(&self) -> &Running {
        match self {
            Self::Floor { process, .. } => process,
            Self::Frontdoor(started) => &started.proxy,
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Floor { addr, .. } => *addr,
            Self::Frontdoor(started) => started.addr,
        }
    }

    fn call(&self, scenario: Scenario) -> Call {
        match self {
            Self::Floor { .. } => scenario.plain_call(),
            Self::Frontdoor(started) => scenario.frontdoor_call(&started.key),
        }
    }

    /// Calls that the ledger holds.
    fn reported(&self) -> anyhow::Result<u64> {
        match self {
            Self::Floor { .. } => Ok(0),
            Self::Frontdoor(started) => started.calls_in_ledger(),
        }
    }

    /// Returns when everything that `calls` leave to be done has been done. A record that was lost or is late would have cost more.
    fn come_to_rest(&self, calls: u64) -> anyhow::Result<()> {
        let Self::Frontdoor(started) = self else { return Ok(()) };
        let arrived = started.wait_for_arrival(calls, 0, ARRIVAL_LIMIT)?;
        if arrived.calls < calls {
            bail!("{} of {calls} calls are in the ledger, {} were lost", arrived.calls, arrived.dropped);
        }
        Ok(())
    }
}

/// One contender over all rounds of a scenario.
struct Seen<'a> {
    contender: &'a Contender,
    /// A round each.
    cpu_us: Vec<f64>,
    /// The open loops of all rounds.
    latency: Measured,
    calls: u64,
    failed: u64,
}

/// Measures and writes the table.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    // Both change once this process has moved away and works.
    let machine = table::machine();
    let cores = Cores::of_this_machine();
    cores.move_away()?;
    let folder = tempfile::tempdir()?;
    let upstream_addr = free_port()?;
    let _upstream = Running::upstream(upstream_addr, SCRIPT, &cores, folder.path())?;

    let mut contenders = vec![floor(upstream_addr, &cores, folder.path())?];
    if !plan.floor_only {
        // The control plane keeps history and usage on its disk, as it does by default.
        let setup = Setup { policy: frontdoor::policy(upstream_addr), is_durable: true };
        contenders.push(Contender::Frontdoor(Box::new(frontdoor::start(&setup, &cores, folder.path())?)));
    }
    let mut rows = Vec::new();
    for scenario in Scenario::ALL {
        rows.extend(measure(scenario, plan, upstream_addr, &contenders)?);
    }
    let table = table::render(&rows);
    table::say(&format!("\n{table}"));
    if !plan.dry_run {
        table::write_into(
            &plan.readme,
            table::CALLS,
            &format!("{}\n{table}", conditions(plan, &cores, &machine)),
        )?;
    }
    Ok(())
}

fn floor(upstream: SocketAddr, cores: &Cores, folder: &Path) -> anyhow::Result<Contender> {
    let addr = free_port()?;
    let program =
        Program::itself(["floor", "--listen", &addr.to_string(), "--upstream", &upstream.to_string()])?;
    let mut process = Running::start("floor", &program, (cores, Place::Measured), folder)?;
    process.wait_for(addr)?;
    Ok(Contender::Floor { process, addr })
}

fn measure(
    scenario: Scenario,
    plan: &Plan,
    upstream: SocketAddr,
    contenders: &[Contender],
) -> anyhow::Result<Vec<Row>> {
    let mut direct = Measured::new()?;
    let mut seen = contenders.iter().map(Seen::nothing).collect::<anyhow::Result<Vec<_>>>()?;
    for contender in contenders {
        closed(contender, scenario, Duration::from_secs(1))?;
    }
    for number in 1..=plan.rounds {
        for one in &mut seen {
            let cpu_us = one.work(scenario, Duration::from_secs(plan.seconds))?;
            table::say(&format!(
                "{}, round {number} of {}: {} {cpu_us:.1} µs CPU a call",
                scenario.name(),
                plan.rounds,
                one.contender.name(),
            ));
        }
        let measured = open(upstream, contenders, scenario, plan)?;
        let mut measured = measured.into_iter();
        direct.add(measured.next().context("the direct calls were not measured")?)?;
        for (one, measured) in seen.iter_mut().zip(measured) {
            one.note(measured)?;
        }
    }
    let floor_cpu_us = seen.first().map(|floor| floor.cpu_us.clone()).unwrap_or_default();
    seen.iter().map(|one| one.row(scenario, &floor_cpu_us, &direct)).collect()
}

impl<'a> Seen<'a> {
    fn nothing(contender: &'a Contender) -> anyhow::Result<Self> {
        Ok(Self { contender, cpu_us: Vec::new(), latency: Measured::new()?, calls: 0, failed: 0 })
    }

    /// One round of the closed loop: its CPU a call.
    fn work(&mut self, scenario: Scenario, duration: Duration) -> anyhow::Result<f64> {
        let (measured, cpu) = closed(self.contender, scenario, duration)?;
        let cpu_us = per_call(cpu, measured.calls);
        self.cpu_us.push(cpu_us);
        self.count(&measured);
        Ok(cpu_us)
    }

    /// One round of the open loop.
    fn note(&mut self, measured: Measured) -> anyhow::Result<()> {
        self.count(&measured);
        self.latency.add(measured)
    }

    fn count(&mut self, measured: &Measured) {
        self.calls += measured.calls;
        self.failed += measured.failed;
        if let Some(failure) = &measured.first_failure {
            let all = measured.calls + measured.failed;
            let name = self.contender.name();
            table::say(&format!("{name} failed {} of {all} calls, first: {failure}", measured.failed));
        }
    }

    fn row(&self, scenario: Scenario, floor_cpu_us: &[f64], direct: &Measured) -> anyhow::Result<Row> {
        // Round by round, so that a machine that slows down over the run moves both sides.
        let ratios: Vec<f64> = self.cpu_us.iter().zip(floor_cpu_us).map(|(own, floor)| own / floor).collect();
        let added = |quantile| {
            let through = self.latency.latency.value_at_quantile(quantile);
            through.cast_signed() - direct.latency.value_at_quantile(quantile).cast_signed()
        };
        Ok(Row {
            scenario: scenario.name(),
            contender: self.contender.name(),
            cpu_us: median(&self.cpu_us),
            ratio: median(&ratios),
            added_p50_us: added(0.5),
            added_p99_us: added(0.99),
            resident_mib: mib(self.contender.process().resident_kib()?),
            calls: self.calls,
            failed: self.failed,
        })
    }
}

/// A closed loop, and the CPU that it cost until nothing of it was left to do: records travel after the answers.
fn closed(
    contender: &Contender,
    scenario: Scenario,
    duration: Duration,
) -> anyhow::Result<(Measured, Duration)> {
    let load = Load { pace: Pace::Closed, connections: scenario.closed_connections(), duration };
    let process = contender.process();
    let reported = contender.reported()?;
    let before = process.cpu()?;
    let measured = load::run(contender.addr(), &contender.call(scenario), load)
        .with_context(|| format!("{} is gone: {}", contender.name(), process.last_words()))?;
    contender.come_to_rest(reported + measured.calls + measured.failed)?;
    Ok((measured, process.cpu()?.saturating_sub(before)))
}

/// Latency: calls without anything between and calls through each contender, in turn. The direct ones come first.
fn open(
    upstream: SocketAddr,
    contenders: &[Contender],
    scenario: Scenario,
    plan: &Plan,
) -> anyhow::Result<Vec<Measured>> {
    let mut targets = vec![Target::new(upstream, &scenario.plain_call())];
    for contender in contenders {
        targets.push(Target::new(contender.addr(), &contender.call(scenario)));
    }
    let per_second = scenario.open_rate() * u32::try_from(targets.len())?;
    let load = Load {
        pace: Pace::Open { per_second },
        connections: 32,
        duration: Duration::from_secs(plan.seconds),
    };
    load::run_in_turn(&targets, load)
}

fn conditions(plan: &Plan, cores: &Cores, machine: &str) -> String {
    let pinned = match cores {
        Cores::Pinned { measured, rest } => {
            format!("measured process on core {measured}, load and upstream on {rest}")
        }
        Cores::Shared => "not pinned".to_owned(),
    };
    format!("{machine} before it began; {pinned}; median of {} rounds of {} s.\n", plan.rounds, plan.seconds)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn per_call(cpu: Duration, calls: u64) -> f64 {
    // Calls of one round stay far below what a u32 holds.
    cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(calls).unwrap_or(u32::MAX).max(1))
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
