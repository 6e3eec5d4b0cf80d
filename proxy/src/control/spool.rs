//! Keeps call records until the ledger has them: a ring of segment files, oldest first, with a bounded memory beside it for
//! the time when the disk is full.
//!
//! A segment is a row of frames (length, CRC-32, encoded record), named by boot, lane and first sequence so that names sort by age.
//! Written without `fsync`; [`Spool::tidy`], called about once a second and at the end, syncs what is not acknowledged yet. So a
//! killed process loses nothing that was appended, a crashed machine at most the last second.
//! A torn tail is the normal end of a segment whose process was killed. What is lost for want of room is counted, never silent.
//!
//! It must not know who sends the records or when; it is used from one place at a time.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use proto::CallRecord;
use tokio::time::Instant;

use crate::control::spool::disk::Disk;
use crate::control::spool::frame::{Frame, LONGEST_FRAME, frame_into, next_frame};
use crate::control::spool::fresh::{Fresh, Waiting};
use crate::control::spool::segment::{Place, Segment, extend};

pub mod disk;
mod frame;
mod fresh;
mod segment;

/// All of a process's records travel in one lane; the wire has room for more.
const LANE: u32 = 0;
/// How much of a segment is read for one batch. Invariant: more than the longest frame.
const READ_BYTES: u64 = 512 * 1024;
/// How long a failing disk is left alone.
const DISK_REST: Duration = Duration::from_secs(5);

/// How much may be kept.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// All segment files together.
    pub disk_bytes: u64,
    /// One segment.
    pub segment_bytes: u64,
    /// What is kept in memory while the disk takes nothing.
    pub memory_bytes: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { disk_bytes: 256 << 20, segment_bytes: 1 << 20, memory_bytes: 16 << 20 }
    }
}

/// What happened to records since this process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolCounts {
    /// Lost for want of room.
    pub dropped: u64,
    /// Found damaged on disk.
    pub damaged: u64,
    /// Waiting for an acknowledgement.
    pub waiting: u64,
}

/// The ring.
#[derive(Debug)]
pub struct Spool {
    disk: Box<dyn Disk>,
    limits: SpoolLimits,
    boot_id: Arc<str>,
    next_sequence: u64,
    /// Invariant: oldest first; segments of one boot and lane are in order of sequence.
    segments: VecDeque<Segment>,
    /// Segments have ids so that the cursor survives removals.
    next_segment: u64,
    cursor: Cursor,
    fresh: Fresh,
    /// The highest sequence handed out, and the highest acknowledged, by boot and lane.
    sent: HashMap<(Arc<str>, u32), u64>,
    acked: HashMap<(Arc<str>, u32), u64>,
    disk_failed_at: Option<Instant>,
    /// The last read failed.
    is_unreadable: bool,
    counts: SpoolCounts,
}

/// What is to be handed out next.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    segment: u64,
    offset: u64,
}

/// Records as they are written: their frames, and where in those each one ends.
#[derive(Debug, Default)]
struct Framed {
    bytes: Vec<u8>,
    records: Vec<(CallRecord, u64)>,
}

/// Records of one boot, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The boot they were made in.
    pub boot_id: String,
    /// At least one.
    pub records: Vec<CallRecord>,
}

impl Spool {
    /// Finds what earlier boots left behind. A segment that cannot be read is left alone and counted as damaged.
    pub fn open(disk: Box<dyn Disk>, boot_id: String, limits: SpoolLimits) -> io::Result<Self> {
        let mut names = disk.list()?;
        names.sort_unstable();
        let mut spool = Self {
            disk,
            limits,
            boot_id: boot_id.into(),
            next_sequence: 1,
            segments: VecDeque::new(),
            next_segment: 1,
            cursor: Cursor::default(),
            fresh: Fresh::default(),
            sent: HashMap::new(),
            acked: HashMap::new(),
            disk_failed_at: None,
            is_unreadable: false,
            counts: SpoolCounts::default(),
        };
        for name in names {
            spool.adopt(&name);
        }
        Ok(spool)
    }

    /// Takes records in, giving each its place in this boot's sequence. What goes to one segment is written at once.
    pub fn append(&mut self, records: Vec<CallRecord>, now: Instant) {
        let mut is_next = !self.fresh.is_empty() || self.is_caught_up();
        let mut framed = Framed { bytes: Vec::new(), records: Vec::with_capacity(records.len()) };
        for mut record in records {
            record.boot_id = self.boot_id.to_string();
            record.lane = LANE;
            record.sequence = self.next_sequence;
            let before = framed.bytes.len();
            if frame_into(&mut framed.bytes, |out| record.encode(out)).is_err() {
                tracing::warn!(request.id = record.request_id, "a call record is too large to keep");
                self.counts.dropped = self.counts.dropped.saturating_add(1);
                continue;
            }
            if before > 0 && framed.bytes.len() as u64 > self.room() {
                let last = framed.bytes.split_off(before);
                is_next = self.keep(std::mem::take(&mut framed), now, is_next);
                framed.bytes = last;
            }
            self.next_sequence = self.next_sequence.saturating_add(1);
            framed.records.push((record, framed.bytes.len() as u64));
        }
        if !framed.records.is_empty() {
            self.keep(framed, now, is_next);
        }
        self.make_room();
    }

    /// The next records to send, at most `most`, all of one boot. `None` when everything was handed out.
    pub fn next_batch(&mut self, most: usize) -> Option<Batch> {
        if let Some(batch) = self.hand_out_fresh(most) {
            return Some(batch);
        }
        loop {
            let position = self.segments.iter().position(|segment| segment.id >= self.cursor.segment)?;
            let segment = self.segments.get(position)?;
            if segment.id > self.cursor.segment {
                self.cursor = Cursor { segment: segment.id, offset: 0 };
            }
            if self.cursor.offset >= segment.bytes {
                let following = self.segments.get(position + 1)?;
                self.cursor = Cursor { segment: following.id, offset: 0 };
                continue;
            }
            let records = self.read_some(position, most)?;
            let Some(last) = records.last() else { continue };
            self.sent.insert((Arc::from(last.boot_id.as_str()), last.lane), last.sequence);
            return Some(Batch { boot_id: last.boot_id.clone(), records });
        }
    }

    /// Hands out records that need not be read back.
    fn hand_out_fresh(&mut self, most: usize) -> Option<Batch> {
        let taken = self.fresh.take(most);
        let last = taken.last()?;
        self.cursor = Cursor { segment: last.segment, offset: last.end };
        self.sent.insert((Arc::clone(&self.boot_id), LANE), last.record.sequence);
        let records = taken.into_iter().map(|waiting| waiting.record).collect();
        Some(Batch { boot_id: self.boot_id.to_string(), records })
    }

    /// Whether everything was handed out.
    fn is_caught_up(&self) -> bool {
        self.segments.iter().rev().all(|segment| {
            let is_read = segment.id == self.cursor.segment && self.cursor.offset >= segment.bytes;
            is_read || segment.id < self.cursor.segment || segment.bytes == 0
        })
    }

    /// Hands out again whatever is not acknowledged: for a new connection.
    pub fn rewind(&mut self) {
        self.cursor = Cursor::default();
        self.fresh.clear();
    }

    /// Everything of this boot and lane up to `sequence` is safe elsewhere. More than was handed out is not believed.
    pub fn acknowledge(&mut self, boot_id: &str, lane: u32, sequence: u64) {
        let key = (Arc::from(boot_id), lane);
        let Some(sent) = self.sent.get(&key).copied() else { return };
        let sequence = sequence.min(sent);
        let acked = self.acked.entry(key).or_default();
        *acked = sequence.max(*acked);
        let acked = *acked;
        let done = |segment: &Segment| {
            *segment.boot_id == *boot_id && segment.lane == lane && segment.last <= acked && !segment.is_open
        };
        while let Some(position) = self.segments.iter().position(done) {
            self.remove(position);
        }
    }

    /// Removes the open segment when all of it is acknowledged, syncs it otherwise.
    pub fn tidy(&mut self) {
        let Some(position) = self.segments.iter().position(|segment| segment.is_open) else { return };
        if self.waiting_in(position) == 0 {
            self.remove(position);
            return;
        }
        let Some(segment) = self.segments.get_mut(position) else { return };
        if !segment.is_dirty || !matches!(segment.place, Place::Disk) {
            return;
        }
        segment.is_dirty = false;
        if let Err(error) = self.disk.sync(&segment.name) {
            tracing::warn!(%error, segment = segment.name, "call records could not be synced to disk");
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> SpoolCounts {
        let waiting = (0..self.segments.len()).map(|position| self.waiting_in(position)).sum();
        SpoolCounts { waiting, ..self.counts }
    }

    /// Takes over a segment of an earlier boot.
    fn adopt(&mut self, name: &str) {
        // Twice as much as any segment that was written under the same limits.
        let most = self.limits.segment_bytes.saturating_mul(2).saturating_add(LONGEST_FRAME as u64);
        let bytes = match self.disk.read(name, 0, most) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, segment = name, "a segment of call records cannot be read; it is left alone");
                self.counts.damaged = self.counts.damaged.saturating_add(1);
                return;
            }
        };
        let mut found: Option<Segment> = None;
        let mut rest = bytes.as_slice();
        while let Frame::Whole { payload, length } = next_frame(rest) {
            rest = rest.get(length..).unwrap_or_default();
            if let Ok(record) = CallRecord::decode(payload) {
                extend(&mut found, name, self.next_segment, &record);
            }
        }
        if next_frame(rest) == Frame::Damaged {
            tracing::warn!(
                segment = name,
                bytes = rest.len(),
                "the rest of a segment of call records is damaged"
            );
            self.counts.damaged = self.counts.damaged.saturating_add(1);
        }
        match found {
            Some(mut segment) => {
                segment.bytes = (bytes.len() - rest.len()) as u64;
                self.next_segment += 1;
                self.segments.push_back(segment);
            }
            None => self.remove_file(name),
        }
    }

    /// Writes framed records to the open segment, or to memory when the disk does not take them. `is_next`: they follow what was handed
    /// out or is fresh; returned is whether that holds for what comes after them.
    fn keep(&mut self, framed: Framed, now: Instant, is_next: bool) -> bool {
        let Framed { bytes, records } = framed;
        let Some(first) = records.first().map(|(record, _)| record.sequence) else { return is_next };
        let position = self.place(first, &bytes, now);
        let Some(segment) = self.segments.get_mut(position) else { return false };
        let (id, start) = (segment.id, segment.bytes);
        segment.last = records.last().map_or(first, |(record, _)| record.sequence);
        segment.bytes += bytes.len() as u64;
        segment.is_dirty = true;
        if let Place::Memory(body) = &mut segment.place {
            body.extend_from_slice(&bytes);
        }
        let mut records = records.into_iter();
        is_next
            && records.all(|(record, end)| self.fresh.push(Waiting { record, segment: id, end: start + end }))
    }

    /// The segment that has taken the bytes, or will take them because it is in memory.
    fn place(&mut self, sequence: u64, bytes: &[u8], now: Instant) -> usize {
        let may_try = self.disk_failed_at.is_none_or(|at| now.saturating_duration_since(at) >= DISK_REST);
        if may_try && self.disk_failed_at.is_some() {
            self.move_memory_to_disk();
        }
        if may_try {
            let position = self.open_segment(sequence, bytes.len() as u64, true);
            let name = self.segments.get(position).map(|segment| segment.name.clone()).unwrap_or_default();
            match self.disk.append(&name, bytes) {
                Ok(()) => {
                    if self.disk_failed_at.take().is_some() {
                        tracing::info!("the disk takes call records again");
                    }
                    return position;
                }
                Err(error) => self.disk_failed(&error, position, now),
            }
        }
        self.open_segment(sequence, bytes.len() as u64, false)
    }

    /// How much the open segment still takes.
    fn room(&self) -> u64 {
        let open = self.segments.back().filter(|segment| segment.is_open && segment.bytes > 0);
        let left = open.map(|segment| self.limits.segment_bytes.saturating_sub(segment.bytes));
        left.unwrap_or(self.limits.segment_bytes)
    }

    fn disk_failed(&mut self, error: &io::Error, position: usize, now: Instant) {
        if self.disk_failed_at.is_none() {
            tracing::error!(%error, "the disk takes no call records; they are kept in memory until it does");
        }
        self.disk_failed_at = Some(now);
        // A segment that never got a record holds nothing to send.
        if self.segments.get(position).is_some_and(|segment| segment.bytes == 0) {
            self.remove(position);
        } else if let Some(segment) = self.segments.get_mut(position) {
            segment.is_open = false;
        }
    }

    /// The segment at the end that has room, on disk or in memory as asked; a new one when there is none.
    fn open_segment(&mut self, sequence: u64, length: u64, on_disk: bool) -> usize {
        if let Some(segment) = self.segments.back_mut().filter(|segment| segment.is_open) {
            let is_there = matches!(segment.place, Place::Disk) == on_disk;
            if is_there && segment.bytes + length <= self.limits.segment_bytes {
                return self.segments.len() - 1;
            }
            segment.is_open = false;
            let (name, was_on_disk) = (segment.name.clone(), matches!(segment.place, Place::Disk));
            if was_on_disk && let Err(error) = self.disk.sync(&name) {
                tracing::warn!(%error, segment = name, "call records could not be synced to disk");
            }
        }
        self.segments.push_back(Segment {
            id: self.next_segment,
            name: format!("{}-{LANE:03}-{sequence:020}.seg", self.boot_id),
            boot_id: Arc::clone(&self.boot_id),
            lane: LANE,
            first: sequence,
            last: sequence.saturating_sub(1),
            bytes: 0,
            place: if on_disk { Place::Disk } else { Place::Memory(Vec::new()) },
            is_open: true,
            is_dirty: false,
        });
        self.next_segment += 1;
        self.segments.len() - 1
    }

    fn move_memory_to_disk(&mut self) {
        for segment in &mut self.segments {
            if let Place::Memory(body) = &segment.place {
                if self.disk.append(&segment.name, body).is_err() {
                    return;
                }
                segment.place = Place::Disk;
                segment.is_open = false;
            }
        }
    }

    /// Drops the oldest records until both bounds hold. The newest segment stays.
    fn make_room(&mut self) {
        for (bound, on_disk) in [(self.limits.disk_bytes, true), (self.limits.memory_bytes, false)] {
            let belongs = |segment: &Segment| matches!(segment.place, Place::Disk) == on_disk;
            loop {
                let used: u64 = self.segments.iter().filter(|one| belongs(one)).map(|one| one.bytes).sum();
                let oldest = self.segments.iter().position(belongs);
                let Some(position) =
                    oldest.filter(|position| used > bound && position + 1 < self.segments.len())
                else {
                    break;
                };
                let lost = self.waiting_in(position);
                self.counts.dropped = self.counts.dropped.saturating_add(lost);
                tracing::warn!(records = lost, "the spool is full; its oldest call records are dropped");
                self.remove(position);
            }
        }
    }

    fn remove(&mut self, position: usize) {
        let Some(segment) = self.segments.remove(position) else { return };
        self.fresh.forget(segment.id);
        if matches!(segment.place, Place::Disk) {
            self.remove_file(&segment.name);
        }
    }

    fn remove_file(&mut self, name: &str) {
        if let Err(error) = self.disk.remove(name) {
            tracing::warn!(%error, segment = name, "a segment of call records could not be removed");
        }
    }

    fn waiting_in(&self, position: usize) -> u64 {
        let Some(segment) = self.segments.get(position) else { return 0 };
        let acked =
            self.acked.get(&(Arc::clone(&segment.boot_id), segment.lane)).copied().unwrap_or_default();
        segment.last.saturating_sub(acked.max(segment.first.saturating_sub(1)))
    }

    /// Up to `most` unacknowledged records from the cursor on. An empty answer moved the cursor nevertheless. `None` when the disk
    /// gives nothing for now: what follows must wait, because an acknowledgement of it would cover what was left out.
    fn read_some(&mut self, position: usize, most: usize) -> Option<Vec<CallRecord>> {
        let segment = self.segments.get(position)?;
        let acked =
            self.acked.get(&(Arc::clone(&segment.boot_id), segment.lane)).copied().unwrap_or_default();
        let read = match &segment.place {
            Place::Disk => self.disk.read(&segment.name, self.cursor.offset, READ_BYTES),
            Place::Memory(body) => {
                let from = usize::try_from(self.cursor.offset).unwrap_or(usize::MAX);
                Ok(body.get(from..).unwrap_or_default().to_vec())
            }
        };
        let was_unreadable = std::mem::replace(&mut self.is_unreadable, read.is_err());
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                if !was_unreadable {
                    tracing::warn!(%error, segment = segment.name, "call records cannot be read back; trying again");
                }
                if error.kind() != io::ErrorKind::NotFound {
                    return None;
                }
                Vec::new()
            }
        };
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while records.len() < most {
            let Frame::Whole { payload, length } = next_frame(rest) else { break };
            self.cursor.offset += length as u64;
            rest = rest.get(length..).unwrap_or_default();
            match CallRecord::decode(payload) {
                Ok(record) if record.sequence > acked => records.push(record),
                Ok(_) => {}
                Err(_) => self.counts.damaged = self.counts.damaged.saturating_add(1),
            }
        }
        if rest.len() == bytes.len() {
            // Nothing readable where a frame should begin: the rest of this segment is gone.
            self.counts.damaged = self.counts.damaged.saturating_add(1);
            self.cursor.offset = segment.bytes;
        }
        Some(records)
    }
}

/// Invariant of the reads above.
const _: () = assert!(READ_BYTES > LONGEST_FRAME as u64);

#[cfg(test)]
mod tests;
