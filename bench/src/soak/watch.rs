//! Looks at the processes while they work, and judges whether memory or open files grew after warm-up.

use std::time::Duration;

use super::verdict::{self, Check};
use super::world::World;

/// Open files may differ by as many: connections come and go.
const FILES_ALLOWED: u64 = 24;

/// Everything seen so far, in the order of the world's processes.
pub(super) struct Watch {
    warm_up: Duration,
    seen: Vec<Seen>,
}

/// One process over time, since warm-up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    process: &'static str,
    resident_kib: Vec<u64>,
    open_files: Vec<u64>,
    last: (u64, u64),
}

impl Watch {
    pub(super) fn new(warm_up: Duration) -> Self {
        Self { warm_up, seen: Vec::new() }
    }

    /// Notes how things stand.
    pub(super) fn look(&mut self, elapsed: Duration, world: &World) -> anyhow::Result<()> {
        if self.seen.is_empty() {
            self.seen = world.processes().map(|process| Seen::nothing(process.name())).to_vec();
        }
        for (process, seen) in world.processes().into_iter().zip(&mut self.seen) {
            seen.last = (process.resident_kib()?, process.open_files()?);
            if elapsed >= self.warm_up {
                seen.resident_kib.push(seen.last.0);
                seen.open_files.push(seen.last.1);
            }
        }
        Ok(())
    }

    /// How things stood last, for the line of progress.
    pub(super) fn last_words(&self, world: &World) -> String {
        let each = self.seen.iter().map(|seen| {
            let (resident_kib, open_files) = seen.last;
            format!("{} {} MiB {open_files} files", seen.process, resident_kib / 1024)
        });
        format!("version {}  {}", world.head(), each.collect::<Vec<_>>().join("  "))
    }

    /// The verdict on each process.
    pub(super) fn judge(&self, growth_mib: u64) -> Vec<Check> {
        self.seen.iter().flat_map(|seen| seen.judge(growth_mib)).collect()
    }
}

impl Seen {
    fn nothing(process: &'static str) -> Self {
        Self { process, resident_kib: Vec::new(), open_files: Vec::new(), last: (0, 0) }
    }

    fn judge(&self, growth_mib: u64) -> [Check; 2] {
        let memory = ends(&self.resident_kib).map(|(early, late)| (early / 1024, late / 1024));
        [
            verdict::growth(&format!("{} memory, MiB", self.process), memory, growth_mib),
            verdict::growth(&format!("{} open files", self.process), ends(&self.open_files), FILES_ALLOWED),
        ]
    }
}

/// The median of the first third and that of the last: single peaks do not count, a steady rise does.
fn ends(samples: &[u64]) -> Option<(u64, u64)> {
    let third = samples.len() / 3;
    let early = median(samples.get(..third)?)?;
    let late = median(samples.get(samples.len() - third..)?)?;
    Some((early, late))
}

fn median(samples: &[u64]) -> Option<u64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_does_not_count_and_a_rise_does() {
        assert_eq!(ends(&[10, 10, 99, 10, 10, 10, 10, 99, 10]), Some((10, 10)));
        assert_eq!(ends(&[10, 11, 12, 13, 14, 15, 16, 17, 18]), Some((11, 17)));
        assert_eq!(ends(&[10, 11]), None);
    }
}
