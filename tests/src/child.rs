//! The real binary: `frontdoor up` as a process that can be killed, and the CLI verbs as a person types them.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

/// A running `frontdoor up -o json`. Killed when dropped.
#[derive(Debug)]
pub struct Frontdoor {
    child: Child,
    /// What it printed: addresses and the key.
    pub welcome: Value,
}

/// `--…-listen 127.0.0.1:0` for everything that listens.
pub const ANY_PORT: [&str; 10] = [
    "--listen",
    "127.0.0.1:0",
    "--ops-listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--grpc-listen",
    "127.0.0.1:0",
    "--simulator-listen",
    "127.0.0.1:0",
];

impl Frontdoor {
    /// Starts `program up` and waits for what it prints. An error is what it said on standard error.
    pub fn up<I, S>(program: &Path, data: &Path, arguments: I) -> Result<Self, String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut child = clean(program)
            .args(["up", "-o", "json", "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("output is text");
        if let Ok(welcome) = serde_json::from_str(&line) {
            return Ok(Self { child, welcome });
        }
        let output = child.wait_with_output().expect("it ended");
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    /// SIGTERM, and the exit status after the drain.
    pub fn stop(mut self) -> Option<i32> {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(killed.success());
        self.child.wait().expect("it ended").code()
    }

    pub fn proxy(&self) -> String {
        self.text("/proxies/0/url")
    }

    pub fn key(&self) -> String {
        self.text("/key")
    }

    pub fn text(&self, pointer: &str) -> String {
        self.welcome.pointer(pointer).and_then(Value::as_str).expect("it was printed").to_owned()
    }
}

impl Drop for Frontdoor {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Runs one CLI verb to its end.
pub fn run_cli<I, S>(program: &Path, arguments: I) -> Output
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    clean(program).args(arguments).stdin(Stdio::null()).output().expect("the binary runs")
}

/// The program without the settings of whoever runs the tests.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("FRONTDOOR_")
            || name_text.ends_with("_API_KEY")
            || name_text.starts_with("OTEL_")
        {
            command.env_remove(&name);
        }
    }
    command
}
