//! The promises of the listener, over real sockets.

use std::pin::Pin;

use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use super::*;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn patience() -> Patience {
    Patience { connections: 8, header: Duration::from_secs(20), drain: Duration::from_secs(5) }
}

/// Serves one socket on the test's own runtime. Each call is announced, then waits for its permission.
struct World {
    address: SocketAddr,
    trigger: lifecycle::DrainTrigger,
    tasks: Tasks,
    permission: Arc<Notify>,
    announced: mpsc::Receiver<()>,
}

impl World {
    fn start(patience: Patience) -> Self {
        let bound = bind(any_port(), ONE, "--listen").unwrap();
        let address = bound.address;
        let (trigger, drain) = lifecycle::drain::new();
        let (tasks, permission) = (Tasks::new(), Arc::new(Notify::new()));
        let (announce, announced) = mpsc::channel(16);
        let service = Waiting { permission: Arc::clone(&permission), announce };
        tasks.spawn(
            "listener",
            TaskKind::Background,
            serve(bound.into_single().unwrap(), service, patience, drain, tasks.child()),
        );
        Self { address, trigger, tasks, permission, announced }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Announces each call, waits for its permission and answers.
#[derive(Clone)]
struct Waiting {
    permission: Arc<Notify>,
    announce: mpsc::Sender<()>,
}

impl Service<Request<Incoming>> for Waiting {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, _request: Request<Incoming>) -> Self::Future {
        let world = self.clone();
        Box::pin(async move {
            world.announce.send(()).await.unwrap();
            world.permission.notified().await;
            Ok(Response::new(Full::new(Bytes::from_static(b"done"))))
        })
    }
}

const CALL: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn draining_lets_the_call_under_way_finish_and_accepts_no_other() {
    let mut world = World::start(patience());
    let mut caller = world.connect().await;
    caller.write_all(CALL).await.unwrap();
    world.announced.recv().await.unwrap();

    let drained = tokio::task::spawn_blocking({
        let handle = tokio::runtime::Handle::current();
        move || handle.block_on(world.trigger.drain())
    });
    // The listener is closed once a new connection is refused or reset; until then the kernel may still complete one.
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    world.permission.notify_one();
    let answer = read_all(caller).await;
    assert!(answer.contains("done"), "{answer}");
    drained.await.unwrap();
    world.tasks.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_says_nothing_is_let_go() {
    let world = World::start(patience());
    for said in [&b""[..], b"PRI", b"GET / HTTP/1.1\r\nhost:"] {
        let mut caller = world.connect().await;
        caller.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        // The paused clock runs ahead as soon as everyone waits.
        let ended = tokio::time::timeout(Duration::from_secs(60), caller.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{said:?} was kept");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let mut world = World::start(Patience { connections: 1, ..patience() });
    let first = world.connect().await;
    let mut second = world.connect().await;
    second.write_all(CALL).await.unwrap();
    assert!(world.announced.try_recv().is_err());
    drop(first);
    world.announced.recv().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = bind(any_port(), ONE, "--listen").unwrap();
    for lanes in [1, 2] {
        let error = bind(taken.address, NonZeroUsize::new(lanes).unwrap(), "--listen").unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        assert!(
            error.to_string().contains("--listen") && error.to_string().contains(&taken.address.to_string())
        );
    }
    // Lanes share their port with each other, not with another proxy's lanes.
    let lanes = bind(any_port(), NonZeroUsize::new(2).unwrap(), "--listen").unwrap();
    assert!(bind(lanes.address, NonZeroUsize::new(2).unwrap(), "--listen").is_err());
    assert_eq!(lanes.sockets.len(), 2);
}

#[tokio::test]
async fn a_caller_who_hangs_up_while_waiting_ends_its_call() {
    let mut world = World::start(patience());
    let mut caller = world.connect().await;
    caller.write_all(CALL).await.unwrap();
    world.announced.recv().await.unwrap();
    drop(caller);
    // The world and the listener keep the permission; the connection and its call hold it until they are dropped.
    while Arc::strong_count(&world.permission) > 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_same_port_speaks_http_2_as_well() {
    let mut world = World::start(patience());
    let io = TokioIo::new(world.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    world.tasks.spawn("caller", TaskKind::Disposable, async move {
        let _ended = connection.await.is_err();
    });
    world.permission.notify_one();
    let request = Request::get("http://proxy/").body(Full::new(Bytes::new())).unwrap();
    let (response, announced) = tokio::join!(sender.send_request(request), world.announced.recv());
    assert_eq!((response.unwrap().version(), announced), (http::Version::HTTP_2, Some(())));
}
