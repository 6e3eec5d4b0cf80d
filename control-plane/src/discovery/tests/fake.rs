//! A control plane's stream side with everything behind it, and proxies that do as they are told.

use std::collections::HashSet;
use std::net::SocketAddr;

use policy::Digest;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::fleet::FleetEntry;
use crate::publish::tests::snapshot_of;
use crate::store::Store;
use crate::store::memory::MemoryStore;

pub(super) use proto::sync_response::Message as Said;

type Client<T> = proto::control_plane_client::ControlPlaneClient<T>;

/// The stream's side of a control plane.
pub(super) struct World {
    pub(super) tasks: Tasks,
    pub(super) fleet: Fleet,
    pub(super) ledger: Ledger,
    pub(super) service: Discovery,
    base: Catalog,
    catalog: watch::Sender<Arc<crate::catalog::Snapshot>>,
    _store: Arc<dyn Store>,
}

/// A provider and one model for each size, whose bodies have about that many bytes; at most 19,000 each.
fn catalog_of(sizes: &[usize]) -> Catalog {
    let spec = serde_json::json!({"dialect": "openai", "base_url": "https://api.openai.com/v1"});
    let mut changes = vec![put("Provider", "openai", &spec)];
    for (number, size) in sizes.iter().enumerate() {
        let target = |part: usize| serde_json::json!({"provider": "openai", "model": format!("{part}{}", "x".repeat(240))});
        let targets: Vec<_> = (0..(size / 300).clamp(1, 64)).map(target).collect();
        changes.push(put("Model", &format!("m{number}"), &serde_json::json!({"targets": targets})));
    }
    Catalog::new().with(&changes)
}

/// The same catalog with one model that differs between versions.
fn at_version(catalog: &Catalog, version: u64) -> Catalog {
    let targets = serde_json::json!([{"provider": "openai", "model": format!("v{version}")}]);
    catalog.with(&[put("Model", "version", &serde_json::json!({"targets": targets}))])
}

fn put(kind: &str, name: &str, spec: &serde_json::Value) -> Change {
    let body = serde_json::json!({"kind": kind, "name": name, "spec": spec}).to_string();
    Change::Put(Arc::new(policy::parse_resource(body.as_bytes()).unwrap()))
}

impl World {
    pub(super) async fn start(version: u64) -> Self {
        Self::start_with(version, &[]).await
    }

    pub(super) async fn start_with(version: u64, sizes: &[usize]) -> Self {
        let (clock, tasks) = (Clock::tokio(1_760_000_000_000), Tasks::new());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
        let base = catalog_of(sizes);
        let (catalog, snapshots) = watch::channel(snapshot_of(version, at_version(&base, version)));
        let publisher = crate::publish::start(snapshots, &tasks, clock.clone());
        let fleet = Fleet::start(Arc::clone(&store), "server-1", &tasks, clock.clone());
        let ledger = Ledger::open(&LedgerPlace::Memory, clock.clone()).await.unwrap();
        let identity = Arc::new(Identity {
            store_id: "store-1".into(),
            server_id: "server-1".into(),
            key_pepper: Bytes::from_static(b"pepper"),
        });
        publisher.heads().wait_for(|head| *head == version).await.unwrap();
        let shared = Shared {
            publisher,
            fleet: fleet.clone(),
            ledger: ledger.clone(),
            identity,
            tasks: tasks.clone(),
            clock,
            cold: Arc::new(Semaphore::new(COLD_OFFERS)),
        };
        let service = Discovery { shared: Arc::new(shared) };
        Self { tasks, fleet, ledger, service, base, catalog, _store: store }
    }

    /// A client that calls the service without a network, so that time can be paused.
    pub(super) fn client(&self) -> Client<ControlPlaneServer<Discovery>> {
        Client::new(ControlPlaneServer::new(self.service.clone()))
    }

    /// Listens on loopback, as in a real process.
    pub(super) async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        crate::grpc::serve(listener, None, ControlPlaneServer::new(self.service.clone()), &self.tasks)
            .unwrap();
        address
    }

    /// Commits a version in which one small model changed.
    pub(super) fn publish(&self, version: u64) {
        self.catalog.send_replace(snapshot_of(version, at_version(&self.base, version)));
    }

    /// Waits until the fleet shows a proxy like this.
    pub(super) async fn fleet_shows(&self, proxy_id: &str, wanted: impl Fn(&FleetEntry) -> bool) {
        let shows = async {
            while !self.fleet.list().iter().any(|entry| entry.proxy_id == proxy_id && wanted(entry)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = timeout(Duration::from_secs(60), shows).await;
        assert!(in_time.is_ok(), "{:?}", self.fleet.list());
    }

    pub(super) async fn cold_permits_are_back(&self) {
        let back = self.service.shared.cold.acquire_many(u32::try_from(COLD_OFFERS).unwrap());
        drop(timeout(Duration::from_secs(60), back).await.expect("all permits come back").unwrap());
    }
}

/// A proxy that checks what it is sent.
pub(super) struct FakeProxy {
    outbound: mpsc::Sender<proto::SyncRequest>,
    inbound: Streaming<proto::SyncResponse>,
    /// What it keeps: digest to body.
    pub(super) bodies: HashMap<String, Vec<u8>>,
    pub(super) offers: Vec<proto::Offer>,
    /// Frames of the offer that is under way.
    pub(super) frames: u32,
    active: Option<proto::Activate>,
}

impl FakeProxy {
    /// Opens the stream and says nothing.
    pub(super) async fn silent(world: &World) -> Self {
        let (outbound, requests) = mpsc::channel(16);
        let inbound = world.client().sync(ReceiverStream::new(requests)).await.unwrap().into_inner();
        Self::new(outbound, inbound)
    }

    pub(super) async fn connect(world: &World, proxy_id: &str) -> Self {
        let proxy = Self::silent(world).await;
        proxy.hello(hello(proxy_id)).await;
        proxy
    }

    /// Over a real connection of its own.
    pub(super) async fn dial(address: SocketAddr, hello: proto::Hello) -> Self {
        Self::dial_with_window(address, hello, 64 * 1024).await
    }

    pub(super) async fn dial_with_window(address: SocketAddr, hello: proto::Hello, window: u32) -> Self {
        let mut client = Client::new(channel(address, window).await);
        let (outbound, requests) = mpsc::channel(16);
        let inbound = client.sync(ReceiverStream::new(requests)).await.unwrap().into_inner();
        let proxy = Self::new(outbound, inbound);
        proxy.hello(hello).await;
        proxy
    }

    fn new(outbound: mpsc::Sender<proto::SyncRequest>, inbound: Streaming<proto::SyncResponse>) -> Self {
        Self { outbound, inbound, bodies: HashMap::new(), offers: Vec::new(), frames: 0, active: None }
    }

    pub(super) async fn say(&self, message: proto::sync_request::Message) {
        self.outbound.send(proto::SyncRequest { message: Some(message) }).await.unwrap();
    }

    pub(super) async fn say_nothing(&self) {
        self.outbound.send(proto::SyncRequest { message: None }).await.unwrap();
    }

    pub(super) async fn hello(&self, hello: proto::Hello) {
        self.say(proto::sync_request::Message::Hello(hello)).await;
    }

    /// Tells what became of the last activation.
    pub(super) async fn acknowledge(&self, phase: Phase) {
        let active = self.active.clone().unwrap();
        let diagnostic = proto::Diagnostic { code: "test".into(), ..proto::Diagnostic::default() };
        let status = proto::Status {
            version: active.version,
            digest: active.digest,
            phase: phase.into(),
            took_us: 1,
            diagnostics: if phase == Phase::Active { vec![] } else { vec![diagnostic] },
        };
        self.say(proto::sync_request::Message::Status(status)).await;
    }

    /// The next message, checked.
    pub(super) async fn hear(&mut self) -> Said {
        let said = self.inbound.message().await.unwrap().expect("the stream goes on").message.unwrap();
        match &said {
            Said::Offer(offer) => {
                self.frames = 0;
                self.offers.push(offer.clone());
            }
            Said::Frame(frame) => {
                assert!(frame.chunk.len() <= 16 * 1024);
                self.frames += 1;
                let body = self.bodies.entry(frame.digest.clone()).or_default();
                if frame.offset == 0 {
                    body.clear();
                }
                assert_eq!(body.len() as u64, frame.offset);
                body.extend_from_slice(&frame.chunk);
            }
            Said::Activate(activate) => {
                assert_eq!(self.offers.last().unwrap().frames, self.frames);
                self.check(activate);
                self.active = Some(activate.clone());
            }
            Said::Welcome(_) | Said::Heartbeat(_) | Said::Goodbye(_) => {}
        }
        said
    }

    /// Reads up to the next activation and tells its version.
    pub(super) async fn activated(&mut self) -> u64 {
        loop {
            if let Said::Activate(activate) = self.hear().await {
                return activate.version;
            }
        }
    }

    /// Reads up to the goodbye.
    pub(super) async fn farewell(&mut self) -> proto::Goodbye {
        loop {
            if let Said::Goodbye(goodbye) = self.hear().await {
                return goodbye;
            }
        }
    }

    /// Reads to the end and tells how it ended.
    pub(super) async fn end(&mut self) -> Status {
        loop {
            match self.inbound.message().await {
                Ok(Some(_message)) => {}
                Ok(None) => return Status::ok("the stream ended"),
                Err(status) => return status,
            }
        }
    }

    /// Everything in the manifest is here and is what its digest says.
    fn check(&self, activate: &proto::Activate) {
        let manifest = &self.bodies[&activate.digest];
        assert_eq!(Digest::of(manifest).to_string(), activate.digest);
        let manifest = policy::Manifest::parse(manifest).unwrap();
        let mut seen = HashSet::new();
        for entry in manifest.entries {
            let body = &self.bodies[&entry.sha256.to_string()];
            assert_eq!((Digest::of(body), body.len() as u64), (entry.sha256, entry.size));
            assert!(seen.insert((entry.kind, entry.name)));
        }
    }
}

pub(super) fn hello(proxy_id: &str) -> proto::Hello {
    proto::Hello {
        proxy_id: proxy_id.into(),
        boot_id: "b1".into(),
        build: "0.1.0".into(),
        group: "default".into(),
        ..proto::Hello::default()
    }
}

pub(super) async fn channel(address: SocketAddr, window: u32) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .connect()
        .await
        .unwrap()
}
