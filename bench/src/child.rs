//! Child processes under measurement: started on given cores, read through /proc, ended with the measurement.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long a child may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often to look whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The unit of CPU time in /proc: USER_HZ, which is 100 on every architecture that is measured here.
const TICK: Duration = Duration::from_millis(10);

/// Which cores the measured process gets, and which are left for the load and the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cores {
    /// `taskset` lists.
    Pinned { measured: String, rest: String },
    /// One core only, or no `taskset`: the numbers will be noisier.
    Shared,
}

impl Cores {
    /// The first core for what is measured, the others for everything else.
    pub(crate) fn of_this_machine() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let has_taskset = Command::new("taskset")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if count < 2 || !has_taskset {
            return Self::Shared;
        }
        let rest = if count == 2 { "1".to_owned() } else { format!("1-{}", count - 1) };
        Self::Pinned { measured: "0".to_owned(), rest }
    }

    /// Moves this process, and the threads it starts from now on, to the cores that are not measured.
    pub(crate) fn move_away(&self) -> anyhow::Result<()> {
        let Self::Pinned { rest, .. } = self else { return Ok(()) };
        let own = std::process::id().to_string();
        let moved = Command::new("taskset").args(["-p", "-c", rest, &own]).stdout(Stdio::null()).status()?;
        if !moved.success() {
            bail!("taskset could not move this process to cores {rest}");
        }
        Ok(())
    }
}

/// Where a child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the measured cores.
    Measured,
    /// On the others.
    Rest,
}

/// A program of ours as a child that ends with this value.
#[derive(Debug)]
pub(crate) struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// What is started.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Program {
    /// This program again.
    pub(crate) fn itself<const N: usize>(arguments: [&str; N]) -> anyhow::Result<Self> {
        Ok(Self::of(std::env::current_exe()?, arguments))
    }

    /// `frontdoor`, built into the same folder.
    pub(crate) fn frontdoor<const N: usize>(arguments: [&str; N]) -> anyhow::Result<Self> {
        let path = std::env::current_exe()?.with_file_name("frontdoor");
        if !path.exists() {
            bail!("{} is missing: build it with `cargo build --release -p frontdoor-cli`", path.display());
        }
        Ok(Self::of(path, arguments))
    }

    fn of<const N: usize>(path: PathBuf, arguments: [&str; N]) -> Self {
        Self { path, arguments: arguments.map(Into::into).to_vec(), environment: Vec::new() }
    }

    /// With an environment variable.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }
}

impl Running {
    /// Starts it with its output in a file of its name in `folder`.
    pub(crate) fn start(
        name: &'static str,
        program: &Program,
        (cores, place): (&Cores, Place),
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = match (cores, place) {
            (Cores::Pinned { measured, .. }, Place::Measured) => taskset(measured, &program.path),
            (Cores::Pinned { rest, .. }, Place::Rest) => taskset(rest, &program.path),
            (Cores::Shared, _) => Command::new(&program.path),
        };
        let log = folder.join(format!("{name}.log"));
        let output = std::fs::File::create(&log)?;
        command.args(&program.arguments).envs(program.environment.iter().copied());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Starts the simulated provider with a script.
    pub(crate) fn upstream(
        addr: SocketAddr,
        script: &str,
        cores: &Cores,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let path = folder.join("script.json");
        std::fs::write(&path, script)?;
        let path = path.to_str().context("the temporary folder's name is not UTF-8")?;
        let program =
            Program::itself(["upstream", "--listen", &addr.to_string(), "--keep", "0", "--script", path])?;
        let mut upstream = Self::start("upstream", &program, (cores, Place::Rest), folder)?;
        upstream.wait_for(addr)?;
        Ok(upstream)
    }

    /// Waits until it accepts connections.
    pub(crate) fn wait_for(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        let mut waited = Duration::ZERO;
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended with {status} before it listened on {addr}: {}",
                    self.name,
                    self.last_words()
                );
            }
            if waited > START_LIMIT {
                bail!("{} does not listen on {addr} after {START_LIMIT:?}: {}", self.name, self.last_words());
            }
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        Ok(())
    }

    /// What it wrote last.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// CPU time of all its threads, also of those that ended, user and system, to a hundredth of a second.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold anything; two fields follow it that are no numbers of ours.
        let (_, fields) = stat.rsplit_once(')').context("an odd stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<_, _>>().context("an odd stat")?;
        Ok(TICK * u32::try_from(ticks)?)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// File descriptors that are open.
    pub(crate) fn open_files(&self) -> anyhow::Result<u64> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?;
        Ok(u64::try_from(entries.count())?)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ended = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}

/// A loopback port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

fn taskset(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}
