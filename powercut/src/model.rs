//! Memory that forgets: which bytes of a pool are durable, and what the rest may hold after a cut.
//!
//! Invariants
//! * A line without an entry in `pending` holds its durable contents in the cache too.
//! * An entry has at least one version; versions are in the order in which they were stored, and no
//!   two neighbours (the durable contents come first) are equal.
//! * `flushed` of an entry's versions become durable at the next fence, that is: the last of them
//!   does, and all of them are gone from the entry.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::extents::PAGE_BYTES;
use crate::trace::Event;
use crate::{LINE_BYTES, Line, LineNumber};

/// One thing that a cut can leave: the lines that differ from their durable contents, by number.
pub type Survivors = Vec<(LineNumber, Line)>;

/// What a line that may not be durable has held.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    versions: Vec<Version>,
    flushed: usize,
}

/// Contents that a line has held since it was last durable.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// The contents.
    pub contents: Line,
    /// When they were stored: a number that grows with each store into the memory.
    pub stored: u64,
}

impl Pending {
    /// The contents the line has held, oldest first, without the durable ones. Not empty.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }
}

/// What tells the hash of a length from that of a line.
const GROWN_SEED: u64 = u64::MAX;

/// Persistent memory behind a cache.
#[derive(Clone, Debug)]
pub struct Memory {
    durable: Vec<u8>,
    /// Bytes that there are; behind them are those that come when the pool grows.
    len: usize,
    /// Which pages of `durable` may hold something else than zeros.
    used: Vec<bool>,
    pending: BTreeMap<LineNumber, Pending>,
    stores: u64,
    fingerprint: u64,
}

impl Memory {
    /// Memory in which all of `durable` is durable.
    ///
    /// # Panics
    /// If that is not a whole number of lines.
    pub fn new(durable: Vec<u8>) -> Memory {
        assert!(
            durable.len().is_multiple_of(LINE_BYTES),
            "a pool has whole lines"
        );
        let is_used = |page: &[u8]| page.iter().any(|&byte| byte != 0);
        Memory {
            len: durable.len(),
            used: durable.chunks(PAGE_BYTES).map(is_used).collect(),
            durable,
            pending: BTreeMap::new(),
            stores: 0,
            fingerprint: 0,
        }
    }

    /// The same, which can come to have `len` bytes.
    pub(crate) fn growing(mut durable: Vec<u8>, len: usize) -> Memory {
        let now = durable.len();
        durable.resize(len.max(now), 0);
        Memory {
            len: now,
            ..Memory::new(durable)
        }
    }

    /// Bytes that there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes as they are if no line that may be lost survives.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Where the pages of [`Memory::durable`] begin that may hold something else than zeros.
    pub(crate) fn used_pages(&self) -> impl Iterator<Item = usize> {
        let used = self.used.iter().enumerate().filter(|(_, used)| **used);
        used.map(|(page, _)| page * PAGE_BYTES)
    }

    /// The durable contents of a line.
    pub(crate) fn durable_line(&self, line: LineNumber) -> &Line {
        let start = line as usize * LINE_BYTES;
        self.durable[start..start + LINE_BYTES]
            .try_into()
            .expect("the length of a line")
    }

    /// The lines that may hold something else than their durable contents.
    pub fn pending(&self) -> &BTreeMap<LineNumber, Pending> {
        &self.pending
    }

    /// Takes note of an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Store(line, contents) => self.store(*line, contents),
            Event::Flush(line) => {
                if let Some(pending) = self.pending.get_mut(line) {
                    pending.flushed = pending.versions.len();
                }
            }
            Event::Fence => self.fence(),
            Event::Sent(..) => {}
            Event::Grown(pages) => {
                self.len = *pages as usize * PAGE_BYTES;
                // The bytes are the same, and yet another memory is found after a cut.
                let grown = xxh3_64_with_seed(&pages.to_le_bytes(), GROWN_SEED);
                self.fingerprint = self.fingerprint.wrapping_add(grown);
            }
        }
    }

    /// The memory as the next start finds it if the power is cut now and `survivors` survive.
    pub fn after_cut(&self, survivors: &Survivors) -> Memory {
        let mut durable = vec![0; self.durable.len()];
        for start in self.used_pages() {
            let page = start..durable.len().min(start + PAGE_BYTES);
            durable[page.clone()].copy_from_slice(&self.durable[page]);
        }
        let mut memory = Memory {
            durable,
            len: self.len,
            used: self.used.clone(),
            pending: BTreeMap::new(),
            stores: 0,
            fingerprint: self.fingerprint_after_cut(survivors),
        };
        for (line, contents) in survivors {
            memory.settle(*line, contents);
        }
        memory
    }

    /// Makes a line's contents durable; the fingerprint is the caller's.
    fn settle(&mut self, line: LineNumber, contents: &Line) {
        let start = line as usize * LINE_BYTES;
        self.durable[start..start + LINE_BYTES].copy_from_slice(contents);
        self.used[start / PAGE_BYTES] = true;
    }

    /// A number that differs if the bytes found after a cut differ (but for 1 in 2^64), among all
    /// memories that come from one by events and cuts.
    pub(crate) fn fingerprint_after_cut(&self, survivors: &Survivors) -> u64 {
        survivors
            .iter()
            .fold(self.fingerprint, |fingerprint, (line, contents)| {
                changed_fingerprint(fingerprint, *line, self.durable_line(*line), contents)
            })
    }

    fn store(&mut self, line: LineNumber, contents: &Line) {
        let held = match self
            .pending
            .get(&line)
            .and_then(|pending| pending.versions.last())
        {
            Some(version) => &version.contents,
            None => self.durable_line(line),
        };
        if held != contents {
            self.stores += 1;
            let version = Version {
                contents: *contents,
                stored: self.stores,
            };
            self.pending.entry(line).or_default().versions.push(version);
        }
    }

    fn fence(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|&line, pending| {
            if let Some(version) = pending.versions[..pending.flushed].last() {
                let (before, after) = (self.durable_line(line), &version.contents);
                self.fingerprint = changed_fingerprint(self.fingerprint, line, before, after);
                self.settle(line, after);
            }
            pending
                .versions
                .drain(..std::mem::take(&mut pending.flushed));
            !pending.versions.is_empty()
        });
        self.pending = pending;
    }
}

/// The fingerprint after a line has changed: a sum over all lines, so that each can be exchanged.
fn changed_fingerprint(fingerprint: u64, line: LineNumber, before: &[u8], after: &[u8]) -> u64 {
    let hash = |contents| xxh3_64_with_seed(contents, line.into());
    fingerprint
        .wrapping_sub(hash(before))
        .wrapping_add(hash(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Line = [1; LINE_BYTES];
    const B: Line = [2; LINE_BYTES];
    const C: Line = [3; LINE_BYTES];

    fn memory_after(events: &[Event]) -> Memory {
        let mut memory = Memory::new(vec![0; 4 * LINE_BYTES]);
        events.iter().for_each(|event| memory.apply(event));
        memory
    }

    fn versions(memory: &Memory, line: LineNumber) -> Vec<Line> {
        let pending = memory.pending().get(&line);
        pending.map_or(vec![], |it| {
            it.versions().iter().map(|it| it.contents).collect()
        })
    }

    #[test]
    fn a_store_is_durable_only_after_flush_and_fence() {
        use Event::*;
        for not_durable in [
            &[Store(1, A)][..],
            &[Store(1, A), Fence],
            &[Store(1, A), Flush(1)],
            &[Flush(1), Store(1, A), Fence],
            &[Store(1, A), Flush(2), Fence],
        ] {
            let memory = memory_after(not_durable);
            assert_eq!(memory.durable_line(1), &[0; LINE_BYTES], "{not_durable:?}");
            assert_eq!(versions(&memory, 1), [A], "{not_durable:?}");
        }
        let memory = memory_after(&[Store(1, A), Flush(1), Fence]);
        assert_eq!(memory.durable_line(1), &A);
        assert!(memory.pending().is_empty());
    }

    #[test]
    fn a_fence_makes_durable_what_the_line_held_when_it_was_flushed() {
        use Event::*;
        let memory = memory_after(&[Store(1, A), Store(1, B), Flush(1), Store(1, C), Fence]);
        assert_eq!(memory.durable_line(1), &B);
        assert_eq!(versions(&memory, 1), [C]);
    }

    #[test]
    fn every_version_since_the_last_durable_one_is_possible() {
        use Event::*;
        let memory = memory_after(&[Store(3, A), Flush(3), Fence, Store(3, B), Store(3, A)]);
        assert_eq!(memory.durable_line(3), &A);
        assert_eq!(versions(&memory, 3), [B, A]);
    }

    #[test]
    fn a_cut_makes_the_survivors_durable_and_forgets_the_rest() {
        use Event::*;
        let memory = memory_after(&[Store(1, A), Store(2, B)]);
        let after = memory.after_cut(&vec![(2, B)]);
        assert_eq!(
            (after.durable_line(1), after.durable_line(2)),
            (&[0; LINE_BYTES], &B)
        );
        assert!(after.pending().is_empty());
    }

    #[test]
    fn equal_bytes_have_equal_fingerprints_however_they_came_about() {
        use Event::*;
        let fingerprint = |memory: &Memory| memory.fingerprint_after_cut(&vec![]);
        let fenced = memory_after(&[Store(1, A), Flush(1), Fence]);
        let overwritten =
            memory_after(&[Store(1, B), Flush(1), Fence, Store(1, A), Flush(1), Fence]);
        let pending = memory_after(&[Store(1, A), Store(2, B)]);
        assert_eq!(fingerprint(&fenced), fingerprint(&overwritten));
        assert_eq!(
            fingerprint(&fenced),
            pending.fingerprint_after_cut(&vec![(1, A)])
        );
        assert_eq!(
            fingerprint(&fenced),
            fingerprint(&pending.after_cut(&vec![(1, A)]))
        );
        assert_ne!(fingerprint(&fenced), fingerprint(&pending));
        assert_ne!(
            fingerprint(&fenced),
            fingerprint(&memory_after(&[Store(2, A), Flush(2), Fence]))
        );
    }

    #[test]
    fn a_store_that_changes_nothing_is_no_version() {
        use Event::*;
        let memory = memory_after(&[Store(0, [0; LINE_BYTES]), Store(1, A), Store(1, A)]);
        assert_eq!(memory.pending().len(), 1);
        assert_eq!(versions(&memory, 1), [A]);
    }
}
