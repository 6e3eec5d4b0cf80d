//! The harness: real planes, the simulated provider and real stores, each test in a world of its own on port 0.
//!
//! A package of its own, not cargo's magic directory. The promises are in `tests/promises.rs`, the rules of the house in
//! `tests/tidy.rs`, the decoders under random bytes in `tests/fuzz.rs`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness fails the test where it stands"
)]

pub mod child;
pub mod etcd;
pub mod http;
pub mod world;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

pub use child::{Frontdoor, run_cli};
pub use http::{Http, Reply};
pub use world::World;

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `check` says it is so. What it last saw is told when it never is.
pub async fn eventually<F, Fut, T>(what: &str, mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(seen) if tokio::time::Instant::now() > deadline => {
                panic!("waited {} s for: {what}; last seen: {seen}", PATIENCE.as_secs())
            }
            Err(_not_yet) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Every file below `directory`.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
