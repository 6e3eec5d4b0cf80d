//! One segment of the ring: what is known of it without reading it. It must not know the disk.

use std::sync::Arc;

use proto::CallRecord;

/// Records of one boot and lane, from `first` to `last`.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) boot_id: Arc<str>,
    pub(super) lane: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) bytes: u64,
    pub(super) place: Place,
    /// Takes more records.
    pub(super) is_open: bool,
    pub(super) is_dirty: bool,
}

/// Where they lie.
#[derive(Debug)]
pub(super) enum Place {
    Disk,
    Memory(Vec<u8>),
}

/// Notes one more record in a segment that is being taken over.
pub(super) fn extend(found: &mut Option<Segment>, name: &str, id: u64, record: &CallRecord) {
    match found {
        Some(segment) => segment.last = segment.last.max(record.sequence),
        None => {
            *found = Some(Segment {
                id,
                name: name.to_owned(),
                boot_id: Arc::from(record.boot_id.as_str()),
                lane: record.lane,
                first: record.sequence,
                last: record.sequence,
                bytes: 0,
                place: Place::Disk,
                is_open: false,
                is_dirty: false,
            });
        }
    }
}
