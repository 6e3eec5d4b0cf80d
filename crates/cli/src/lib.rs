//! The binary `frontdoor`: starts the planes on one machine (`up`) and is the platform team's hand on the admin API.
//!
//! Every verb but `up`, `control-plane`, `proxy`, `simulate`, `schema` and `completions` is one or two calls of the admin
//! API. Deliberately absent: rules of any kind. What a document means is said by `policy`, whether it may be committed by
//! the control plane.

mod client;
mod documents;
mod error;
mod output;
pub mod settings;
mod starter;
pub mod up;
mod verbs;

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::Parser;

use crate::{
    error::CliError,
    output::Out,
    settings::{Cli, Verb},
};

/// Runs the command line `arguments` (the program's name first). Exit status: 0 done, 1 refused, 2 usage, 3 unreachable.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(shown) => return usage(&shown),
    };
    // A second call in one process (tests) finds the provider installed, which is what is wanted.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last resort: nobody is left to tell when it is gone as well.
            let _gone = error.print(&mut std::io::stderr().lock());
            ExitCode::from(error.exit_status())
        }
    }
}

/// Help and version go to standard output with status 0, mistakes to standard error with status 2.
fn usage(shown: &clap::Error) -> ExitCode {
    let _gone = shown.print();
    ExitCode::from(if shown.use_stderr() { 2 } else { 0 })
}

fn dispatch(cli: Cli) -> Result<(), CliError> {
    let mut out = Out::stdout(cli.global.output);
    match cli.verb {
        Verb::ControlPlane(process) => plane(control_plane::run(*process)),
        Verb::Proxy(settings) => plane(proxy::run(*settings)),
        Verb::Schema { kind } => verbs::schema(&mut out, kind),
        Verb::Completions { shell } => completions(shell),
        verb => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|error| CliError::refused(format!("no runtime can be started: {error}")))?;
            runtime.block_on(verbs::perform(verb, &cli.global, &mut out))
        }
    }
}

fn plane(ended: anyhow::Result<()>) -> Result<(), CliError> {
    ended.map_err(|error| CliError::refused(format!("{error:#}")))
}

fn completions(shell: clap_complete::Shell) -> Result<(), CliError> {
    let mut command = <Cli as clap::CommandFactory>::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "frontdoor", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(())
}
