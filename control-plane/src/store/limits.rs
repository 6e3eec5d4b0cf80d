//! What a store takes: limits that every implementation checks before it does anything, so that what is refused by one is
//! refused by all, with the same error. They lie below etcd's own walls.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Compare, Txn};

/// Most writes (puts and deletes) one transaction may hold; etcd's own wall is 128.
pub const MAX_WRITES: usize = 100;
/// Most compares one transaction may hold; etcd's own wall is 128.
pub const MAX_COMPARES: usize = 100;
/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// Largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// Most bytes of keys and values in one transaction; etcd's own wall is 1.5 MiB for the encoded request.
pub const MAX_TXN_BYTES: usize = MAX_VALUE_BYTES + 128 * 1024;
/// Most keys in one page of a list.
pub const MAX_PAGE: usize = 1_000;
/// A page ends early once its values pass this many bytes.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// Shortest and longest life of a lease.
pub const LEASE_TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(9_000_000);

/// Which limit a request breaks. The same in every implementation, because it is checked before any of them is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// Too many puts and deletes.
    #[error("a transaction holds {found} writes, and at most {MAX_WRITES} are allowed")]
    Writes {
        /// How many there are.
        found: usize,
    },
    /// Too many compares.
    #[error("a transaction holds {found} compares, and at most {MAX_COMPARES} are allowed")]
    Compares {
        /// How many there are.
        found: usize,
    },
    /// A key that is empty or too long.
    #[error("a key holds {found} bytes, and 1 to {MAX_KEY_BYTES} are allowed")]
    Key {
        /// Its length.
        found: usize,
    },
    /// A value that is too large.
    #[error("the value of `{key}` holds {found} bytes, and at most {MAX_VALUE_BYTES} are allowed")]
    Value {
        /// Its key.
        key: String,
        /// Its length.
        found: usize,
    },
    /// Too much in one transaction.
    #[error("a transaction holds {found} bytes, and at most {MAX_TXN_BYTES} are allowed")]
    Bytes {
        /// How many there are.
        found: usize,
    },
    /// One key written twice in a transaction.
    #[error("a transaction writes key `{key}` twice")]
    WrittenTwice {
        /// The key.
        key: String,
    },
    /// A lease too short or too long.
    #[error("a lease of {found:?} was asked for, and {:?} to {:?} are allowed", LEASE_TTL.start(), LEASE_TTL.end())]
    LeaseTtl {
        /// What was asked for.
        found: Duration,
    },
}

impl Txn {
    /// Checks the limits. Every implementation calls this first.
    pub fn check(&self) -> Result<(), LimitExceeded> {
        let writes = self.puts.len() + self.deletes.len();
        if writes > MAX_WRITES {
            return Err(LimitExceeded::Writes { found: writes });
        }
        if self.compares.len() > MAX_COMPARES {
            return Err(LimitExceeded::Compares { found: self.compares.len() });
        }
        let keys =
            self.puts.iter().map(|put| put.key.as_str()).chain(self.deletes.iter().map(String::as_str));
        let mut written = HashSet::with_capacity(writes);
        for key in keys {
            check_key(key)?;
            if !written.insert(key) {
                return Err(LimitExceeded::WrittenTwice { key: key.to_owned() });
            }
        }
        for compare in &self.compares {
            check_key(compare.key())?;
        }
        if let Some(put) = self.puts.iter().find(|put| put.value.len() > MAX_VALUE_BYTES) {
            return Err(LimitExceeded::Value { key: put.key.clone(), found: put.value.len() });
        }
        match self.bytes() {
            found if found > MAX_TXN_BYTES => Err(LimitExceeded::Bytes { found }),
            _ => Ok(()),
        }
    }

    /// Keys and values together, as [`MAX_TXN_BYTES`] counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let puts = self.puts.iter().map(|put| put.key.len() + put.value.len()).sum::<usize>();
        let deletes = self.deletes.iter().map(String::len).sum::<usize>();
        let compares = self.compares.iter().map(|compare| match compare {
            Compare::Holds { key, value } => key.len() + value.len(),
            Compare::Absent { key } | Compare::ModifiedAt { key, .. } | Compare::CreatedAt { key, .. } => {
                key.len()
            }
        });
        puts + deletes + compares.sum::<usize>()
    }
}

/// Checks a key's length.
pub fn check_key(key: &str) -> Result<(), LimitExceeded> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        found => Err(LimitExceeded::Key { found }),
    }
}

/// Checks a lease's length.
pub fn check_ttl(ttl: Duration) -> Result<(), LimitExceeded> {
    if LEASE_TTL.contains(&ttl) { Ok(()) } else { Err(LimitExceeded::LeaseTtl { found: ttl }) }
}
