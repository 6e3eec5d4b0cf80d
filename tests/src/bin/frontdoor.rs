//! The binary `frontdoor`, as `crates/cli` ships it, for tests that need a process to kill.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
