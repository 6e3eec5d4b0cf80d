//! How an operator names a store: `sqlite:PATH`, `etcd:http://HOST:2379[,…]` or `memory:`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Clock, TaskKind, Tasks};

use super::etcd::{EtcdSettings, EtcdStore};
use super::memory::MemoryStore;
use super::sqlite::SqliteStore;
use super::{Store, StoreError};

/// How often leases are looked at when nobody calls the store.
const LEASE_TICK: Duration = Duration::from_millis(500);

/// Which store, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// One file on this machine.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// An etcd cluster.
    Etcd {
        /// Its members, as `http://HOST:PORT`.
        endpoints: Vec<String>,
        /// Use it even if its release is known to lose data.
        allow_unsafe_version: bool,
    },
    /// Nothing is kept.
    Memory,
}

/// Why a text does not name a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` does not name a store: {reason}; write sqlite:PATH, etcd:http://HOST:2379[,http://HOST:2379…] or memory:"
)]
pub struct StoreUrlError {
    text: String,
    reason: String,
}

impl StoreUrl {
    /// Parses what an operator wrote.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let parsed = match text.split_once(':') {
            Some(("sqlite", "")) => Err("the path is missing".to_owned()),
            Some(("sqlite", path)) => parse_path(path),
            Some(("etcd", rest)) => parse_etcd(rest),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => Err("a store in memory takes nothing behind the colon".to_owned()),
            Some((scheme, _)) => Err(format!("`{scheme}` is not a kind of store")),
            None => Err("the kind of store and its colon are missing".to_owned()),
        };
        parsed.map_err(|reason| StoreUrlError { text: text.to_owned(), reason })
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite:{}", path.display()),
            Self::Etcd { endpoints, allow_unsafe_version } => {
                let flag = if *allow_unsafe_version { "?allow-unsafe-version=true" } else { "" };
                write!(f, "etcd:{}{flag}", endpoints.join(","))
            }
            Self::Memory => write!(f, "memory:"),
        }
    }
}

fn parse_path(path: &str) -> Result<StoreUrl, String> {
    // `sqlite://x` would read as a host elsewhere; here it is the path it looks like.
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        "" => Err("the path is missing".to_owned()),
        ":memory:" => {
            Err("SQLite without a file loses everything; write memory: if that is wanted".to_owned())
        }
        path if path.contains('?') => Err("SQLite takes no options behind the path".to_owned()),
        path => Ok(StoreUrl::Sqlite { path: PathBuf::from(path) }),
    }
}

fn parse_etcd(rest: &str) -> Result<StoreUrl, String> {
    let (list, allow_unsafe_version) = match rest.split_once('?') {
        None => (rest, false),
        Some((list, "allow-unsafe-version=true")) => (list, true),
        Some((list, "allow-unsafe-version=false")) => (list, false),
        Some((_, option)) => {
            return Err(format!("unknown option `{option}`; the only one is allow-unsafe-version=true"));
        }
    };
    let endpoints = list.split(',').map(parse_endpoint).collect::<Result<Vec<_>, _>>()?;
    let distinct: std::collections::HashSet<_> = endpoints.iter().collect();
    if distinct.len() != endpoints.len() {
        return Err("an endpoint is listed twice".to_owned());
    }
    Ok(StoreUrl::Etcd { endpoints, allow_unsafe_version })
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let text = text.trim();
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() {
        return Err("an endpoint is empty".to_owned());
    }
    if text.starts_with("https://") {
        return Err(format!(
            "endpoint `{text}` asks for TLS, which this release does not speak to etcd; reach it through a local TLS proxy"
        ));
    }
    let authority = text.strip_prefix("http://").unwrap_or(text);
    let parsed: http::uri::Authority =
        authority.parse().map_err(|error| format!("endpoint `{text}` is not http://HOST:PORT: {error}"))?;
    match parsed.port_u16() {
        Some(_) if !parsed.host().is_empty() && !authority.contains('@') => Ok(format!("http://{authority}")),
        Some(_) => Err(format!("endpoint `{text}` is not http://HOST:PORT")),
        None => Err(format!("endpoint `{text}` has no port; etcd listens on 2379 unless told otherwise")),
    }
}

/// Opens a store and starts the tasks it needs. Returns once the store has answered a read.
pub async fn open(url: &StoreUrl, clock: Clock, tasks: &Tasks) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        StoreUrl::Memory => {
            let store = Arc::new(MemoryStore::new(clock));
            let leases = Arc::downgrade(&store);
            tasks.spawn("memory-store-leases", TaskKind::Disposable, async move {
                while let Some(store) = leases.upgrade() {
                    store.expire_leases();
                    drop(store);
                    tokio::time::sleep(LEASE_TICK).await;
                }
            });
            Ok(store)
        }
        StoreUrl::Sqlite { path } => {
            let store = Arc::new(SqliteStore::open(path.clone(), clock, tasks).await?);
            let leases = Arc::downgrade(&store);
            tasks.spawn("sqlite-store-leases", TaskKind::Disposable, async move {
                while let Some(store) = leases.upgrade() {
                    if let Err(error) = store.expire_leases().await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "ended leases could not be deleted"
                        );
                    }
                    drop(store);
                    tokio::time::sleep(LEASE_TICK).await;
                }
            });
            Ok(store)
        }
        StoreUrl::Etcd { endpoints, allow_unsafe_version } => {
            let settings = EtcdSettings::new(endpoints.clone(), *allow_unsafe_version);
            Ok(Arc::new(EtcdStore::open(settings).await?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        StoreUrl::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn the_three_kinds_parse_and_print_alike() {
        for text in [
            "sqlite:/var/lib/frontdoor/store.db",
            "sqlite:store.db",
            "etcd:http://a:2379",
            "etcd:http://a:2379,http://[::1]:2379",
            "memory:",
        ] {
            assert_eq!(StoreUrl::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn an_endpoint_may_omit_its_scheme() {
        assert_eq!(
            StoreUrl::parse("etcd:a:2379,b:2379/"),
            StoreUrl::parse("etcd:http://a:2379,http://b:2379")
        );
    }

    #[test]
    fn the_override_of_the_version_check_is_part_of_the_url() {
        let url = StoreUrl::parse("etcd:http://a:2379?allow-unsafe-version=true").expect("a good url");
        assert!(matches!(url, StoreUrl::Etcd { allow_unsafe_version: true, .. }));
        assert_eq!(url.to_string(), "etcd:http://a:2379?allow-unsafe-version=true");
    }

    #[test]
    fn what_names_no_store_is_refused_with_the_reason_and_the_way_out() {
        let cases = [
            ("store.db", "colon are missing"),
            ("postgres://x", "`postgres` is not a kind of store"),
            ("sqlite:", "path is missing"),
            ("sqlite::memory:", "loses everything"),
            ("sqlite:a.db?mode=ro", "no options"),
            ("etcd:", "an endpoint is empty"),
            ("etcd:http://a", "has no port"),
            ("etcd:http://a:2379,", "an endpoint is empty"),
            ("etcd:http://a:2379,a:2379", "listed twice"),
            ("etcd:https://a:2379", "TLS"),
            ("etcd:http://a:2379?x=1", "unknown option"),
            ("memory:x", "takes nothing"),
        ];
        for (text, reason) in cases {
            let refusal = refusal(text);
            assert!(refusal.contains(reason), "{refusal}");
            assert!(refusal.contains("write sqlite:PATH"), "{refusal}");
        }
    }
}
