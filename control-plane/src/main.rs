//! `frontdoor-control-plane`: arguments, logging, start, wait, stop.

use std::process::ExitCode;

use clap::Parser;

use frontdoor_control_plane::settings::Settings;
use lifecycle::{Clock, LogFormat, telemetry};

/// Keeps the policy of all proxies, its history, and what was used; serves the admin API and the proxies' stream.
#[derive(Debug, Parser)]
#[command(name = "frontdoor-control-plane", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,

    /// What is logged, for example `info` or `warn,frontdoor_control_plane=debug`
    #[arg(long, env = "FRONTDOOR_LOG", default_value = "info", value_name = "FILTER")]
    log: String,

    /// How it is logged: text or json
    #[arg(long, env = "FRONTDOOR_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let telemetry = telemetry::init("frontdoor-control-plane", arguments.log_format, &arguments.log, None)?;
    let running = frontdoor_control_plane::app::start(arguments.settings, Clock::system()).await?;
    if let Some(token) = &running.admin_token {
        announce(&format!(
            "First admin token, shown once and kept in {}: {token}",
            running.token_file.display()
        ));
    }
    let reason = running.until_stopped().await?;
    tracing::info!(%reason, "stopping");
    running.shutdown().await;
    telemetry.finish().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the token belongs on the terminal, not in a log")]
fn announce(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "logging may not be set up when the start fails")]
fn complain(line: &str) {
    eprintln!("frontdoor-control-plane: {line}");
}
