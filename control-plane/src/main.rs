//! The binary `frontdoor-control-plane`. Everything is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use frontdoor_control_plane::{Process, run};

/// Keeps the policy of all proxies, its history, and what was used; serves the admin API and the proxies' stream.
#[derive(Debug, Parser)]
#[command(name = "frontdoor-control-plane", version)]
struct Arguments {
    #[command(flatten)]
    process: Process,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Arguments::parse().process) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is gone as well.
            let _gone = writeln!(std::io::stderr(), "frontdoor-control-plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}
