//! The run: starts everything once, then measures scenario by scenario in rounds that alternate between the contenders, so that
//! what the machine does meanwhile falls on all of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::child::{Cores, Place, Program, Running, free_port};
use crate::frontdoor;
use crate::load::{self, Call, Load, Measured, Pace};
use crate::scenario::{SCRIPT, Scenario};
use crate::table::{self, Row};

/// How thoroughly to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// Rounds of every contender in every scenario; the median counts
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

/// One round of one contender.
#[derive(Debug, Clone, Copy)]
struct Round {
    cpu_us: f64,
    p50: u64,
    p99: u64,
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
    let mut direct = Vec::new();
    let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
    for contender in contenders {
        closed(contender, scenario, Duration::from_secs(1))?;
    }
    for number in 1..=plan.rounds {
        direct.push(open(upstream, &scenario.plain_call(), scenario, plan)?);
        for (contender, rounds) in contenders.iter().zip(&mut rounds) {
            let round = round(contender, scenario, plan)?;
            table::say(&format!(
                "{}, round {number} of {}: {} {:.1} µs CPU a call, p50 {} µs, p99 {} µs",
                scenario.name(),
                plan.rounds,
                contender.name,
                round.cpu_us,
                round.p50,
                round.p99
            ));
            rounds.push(round);
        }
    }
    let direct_p50 = median(direct.iter().map(|measured| measured.latency.value_at_quantile(0.5)));
    let direct_p99 = median(direct.iter().map(|measured| measured.latency.value_at_quantile(0.99)));
    let floor_cpu = rounds.first().map_or(f64::NAN, |rounds| median_cpu(rounds));
    let rows = contenders.iter().zip(&rounds).map(|(contender, rounds)| {
        let cpu_us = median_cpu(rounds);
        Ok(Row {
            scenario: scenario.name(),
            contender: contender.name,
            cpu_us,
            ratio: cpu_us / floor_cpu,
            added_p50_us: median(rounds.iter().map(|round| round.p50)).cast_signed()
                - direct_p50.cast_signed(),
            added_p99_us: median(rounds.iter().map(|round| round.p99)).cast_signed()
                - direct_p99.cast_signed(),
            resident_mib: mib(contender.process.resident_kib()?),
            calls: rounds.iter().map(|round| round.calls).sum(),
            failed: rounds.iter().map(|round| round.failed).sum(),
        })
    });
    rows.collect()
}

/// CPU in a closed loop, then latency in an open one.
fn round(contender: &Contender, scenario: Scenario, plan: &Plan) -> anyhow::Result<Round> {
    let (busy, cpu) = closed(contender, scenario, Duration::from_secs(plan.seconds))?;
    let call = (contender.call)(scenario, &contender.key);
    let calm = open(contender.addr, &call, scenario, plan)?;
    for measured in [&busy, &calm] {
        if let Some(failure) = &measured.first_failure {
            table::say(&format!(
                "{} failed {} of {} calls, first: {failure}",
                contender.name,
                measured.failed,
                measured.calls + measured.failed
            ));
        }
    }
    Ok(Round {
        cpu_us: per_call(cpu, busy.calls),
        p50: calm.latency.value_at_quantile(0.5),
        p99: calm.latency.value_at_quantile(0.99),
        calls: busy.calls + calm.calls,
        failed: busy.failed + calm.failed,
    })
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

fn open(addr: SocketAddr, call: &Call, scenario: Scenario, plan: &Plan) -> anyhow::Result<Measured> {
    let pace = Pace::Open { per_second: scenario.open_rate() };
    load::run(addr, call, Load { pace, connections: 32, duration: Duration::from_secs(plan.seconds) })
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

fn median_cpu(rounds: &[Round]) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(|round| round.cpu_us).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn per_call(cpu: Duration, calls: u64) -> f64 {
    // Calls of one round stay far below what a u32 holds.
    cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(calls).unwrap_or(u32::MAX).max(1))
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
