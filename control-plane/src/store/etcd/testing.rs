//! A real etcd as a child process, for tests.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifecycle::{TaskKind, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{EtcdSettings, EtcdStore};
use crate::store::Revision;
use crate::store::conformance::quick_directory;

/// An etcd of its own for one test, killed when dropped.
pub(crate) struct EtcdChild {
    child: Child,
    pub(crate) port: u16,
    peer_port: u16,
    directory: tempfile::TempDir,
}

impl EtcdChild {
    /// Starts an etcd on free ports and waits for its first answer.
    pub(crate) async fn start() -> Self {
        let directory = quick_directory();
        // Between finding a free port and etcd taking it, another test may be faster: then it is tried again.
        for _ in 0..5 {
            let (port, peer_port) = free_ports();
            let mut started = Self {
                child: spawn(directory.path(), port, peer_port),
                port,
                peer_port,
                directory: quick_directory(),
            };
            if started.answers().await {
                started.directory = directory;
                return started;
            }
        }
        panic!("etcd did not start; try `etcd` by hand");
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn settings(&self) -> EtcdSettings {
        EtcdSettings::new(vec![self.endpoint()], true)
    }

    pub(crate) async fn open(&self) -> EtcdStore {
        EtcdStore::open(self.settings()).await.expect("a running etcd")
    }

    /// Ends it without a chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Asks it to end, so that it closes its streams in order.
    pub(crate) fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(sent.success());
        self.child.wait().expect("our child");
    }

    /// Deletes everything it has on disk: what restoring an old backup does, taken to its end.
    pub(crate) fn wipe(&mut self) {
        std::fs::remove_dir_all(self.directory.path().join("etcd")).expect("our directory");
    }

    /// Starts it again on the same ports and the same disk.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.directory.path(), self.port, self.peer_port);
        assert!(self.answers().await, "etcd did not come back");
    }

    async fn answers(&mut self) -> bool {
        let settings = EtcdSettings { start: Duration::from_millis(500), ..self.settings() };
        for _ in 0..40 {
            if self.child.try_wait().expect("our child").is_some() {
                return false;
            }
            if EtcdStore::open(settings.clone()).await.is_ok() {
                return true;
            }
        }
        false
    }
}

impl EtcdStore {
    /// Makes etcd forget its history up to a revision, as an operator or its own schedule does.
    pub(crate) async fn compact(&self, revision: Revision) {
        let compacted = self.cluster.preferred().1.kv().compact(super::count(revision), None).await;
        compacted.expect("compacted");
    }
}

impl Drop for EtcdChild {
    fn drop(&mut self) {
        // It may have been ended by the test already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A wire to an etcd that a test can cut.
pub(crate) struct Relay {
    port: u16,
    swallows: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
    tasks: Tasks,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let relay = Self {
            port: listener.local_addr().expect("bound").port(),
            swallows: Arc::default(),
            cuts: watch::Sender::new(0),
            tasks: Tasks::new(),
        };
        let (swallows, cuts, tasks) = (Arc::clone(&relay.swallows), relay.cuts.clone(), relay.tasks.clone());
        relay.tasks.spawn("relay", TaskKind::Disposable, async move {
            while let Ok((caller, _)) = listener.accept().await {
                let (swallows, mut cut) = (Arc::clone(&swallows), cuts.subscribe());
                tasks.spawn("relayed", TaskKind::Disposable, async move {
                    tokio::select! {
                        () = relay_one(caller, port, &swallows) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        relay
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets calls through and keeps their answers.
    pub(crate) fn swallow_answers(&self) {
        self.swallows.store(true, Ordering::SeqCst);
    }

    /// Cuts every connection; later ones work.
    pub(crate) fn heal(&self) {
        self.swallows.store(false, Ordering::SeqCst);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn relay_one(caller: TcpStream, port: u16, swallows: &AtomicBool) {
    let Ok(etcd) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_etcd, mut to_etcd) = etcd.into_split();
    let answers = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_etcd.read(&mut buffer).await {
            if !swallows.load(Ordering::SeqCst) && to_caller.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        _ = tokio::io::copy(&mut from_caller, &mut to_etcd) => {}
    }
}

fn free_ports() -> (u16, u16) {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let (first, second) = (bind(), bind());
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    (port(&first), port(&second))
}

/// A port where nothing listens.
pub(crate) fn dead_endpoint() -> String {
    format!("http://127.0.0.1:{}", free_ports().0)
}

fn spawn(directory: &Path, port: u16, peer_port: u16) -> Child {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let spawned = Command::new("etcd")
        .args(["--name", "test", "--data-dir"])
        .arg(directory.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}"), "--log-level", "error", "--logger", "zap"])
        // A new leader in milliseconds instead of seconds, and leases as short as they are asked for.
        .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(child) => child,
        Err(error) => {
            panic!("etcd is needed for this test and cannot be run ({error}); `make setup` installs it")
        }
    }
}
