//! How a control plane is started: flags, and the environment variables that stand for them. The only module of this crate
//! that reads the environment. It must not know what the parts do with their settings.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use lifecycle::LogFormat;

/// Everything that is decided at start. Policy is not: it comes through the admin API.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where the admin API listens. Beyond loopback it needs --admin-tls-cert and --admin-tls-key
    #[arg(long, env = "FRONTDOOR_ADMIN_LISTEN", default_value = "127.0.0.1:7070", value_name = "IP:PORT")]
    pub admin_listen: SocketAddr,

    /// Where proxies connect. Beyond loopback it needs --tls-cert, --tls-key and --tls-client-ca
    #[arg(long, env = "FRONTDOOR_GRPC_LISTEN", default_value = "127.0.0.1:7071", value_name = "IP:PORT")]
    pub grpc_listen: SocketAddr,

    /// Where policy and history are kept: sqlite:PATH, etcd:http://HOST:2379[,…] or memory:
    /// [default: sqlite:DATA/store.sqlite]
    #[arg(long, env = "FRONTDOOR_STORE", value_name = "URL")]
    pub store: Option<String>,

    /// Directory for what this machine keeps: the embedded store, the usage ledger, the first admin token
    #[arg(long, env = "FRONTDOOR_DATA", default_value = ".frontdoor", value_name = "DIR")]
    pub data: PathBuf,

    /// The first admin token. Without it one is made at the first start and written to DATA/admin-token
    #[arg(long, env = "FRONTDOOR_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<Secret>,

    /// Certificate chain (PEM) shown to proxies
    #[arg(long, env = "FRONTDOOR_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key (PEM) of --tls-cert
    #[arg(long, env = "FRONTDOOR_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Certificates (PEM) of the authority that proxies' certificates must come from
    #[arg(long, env = "FRONTDOOR_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// Certificate chain (PEM) of the admin API
    #[arg(long, env = "FRONTDOOR_ADMIN_TLS_CERT", value_name = "FILE", requires = "admin_tls_key")]
    pub admin_tls_cert: Option<PathBuf>,

    /// Private key (PEM) of --admin-tls-cert
    #[arg(long, env = "FRONTDOOR_ADMIN_TLS_KEY", value_name = "FILE", requires = "admin_tls_cert")]
    pub admin_tls_key: Option<PathBuf>,
}

/// The settings of a control plane that is a process of its own: with its log.
#[derive(Debug, Clone, Args)]
pub struct Process {
    /// The plane itself.
    #[command(flatten)]
    pub settings: Settings,

    /// What is logged, for example `info` or `warn,frontdoor_control_plane=debug`
    #[arg(long, env = "FRONTDOOR_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How it is logged: text or json
    #[arg(long, env = "FRONTDOOR_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl Settings {
    /// Loopback, free ports, the memory store: for tests and trials.
    #[must_use]
    pub fn ephemeral(data: PathBuf) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            admin_listen: any,
            grpc_listen: any,
            store: Some("memory:".to_owned()),
            data,
            admin_token: None,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            admin_tls_cert: None,
            admin_tls_key: None,
        }
    }

    /// The store's URL, with the default filled in.
    #[must_use]
    pub fn store_url(&self) -> String {
        self.store.clone().unwrap_or_else(|| format!("sqlite:{}", self.data.join("store.sqlite").display()))
    }
}

/// A secret given at start. It is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Why a secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token is 1 to 512 visible ASCII characters without spaces")]
pub struct UnusableSecret;

impl FromStr for Secret {
    type Err = UnusableSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_usable = (1..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_usable { Ok(Self(text.to_owned())) } else { Err(UnusableSecret) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn both_listeners_are_on_loopback_by_default() {
        let settings = Program::parse_from(["x"]).settings;
        assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:7070");
        assert_eq!(settings.grpc_listen.to_string(), "127.0.0.1:7071");
        assert_eq!(settings.store_url(), "sqlite:.frontdoor/store.sqlite");
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let settings = Program::parse_from(["x", "--admin-token", "fda_planted"]).settings;
        assert!(!format!("{settings:?}").contains("planted"));
    }

    #[test]
    fn a_secret_that_no_header_could_carry_is_refused() {
        for text in ["", "two words", "ü", "line\nbreak"] {
            assert_eq!(text.parse::<Secret>(), Err(UnusableSecret), "{text:?}");
        }
    }
}
