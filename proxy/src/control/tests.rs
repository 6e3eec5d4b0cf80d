use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use policy::Digest;
use proto::{Frame, Goodbye, Phase, sync_response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::*;
use crate::exchange::{Record, RecordSink};
use crate::runtime::Parts;
use crate::upstream;
use fake::{FakeControlPlane, Session, Version, pepper_of};

mod fake;

const SOON: Duration = Duration::from_secs(10);

/// A proxy's control room with a data directory of its own.
struct World {
    data: TempDir,
    panics: Arc<AtomicBool>,
}

/// One life of it.
struct Life {
    tasks: Tasks,
    current: Current,
    pepper: Pepper,
    handle: Handle,
}

impl World {
    fn new() -> Self {
        Self { data: TempDir::new().unwrap(), panics: Arc::default() }
    }

    async fn live(&self, control_plane: String, tls: TlsFiles) -> Life {
        let (tasks, current, pepper, clock) =
            (Tasks::new(), Current::default(), Pepper::default(), Clock::system());
        let parts = Parts {
            pepper: pepper.clone(),
            upstream: upstream::Parts {
                clock: clock.clone(),
                lanes: 1,
                tls: Arc::new(upstream::trust().unwrap()),
                read_env: upstream::ReadEnv::new(|_| None),
            },
        };
        let panics = Arc::clone(&self.panics);
        let build: Build = Arc::new(move |policy, previous| {
            assert!(!panics.load(Ordering::Relaxed), "told to");
            Runtime::build(policy, previous, &parts)
        });
        let settings = Settings {
            control_plane,
            tls,
            data: self.data.path().to_owned(),
            proxy_id: None,
            group: "default".to_owned(),
            address: "127.0.0.1:8080".to_owned(),
            inflight: Arc::new(|| 0),
        };
        let handle = start(settings, current.clone(), pepper.clone(), build, &tasks, &clock).await.unwrap();
        Life { tasks, current, pepper, handle }
    }

    async fn live_at(&self, plane: &FakeControlPlane) -> Life {
        self.live(format!("http://127.0.0.1:{}", plane.port), TlsFiles::default()).await
    }

    /// A life without a control plane.
    async fn live_alone(&self) -> Life {
        self.live("http://127.0.0.1:9".to_owned(), TlsFiles::default()).await
    }

    fn slots(&self) -> Slots {
        Slots::open(DataDir::open(self.data.path()).unwrap())
    }
}

impl Life {
    fn version(&self) -> Option<u64> {
        self.current.load().map(|runtime| runtime.policy.version)
    }

    fn serves(&self, model: &str) -> bool {
        self.current.load().is_some_and(|runtime| runtime.policy.model(model).is_some())
    }

    async fn end(self) {
        self.tasks.shutdown(SOON).await.unwrap();
    }
}

/// A control plane, a proxy connected to it, and their first stream with version 5 in force.
async fn settled(world: &World) -> (Tasks, FakeControlPlane, Life, Session) {
    let tasks = Tasks::new();
    let mut plane = FakeControlPlane::start(&tasks, None).await;
    let life = world.live_at(&plane).await;
    let mut session = plane.welcomed("store").await;
    let status = session.offer(&Version::with_model(5, "first")).await;
    assert_eq!((status.version, status.phase()), (5, Phase::Active), "{status:?}");
    (tasks, plane, life, session)
}

fn codes(status: &proto::Status) -> Vec<&str> {
    status.diagnostics.iter().map(|one| one.code.as_str()).collect()
}

#[tokio::test]
async fn an_offered_version_is_in_force_when_it_is_acknowledged() {
    let world = World::new();
    let (_tasks, _plane, life, session) = settled(&world).await;
    assert_eq!(life.version(), Some(5));
    assert!(life.serves("first") && life.pepper.is_set());
    assert_eq!(session.hello.held, None);
    assert_eq!(session.hello.group, "default");
    let standing = life.handle.standing.borrow().clone();
    assert!(standing.is_connected);
    assert_eq!((standing.version, standing.server_id.as_str()), (5, "server"));
    life.end().await;
}

#[tokio::test]
async fn a_proxy_serves_from_its_last_good_version_without_a_control_plane() {
    let world = World::new();
    let (_tasks, mut plane, life, _session) = settled(&world).await;
    let proxy_id = life.handle.proxy_id.clone();
    life.end().await;

    let life = world.live_alone().await;
    assert_eq!(life.version(), Some(5));
    assert!(life.serves("first") && life.pepper.is_set());
    life.end().await;

    let life = world.live_at(&plane).await;
    let session = plane.session().await;
    assert_eq!(session.hello.held.as_ref().map(|held| held.version), Some(5));
    assert_eq!((session.hello.store_id.as_str(), session.hello.blobs.len()), ("store", 2));
    assert_eq!(session.hello.proxy_id, proxy_id);
    life.end().await;
}

#[tokio::test]
async fn a_second_version_needs_only_the_bodies_that_are_not_there() {
    let world = World::new();
    let (_tasks, _plane, life, mut session) = settled(&world).await;
    let second = Version::with_model(6, "second");
    let known: HashSet<Digest> =
        Version::with_model(5, "first").bodies.iter().map(|(digest, _)| *digest).collect();
    assert!(second.frames(&known).len() < second.frames(&HashSet::new()).len());
    second.send(&session, &known).await;
    assert_eq!(session.status().await.phase(), Phase::Active);
    assert!(life.serves("second") && !life.serves("first"));
    life.end().await;
}

#[tokio::test]
async fn the_same_content_under_a_higher_version_needs_no_data() {
    let world = World::new();
    let (_tasks, _plane, life, mut session) = settled(&world).await;
    let same = Version::with_model(9, "first");
    let everything: HashSet<Digest> = same
        .bodies
        .iter()
        .map(|(digest, _)| *digest)
        .chain(std::iter::once(Digest::of(&same.manifest)))
        .collect();
    same.send(&session, &everything).await;
    let status = session.status().await;
    assert_eq!((status.version, status.phase()), (9, Phase::Active), "{status:?}");
    assert_eq!(life.version(), Some(9));
    life.end().await;
}

#[tokio::test]
async fn a_bad_version_is_refused_whole_with_a_diagnostic_for_the_resource() {
    let world = World::new();
    let (_tasks, _plane, life, mut session) = settled(&world).await;
    let good = Version::with_model(6, "second");
    let name = r#"{"kind":"Model","labels":{},"name":"second","spec":{"surprise":1,"targets":[]}}"#;
    let body = Bytes::from_static(name.as_bytes());
    let mut manifest = policy::Manifest::parse(&good.manifest).unwrap();
    for entry in &mut manifest.entries {
        if entry.kind == policy::Kind::Model {
            (entry.sha256, entry.size) = (Digest::of(&body), body.len() as u64);
        }
    }
    let mut bodies = good.bodies.clone();
    for (entry, (digest, old)) in manifest.entries.iter().zip(&mut bodies) {
        if entry.kind == policy::Kind::Model {
            (*digest, *old) = (entry.sha256, body.clone());
        }
    }
    let bad = Version::assembled(6, Bytes::from(manifest.canonical()), bodies);
    let status = session.offer(&bad).await;
    assert_eq!(status.phase(), Phase::Rejected);
    assert!(status.diagnostics.iter().any(|one| one.resource == "Model/second"), "{status:?}");
    assert!(life.serves("first"));
    assert!(!life.handle.standing.borrow().refused.is_empty());

    assert_eq!(session.offer(&Version::with_model(7, "third")).await.phase(), Phase::Active);
    assert!(life.handle.standing.borrow().refused.is_empty());
    life.end().await;
}

#[tokio::test]
async fn a_panic_while_a_version_is_built_refuses_it_and_hurts_nothing_else() {
    let world = World::new();
    let (_tasks, _plane, life, mut session) = settled(&world).await;
    world.panics.store(true, Ordering::Relaxed);
    let status = session.offer(&Version::with_model(6, "second")).await;
    assert_eq!((status.phase(), codes(&status)), (Phase::Rejected, vec!["internal"]));
    world.panics.store(false, Ordering::Relaxed);
    assert!(life.serves("first"));
    assert_eq!(session.offer(&Version::with_model(7, "second")).await.phase(), Phase::Active);
    life.end().await;
}

#[tokio::test]
async fn a_body_that_is_not_there_is_asked_for() {
    let world = World::new();
    let (_tasks, _plane, life, mut session) = settled(&world).await;
    let second = Version::with_model(6, "second");
    let known: HashSet<Digest> = second.bodies.iter().map(|(digest, _)| *digest).collect();
    second.send(&session, &known).await;
    let status = session.status().await;
    assert_eq!((status.phase(), codes(&status)), (Phase::Rejected, vec!["missing_body"]));
    assert_eq!(session.offer(&second).await.phase(), Phase::Active);
    life.end().await;
}

#[tokio::test]
async fn another_store_or_an_older_version_is_accepted_only_with_force() {
    let world = World::new();
    let (_tasks, mut plane, life, mut session) = settled(&world).await;
    let status = session.offer(&Version::with_model(4, "older")).await;
    assert_eq!((status.phase(), codes(&status)), (Phase::Rejected, vec!["store_regression"]));
    drop(session);

    let mut session = plane.welcomed("another store").await;
    assert_eq!((session.status().await.version, session.hello.store_id.as_str()), (5, "store"));
    let other = Version::with_model(50, "other");
    let status = session.offer(&other).await;
    assert_eq!((status.phase(), codes(&status)), (Phase::Rejected, vec!["store_regression"]));
    assert!(life.serves("first"));
    assert_eq!(session.offer(&other.forced()).await.phase(), Phase::Active);
    assert!(life.serves("other"));
    life.end().await;
}

#[tokio::test]
async fn keys_are_hashed_with_the_pepper_of_the_store_whose_version_is_in_force() {
    let world = World::new();
    let (_tasks, mut plane, life, session) = settled(&world).await;
    let kept = || DataDir::open(world.data.path()).unwrap().pepper().unwrap().unwrap();
    drop(session);

    let mut session = plane.welcomed("another store").await;
    session.status().await;
    let dangling = "kind: Model\nname: m\nspec: {targets: [{provider: nobody}]}\n";
    let broken = Version::of(50, &policy::parse_documents("test", dangling).unwrap()).forced();
    assert_eq!(session.offer(&broken).await.phase(), Phase::Rejected);
    assert!(life.serves("first"));
    assert_eq!(kept(), pepper_of("store"));

    assert_eq!(session.offer(&Version::with_model(51, "other").forced()).await.phase(), Phase::Active);
    life.end().await;
    assert_eq!(kept(), pepper_of("another store"));
}

/// Every way of breaking the rules of the stream, given a good version to start from.
fn garbage() -> Vec<(&'static str, Vec<sync_response::Message>)> {
    use sync_response::Message;
    let version = Version::with_model(6, "second");
    let frames = version.frames(&HashSet::new());
    let announce =
        |frames: usize| proto::Offer { frames: u32::try_from(frames).unwrap(), ..version.offer.clone() };
    let offer = Message::Offer(announce(frames.len()));
    let with_frame = |frame: Frame| vec![offer.clone(), Message::Frame(frame)];
    let first = || frames[0].clone();
    let not_json = Version::assembled(6, Bytes::from_static(b"{]"), vec![]);
    let huge = format!(
        r#"{{"entries":[{{"kind":"Model","name":"m","sha256":"{}","size":99999999}}],"group":"default"}}"#,
        version.offer.digest
    );
    let huge = Version::assembled(6, Bytes::from(huge), vec![]);
    let only_manifest = |version: &Version| {
        let frames = version.frames(&HashSet::new());
        let mut messages = vec![Message::Offer(proto::Offer { frames: 9, ..version.offer.clone() })];
        messages.extend(frames.into_iter().map(Message::Frame));
        messages
    };
    let mut one_too_many = vec![Message::Offer(announce(1))];
    one_too_many.extend(frames.iter().take(2).cloned().map(Message::Frame));
    let mut cut_short = vec![offer.clone(), Message::Frame(first())];
    cut_short.push(Message::Activate(version.activate()));
    vec![
        ("a frame without an offer", vec![Message::Frame(first())]),
        ("an activation without an offer", vec![Message::Activate(version.activate())]),
        ("a second welcome", vec![Message::Welcome(proto::Welcome::default())]),
        ("a digest that is none", vec![Message::Offer(proto::Offer { digest: "x".into(), ..announce(1) })]),
        (
            "an endless manifest",
            vec![Message::Offer(proto::Offer { manifest_bytes: u64::MAX, ..announce(1) })],
        ),
        ("a version without a number", vec![Message::Offer(proto::Offer { version: 0, ..announce(1) })]),
        ("a frame too large", with_frame(Frame { chunk: vec![0; 20_000].into(), total: 20_000, ..first() })),
        ("a frame out of place", with_frame(Frame { offset: 7, ..first() })),
        ("an empty frame", with_frame(Frame { chunk: Bytes::new(), ..first() })),
        ("a body that was not announced", with_frame(Frame { digest: "0".repeat(64), ..first() })),
        ("another size than announced", with_frame(Frame { total: u64::MAX, ..first() })),
        ("changed bytes", {
            let mut messages = only_manifest(&version);
            if let Some(Message::Frame(frame)) = messages.get_mut(1) {
                frame.chunk = vec![b' '; frame.chunk.len()].into();
            }
            messages
        }),
        ("a manifest that is no JSON", only_manifest(&not_json)),
        ("a resource over its bound", only_manifest(&huge)),
        ("more frames than announced", one_too_many),
        ("an activation before the end", cut_short),
        ("an activation of something else", {
            let mut messages = vec![Message::Offer(announce(frames.len()))];
            messages.extend(frames.iter().cloned().map(Message::Frame));
            messages.push(Message::Activate(proto::Activate { version: 7, ..version.activate() }));
            messages
        }),
    ]
}

#[tokio::test]
async fn garbage_ends_the_stream_and_changes_nothing() {
    for (name, messages) in garbage() {
        let world = World::new();
        let (_tasks, mut plane, life, mut session) = settled(&world).await;
        for message in messages {
            session.send(message).await;
        }
        session.ended().await;
        assert!(life.serves("first"), "{name}");
        let mut session = plane.welcomed("store").await;
        assert_eq!(session.status().await.version, 5, "{name}");
        assert_eq!(session.offer(&Version::with_model(6, "second")).await.phase(), Phase::Active, "{name}");
        life.end().await;
    }
}

#[tokio::test]
async fn a_message_from_a_newer_control_plane_is_passed_over() {
    let world = World::new();
    let (_tasks, _plane, life, mut session) = settled(&world).await;
    session.send_empty().await;
    assert_eq!(session.offer(&Version::with_model(6, "second")).await.phase(), Phase::Active);
    life.end().await;
}

#[tokio::test]
async fn a_stream_whose_heartbeats_stop_is_given_up_and_another_one_opened() {
    let world = World::new();
    let tasks = Tasks::new();
    let mut plane = FakeControlPlane::start(&tasks, None).await;
    let life = world.live_at(&plane).await;
    let mut silent = plane.session().await;
    silent.welcome("store", 50).await;
    silent.ended().await;
    let mut session = plane.welcomed("store").await;
    assert_eq!(session.offer(&Version::with_model(5, "first")).await.phase(), Phase::Active);
    life.end().await;
}

#[tokio::test]
async fn a_goodbye_is_followed_by_another_stream() {
    let world = World::new();
    let (_tasks, mut plane, life, mut session) = settled(&world).await;
    let goodbye = Goodbye { reconnect_after_ms: 10, reason: "moving".to_owned() };
    session.send(sync_response::Message::Goodbye(goodbye)).await;
    session.ended().await;
    let again = plane.session().await;
    assert_eq!(again.hello.held.map(|held| held.version), Some(5));
    life.end().await;
}

#[tokio::test]
async fn a_version_that_crashed_the_proxy_twice_is_reverted_and_refused_until_forced() {
    let world = World::new();
    let (_tasks, mut plane, life, mut session) = settled(&world).await;
    world.slots().confirm(&Version::with_model(5, "first").offer.digest).unwrap();
    assert_eq!(session.offer(&Version::with_model(6, "second")).await.phase(), Phase::Active);
    life.end().await;
    // Two starts that do not end well.
    world.slots().boot();
    world.slots().boot();

    let life = world.live_at(&plane).await;
    assert!(life.serves("first"));
    let mut session = plane.welcomed("store").await;
    let status = session.status().await;
    assert_eq!((status.version, status.phase()), (6, Phase::Reverted));
    assert_eq!(session.status().await.version, 5);

    let status = session.offer(&Version::with_model(7, "second")).await;
    assert_eq!((status.phase(), codes(&status)), (Phase::Reverted, vec!["crashed"]));
    let status = session.offer(&Version::with_model(8, "second").forced()).await;
    assert_eq!(status.phase(), Phase::Active);
    assert!(life.serves("second"));
    life.end().await;
}

fn record(id: &str) -> Record {
    Record { request_id: id.to_owned(), status: 200, ..Record::default() }
}

fn ids(request: &proto::ReportRequest) -> Vec<&str> {
    request.records.iter().map(|one| one.request_id.as_str()).collect()
}

#[tokio::test]
async fn records_travel_until_they_are_acknowledged_also_over_another_connection() {
    let world = World::new();
    let (_tasks, mut plane, life, session) = settled(&world).await;
    life.handle.records.put(record("a"));
    let mut reports = plane.reports().await;
    let first = reports.next().await;
    assert_eq!((ids(&first), first.proxy_id.as_str()), (vec!["a"], life.handle.proxy_id.as_str()));
    assert_eq!(first.records[0].sequence, 1);
    reports.ack(&first.boot_id, 1).await;

    life.handle.records.put(record("b"));
    assert_eq!(ids(&reports.next().await), ["b"]);
    drop((reports, session));

    let _session = plane.welcomed("store").await;
    let mut reports = plane.reports().await;
    let again = reports.next().await;
    assert_eq!((ids(&again), again.records[0].sequence), (vec!["b"], 2));
    reports.ack(&again.boot_id, 2).await;
    life.end().await;
}

#[tokio::test]
async fn records_of_an_earlier_boot_arrive_first_and_under_its_id() {
    let world = World::new();
    let life = world.live_alone().await;
    for id in ["a", "b"] {
        life.handle.records.put(record(id));
    }
    life.end().await;

    let tasks = Tasks::new();
    let mut plane = FakeControlPlane::start(&tasks, None).await;
    let life = world.live_at(&plane).await;
    life.handle.records.put(record("c"));
    let session = plane.welcomed("store").await;
    let mut reports = plane.reports().await;
    let old = reports.next().await;
    assert_eq!(ids(&old), ["a", "b"]);
    assert_ne!(old.boot_id, session.hello.boot_id);
    let new = reports.next().await;
    assert_eq!((ids(&new), &new.boot_id), (vec!["c"], &session.hello.boot_id));
    reports.ack(&old.boot_id, 2).await;
    reports.ack(&new.boot_id, 1).await;
    life.end().await;
}

#[tokio::test]
async fn the_stream_is_protected_by_certificates_of_both_sides() {
    let world = World::new();
    let authority = Authority::new();
    let server = authority.issue("localhost");
    let proxy = authority.issue("proxy");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(&server.0, &server.1))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let tasks = Tasks::new();
    let mut plane = FakeControlPlane::start(&tasks, Some(tls)).await;
    let file = |name: &str, text: &str| {
        let path = world.data.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let url = format!("https://localhost:{}", plane.port);
    let ca = file("ca.pem", &authority.pem());
    let files = TlsFiles { ca: ca.clone(), cert: file("cert.pem", &proxy.0), key: file("key.pem", &proxy.1) };
    let life = world.live(url.clone(), files.clone()).await;
    let mut session = plane.welcomed("store").await;
    assert_eq!(session.offer(&Version::with_model(5, "first")).await.phase(), Phase::Active);
    drop(session);
    life.end().await;

    let stranger = Authority::new();
    let without = TlsFiles { cert: None, key: None, ..files.clone() };
    let astray = TlsFiles { ca: file("other.pem", &stranger.pem()), ..files };
    for files in [without, astray] {
        let life = world.live(url.clone(), files).await;
        let standing = life.handle.standing.clone();
        assert!(timeout(Duration::from_millis(300), plane.session()).await.is_err());
        assert!(!standing.borrow().is_connected);
        life.end().await;
    }
}

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
