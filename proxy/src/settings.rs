//! How a proxy process is started: arguments and environment. The only place of the proxy that reads the environment.
//!
//! It must not know policy: what the proxy does with calls comes from the control plane, never from here.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, FromArgMatches};
use lifecycle::LogFormat;

use crate::upstream::ReadEnv;

/// The start of a proxy.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where applications call
    #[arg(long, env = "FRONTDOOR_PROXY_LISTEN", default_value_t = Self::LISTEN, value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where /livez, /readyz, /metrics and /policy are served
    #[arg(long, env = "FRONTDOOR_PROXY_OPS_LISTEN", default_value_t = Self::OPS_LISTEN, value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,

    /// The control plane's gRPC address: http:// on this machine, https:// elsewhere
    #[arg(
        long,
        env = "FRONTDOOR_CONTROL_PLANE",
        default_value = "http://127.0.0.1:7071",
        value_name = "URL"
    )]
    pub control_plane: String,

    /// Directory for the last good policy and for records not yet delivered
    #[arg(long, env = "FRONTDOOR_PROXY_DATA", default_value = ".frontdoor/proxy", value_name = "DIR")]
    pub data: PathBuf,

    /// The group whose policy this proxy runs
    #[arg(long, env = "FRONTDOOR_PROXY_GROUP", default_value = "default", value_name = "NAME")]
    pub group: String,

    /// The proxy's name in the fleet; made once and kept in the data directory when not given
    #[arg(long, env = "FRONTDOOR_PROXY_ID", value_name = "ID")]
    pub proxy_id: Option<String>,

    /// Certificate authority of the control plane (PEM)
    #[arg(long, env = "FRONTDOOR_PROXY_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The proxy's own certificate for the control plane (PEM)
    #[arg(long, env = "FRONTDOOR_PROXY_CERT", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The key of that certificate (PEM)
    #[arg(long, env = "FRONTDOOR_PROXY_KEY", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// The largest body a call may have, such as 32MiB
    #[arg(long, env = "FRONTDOOR_PROXY_MAX_BODY", default_value = "32MiB", value_name = "SIZE")]
    pub max_body: ByteSize,

    /// How many connections of applications are open at once; more wait in the kernel's queue
    #[arg(long, env = "FRONTDOOR_PROXY_MAX_CONNECTIONS", default_value = "16384", value_name = "COUNT")]
    pub max_connections: NonZeroUsize,

    /// Threads that serve calls; one for each core when not given
    #[arg(long, env = "FRONTDOOR_PROXY_THREADS", value_name = "COUNT")]
    pub threads: Option<NonZeroUsize>,

    /// How long calls under way may take to finish when the proxy stops, in seconds
    #[arg(long, env = "FRONTDOOR_PROXY_DRAIN_SECONDS", default_value = "30", value_name = "SECONDS")]
    pub drain_seconds: u64,

    /// Collector for traces (OTLP over gRPC), such as http://127.0.0.1:4317
    #[arg(long, env = "FRONTDOOR_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// Which log lines are written, such as `info` or `info,frontdoor_proxy=debug`
    #[arg(long, env = "FRONTDOOR_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// `text` for people, `json` for machines
    #[arg(long, env = "FRONTDOOR_LOG_FORMAT", default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Makes a span out of every record. Whoever set up the process's telemetry puts it here.
    #[arg(skip)]
    pub tracer: Option<lifecycle::Tracer>,
}

impl Settings {
    const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    const OPS_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

    /// How many threads serve calls.
    pub fn lanes(&self) -> NonZeroUsize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    /// How long calls under way may take to finish when the proxy stops.
    pub fn drain_grace(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// What a start without any argument has, the environment included.
impl Default for Settings {
    fn default() -> Self {
        let command = Self::augment_args(clap::Command::new("frontdoor-proxy").no_binary_name(true));
        let matches = command.get_matches_from(std::iter::empty::<&str>());
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Reads one variable of the process's environment: what `env:NAME` in a policy refers to.
pub fn read_env() -> ReadEnv {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    ReadEnv::new(|name| std::env::var(name).ok())
}

/// A number of bytes, written as `4096`, `64KiB`, `32MiB` or `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(usize);

/// A text that is no size.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a size: write a number of bytes, or for example `64KiB`, `32MiB`, `1GiB`")]
pub struct NotASize(String);

impl ByteSize {
    /// That many bytes.
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not_a_size = || NotASize(text.to_owned());
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = text.strip_prefix(digits).unwrap_or_default();
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "kib" => 10,
            "mib" => 20,
            "gib" => 30,
            _ => return Err(not_a_size()),
        };
        let number: usize = digits.parse().or(Err(not_a_size()))?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(not_a_size)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Settings, clap::Error> {
        let command = Settings::augment_args(clap::Command::new("frontdoor-proxy").no_binary_name(true));
        Settings::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn the_defaults_are_the_published_ones() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.ops_listen.to_string(), "127.0.0.1:8081");
        assert_eq!(settings.control_plane, "http://127.0.0.1:7071");
        assert_eq!(settings.group, "default");
        assert_eq!(settings.max_body, ByteSize::new(32 << 20));
    }

    #[test]
    fn a_size_is_a_positive_number_with_a_binary_unit() {
        for (text, bytes) in
            [("1", 1), ("4096", 4096), ("64KiB", 65_536), ("100MiB", 104_857_600), ("1gib", 1 << 30)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize::new(bytes), "{text}");
        }
        for text in ["", "0", "MiB", "-1", "1.5MiB", "10MB", "99999999999999GiB"] {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{text}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(parse(&["--cert", "a.pem"]).is_err());
    }
}
