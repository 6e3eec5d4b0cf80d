//! The process: logging, start, wait, stop. What `frontdoor-control-plane` and `frontdoor control-plane` both are.

use std::io::Write as _;

use lifecycle::{Clock, telemetry};

use crate::app;
use crate::settings::Process;

/// Serves until a signal, then stops in good order. Makes its own runtime and installs the TLS provider.
pub fn run(process: Process) -> anyhow::Result<()> {
    // Another part of the process may have installed the same provider already, which is what is wanted.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(process))
}

async fn serve(process: Process) -> anyhow::Result<()> {
    let telemetry = telemetry::init("frontdoor-control-plane", process.log_format, &process.log, None)?;
    let running = app::start(process.settings, Clock::system()).await?;
    if let Some(token) = &running.admin_token {
        // The token belongs on the terminal, not in a log.
        let kept = running.token_file.display();
        writeln!(std::io::stdout(), "First admin token, shown once and kept in {kept}: {token}")?;
    }
    let reason = running.until_stopped().await?;
    tracing::info!(%reason, "stopping");
    running.shutdown().await;
    telemetry.finish().await;
    Ok(())
}
