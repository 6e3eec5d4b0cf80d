//! A package, not cargo's magic directory: measures what Frontdoor costs a call, beside the floor, and writes the table of bench/README.md.
//!
//! Everything that is compared runs as a child process of this one, pinned to the same cores, in the same run, in alternating rounds.
//! It must not reach into the planes: they are started as an operator starts them.

mod admin;
mod child;
mod dialects;
mod floor;
mod frontdoor;
mod load;
mod measure;
mod scenario;
mod soak;
mod table;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::measure::Plan;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "frontdoor-bench",
    about = "Measures what Frontdoor costs a call, beside a bare hyper proxy"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The floor: a hyper reverse proxy without features
    Floor {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
        /// Where to forward to
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// The upstream: the simulated provider
    Upstream(simulator::Settings),
    /// Sends load to something that is already running, and prints what it measured
    Load(load::Arguments),
    /// The table of what translation costs, from what `cargo bench` measured
    Dialects(dialects::Arguments),
    /// A long run under a mixed load that watches memory, files, failures and the ledger
    Soak(soak::Plan),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => measure::run(&arguments.plan),
        Some(Command::Floor { listen, upstream }) => floor::run(listen, upstream),
        Some(Command::Upstream(settings)) => upstream(settings),
        Some(Command::Load(load)) => load::run_alone(&load),
        Some(Command::Dialects(arguments)) => dialects::run(&arguments),
        Some(Command::Soak(plan)) => soak::run(&plan),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn upstream(settings: simulator::Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(simulator::run(settings))?)
}
