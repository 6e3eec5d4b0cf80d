//! A control plane that says what it is told to say, on a real socket.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use lifecycle::{TaskKind, Tasks};
use policy::{Digest, Manifest, Name, Resource, parse_documents};
use proto::control_plane_server::{ControlPlane, ControlPlaneServer};
use proto::{
    Activate, Frame, Hello, Offer, ReportRequest, ReportResponse, Status as ProtoStatus, SyncRequest,
    SyncResponse, Welcome, sync_request, sync_response,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

const SOON: Duration = Duration::from_secs(10);

type Down<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One Sync stream, from the other side.
pub(super) struct Session {
    pub(super) hello: Hello,
    up: Streaming<SyncRequest>,
    down: mpsc::Sender<Result<SyncResponse, Status>>,
}

/// One Report stream, from the other side.
pub(super) struct Reports {
    up: Streaming<ReportRequest>,
    down: mpsc::Sender<Result<ReportResponse, Status>>,
}

pub(super) struct FakeControlPlane {
    pub(super) port: u16,
    sessions: mpsc::Receiver<Session>,
    reports: mpsc::Receiver<Reports>,
}

struct Service {
    sessions: mpsc::Sender<Session>,
    reports: mpsc::Sender<Reports>,
}

impl FakeControlPlane {
    pub(super) async fn start(tasks: &Tasks, tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sessions_in, sessions) = mpsc::channel(16);
        let (reports_in, reports) = mpsc::channel(16);
        let service = ControlPlaneServer::new(Service { sessions: sessions_in, reports: reports_in });
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let serving = server.serve_with_incoming(service, TcpListenerStream::new(listener));
        tasks.spawn("fake control plane", TaskKind::Disposable, serving);
        Self { port, sessions, reports }
    }

    pub(super) async fn session(&mut self) -> Session {
        timeout(SOON, self.sessions.recv()).await.expect("a session in time").unwrap()
    }

    /// A session that has been welcomed by the store `store`.
    pub(super) async fn welcomed(&mut self, store: &str) -> Session {
        let session = self.session().await;
        session.welcome(store, 10_000).await;
        session
    }

    pub(super) async fn reports(&mut self) -> Reports {
        timeout(SOON, self.reports.recv()).await.expect("a report stream in time").unwrap()
    }
}

impl Session {
    pub(super) async fn send(&self, message: sync_response::Message) {
        let _ = self.down.send(Ok(SyncResponse { message: Some(message) })).await;
    }

    /// A message of a kind that this proxy does not know.
    pub(super) async fn send_empty(&self) {
        let _ = self.down.send(Ok(SyncResponse { message: None })).await;
    }

    pub(super) async fn welcome(&self, store: &str, heartbeat_ms: u32) {
        self.send(sync_response::Message::Welcome(Welcome {
            store_id: store.to_owned(),
            server_id: "server".to_owned(),
            time_ms: 1,
            heartbeat_ms,
            group: "default".to_owned(),
            key_pepper: pepper_of(store),
        }))
        .await;
    }

    /// The next status, pulses aside.
    pub(super) async fn status(&mut self) -> ProtoStatus {
        loop {
            let request = timeout(SOON, self.up.next()).await.expect("a status in time").unwrap().unwrap();
            match request.message {
                Some(sync_request::Message::Status(status)) => return status,
                Some(sync_request::Message::Pulse(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns when the proxy has left.
    pub(super) async fn ended(&mut self) {
        while let Some(Ok(_)) = timeout(SOON, self.up.next()).await.expect("an end in time") {}
    }

    /// Offers a version in full and returns what the proxy made of it.
    pub(super) async fn offer(&mut self, version: &Version) -> ProtoStatus {
        version.send(self, &HashSet::new()).await;
        self.status().await
    }
}

/// Each store hashes keys with a pepper of its own.
pub(super) fn pepper_of(store: &str) -> Vec<u8> {
    format!("pepper of {store}").into_bytes()
}

impl Reports {
    pub(super) async fn next(&mut self) -> ReportRequest {
        timeout(SOON, self.up.next()).await.expect("a report in time").unwrap().unwrap()
    }

    pub(super) async fn ack(&self, boot_id: &str, sequence: u64) {
        let ack = ReportResponse { boot_id: boot_id.to_owned(), lane: 0, sequence };
        self.down.send(Ok(ack)).await.unwrap();
    }
}

#[tonic::async_trait]
impl ControlPlane for Service {
    type SyncStream = Down<SyncResponse>;
    type ReportStream = Down<ReportResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let mut up = request.into_inner();
        let first = up.next().await;
        let Some(Ok(SyncRequest { message: Some(sync_request::Message::Hello(hello)) })) = first else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (down, responses) = mpsc::channel(1024);
        let _ = self.sessions.send(Session { hello, up, down }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn report(
        &self,
        request: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (down, responses) = mpsc::channel(1024);
        let _ = self.reports.send(Reports { up: request.into_inner(), down }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

/// A version to be offered.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) offer: Offer,
    pub(super) manifest: Bytes,
    pub(super) bodies: Vec<(Digest, Bytes)>,
}

impl Version {
    /// A version whose one model is called `model`.
    pub(super) fn with_model(version: u64, model: &str) -> Self {
        let text = format!(
            "kind: Provider\nname: p\nspec: {{dialect: openai, base_url: \"http://127.0.0.1:9\"}}\n---\n\
             kind: Model\nname: {model}\nspec: {{targets: [{{provider: p}}]}}\n"
        );
        let resources = parse_documents("test", &text).unwrap();
        Self::of(version, &resources)
    }

    pub(super) fn of(version: u64, resources: &[Resource]) -> Self {
        let manifest = Manifest::of(&Name::default_group(), resources);
        let body = |entry: &policy::Entry| {
            let resource = resources.iter().find(|one| one.name == entry.name && one.kind() == entry.kind);
            (entry.sha256, Bytes::from(resource.unwrap().canonical()))
        };
        let bodies = manifest.entries.iter().map(body).collect();
        Self::assembled(version, Bytes::from(manifest.canonical()), bodies)
    }

    pub(super) fn assembled(version: u64, manifest: Bytes, bodies: Vec<(Digest, Bytes)>) -> Self {
        let offer = Offer {
            version,
            digest: Digest::of(&manifest).to_string(),
            manifest_bytes: manifest.len() as u64,
            frames: 0,
            force: false,
        };
        Self { offer, manifest, bodies }
    }

    pub(super) fn forced(mut self) -> Self {
        self.offer.force = true;
        self
    }

    pub(super) fn activate(&self) -> Activate {
        Activate { version: self.offer.version, digest: self.offer.digest.clone() }
    }

    /// All frames but those of the bodies in `known`.
    pub(super) fn frames(&self, known: &HashSet<Digest>) -> Vec<Frame> {
        let manifest = (Digest::of(&self.manifest), self.manifest.clone());
        std::iter::once(&manifest)
            .chain(&self.bodies)
            .filter(|(digest, _)| !known.contains(digest))
            .flat_map(|(digest, body)| {
                body.chunks(100).enumerate().map(|(index, chunk)| Frame {
                    digest: digest.to_string(),
                    offset: index as u64 * 100,
                    total: body.len() as u64,
                    chunk: body.slice_ref(chunk),
                })
            })
            .collect()
    }

    pub(super) async fn send(&self, session: &Session, known: &HashSet<Digest>) {
        let frames = self.frames(known);
        let offer = Offer { frames: u32::try_from(frames.len()).unwrap(), ..self.offer.clone() };
        session.send(sync_response::Message::Offer(offer)).await;
        for frame in frames {
            session.send(sync_response::Message::Frame(frame)).await;
        }
        session.send(sync_response::Message::Activate(self.activate())).await;
    }
}
