//! The versions a proxy can start from without a control plane, in three slots: `pending` is active but young, `current` has
//! proved itself, `previous` is the one before.
//!
//! A version is saved as pending and confirmed as current when the process has lived with it for a minute. A process that crashes
//! twice before that goes back to what had proved itself, and refuses that digest until it is offered with force.
//! A slot that does not match its own digests is skipped with a loud log. No slot holds a secret: policy knows references only.
//!
//! It must not know what a policy means; the caller tries what it finds here, best first.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::control::data_dir::{DataDir, Readers};

/// How long a version must have been active in one process before it counts as good.
pub const PROOF: Duration = Duration::from_secs(60);

/// The most a slot may hold; an offer is held to the same bound.
pub const LARGEST_VERSION: u64 = 512 << 20;

/// Crashes within the time of proof after which a version is given up.
const CRASHES: u32 = 2;
const JOURNAL: &str = "activation.json";
const JOURNAL_BYTES: u64 = 64 * 1024;
/// Refused digests that are remembered.
const REMEMBERED: usize = 16;
const MAGIC: &str = "frontdoor-version-1";

/// One complete version, as it came over the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Our own counter.
    pub version: u64,
    /// SHA-256 of the manifest, in hex.
    pub digest: String,
    /// The group it was made for.
    pub group: String,
    /// The store it came from.
    pub store_id: String,
    /// The manifest.
    pub manifest: Bytes,
    /// Bodies, in the order of the manifest.
    pub bodies: Vec<Bytes>,
}

/// Where a version lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Active but young.
    Pending,
    /// Has proved itself.
    Current,
    /// The one before.
    Previous,
}

impl Slot {
    const fn file(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file())
    }
}

/// A slot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The file cannot be read.
    #[error("cannot read the slot")]
    Unreadable(#[source] io::Error),
    /// The file is not what was written.
    #[error("the slot is damaged: {0}")]
    Damaged(&'static str),
}

/// A version that crashed the process and was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its number.
    pub version: u64,
    /// Its digest.
    pub digest: String,
}

/// What the start of a process begins with.
#[derive(Debug, Default)]
pub struct Boot {
    /// What to try, best first.
    pub candidates: Vec<(Slot, Kept)>,
    /// Set when the youngest version was given up for its crashes.
    pub given_up: Option<GivenUp>,
}

/// The three slots.
#[derive(Debug)]
pub struct Slots {
    directory: DataDir,
    journal: Journal,
}

/// What must outlive a crash besides the versions themselves.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Journal {
    /// The pending version.
    version: u64,
    digest: String,
    /// How often a process began to serve from it and has not ended well since.
    starts: u32,
    /// Digests that are not to be activated again without force.
    refused: BTreeSet<String>,
}

/// The first line of a slot after the magic: how to cut the rest.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u64,
    digest: String,
    group: String,
    store_id: String,
    manifest: usize,
    bodies: Vec<usize>,
}

impl Slots {
    /// Opens the slots. A journal that cannot be read begins anew: versions that were refused may be tried once more, and crashes
    /// are counted from here on.
    pub fn open(directory: DataDir) -> Self {
        let journal = match directory.read(JOURNAL, JOURNAL_BYTES) {
            Ok(None) => Journal::default(),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!(%error, file = JOURNAL, "the activation journal is damaged; beginning a new one");
                Journal::default()
            }),
            Err(error) => {
                tracing::error!(%error, file = JOURNAL, "the activation journal cannot be read");
                Journal::default()
            }
        };
        Self { directory, journal }
    }

    /// Reads every slot and counts this start against the pending version.
    pub fn boot(&mut self) -> Boot {
        let mut boot = Boot::default();
        for slot in [Slot::Pending, Slot::Current, Slot::Previous] {
            match self.load(slot) {
                Ok(Some(kept)) => boot.candidates.push((slot, kept)),
                Ok(None) => {}
                Err(error) => tracing::error!(
                    %slot,
                    error = &error as &dyn std::error::Error,
                    "a kept version cannot be used; falling back to an older one"
                ),
            }
        }
        let Some((Slot::Pending, pending)) = boot.candidates.first() else { return boot };
        if pending.digest != self.journal.digest {
            // The journal was damaged, or the process ended before it could be written: this start is the first that counts.
            self.journal.version = pending.version;
            self.journal.digest.clone_from(&pending.digest);
            self.journal.starts = 0;
        }
        if self.journal.starts >= CRASHES && boot.candidates.len() > 1 {
            let (_, kept) = boot.candidates.remove(0);
            tracing::error!(
                policy.version = kept.version,
                policy.digest = kept.digest,
                crashes = self.journal.starts,
                "the process crashed repeatedly after it activated this version; going back to the one before"
            );
            boot.given_up = Some(self.give_up(kept));
        } else {
            self.journal.starts = self.journal.starts.saturating_add(1);
            self.write_journal();
        }
        boot
    }

    /// Keeps a version as pending. Called after it has become active. The pending one before it becomes current when there is
    /// none: it served until now, and a proxy must have something to go back to from its second version on.
    pub fn save(&mut self, kept: &Kept) -> io::Result<()> {
        let has = |slot: Slot| self.directory.join(slot.file()).exists();
        if has(Slot::Pending) && !has(Slot::Current) {
            self.directory.rename(Slot::Pending.file(), Slot::Current.file())?;
        }
        self.directory.write(Slot::Pending.file(), &encode(kept)?, Readers::Default)?;
        self.journal.version = kept.version;
        self.journal.digest.clone_from(&kept.digest);
        self.journal.starts = 1;
        self.journal.refused.remove(&kept.digest);
        self.write_journal();
        Ok(())
    }

    /// The version with this digest has proved itself. Nothing happens when another one is pending: one that could not be applied,
    /// or one that has only just come.
    pub fn confirm(&mut self, digest: &str) -> io::Result<()> {
        if self.journal.digest != digest || !self.directory.join(Slot::Pending.file()).exists() {
            return Ok(());
        }
        if self.directory.join(Slot::Current.file()).exists() {
            self.directory.rename(Slot::Current.file(), Slot::Previous.file())?;
        }
        self.directory.rename(Slot::Pending.file(), Slot::Current.file())?;
        self.journal.starts = 0;
        self.write_journal();
        Ok(())
    }

    /// The process ends because it was asked to: no crash.
    pub fn ended_well(&mut self) {
        if self.journal.starts > 0 {
            self.journal.starts = 0;
            self.write_journal();
        }
    }

    /// Whether this digest is refused until it is offered with force.
    pub fn refuses(&self, digest: &str) -> bool {
        self.journal.refused.contains(digest)
    }

    /// Reads one slot.
    pub fn load(&self, slot: Slot) -> Result<Option<Kept>, SlotError> {
        let read = self.directory.read(slot.file(), LARGEST_VERSION);
        let Some(bytes) = read.map_err(SlotError::Unreadable)? else { return Ok(None) };
        decode(&Bytes::from(bytes)).map(Some)
    }

    fn give_up(&mut self, kept: Kept) -> GivenUp {
        if let Err(error) = self.directory.remove(Slot::Pending.file()) {
            tracing::error!(%error, "the version that was given up cannot be removed");
        }
        while self.journal.refused.len() >= REMEMBERED {
            self.journal.refused.pop_first();
        }
        self.journal.refused.insert(kept.digest.clone());
        self.journal.starts = 0;
        self.write_journal();
        GivenUp { version: kept.version, digest: kept.digest }
    }

    fn write_journal(&self) {
        let written = serde_json::to_vec(&self.journal)
            .map_err(io::Error::other)
            .and_then(|bytes| self.directory.write(JOURNAL, &bytes, Readers::Default));
        if let Err(error) = written {
            tracing::error!(%error, file = JOURNAL, "the activation journal cannot be written");
        }
    }
}

fn encode(kept: &Kept) -> io::Result<Vec<u8>> {
    let header = Header {
        version: kept.version,
        digest: kept.digest.clone(),
        group: kept.group.clone(),
        store_id: kept.store_id.clone(),
        manifest: kept.manifest.len(),
        bodies: kept.bodies.iter().map(Bytes::len).collect(),
    };
    let mut rest = serde_json::to_vec(&header)?;
    rest.push(b'\n');
    rest.extend_from_slice(&kept.manifest);
    for body in &kept.bodies {
        rest.extend_from_slice(body);
    }
    let mut out = format!("{MAGIC} {}\n", hex_sha256(&rest)).into_bytes();
    out.append(&mut rest);
    Ok(out)
}

fn decode(bytes: &Bytes) -> Result<Kept, SlotError> {
    let (first, rest) = cut_line(bytes)?;
    let expected = first.strip_prefix(MAGIC.as_bytes()).ok_or(SlotError::Damaged("not a version"))?;
    if expected.trim_ascii() != hex_sha256(&rest).as_bytes() {
        return Err(SlotError::Damaged("the content does not match its digest"));
    }
    let (header, mut rest) = cut_line(&rest)?;
    let Ok(header) = serde_json::from_slice::<Header>(&header) else {
        return Err(SlotError::Damaged("the header is not readable"));
    };
    let manifest = cut(&mut rest, header.manifest)?;
    if hex_sha256(&manifest) != header.digest {
        return Err(SlotError::Damaged("the manifest does not match its digest"));
    }
    let bodies = header.bodies.into_iter().map(|length| cut(&mut rest, length)).collect::<Result<_, _>>()?;
    if !rest.is_empty() {
        return Err(SlotError::Damaged("there is more than the header says"));
    }
    Ok(Kept {
        version: header.version,
        digest: header.digest,
        group: header.group,
        store_id: header.store_id,
        manifest,
        bodies,
    })
}

fn cut_line(bytes: &Bytes) -> Result<(Bytes, Bytes), SlotError> {
    let end = memchr::memchr(b'\n', bytes).ok_or(SlotError::Damaged("a line is missing"))?;
    let mut rest = bytes.clone();
    let line = cut(&mut rest, end)?;
    cut(&mut rest, 1)?;
    Ok((line, rest))
}

fn cut(rest: &mut Bytes, length: usize) -> Result<Bytes, SlotError> {
    if length > rest.len() {
        return Err(SlotError::Damaged("it ends too early"));
    }
    Ok(rest.split_to(length))
}

/// SHA-256 in hex, as digests travel.
pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
