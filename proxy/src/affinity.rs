//! Who holds what: files, batches, responses and conversations live in one account of one provider, and a call about one of them
//! makes sense nowhere else.
//!
//! Learned from answers and forgotten when there is no room: a miss is no harm, because whoever may hold it is then asked in order.
//! The table belongs to the process, not to a version of the policy. It must not know how objects are reached.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dialect::{Call, Dialect, Operation};
use http::Method;
use memchr::memmem;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::frontend::Inbound;
use crate::frontend::passage::{Held, Passage};

/// Ids are spread over this many locks.
const SHARDS: usize = 16;
/// Ids in one generation of a shard; two generations are kept.
const GENERATION: usize = 4_096;
/// The longest id that is kept.
const LONGEST_ID: usize = 200;
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
    /// The Consumer resource that it was made for, where it was seen being made.
    pub consumer: Option<Arc<str>>,
}

/// What the answer to one call may teach, and the table to write it in.
#[derive(Debug)]
pub struct Lesson {
    table: Affinity,
    about: About,
}

#[derive(Debug)]
enum About {
    /// A response, which can be asked for again.
    Response,
    /// Something new.
    Made,
    /// What the call asks about: whoever answers holds it, whoever it is for.
    Found(String),
}

/// What an answer says that was made. Only the outermost fields count: what stands further in the caller may have written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    output_file_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error_file_id: Option<Cow<'a, str>>,
    /// Google's answer to an upload.
    #[serde(borrow)]
    file: Option<Inner<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

impl Lesson {
    /// What is learned from an answer to a model's caller.
    pub fn answered(&self, id: &str, provider: &str, consumer: &str) {
        if matches!(self.about, About::Response) {
            self.table.learn(id, &Holder { provider: provider.into(), consumer: Some(consumer.into()) });
        }
    }

    /// What is learned from the beginning of an answer that passed through.
    pub fn passed(&self, told: &[u8], provider: &str, consumer: &str) {
        match &self.about {
            About::Response => {}
            About::Found(id) => self.table.learn(id, &Holder { provider: provider.into(), consumer: None }),
            About::Made => {
                // What is no such object, or too large for one, teaches nothing.
                let told: Told<'_> = serde_json::from_slice(told).unwrap_or_default();
                let holder = Holder { provider: provider.into(), consumer: Some(consumer.into()) };
                let inner = told.file.and_then(|file| file.name);
                let ids = [told.id, told.name, told.output_file_id, told.error_file_id, inner];
                for id in ids.into_iter().flatten() {
                    self.table.learn(&id, &holder);
                }
            }
        }
    }
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
    /// Learns who holds an id. Whoever held it before keeps it.
    fn learn(&self, id: &str, holder: &Holder) {
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

    /// What the answer to a call may teach: of all answers to models only responses can be asked for again, and lists teach nothing,
    /// because what is in them may be anybody's.
    pub fn lesson(&self, inbound: &Inbound) -> Option<Lesson> {
        let about = match inbound.passage.as_ref().map(|passage| (passage, &passage.held)) {
            None if inbound.call.dialect == Dialect::Responses => About::Response,
            None | Some((_, None)) => return None,
            Some((_, Some(Held { id: Some(id), .. }))) => About::Found(id.clone()),
            Some((passage, Some(_))) if passage.method == Method::POST => About::Made,
            Some(_) => return None,
        };
        Some(Lesson { table: self.clone(), about })
    }

    fn is_empty(&self) -> bool {
        !self.0.is_used.load(Ordering::Relaxed)
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
        Holder { provider: provider.into(), consumer: Some("bot".into()) }
    }

    fn lesson(table: &Affinity, about: About) -> Lesson {
        Lesson { table: table.clone(), about }
    }

    #[test]
    fn what_was_made_is_found_by_a_call_that_mentions_it() {
        let affinity = Affinity::default();
        let batch = br#"{"id": "batch_1","input_file_id":"file-0","output_file_id":"file-1","metadata":{"id":"file-x"}}"#;
        lesson(&affinity, About::Made).passed(batch, "one", "bot");
        let upload = br#"{"file":{"name":"files/abc","uri":"https://x/v1beta/files/abc"}}"#;
        lesson(&affinity, About::Made).passed(upload, "two", "bot");
        for (body, expected) in [
            (r#"{"input":[{"file_id":"file-1"}]}"#, Some("one")),
            (r#"{"contents":[{"fileData":{"fileUri":"https://x/v1beta/files/abc"}}]}"#, Some("two")),
            (r#"{"input":[{"text":"\"file_id\":\"file-1\""}]}"#, None),
            (r#"{"input":[{"file_id":"file-0"}]}"#, None),
            (r#"{"input":[{"file_id":"file-x"}]}"#, None),
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
    fn whoever_merely_asks_for_something_does_not_make_it_theirs() {
        let affinity = Affinity::default();
        lesson(&affinity, About::Found("file-1".to_owned())).passed(b"{}", "one", "curious");
        assert_eq!(affinity.holder("file-1").unwrap().consumer, None);
        lesson(&affinity, About::Found("file-1".to_owned())).answered("resp_1", "one", "curious");
        assert_eq!(affinity.holder("resp_1"), None);
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
