//! The run: starts everything once, then measures scenario by scenario in rounds that alternate between the contenders, so that
//! what the machine does meanwhile falls on all of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::child::{Cores, Place, Program, Running, free_port};
use crate::frontdoor;
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

/// Something that calls go through.
struct Contender {
    name: &'static str,
    process: Running,
    addr: SocketAddr,
    call: fn(Scenario, &str) -> Call,
    key: String,
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
    let cores = Cores::of_this_machine();
    cores.move_away()?;
    let folder = tempfile::tempdir()?;
    let upstream_addr = free_port()?;
    let _upstream = Running::upstream(upstream_addr, SCRIPT, &cores, folder.path())?;

    let mut contenders = vec![floor(upstream_addr, &cores, folder.path())?];
    // Held until the end: the proxy is measured with its control plane at work beside it.
    let _control_plane = if plan.floor_only {
        None
    } else {
        let setup = frontdoor::Setup { policy: frontdoor::policy(upstream_addr), is_durable: false };
        let started = frontdoor::start(&setup, &cores, folder.path())?;
        contenders.push(Contender {
            name: "Frontdoor",
            process: started.proxy,
            addr: started.addr,
            call: Scenario::frontdoor_call,
            key: started.key,
        });
        Some(started.control_plane)
    };
    let mut rows = Vec::new();
    for scenario in Scenario::ALL {
        rows.extend(measure(scenario, plan, upstream_addr, &contenders)?);
    }
    let table = table::render(&rows);
    table::say(&format!("\n{table}"));
    if !plan.dry_run {
        table::write_into(&plan.readme, &format!("{}\n{table}", conditions(plan, &cores)))?;
    }
    Ok(())
}

fn floor(upstream: SocketAddr, cores: &Cores, folder: &Path) -> anyhow::Result<Contender> {
    let addr = free_port()?;
    let program =
        Program::itself(["floor", "--listen", &addr.to_string(), "--upstream", &upstream.to_string()])?;
    let mut process = Running::start("floor", &program, (cores, Place::Measured), folder)?;
    process.wait_for(addr)?;
    Ok(Contender {
        name: "floor",
        process,
        addr,
        call: |scenario, _| scenario.plain_call(),
        key: String::new(),
    })
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
                one.contender.name,
            ));
        }
        let measured = open(upstream, contenders, scenario, plan)?;
        let mut measured = measured.into_iter();
        direct.add(measured.next().context("the direct calls were not measured")?)?;
        for (one, measured) in seen.iter_mut().zip(measured) {
            one.note(measured)?;
        }
    }
    let floor_cpu = seen.first().map_or(f64::NAN, |floor| median(&floor.cpu_us));
    seen.iter().map(|one| one.row(scenario, floor_cpu, &direct)).collect()
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
            let name = self.contender.name;
            table::say(&format!("{name} failed {} of {all} calls, first: {failure}", measured.failed));
        }
    }

    fn row(&self, scenario: Scenario, floor_cpu: f64, direct: &Measured) -> anyhow::Result<Row> {
        let cpu_us = median(&self.cpu_us);
        let added = |quantile| {
            let through = self.latency.latency.value_at_quantile(quantile);
            through.cast_signed() - direct.latency.value_at_quantile(quantile).cast_signed()
        };
        Ok(Row {
            scenario: scenario.name(),
            contender: self.contender.name,
            cpu_us,
            ratio: cpu_us / floor_cpu,
            added_p50_us: added(0.5),
            added_p99_us: added(0.99),
            resident_mib: mib(self.contender.process.resident_kib()?),
            calls: self.calls,
            failed: self.failed,
        })
    }
}

fn closed(
    contender: &Contender,
    scenario: Scenario,
    duration: Duration,
) -> anyhow::Result<(Measured, Duration)> {
    let call = (contender.call)(scenario, &contender.key);
    let load = Load { pace: Pace::Closed, connections: scenario.closed_connections(), duration };
    let before = contender.process.used()?;
    let measured = load::run(contender.addr, &call, load)
        .with_context(|| format!("{} is gone: {}", contender.name, contender.process.last_words()))?;
    let after = contender.process.used()?;
    Ok((measured, after.cpu.saturating_sub(before.cpu)))
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
        targets.push(Target::new(contender.addr, &(contender.call)(scenario, &contender.key)));
    }
    let per_second = scenario.open_rate() * u32::try_from(targets.len())?;
    let load = Load {
        pace: Pace::Open { per_second },
        connections: 32,
        duration: Duration::from_secs(plan.seconds),
    };
    load::run_in_turn(&targets, load)
}

fn conditions(plan: &Plan, cores: &Cores) -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            Some(
                text.lines()
                    .find(|line| line.starts_with("model name"))?
                    .split_once(':')?
                    .1
                    .trim()
                    .to_owned(),
            )
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let pinned = match cores {
        Cores::Pinned { measured, rest } => {
            format!("measured process on core {measured}, load and upstream on {rest}")
        }
        Cores::Shared => "not pinned".to_owned(),
    };
    format!("{model}, {count} cores ({pinned}); median of {} rounds of {} s.\n", plan.rounds, plan.seconds)
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
