//! The process: logging, start, wait, stop. What `frontdoor-control-plane` and `frontdoor control-plane` both are.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

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
        let mut stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        writeln!(stdout, "{}", announcement(token, &running.token_file, is_terminal))?;
    }
    let reason = running.until_stopped().await?;
    tracing::info!(%reason, "stopping");
    running.shutdown().await;
    telemetry.finish().await;
    Ok(())
}

/// The token belongs on a terminal; what a service manager takes from standard output becomes a log.
fn announcement(token: &str, kept: &Path, is_terminal: bool) -> String {
    let kept = kept.display();
    if is_terminal {
        format!("First admin token, shown once and kept in {kept}: {token}")
    } else {
        format!("The first admin token is kept in {kept}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_is_shown_on_a_terminal_alone() {
        let kept = Path::new("data/admin-token");
        assert!(announcement("fda_planted", kept, true).contains("fda_planted"));
        let logged = announcement("fda_planted", kept, false);
        assert!(logged.contains("data/admin-token") && !logged.contains("planted"), "{logged}");
    }
}
