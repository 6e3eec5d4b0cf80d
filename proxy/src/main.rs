//! The program `frontdoor-proxy`: reads its settings and runs until it is told to stop.

use clap::Parser;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The front door to AI models, next to the application.
#[derive(Debug, Parser)]
#[command(name = "frontdoor-proxy", version)]
struct Arguments {
    #[command(flatten)]
    settings: frontdoor_proxy::Settings,
}

fn main() -> anyhow::Result<()> {
    frontdoor_proxy::run(Arguments::parse().settings)
}
