//! The proxy's side of the conversation with the control plane: policy down, records and acknowledgements up.
//!
//! A proxy serves from its last good version before it has ever reached a control plane, and goes on when it loses it: nothing in
//! here can take a version out of force except a better one. Whatever comes over the stream is bounded and checked, and a version
//! is applied whole or refused whole, with a diagnostic for each resource.
//!
//! It must not know calls other than by their records.

use std::path::PathBuf;
use std::sync::Arc;

use lifecycle::{Clock, TaskKind, Tasks};
use parking_lot::Mutex;
use policy::{Diagnostic, Policy};
use tokio::sync::watch;

use crate::control::client::Dialer;
use crate::control::data_dir::{DataDir, fresh_id};
use crate::control::last_good::Slots;
use crate::control::report::Reporter;
use crate::control::session::{Control, Names};
use crate::control::spool::disk::Directory;
use crate::control::spool::{Spool, SpoolLimits};
use crate::control::vitals::Vitals;
use crate::identity::Pepper;
use crate::runtime::{Current, Runtime};

pub use client::{DialError, TlsFiles};
pub use data_dir::DataDirError;
pub use report::Records;

mod apply;
mod assemble;
mod client;
pub mod data_dir;
pub mod last_good;
mod report;
mod session;
pub mod spool;
mod vitals;

/// Builds a runtime out of a policy and the runtime before it.
pub type Build = Arc<dyn Fn(Policy, Option<&Runtime>) -> Result<Runtime, Vec<Diagnostic>> + Send + Sync>;

/// Tells how many calls are under way.
pub type CountInflight = Arc<dyn Fn() -> u32 + Send + Sync>;

/// What the room is started with.
#[derive(Clone)]
pub struct Settings {
    /// `http://` to this machine, `https://` elsewhere.
    pub control_plane: String,
    /// What protects the connection.
    pub tls: TlsFiles,
    /// Where the last good version and undelivered records are kept.
    pub data: PathBuf,
    /// The name in the fleet; kept in the data directory, made when there is none.
    pub proxy_id: Option<String>,
    /// The group asked for.
    pub group: String,
    /// Where applications reach this proxy, for people who read the fleet.
    pub address: String,
    /// Calls under way.
    pub inflight: CountInflight,
}

/// The room cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The address or the certificates.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A proxy's id is used in names and paths.
    #[error("`{0}` cannot be a proxy's id: 1 to 128 letters, digits or any of `._-`")]
    ProxyId(String),
    /// Something in the data directory.
    #[error("cannot use `{path}`")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How the proxy stands with the control plane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether there is a stream that has said welcome.
    pub is_connected: bool,
    /// Which control plane.
    pub server_id: String,
    /// The store that the version in force came from; empty for none.
    pub store_id: String,
    /// The version in force; 0 for none.
    pub version: u64,
    /// Its digest.
    pub digest: String,
    /// The newest version the control plane has for this proxy, as far as it said.
    pub head: u64,
    /// Why the last offer was refused, until one is accepted.
    pub refused: Vec<Diagnostic>,
}

/// The room from outside.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Where records go.
    pub records: Arc<Records>,
    /// How it stands.
    pub standing: watch::Receiver<Standing>,
    /// The proxy's id in the fleet.
    pub proxy_id: String,
}

/// Puts the last good version in force, if there is one, and begins to talk with the control plane.
pub async fn start(
    settings: Settings,
    current: Current,
    pepper: Pepper,
    build: Build,
    tasks: &Tasks,
    clock: &Clock,
) -> Result<Handle, StartError> {
    let dialer = Dialer::new(&settings.control_plane, &settings.tls)?;
    let directory = DataDir::open(&settings.data)?;
    let broken = |name: &str| {
        let path = settings.data.join(name);
        move |source| StartError::File { path, source }
    };
    let proxy_id =
        directory.proxy_id(settings.proxy_id.as_deref(), clock.unix_ms()).map_err(broken("proxy-id"))?;
    if !is_id(&proxy_id) {
        return Err(StartError::ProxyId(proxy_id));
    }
    let boot_id = fresh_id(clock.unix_ms());
    let spool = Directory::open(&directory.join("spool"))
        .and_then(|disk| Spool::open(Box::new(disk), boot_id.clone(), SpoolLimits::default()))
        .map_err(broken("spool"))?;
    let vitals = Arc::new(Vitals::new());
    let (records, reporter) = Records::new(spool, Arc::clone(&vitals), clock.clone(), proxy_id.clone());
    let names =
        Names { proxy_id: proxy_id.clone(), boot_id, group: settings.group, address: settings.address };
    let (standing, watched) = watch::channel(Standing::default());
    let mut control = Control {
        names,
        slots: Arc::new(Mutex::new(Slots::open(directory.clone()))),
        directory,
        current,
        pepper,
        build,
        vitals,
        inflight: settings.inflight,
        records: Arc::clone(&records),
        standing,
        clock: clock.clone(),
        held: None,
        last_offered: None,
        pepper_bytes: Vec::new(),
        given_up: None,
        proof: watch::Sender::new(None),
    };
    control.boot().await;
    spawn(control, dialer, reporter, tasks);
    Ok(Handle { records, standing: watched, proxy_id })
}

fn spawn(control: Control, dialer: Dialer, reporter: Reporter, tasks: &Tasks) {
    let (link, linked) = watch::channel(None);
    let proof = session::prove(Arc::clone(&control.slots), control.proof.subscribe());
    tasks.spawn("control proof", TaskKind::Disposable, proof);
    tasks.spawn("control sync", TaskKind::Background, control.run(dialer, link, tasks.clone()));
    tasks.spawn("control report", TaskKind::Background, reporter.run(linked, tasks.clone()));
}

fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("control_plane", &self.control_plane)
            .field("data", &self.data)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
