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

use crate::failure::{Failure, code};
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

impl Holder {
    /// Whether it was made for somebody else.
    fn is_foreign(&self, consumer: &str) -> bool {
        self.consumer.as_deref().is_some_and(|owner| owner != consumer)
    }
}

/// The refusal for something that nobody holds, and for what belongs to somebody else: it must not tell which.
pub fn unknown_object(id: &str) -> Failure {
    let id: String = id.chars().take(200).collect();
    Failure::caller(code::UNKNOWN_OBJECT, 404, format!("no provider that may be asked holds `{id}`"))
}

/// What the answer to one call may teach, and the table to write it in.
#[derive(Debug)]
pub struct Lesson {
    table: Affinity,
    about: About,
}

/// How much of an answer's use was counted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Nothing: it is new.
    Nothing,
    /// So many tokens of its input.
    Input(u64),
    /// All of it.
    All,
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
    /// What is learned from an answer to a model's caller. A response that is written in the background has not told its use yet:
    /// `owing` is the input that was counted for it so far.
    pub fn answered(&self, id: &str, provider: &str, consumer: &str, owing: Option<u64>) {
        if matches!(self.about, About::Response) {
            self.table.learn(id, &Holder { provider: provider.into(), consumer: Some(consumer.into()) });
            self.table.owe(id, owing);
        }
    }

    /// How much of the use that an answer tells is counted already. What is asked for again was counted when it was made; only what was
    /// written in the background is counted when its use is told first.
    pub fn counted(&self, tells_use: bool) -> Counted {
        match &self.about {
            About::Found(id) if tells_use => self.table.pay(id).map_or(Counted::All, Counted::Input),
            About::Found(_) => Counted::All,
            About::Response | About::Made => Counted::Nothing,
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
    /// Responses that are written in the background, and the input that was counted for each.
    owing: HashMap<Box<str>, u64>,
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
        let shard = &mut *shard;
        if let Some(known) = shard.young.get_mut(id).or_else(|| shard.old.get_mut(id)) {
            if known.consumer.is_none() && known.provider == holder.provider {
                known.consumer.clone_from(&holder.consumer);
            }
            return;
        }
        if shard.young.len() >= GENERATION {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(id.into(), holder.clone());
    }

    /// Notes that the use of an object is still to be told, and the input that was counted for it.
    fn owe(&self, id: &str, input: Option<u64>) {
        let Some((mut shard, input)) = self.shard(id).map(Mutex::lock).zip(input) else { return };
        if shard.young.contains_key(id) || shard.old.contains_key(id) {
            if shard.owing.len() >= GENERATION {
                shard.owing.clear();
            }
            shard.owing.insert(id.into(), input);
        }
    }

    /// The input that was counted for an object whose use is told now for the first time.
    fn pay(&self, id: &str) -> Option<u64> {
        self.shard(id)?.lock().owing.remove(id)
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

    /// Who holds something that a body mentions; the first that is known. What belongs to another consumer is not there.
    pub fn holder_of_mentioned(&self, body: &[u8], consumer: &str) -> Result<Option<Holder>, Failure> {
        let plain = plain(body);
        let ids = MENTIONED.into_iter().flat_map(|field| texts(&plain, field));
        self.own(ids.map(short), consumer)
    }

    /// Who holds what a call to a provider's own API is about: the object in its path, or else what its body mentions.
    pub fn holder_for(
        &self,
        passage: &Passage,
        body: &[u8],
        consumer: &str,
    ) -> Result<Option<Holder>, Failure> {
        let ids = passage.ids();
        let in_path = self.own(ids.iter().map(String::as_str), consumer)?;
        let mentioned = self.holder_of_mentioned(body, consumer)?;
        Ok(if ids.is_empty() { mentioned } else { in_path })
    }

    /// Who holds what a call to a model mentions.
    pub fn holder_mentioned(&self, call: &Call, consumer: &str) -> Result<Option<Holder>, Failure> {
        let continued = self.own(call.envelope.continues.as_deref().into_iter(), consumer)?;
        // Most calls mention nothing, and most proxies hold nothing.
        if self.is_empty() || call.operation != Operation::Chat {
            return Ok(continued);
        }
        let mentioned = self.holder_of_mentioned(&call.body, consumer)?;
        Ok(if call.envelope.continues.is_some() { continued } else { mentioned })
    }

    /// The first holder that is known, if nothing of another consumer is among the ids.
    fn own<'a>(&self, ids: impl Iterator<Item = &'a str>, consumer: &str) -> Result<Option<Holder>, Failure> {
        let mut first = None;
        for id in ids {
            let Some(holder) = self.holder(id) else { continue };
            if holder.is_foreign(consumer) {
                return Err(unknown_object(id));
            }
            first.get_or_insert(holder);
        }
        Ok(first)
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

/// A body in which no letter, digit, `_` or `-` is written as an escape: nobody has to write them so, and whoever does hides them.
fn plain(body: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    let mut copied = 0;
    let mut rest = 0;
    while let Some(at) = memmem::find(body.get(rest..).unwrap_or_default(), b"\\") {
        let at = rest + at;
        let digits = body.get(at + 1..at + 6).and_then(|escape| escape.strip_prefix(b"u00"));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match byte.filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            Some(byte) => {
                out.extend_from_slice(body.get(copied..at).unwrap_or_default());
                out.push(byte);
                rest = at + 6;
                copied = rest;
            }
            // What stands behind a backslash is escaped by it, another one too.
            None => rest = at + 2,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    Cow::Owned(out)
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
    fn the_use_of_what_is_asked_for_again_is_counted_once() {
        let affinity = Affinity::default();
        let made = lesson(&affinity, About::Response);
        let asked = |id: &str| lesson(&affinity, About::Found(id.to_owned()));
        made.answered("resp_1", "one", "bot", None);
        made.answered("resp_2", "one", "bot", Some(7));
        assert_eq!(made.counted(true), Counted::Nothing);
        assert_eq!(asked("resp_1").counted(true), Counted::All);
        assert_eq!(asked("resp_2").counted(false), Counted::All);
        assert_eq!(asked("resp_2").counted(true), Counted::Input(7));
        assert_eq!(asked("resp_2").counted(true), Counted::All);
        assert_eq!(asked("resp_of_another_proxy").counted(true), Counted::All);
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
            let found = affinity.holder_of_mentioned(body.as_bytes(), "bot").unwrap();
            assert_eq!(found.as_ref().map(|found| &*found.provider), expected, "{body}");
        }
        affinity.learn("conv_1", &holder("three"));
        let found = affinity.holder_of_mentioned(br#"{"conversation":{"id":"conv_1"}}"#, "bot").unwrap();
        assert_eq!(&*found.unwrap().provider, "three");
    }

    #[test]
    fn what_belongs_to_another_consumer_is_not_there_however_it_is_mentioned() {
        let affinity = Affinity::default();
        affinity.learn("file-1", &holder("one"));
        affinity.learn("mine-1", &Holder { consumer: Some("other".into()), ..holder("one") });
        for body in [
            r#"{"file_id":"file-1"}"#,
            r#"{"a":{"file_id":"mine-1"},"b":{"file_id":"file-1"}}"#,
            r#"{"file\u005fid":"\u0066ile\u002D1"}"#,
        ] {
            let refused = affinity.holder_of_mentioned(body.as_bytes(), "other").unwrap_err();
            assert_eq!(refused.code, code::UNKNOWN_OBJECT, "{body}");
            assert!(
                affinity.holder_of_mentioned(body.as_bytes(), "bot").is_ok_and(|it| it.is_some())
                    || body.contains("mine")
            );
        }
        // A backslash that is written as one escapes nothing behind it.
        let quoted = br#"{"x":"\\u0066","text":"\"file_id\":\"file-1\""}"#;
        assert_eq!(affinity.holder_of_mentioned(quoted, "other").unwrap(), None);
    }

    #[test]
    fn whoever_merely_asks_for_something_does_not_make_it_theirs() {
        let affinity = Affinity::default();
        lesson(&affinity, About::Found("file-1".to_owned())).passed(b"{}", "one", "curious");
        assert_eq!(affinity.holder("file-1").unwrap().consumer, None);
        lesson(&affinity, About::Found("file-1".to_owned())).answered("resp_1", "one", "curious", None);
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
