//! Who may use the admin API: tokens, of which only the SHA-256 is kept. It must not know HTTP or what a token's holder
//! may then do; roles come with their own room.
//!
//! The list lives in the store and is followed by every control plane. A token revoked here is refused here at once, and
//! elsewhere as soon as the watch or the next full reading brings the news. When the list could not be confirmed for
//! [`TRUSTED_FOR`], nobody is let in: permission fails closed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::time::Instant;

use lifecycle::{Clock, TaskKind, Tasks};

use crate::settings::Secret;
use crate::store::{Compare, Put, Revision, Store, StoreError, Txn, TxnOutcome, WatchEvent, keys, list_all};

/// What every made token begins with.
pub const TOKEN_PREFIX: &str = "fda_";
/// Longest name of a token.
pub const MAX_NAME_BYTES: usize = 64;
/// How often the whole list is read again, whatever the watch says.
const CONFIRM_EVERY: Duration = Duration::from_secs(30);
/// How long a list that cannot be confirmed is still trusted.
const TRUSTED_FOR: Duration = Duration::from_secs(300);
/// Rest after a failed reading.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A token as the store keeps it. A revoked one stays, so that it can be told from one that never was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    id: String,
    name: String,
    /// SHA-256 of the whole text, hex.
    hash: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

/// A token as it may be shown: never its text or its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Token {
    /// Names the token when it is revoked.
    pub id: String,
    /// Written into the history as the author of what its holder changes.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339; absent while the token is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// A token that has just been made; its text is not kept anywhere.
#[derive(Clone)]
pub struct NewToken {
    /// What will be listed.
    pub token: Token,
    /// What the holder presents.
    pub text: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Who is calling. Only [`Access::authenticate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: String,
    token_id: String,
}

impl Principal {
    /// The token's name: the author of what is changed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token's id.
    #[must_use]
    pub fn token_id(&self) -> &str {
        &self.token_id
    }
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token is unknown or revoked; the two are not told apart.
    #[error("the admin token is not valid")]
    Invalid,
    /// The list of tokens could not be confirmed for too long.
    #[error("the list of admin tokens could not be read from the store for {} s", TRUSTED_FOR.as_secs())]
    Unconfirmed,
}

/// Why a token could not be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The name cannot be used.
    #[error("a token's name is 1 to {MAX_NAME_BYTES} letters, digits and . _ @ -")]
    Name,
    /// Another live token has the name.
    #[error("a token named `{0}` exists: revoke it first or choose another name")]
    NameTaken(String),
    /// No such token.
    #[error("no admin token has the id `{0}`")]
    Unknown(String),
    /// Revoking it would lock everyone out.
    #[error("`{0}` is the last admin token: create another one before revoking it")]
    Last(String),
    /// The token given at start was revoked earlier.
    #[error("the token given with --admin-token was revoked: give another one")]
    RevokedFirst,
    /// Random bytes could not be had.
    #[error("the operating system gave no random bytes")]
    Random,
    /// Somebody else changed the same token at the same time.
    #[error("the token was changed at the same time: try again")]
    Conflict,
    /// The store said no.
    #[error("cannot read or write admin tokens")]
    Store(#[from] StoreError),
}

/// The list of tokens, followed. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    clock: Clock,
    table: ArcSwap<Table>,
}

/// Invariant: holds everything up to `revision`; a table never replaces one of a higher revision.
#[derive(Debug)]
struct Table {
    revision: Revision,
    confirmed: Instant,
    records: Vec<Record>,
}

impl Access {
    /// Reads the list, makes sure that there is a first token, and follows the list from then on. `first` is let in always;
    /// `kept`, which an earlier start made, only by a store without tokens: another store may have come to the same machine.
    /// Returns the text of a token that had to be made.
    pub async fn start(
        store: Arc<dyn Store>,
        first: Option<&Secret>,
        kept: Option<&Secret>,
        tasks: &Tasks,
        clock: Clock,
    ) -> Result<(Self, Option<String>), AccessError> {
        let table = Table { revision: 0, confirmed: clock.now(), records: Vec::new() };
        let access = Self { inner: Arc::new(Inner { store, clock, table: ArcSwap::from_pointee(table) }) };
        access.inner.reload().await?;
        let is_empty = access.inner.table.load().records.is_empty();
        let has_live = access.inner.table.load().records.iter().any(Record::is_live);
        let made = match first.or(kept.filter(|_| is_empty)) {
            Some(secret) => access.admit_first(secret).await.map(|()| None)?,
            None if has_live => None,
            None => access.make_first().await?,
        };
        let inner = Arc::clone(&access.inner);
        tasks.spawn("admin tokens", TaskKind::Disposable, async move { inner.follow().await });
        Ok((access, made))
    }

    /// Finds out who presents this token, in time that does not depend on which part of it is wrong.
    pub fn authenticate(&self, presented: &str) -> Result<Principal, Denied> {
        let table = self.inner.table.load();
        if self.inner.clock.now().saturating_duration_since(table.confirmed) > TRUSTED_FOR {
            return Err(Denied::Unconfirmed);
        }
        let presented = digest(presented);
        let mut found = None;
        for record in &table.records {
            let is_same: Choice = record.hash.as_bytes().ct_eq(presented.as_bytes());
            if bool::from(is_same) && record.is_live() {
                found = Some(record);
            }
        }
        let record = found.ok_or(Denied::Invalid)?;
        Ok(Principal { name: record.name.clone(), token_id: record.id.clone() })
    }

    /// All tokens, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Token> {
        self.inner.table.load().records.iter().map(Record::shown).collect()
    }

    /// Makes a token. Its text is in the answer and nowhere else.
    pub async fn create(&self, name: &str) -> Result<NewToken, AccessError> {
        check_name(name)?;
        self.inner.reload().await?;
        if self.inner.table.load().records.iter().any(|record| record.is_live() && record.name == name) {
            return Err(AccessError::NameTaken(name.to_owned()));
        }
        let text = random_text()?;
        let record = self.inner.record(&random_id()?, name, &text);
        self.inner.write(&record, Compare::Absent { key: keys::token(&record.id) }).await?;
        Ok(NewToken { token: record.shown(), text })
    }

    /// Revokes a token; it is refused from the moment this returns. Revoking twice is not an error.
    pub async fn revoke(&self, id: &str) -> Result<Token, AccessError> {
        self.inner.reload().await?;
        let table = self.inner.table.load_full();
        let record = table.records.iter().find(|record| record.id == id);
        let record = record.ok_or_else(|| AccessError::Unknown(id.to_owned()))?;
        if !record.is_live() {
            return Ok(record.shown());
        }
        if table.records.iter().filter(|record| record.is_live()).count() == 1 {
            return Err(AccessError::Last(record.name.clone()));
        }
        let revoked = Record { revoked: Some(self.inner.now()), ..record.clone() };
        let compare = Compare::Holds { key: keys::token(id), value: record.encoded() };
        self.inner.write(&revoked, compare).await?;
        Ok(revoked.shown())
    }

    /// Lets the token in that was given at start.
    async fn admit_first(&self, secret: &Secret) -> Result<(), AccessError> {
        let hash = digest(secret.reveal());
        let table = self.inner.table.load_full();
        let known: Vec<&Record> = table.records.iter().filter(|record| record.hash == hash).collect();
        if known.iter().any(|record| record.is_live()) {
            return Ok(());
        }
        if !known.is_empty() {
            return Err(AccessError::RevokedFirst);
        }
        if secret.reveal().len() < 32 {
            tracing::warn!("the token given with --admin-token is short enough to be guessed");
        }
        // The id follows from the token, so that two control planes started with the same one keep one record.
        let id: String = digest(&format!("admin token id {}", secret.reveal())).chars().take(16).collect();
        let record = self.inner.record(&format!("t_{id}"), "admin", secret.reveal());
        match self.inner.write(&record, Compare::Absent { key: keys::token(&record.id) }).await {
            Err(AccessError::Conflict) => self.inner.reload().await.map_err(AccessError::from),
            ended => ended,
        }
    }

    /// Makes the first token, unless another control plane does so at the same moment.
    async fn make_first(&self) -> Result<Option<String>, AccessError> {
        let text = random_text()?;
        let record = self.inner.record("t_first", "admin", &text);
        match self.inner.write(&record, Compare::Absent { key: keys::token(&record.id) }).await {
            Ok(()) => Ok(Some(text)),
            Err(AccessError::Conflict) => self.inner.reload().await.map(|()| None).map_err(AccessError::from),
            Err(error) => Err(error),
        }
    }
}

impl Inner {
    /// Keeps the table current until it is dropped.
    async fn follow(&self) {
        loop {
            if let Err(error) = self.reload().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read the admin tokens");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            let mut watch = self.store.watch(keys::TOKENS, self.table.load().revision.saturating_add(1));
            tokio::select! {
                event = watch.next() => if matches!(event, WatchEvent::Closed) {
                    tokio::time::sleep(RETRY_AFTER).await;
                },
                () = tokio::time::sleep(CONFIRM_EVERY) => {}
            }
        }
    }

    /// Reads the whole list. It is short, so nothing is saved by applying single events.
    async fn reload(&self) -> Result<(), StoreError> {
        let confirmed = self.clock.now();
        let listing = list_all(self.store.as_ref(), keys::TOKENS).await?;
        let mut records = Vec::with_capacity(listing.entries.len());
        for entry in &listing.entries {
            let record: Record =
                serde_json::from_slice(&entry.value).map_err(|error| StoreError::Refused {
                    message: format!("`{}` does not hold an admin token", entry.key),
                    source: Some(error.into()),
                })?;
            records.push(record);
        }
        records.sort_by(|one, other| (&one.created, &one.id).cmp(&(&other.created, &other.id)));
        self.swap(Table { revision: listing.revision, confirmed, records });
        Ok(())
    }

    fn swap(&self, table: Table) {
        let table = Arc::new(table);
        self.table.rcu(|current| {
            if table.revision >= current.revision { Arc::clone(&table) } else { Arc::clone(current) }
        });
    }

    /// Writes one record and reads the list again, so that the answer is true on this control plane at once.
    async fn write(&self, record: &Record, compare: Compare) -> Result<(), AccessError> {
        let key = keys::token(&record.id);
        let mut txn = Txn::named(uuid::Uuid::now_v7().to_string());
        txn.compares.push(compare);
        txn.puts.push(Put::new(key.clone(), record.encoded()));
        match self.store.txn(txn).await? {
            TxnOutcome::Committed { .. } => {}
            TxnOutcome::Conflict => return Err(AccessError::Conflict),
            TxnOutcome::Unknown { .. } => {
                let entry = self.store.get(&key, None).await?;
                if entry.is_none_or(|entry| entry.value != record.encoded()) {
                    return Err(AccessError::Conflict);
                }
            }
        }
        Ok(self.reload().await?)
    }

    fn record(&self, id: &str, name: &str, text: &str) -> Record {
        Record {
            id: id.to_owned(),
            name: name.to_owned(),
            hash: digest(text),
            created: self.now(),
            revoked: None,
        }
    }

    fn now(&self) -> String {
        rfc3339(self.clock.unix_ms())
    }
}

impl Record {
    const fn is_live(&self) -> bool {
        self.revoked.is_none()
    }

    fn shown(&self) -> Token {
        let Self { id, name, created, revoked, .. } = self.clone();
        Token { id, name, created, revoked }
    }

    fn encoded(&self) -> bytes::Bytes {
        #[expect(clippy::expect_used, reason = "a struct of strings always serializes")]
        let bytes = serde_json::to_vec(self).expect("a struct of strings serializes");
        bytes.into()
    }
}

/// Milliseconds since 1970 as RFC 3339.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let stamp = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    let is_usable = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed);
    if is_usable { Ok(()) } else { Err(AccessError::Name) }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn random_text() -> Result<String, AccessError> {
    let mut bytes = [0u8; 32];
    fill(&mut bytes)?;
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

fn random_id() -> Result<String, AccessError> {
    let mut bytes = [0u8; 8];
    fill(&mut bytes)?;
    Ok(format!("t_{}", hex::encode(bytes)))
}

fn fill(bytes: &mut [u8]) -> Result<(), AccessError> {
    aws_lc_rs::rand::fill(bytes).map_err(|aws_lc_rs::error::Unspecified| AccessError::Random)
}

#[cfg(test)]
mod tests;
