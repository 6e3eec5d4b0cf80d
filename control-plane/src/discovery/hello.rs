//! The hello, read once: ids that can be keys and labels, a group that can be a name, digests that are digests.

use std::collections::HashSet;

use policy::{Digest, Name};

const MAX_ID: usize = 128;
const MAX_TEXT: usize = 256;
const MAX_BLOBS: usize = policy::limits::RESOURCES;

/// A hello that can be worked with.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) proxy_id: String,
    pub(super) boot_id: String,
    pub(super) build: String,
    pub(super) address: String,
    pub(super) store_id: String,
    pub(super) group: Name,
    pub(super) held: Option<(u64, Digest)>,
    pub(super) blobs: HashSet<Digest>,
}

/// Checks a hello; the group in a certificate wins over the one asked for.
pub(super) fn read(hello: proto::Hello, certified_group: Option<&Name>) -> Result<Greeting, String> {
    let group = match certified_group {
        Some(group) => group.clone(),
        None if hello.group.is_empty() => Name::default_group(),
        None => hello.group.parse().map_err(|error| format!("group: {error}"))?,
    };
    let held = match hello.held {
        None => None,
        Some(held) => {
            let digest = held.digest.parse().map_err(|error| format!("held.digest: {error}"))?;
            Some((held.version, digest))
        }
    };
    if hello.blobs.len() > MAX_BLOBS {
        return Err(format!("blobs: {} digests, at most {MAX_BLOBS} are allowed", hello.blobs.len()));
    }
    let blobs: Result<HashSet<Digest>, String> = hello.blobs.iter().map(|digest| digest.parse()).collect();
    Ok(Greeting {
        proxy_id: id("proxy_id", hello.proxy_id)?,
        boot_id: id("boot_id", hello.boot_id)?,
        build: cut(hello.build, MAX_TEXT),
        address: cut(hello.address, MAX_TEXT),
        store_id: cut(hello.store_id, MAX_TEXT),
        group,
        held,
        blobs: blobs.map_err(|error| format!("blobs: {error}"))?,
    })
}

/// An id of one to 128 letters, digits and `. _ -`: it becomes a key in the store.
pub(super) fn id(field: &str, text: String) -> Result<String, String> {
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(is_allowed) {
        return Err(format!("{field}: expected 1 to {MAX_ID} letters, digits and . _ -"));
    }
    Ok(text)
}

/// At most `max` bytes, ending at a character.
pub(super) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
    text
}
