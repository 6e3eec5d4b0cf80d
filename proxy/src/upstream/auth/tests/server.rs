//! A token server that answers by path, and a machine with made-up variables and files.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lifecycle::{Clock, TaskKind, Tasks};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::upstream::auth::fetch::Fetcher;
use crate::upstream::auth::source::Places;
use crate::upstream::{Parts, ReadEnv, trust};

/// One request as it came.
#[derive(Debug, Clone)]
pub(in crate::upstream::auth) struct Seen {
    /// Method, path and query.
    pub(in crate::upstream::auth) line: String,
    pub(in crate::upstream::auth) headers: HeaderMap,
    pub(in crate::upstream::auth) body: String,
}

impl Seen {
    pub(in crate::upstream::auth) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A field of the form in the body, decoded.
    pub(in crate::upstream::auth) fn field(&self, name: &str) -> String {
        let found = self.body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        let mut bytes = Vec::new();
        let mut rest = found.unwrap_or_default().bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.extend(hex::decode(digits).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// What is done with a request.
pub(in crate::upstream::auth) enum Act {
    Reply(u16, String),
    Hang,
}

pub(in crate::upstream::auth) fn ok(body: impl Into<String>) -> Act {
    Act::Reply(200, body.into())
}

/// The server.
#[derive(Clone)]
pub(in crate::upstream::auth) struct Server {
    pub(in crate::upstream::auth) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
    _tasks: Tasks,
}

impl Server {
    pub(in crate::upstream::auth) async fn start(act: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        let server = Self { url, seen: Arc::default(), arrived: Arc::default(), _tasks: tasks.clone() };
        let (this, act) = (server.clone(), Arc::new(act));
        let children = tasks.clone();
        tasks.spawn("token server", TaskKind::Disposable, async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (this, act) = (this.clone(), Arc::clone(&act));
                children.spawn("token connection", TaskKind::Disposable, async move {
                    let service = service_fn(|request| this.answer(request, &*act));
                    // The client leaves when it likes.
                    let _left = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        act: &(dyn Fn(&Seen) -> Act + Send + Sync),
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let seen = Seen {
            line: format!("{} {}", head.method, head.uri),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        let act = act(&seen);
        self.seen.lock().push(seen);
        self.arrived.notify_one();
        match act {
            Act::Reply(status, body) => {
                let answer = Response::builder().status(status).header("metadata-flavor", "Google");
                Ok(answer.body(Full::new(Bytes::from(body))).unwrap())
            }
            Act::Hang => std::future::pending().await,
        }
    }

    pub(in crate::upstream::auth) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The lines of all requests.
    pub(in crate::upstream::auth) fn lines(&self) -> Vec<String> {
        self.seen.lock().iter().map(|seen| seen.line.clone()).collect()
    }

    /// Returns once a request has come in.
    pub(in crate::upstream::auth) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Asks this server whatever the URL.
    pub(in crate::upstream::auth) fn fetcher(&self) -> Fetcher {
        fetcher(Some(&self.url))
    }
}

pub(in crate::upstream::auth) fn fetcher(endpoint: Option<&str>) -> Fetcher {
    Fetcher::new(&Arc::new(trust().unwrap()), endpoint)
}

/// Variables and files that the test has written.
pub(in crate::upstream::auth) struct Machine {
    variables: Arc<Mutex<BTreeMap<String, String>>>,
    home: TempDir,
}

impl Machine {
    /// With a home directory that is empty.
    pub(in crate::upstream::auth) fn new() -> Self {
        let machine = Self { variables: Arc::default(), home: TempDir::new().unwrap() };
        machine.set("HOME", machine.home.path().to_str().unwrap());
        machine
    }

    pub(in crate::upstream::auth) fn set(&self, name: &str, value: &str) {
        self.variables.lock().insert(name.to_owned(), value.to_owned());
    }

    /// Writes a file below the home directory and tells its path.
    pub(in crate::upstream::auth) fn write(&self, path: &str, text: &str) -> String {
        let path = self.home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(in crate::upstream::auth) fn read_env(&self) -> ReadEnv {
        let variables = Arc::clone(&self.variables);
        ReadEnv::new(move |name| variables.lock().get(name).cloned())
    }

    pub(in crate::upstream::auth) fn places(&self) -> Places {
        Places::new(self.read_env())
    }

    pub(in crate::upstream::auth) fn parts(&self, clock: &Clock) -> Parts {
        Parts { clock: clock.clone(), lanes: 1, tls: Arc::new(trust().unwrap()), read_env: self.read_env() }
    }
}
