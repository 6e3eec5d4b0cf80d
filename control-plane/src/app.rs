//! Puts the control plane together: the only module that knows all parts. It starts them in order, says when they are
//! ready, and stops them in good order. It must not do any part's work.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use lifecycle::{Clock, Readiness, StopReason, TaskKind, Tasks};

use crate::access::Access;
use crate::admission::Admission;
use crate::api::{self, ListenError, Metrics, Rooms};
use crate::keys::Pepper;
use crate::settings::{Secret, Settings};
use crate::store::{self, StoreUrl};
use crate::usage::{Ledger, LedgerPlace, Retention};
use crate::{catalog, discovery, fleet, grpc, history, publish, usage};

/// How long everything together may take to stop.
const GRACE: Duration = Duration::from_secs(12);

/// A control plane that serves.
#[derive(Debug)]
pub struct Running {
    /// Where the admin API listens.
    pub admin_addr: SocketAddr,
    /// Where proxies connect.
    pub grpc_addr: SocketAddr,
    /// The first admin token, when this start made it. It is shown once.
    pub admin_token: Option<String>,
    /// Where a made token is kept for the CLI.
    pub token_file: PathBuf,
    /// Which store this is, for life.
    pub store_id: String,
    tasks: Tasks,
    readiness: Readiness,
}

/// Starts a control plane. When this returns, both listeners accept.
pub async fn start(settings: Settings, clock: Clock) -> anyhow::Result<Running> {
    let tasks = Tasks::new();
    match assemble(&settings, clock, &tasks).await {
        Ok(running) => Ok(running),
        Err(error) => {
            // What has been started must not outlive the failure.
            if let Err(left) = tasks.shutdown(GRACE).await {
                tracing::warn!(?left, "tasks had to be aborted after a failed start");
            }
            Err(error)
        }
    }
}

impl Running {
    /// Waits for a signal or for the end of a part that the process cannot be without.
    pub async fn until_stopped(&self) -> io::Result<StopReason> {
        lifecycle::signals::until_stopped(&self.tasks).await
    }

    /// What the process still waits for; empty when it is ready.
    #[must_use]
    pub fn pending(&self) -> Vec<&'static str> {
        self.readiness.pending()
    }

    /// Accepts nothing new, lets accepted work finish, and stops everything.
    pub async fn shutdown(self) {
        let _stopping = self.readiness.register("stopping");
        if let Err(left) = self.tasks.shutdown(GRACE).await {
            tracing::warn!(?left, "some tasks had to be aborted");
        }
    }
}

/// The sockets, opened before anything else so that a port in use costs nothing.
struct Sockets {
    admin: TcpListener,
    grpc: TcpListener,
}

async fn assemble(settings: &Settings, clock: Clock, tasks: &Tasks) -> anyhow::Result<Running> {
    let admin_tls = admin_tls(settings)?;
    prepare_data(&settings.data)?;
    let url = StoreUrl::parse(&settings.store_url())?;
    let sockets = open_sockets(settings).await?;
    let (admin_addr, grpc_addr) = (sockets.admin.local_addr()?, sockets.grpc.local_addr()?);

    let readiness = Readiness::new();
    let starting = readiness.register("start");
    if let StoreUrl::Sqlite { path } = &url {
        keep_private(path);
    }
    let store = store::open(&url, clock.clone(), tasks)
        .await
        .with_context(|| format!("cannot open the store {url}"))?;
    let store_id = uuid::Uuid::now_v7().to_string();
    let meta = history::initialise(store.as_ref(), &store_id, clock.unix_ms()).await?;
    let pepper = Pepper::load(store.as_ref()).await?;
    let token_file = settings.data.join("admin-token");
    let (given, kept) = (settings.admin_token.as_ref(), kept_token(&token_file));
    let (access, made) =
        Access::start(Arc::clone(&store), given, kept.as_ref(), tasks, clock.clone()).await?;
    if let Some(token) = &made {
        keep_token(&token_file, token)?;
    }
    let catalog = catalog::start(Arc::clone(&store), tasks, clock.clone()).await?;
    let admission = Admission::new(Arc::clone(&store), catalog.clone(), clock.clone());
    let ledger = open_ledger(settings, &url, clock.clone()).await?;
    usage::keep_bounded(ledger.clone(), Retention::default(), tasks);

    let server_id = uuid::Uuid::now_v7().to_string();
    let publisher = publish::start(catalog.subscribe(), tasks, clock.clone());
    let fleet = fleet::Fleet::start(Arc::clone(&store), &server_id, tasks, clock.clone());
    let identity = discovery::Identity {
        store_id: meta.store_id.clone(),
        server_id,
        key_pepper: Bytes::copy_from_slice(pepper.bytes()),
    };
    let conversation = discovery::service(
        publisher.clone(),
        fleet.clone(),
        ledger.clone(),
        identity,
        tasks.clone(),
        clock.clone(),
    );
    grpc::serve(sockets.grpc, grpc_tls(settings).as_ref(), conversation, tasks)?;

    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let router = api::router(Rooms {
        access,
        admission,
        catalog,
        store,
        pepper,
        publisher,
        fleet,
        ledger,
        readiness: readiness.clone(),
        metrics,
        registry,
        clock,
    });
    tasks.spawn("admin api", TaskKind::Critical, api::serve(sockets.admin, admin_tls, router, tasks.clone()));
    drop(starting);
    tracing::info!(%admin_addr, %grpc_addr, store = %url, store_id = meta.store_id, "the control plane is ready");
    let store_id = meta.store_id;
    Ok(Running {
        admin_addr,
        grpc_addr,
        admin_token: made,
        token_file,
        store_id,
        tasks: tasks.clone(),
        readiness,
    })
}

/// The token that an earlier start made. A file that is missing or holds something else keeps none: a new one is made.
fn kept_token(file: &Path) -> Option<Secret> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// TLS for the admin API, or the proof that it does not need any.
fn admin_tls(settings: &Settings) -> Result<Option<Arc<rustls::ServerConfig>>, ListenError> {
    match (&settings.admin_tls_cert, &settings.admin_tls_key) {
        (Some(cert), Some(key)) => api::server_tls(cert, key).map(Some),
        (_, _) if settings.admin_listen.ip().is_loopback() => Ok(None),
        (_, _) => Err(ListenError::Plaintext { flag: "--admin-listen", address: settings.admin_listen }),
    }
}

fn grpc_tls(settings: &Settings) -> Option<grpc::GrpcTls> {
    let (cert, key) = (settings.tls_cert.clone()?, settings.tls_key.clone()?);
    Some(grpc::GrpcTls { cert, key, client_ca: settings.tls_client_ca.clone() })
}

async fn open_sockets(settings: &Settings) -> Result<Sockets, ListenError> {
    let admin = api::bind("--admin-listen", settings.admin_listen).await?;
    let grpc = api::bind("--grpc-listen", settings.grpc_listen).await?;
    Ok(Sockets { admin, grpc })
}

async fn open_ledger(settings: &Settings, url: &StoreUrl, clock: Clock) -> anyhow::Result<Ledger> {
    let place = match url {
        StoreUrl::Memory => LedgerPlace::Memory,
        StoreUrl::Sqlite { .. } | StoreUrl::Etcd { .. } => {
            let path = settings.data.join("usage.sqlite");
            keep_private(&path);
            LedgerPlace::File(path)
        }
    };
    Ok(Ledger::open(&place, clock).await?)
}

/// Makes the data directory, readable by its owner alone, and proves that it can be written.
fn prepare_data(data: &Path) -> anyhow::Result<()> {
    let way_out = || {
        format!(
            "cannot write to the data directory {}: give the process write access or choose another with --data",
            data.display()
        )
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(way_out)?;
    let probe = data.join(".writable");
    fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).with_context(way_out)
}

/// Makes a database's file for the owner alone, wherever it is: the store holds the pepper, the ledger who called what.
/// SQLite gives the files it keeps beside it the same mode. Where this fails, opening the database fails as well, and says why.
fn keep_private(path: &Path) {
    if let Some(directory) = path.parent() {
        let _made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).is_ok();
    }
    let _made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).is_ok();
}

/// Keeps the first token where the CLI finds it, for the owner alone.
fn keep_token(file: &Path, token: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let write =
        options.write(true).create(true).truncate(true).mode(0o600).open(file).and_then(|mut opened| {
            // A file that was there keeps its mode, so it is set before anything is written.
            opened.set_permissions(fs::Permissions::from_mode(0o600))?;
            opened.write_all(format!("{token}\n").as_bytes())?;
            opened.sync_all()
        });
    write.with_context(|| format!("cannot write the first admin token to {}", file.display()))
}

#[cfg(test)]
mod tests;
