//! Virtual keys: what an application presents to a proxy. A key is 256 random bits, shown once; what is kept, as a `Key`
//! resource like any other, is its HMAC under a pepper that only the store and the planes know. It must not know HTTP, or
//! who may have a key.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use policy::{Diagnostic, Resource};

use crate::access::rfc3339;
use crate::store::{Compare, Put, Store, StoreError, Txn, TxnOutcome, keys};

/// What every key begins with.
pub const KEY_PREFIX: &str = "fd_";
const PEPPER_BYTES: usize = 32;
const ATTEMPTS: u32 = 5;

/// Keys the hash of callers' keys. One for all control planes and proxies of a store; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pepper([u8; PEPPER_BYTES]);

/// Why there is no pepper.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// The store failed.
    #[error("cannot read or write the pepper of keys' hashes")]
    Store(#[from] StoreError),
    /// What the store holds is not a pepper.
    #[error(
        "the store's pepper holds {found} bytes instead of {PEPPER_BYTES}: restore `{}` from a backup, or no key is valid any more",
        keys::PEPPER
    )]
    Damaged {
        /// Its length.
        found: usize,
    },
    /// The store did not say whether it was written.
    #[error("the store did not say whether the pepper was written: start again")]
    Unknown,
    /// Random bytes could not be had.
    #[error("the operating system gave no random bytes")]
    Random,
}

impl Pepper {
    /// Reads the store's pepper. The first control plane of a store makes it.
    pub async fn load(store: &dyn Store) -> Result<Self, PepperError> {
        for _ in 0..ATTEMPTS {
            if let Some(entry) = store.get(keys::PEPPER, None).await? {
                let bytes = <[u8; PEPPER_BYTES]>::try_from(entry.value.as_ref());
                return bytes.map(Self).map_err(|_length| PepperError::Damaged { found: entry.value.len() });
            }
            let mut bytes = [0; PEPPER_BYTES];
            fill(&mut bytes).map_err(|NoRandom| PepperError::Random)?;
            let mut txn = Txn::named(uuid::Uuid::now_v7().to_string());
            txn.compares.push(Compare::Absent { key: keys::PEPPER.to_owned() });
            txn.puts.push(Put::new(keys::PEPPER, bytes.to_vec()));
            match store.txn(txn).await? {
                TxnOutcome::Committed { .. } => return Ok(Self(bytes)),
                TxnOutcome::Conflict | TxnOutcome::Unknown { .. } => {}
            }
        }
        Err(PepperError::Unknown)
    }

    /// The hash under which a key is known.
    #[must_use]
    pub fn hash(&self, key: &str) -> String {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        hex::encode(hmac::sign(&signing, key.as_bytes()))
    }

    /// The bytes, for the conversation with the proxies.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// What somebody wants a key for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyOrder {
    /// The application that will present it.
    pub consumer: String,
    /// RFC 3339.
    pub expires: Option<String>,
    /// Narrows the consumer's models.
    pub models: Option<Vec<String>>,
    /// For people.
    pub note: Option<String>,
}

/// A key that has just been made and is not committed yet.
pub struct Minted {
    /// What is kept.
    pub resource: Resource,
    /// What the application presents. Kept nowhere.
    pub text: String,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("resource", &self.resource).finish_non_exhaustive()
    }
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The order does not make a resource.
    #[error("the key cannot be made")]
    Invalid(Vec<Diagnostic>),
    /// It would have expired before it was made.
    #[error(
        "`expires` is {0}, which is in the past: give a moment in the future, or leave it out for a key without end"
    )]
    Expired(String),
    /// Random bytes could not be had.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// Makes a key. It is good once its resource is committed.
pub fn mint(pepper: &Pepper, order: KeyOrder, now_ms: u64) -> Result<Minted, MintError> {
    let (mut secret, mut id) = ([0; 32], [0; 8]);
    fill(&mut secret).and_then(|()| fill(&mut id)).map_err(|NoRandom| MintError::Random)?;
    let text = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));

    let mut spec = serde_json::Map::new();
    spec.insert("consumer".to_owned(), json!(order.consumer));
    spec.insert("hash".to_owned(), json!(pepper.hash(&text)));
    spec.insert("created".to_owned(), json!(rfc3339(now_ms)));
    let optional = [
        ("expires", order.expires.as_ref().map(|text| json!(text))),
        ("note", order.note.map(|text| json!(text))),
    ];
    for (field, value) in optional {
        spec.extend(value.map(|value| (field.to_owned(), value)));
    }
    spec.extend(order.models.map(|models| ("models".to_owned(), json!(models))));

    let body = json!({"kind": "Key", "name": format!("k_{}", hex::encode(id)), "spec": spec}).to_string();
    let resource = policy::parse_resource(body.as_bytes()).map_err(MintError::Invalid)?;
    if let Some(expires) = order.expires.filter(|expires| is_past(expires, now_ms)) {
        return Err(MintError::Expired(expires));
    }
    Ok(Minted { resource, text })
}

/// Whether a moment that parses lies in the past; what does not parse was refused with the resource.
fn is_past(moment: &str, now_ms: u64) -> bool {
    let moment = moment.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
    moment.is_ok_and(|moment| i64::try_from(now_ms).is_ok_and(|now| moment <= now))
}

struct NoRandom;

fn fill(bytes: &mut [u8]) -> Result<(), NoRandom> {
    aws_lc_rs::rand::fill(bytes).map_err(|aws_lc_rs::error::Unspecified| NoRandom)
}

#[cfg(test)]
mod tests;
