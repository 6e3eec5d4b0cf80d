//! Records that were written and not yet handed out, kept beside the disk so that in the usual case nothing is read back.
//!
//! Invariant: it holds exactly the records behind the spool's cursor, in order, or it is empty.

use std::collections::VecDeque;

use proto::CallRecord;

/// More than one batch; beyond it the control plane is away or slow, and the disk is the place to wait.
const MOST: usize = 4_000;

/// The records.
#[derive(Debug, Default)]
pub(super) struct Fresh(VecDeque<Waiting>);

/// One record with the place at which the next one begins.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) record: CallRecord,
    pub(super) segment: u64,
    pub(super) end: u64,
}

impl Fresh {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one more record. `false`: there were too many, all were let go, and the disk has to be read.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        if self.0.len() >= MOST {
            self.0.clear();
            return false;
        }
        self.0.push_back(waiting);
        true
    }

    /// The next records, at most `most`.
    pub(super) fn take(&mut self, most: usize) -> Vec<Waiting> {
        self.0.drain(..most.min(self.0.len())).collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A segment is gone, and its records with it.
    pub(super) fn forget(&mut self, segment: u64) {
        if self.0.front().is_some_and(|oldest| oldest.segment <= segment) {
            self.0.retain(|waiting| waiting.segment != segment);
        }
    }
}
