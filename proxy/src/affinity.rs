//! Who holds what: files, batches, responses and conversations live in one account of one provider, and a call about one of them
//! makes sense nowhere else.
//!
//! Learned from answers and forgotten when there is no room: a miss is no harm, because whoever may hold it is then asked in order.
//! The table belongs to the process, not to a version of the policy. It must not know how objects are reached.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dialect::{Call, Dialect, Operation};
use memchr::memmem;
use parking_lot::Mutex;

use crate::frontend::Passage;

/// Ids are spread over this many locks.
const SHARDS: usize = 16;
/// Ids in one generation of a shard; two generations are kept.
const GENERATION: usize = 4_096;
/// The longest id that is kept.
const LONGEST_ID: usize = 200;
/// How many ids are learned from one answer: lists can be long.
const MOST_IDS: usize = 64;

/// Fields of answers that name what the provider holds.
const TOLD: [&[u8]; 6] = [
    b"\"id\"",
    b"\"name\"",
    b"\"input_file_id\"",
    b"\"output_file_id\"",
    b"\"error_file_id\"",
    b"\"responsesFile\"",
];
/// Fields of calls that name what a provider holds.
const MENTIONED: [&[u8]; 7] = [
    b"\"previous_response_id\"",
    b"\"conversation\"",
    b"\"file_id\"",
    b"\"input_file_id\"",
    b"\"fileUri\"",
    b"\"cachedContent\"",
    b"\"file_uri\"",
];

/// Who holds an object, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The Provider resource.
    pub provider: Arc<str>,
    /// The Consumer resource that it was made for.
    pub consumer: Arc<str>,
}

/// The table. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Affinity(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    hasher: RandomState,
    /// Whether anything but responses was ever learned, which are mentioned in a place of their own.
    is_used: AtomicBool,
    shards: [Mutex<Shard>; SHARDS],
}

/// The ids learned of late, and those of before.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Box<str>, Holder>,
    old: HashMap<Box<str>, Holder>,
}

impl Affinity {
    /// Learns who holds an id. Whoever held it before keeps it: an id in a list of another account is no news.
    pub fn learn(&self, id: &str, holder: &Holder) {
        if id.is_empty() || id.len() > LONGEST_ID {
            return;
        }
        let Some(shard) = self.shard(id) else { return };
        if !id.starts_with("resp_") {
            self.0.is_used.store(true, Ordering::Relaxed);
        }
        let mut shard = shard.lock();
        if shard.young.contains_key(id) || shard.old.contains_key(id) {
            return;
        }
        if shard.young.len() >= GENERATION {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(id.into(), holder.clone());
    }

    /// Who holds an id, as far as is known. What is asked for stays.
    pub fn holder(&self, id: &str) -> Option<Holder> {
        let mut shard = self.shard(id)?.lock();
        if let Some(holder) = shard.young.get(id) {
            return Some(holder.clone());
        }
        let holder = shard.old.remove(id)?;
        shard.young.insert(id.into(), holder.clone());
        Some(holder)
    }

    /// Who holds something that a body mentions; the first that is known.
    pub fn holder_of_mentioned(&self, body: &[u8]) -> Option<Holder> {
        let ids = MENTIONED.into_iter().flat_map(|field| texts(body, field));
        ids.filter_map(|id| self.holder(short(id))).next()
    }

    /// Who holds what a call to a provider's own API is about: the object in its path, or else what its body mentions.
    pub fn holder_for(&self, passage: &Passage, body: &[u8]) -> Option<Holder> {
        match passage.held.as_ref()?.id.as_deref() {
            Some(id) => self.holder(id),
            None => self.holder_of_mentioned(body),
        }
    }

    /// Who holds what a call to a model mentions.
    pub fn holder_mentioned(&self, call: &Call) -> Option<Holder> {
        match &call.envelope.continues {
            Some(id) => self.holder(id),
            // Most calls mention nothing, and most proxies hold nothing.
            None if self.is_empty() || call.operation != Operation::Chat => None,
            None => self.holder_of_mentioned(&call.body),
        }
    }

    /// The table, where an answer may say what its provider holds now: of all answers to models only responses can be asked for again.
    pub fn for_answers_to(&self, call: &Call) -> Option<Self> {
        let tells = call.dialect == Dialect::Responses || call.operation == Operation::Native;
        tells.then(|| self.clone())
    }

    fn is_empty(&self) -> bool {
        !self.0.is_used.load(Ordering::Relaxed)
    }

    /// Learns from an answer about objects what its provider holds.
    pub fn learn_all(&self, answer: &[u8], holder: &Holder) {
        let ids = TOLD.into_iter().flat_map(|field| texts(answer, field));
        for id in ids.take(MOST_IDS) {
            self.learn(short(id), holder);
        }
    }

    fn shard(&self, id: &str) -> Option<&Mutex<Shard>> {
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        let at = self.0.hasher.hash_one(id) % shards;
        self.0.shards.get(usize::try_from(at).ok()?)
    }
}

/// The texts in fields of this name, wherever they stand: inside a string its quotes would be escaped.
fn texts<'a>(json: &'a [u8], field: &'static [u8]) -> impl Iterator<Item = &'a str> {
    memmem::find_iter(json, field).filter_map(move |at| {
        let is_escaped = at.checked_sub(1).and_then(|before| json.get(before)) == Some(&b'\\');
        let after = json.get(at + field.len()..).filter(|_| !is_escaped)?.trim_ascii_start();
        let value = after.strip_prefix(b":")?.trim_ascii_start();
        // A conversation may be an object with its id.
        let value = value.strip_prefix(b"{").map_or(value, |inside| {
            let inside = inside.trim_ascii_start().strip_prefix(b"\"id\"").unwrap_or_default();
            inside.trim_ascii_start().strip_prefix(b":").unwrap_or_default().trim_ascii_start()
        });
        let text = value.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', text.get(..text.len().min(4 * LONGEST_ID))?)?;
        std::str::from_utf8(text.get(..end)?).ok().filter(|text| !text.is_empty())
    })
}

/// Google names objects by their whole address: what counts is its end, `files/abc`.
fn short(id: &str) -> &str {
    if !id.starts_with("https://") {
        return id;
    }
    let place = ["/files/", "/batches/", "/cachedContents/"].into_iter().find_map(|place| id.rfind(place));
    place.and_then(|at| id.get(at + 1..)).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(provider: &str) -> Holder {
        Holder { provider: provider.into(), consumer: "bot".into() }
    }

    #[test]
    fn an_answer_tells_what_its_provider_holds_and_a_call_that_mentions_it_finds_it() {
        let affinity = Affinity::default();
        let batch =
            br#"{"id": "batch_1","input_file_id":"file-1","output_file_id":null,"metadata":{"name":"x"}}"#;
        affinity.learn_all(batch, &holder("one"));
        affinity.learn_all(
            br#"{"file":{"name":"files/abc","uri":"https://x/v1beta/files/abc"}}"#,
            &holder("two"),
        );
        for (body, expected) in [
            (r#"{"input":[{"file_id":"file-1"}]}"#, Some("one")),
            (r#"{"contents":[{"fileData":{"fileUri":"https://x/v1beta/files/abc"}}]}"#, Some("two")),
            (r#"{"input":[{"text":"\"file_id\":\"file-1\""}]}"#, None),
            (r#"{"conversation":{"id":"conv_1"}}"#, None),
        ] {
            let found = affinity.holder_of_mentioned(body.as_bytes());
            assert_eq!(found.as_ref().map(|found| &*found.provider), expected, "{body}");
        }
        affinity.learn("conv_1", &holder("three"));
        let found = affinity.holder_of_mentioned(br#"{"conversation":{"id":"conv_1"}}"#).unwrap();
        assert_eq!(&*found.provider, "three");
    }

    #[test]
    fn whoever_held_it_first_keeps_it() {
        let affinity = Affinity::default();
        affinity.learn("file-1", &holder("one"));
        affinity.learn("file-1", &holder("two"));
        assert_eq!(affinity.holder("file-1"), Some(holder("one")));
    }

    #[test]
    fn the_table_has_an_end_and_what_is_used_stays() {
        let affinity = Affinity::default();
        affinity.learn("kept", &holder("one"));
        for number in 0..SHARDS * GENERATION * 4 {
            affinity.learn(&format!("id-{number}"), &holder("one"));
            if number % 1_000 == 0 {
                assert!(affinity.holder("kept").is_some());
            }
        }
        let count: usize = affinity
            .0
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock();
                shard.young.len() + shard.old.len()
            })
            .sum();
        assert!(count <= SHARDS * (2 * GENERATION + 1));
        assert_eq!(affinity.holder("id-0"), None);
        affinity.learn(&"x".repeat(LONGEST_ID + 1), &holder("one"));
        assert_eq!(affinity.holder(&"x".repeat(LONGEST_ID + 1)), None);
    }
}
