//! What can go wrong with the ledger, told so that an operator knows the way out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the ledger could not be opened, written or asked. Nothing that failed is acknowledged to a proxy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The file or its directory cannot be written.
    #[error("cannot write the usage ledger {}: give the process write access or choose another --data directory", path.display())]
    Unwritable {
        /// The ledger's file.
        path: PathBuf,
        /// What SQLite or the file system said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The file is not a ledger, or is damaged.
    #[error(
        "the usage ledger {} is damaged or no ledger at all: move it (and its -wal and -shm files) away to start a new one; the proxies keep what was not acknowledged",
        path.display()
    )]
    Corrupt {
        /// The ledger's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A newer build wrote the file.
    #[error("the usage ledger {} has schema {found}, this build knows up to {known}: run the newer build", path.display())]
    TooNew {
        /// The ledger's file.
        path: PathBuf,
        /// The schema in the file.
        found: i64,
        /// The newest schema that this build knows.
        known: i64,
    },
    /// No room for another record.
    #[error("the disk of the usage ledger {} is full: free some space; until then records stay with the proxies", path.display())]
    Full {
        /// The ledger's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// Anything else that SQLite refused.
    #[error("the usage ledger {} failed", path.display())]
    Storage {
        /// The ledger's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The question makes no sense; the text says what to ask instead.
    #[error("{0}")]
    Query(String),
}

impl LedgerError {
    /// Sorts an error of SQLite by what the operator can do about it.
    pub(super) fn from_sqlx(path: &Path, source: sqlx::Error) -> Self {
        let code = primary_code(&source);
        let (path, source) = (path.to_path_buf(), Arc::new(source));
        match code {
            // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN
            Some(3 | 8 | 14) => Self::Unwritable { path, source },
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Some(11 | 26) => Self::Corrupt { path, source },
            // SQLITE_FULL
            Some(13) => Self::Full { path, source },
            _ => Self::Storage { path, source },
        }
    }
}

/// SQLite's code without its extension: the low byte.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}
