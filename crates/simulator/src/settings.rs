//! What the command line and the environment say about the simulator. The only module here that reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How the simulator is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "FRONTDOOR_SIMULATOR_LISTEN",
        default_value = "127.0.0.1:9100",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// A script in JSON to begin with: {"rules": [{"model": "sim-gpt", "times": 2, "behaviour": {"status": 503}}]}
    #[arg(long, env = "FRONTDOOR_SIMULATOR_SCRIPT", value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// How many of the last requests to keep for GET /__simulator/requests
    #[arg(long, env = "FRONTDOOR_SIMULATOR_KEEP", default_value_t = 100, value_name = "N")]
    pub keep: usize,
}

impl Settings {
    /// Listens on a free loopback port, without a script.
    pub fn ephemeral() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), script: None, keep: 100 }
    }
}

impl Default for Settings {
    /// As without arguments.
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9100)), ..Self::ephemeral() }
    }
}
