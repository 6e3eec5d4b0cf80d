//! A real etcd as a child process, one for each test that asks, gone with it.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use crate::{eventually, http::Http};

/// A single-member etcd on loopback.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Etcd {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (client, peer) = (free_port(), free_port());
        let url = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        let child = Command::new("etcd")
            .args(["--data-dir".as_ref(), directory.path().as_os_str()])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd must be on the PATH: `make test` installs it");
        let etcd = Self { child, url, _directory: directory };
        let http = Http::default();
        let health = format!("{}/health", etcd.url);
        eventually("etcd to answer", || async {
            let reply = http.try_send(http::Method::GET, &health, &[], bytes::Bytes::new()).await?;
            if reply.text().contains("true") { Ok(()) } else { Err(reply.text()) }
        })
        .await;
        etcd
    }

    /// As `--store` takes it.
    pub fn store(&self) -> String {
        format!("etcd:{}", self.url)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
