//! An extent: a large object of libpmemobj's, cut into granules.
//!
//! ```text
//! from the object's first granule boundary:
//!   0   8  magic     "PmExtent"
//!   8   8  granules  how many there are, those of this head and of the table included
//!  16   8  checksum  XXH3-64 of the bytes before, seeded with the pool's seed and the extent's offset
//!  64   8  a granule the table: the word of the run that starts there (`run.rs`), else zero
//! ```
//!
//! Invariants
//! * libpmemobj makes an extent and never frees it. The head is written once, before it is
//!   published.
//! * The table changes only through logged writes, one word for a run that comes or goes, so that
//!   it always agrees with what is reachable. The first word is that of the head and the table,
//!   which are a run.

use super::run::{GRANULE, RUN_MAX, Run, RunKind};
use crate::error::{Result, damaged};
use crate::medium::Medium;
use std::ops::Range;

const MAGIC: u64 = u64::from_le_bytes(*b"PmExtent");
/// Bytes of the head that are not zero.
const HEAD_LEN: u64 = 24;
/// Where the table starts.
const TABLE_AT: u64 = 64;

/// The granules of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Pool offset of the first granule.
    pub start: u64,
    /// How many there are.
    pub granules: u64,
}

/// What an extent holds.
#[derive(Default)]
pub(crate) struct Contents {
    /// Runs, without that of the table.
    pub runs: Vec<Run>,
    /// Free granules: offset of the first, and how many.
    pub free: Vec<(u64, u64)>,
    /// What contradicts itself. Granules that it may concern are in neither of the two.
    pub damages: Vec<String>,
}

impl Extent {
    /// The extent that fits into the object of `size` bytes at `offset`; `None` if there is no room
    /// for a run.
    pub(crate) fn within(offset: u64, size: u64) -> Option<Extent> {
        let start = offset.next_multiple_of(GRANULE);
        let granules = offset.checked_add(size)?.checked_sub(start)? / GRANULE;
        let extent = Extent {
            start,
            granules: granules.min(RUN_MAX),
        };
        (extent.granules > extent.table()).then_some(extent)
    }

    /// Granules of the head and the table.
    pub(crate) fn table(&self) -> u64 {
        (TABLE_AT + 8 * self.granules).div_ceil(GRANULE)
    }

    /// Pool offsets of all granules.
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.granules * GRANULE
    }

    /// Offset of the word that tells of a run that starts at `offset`, inside this extent.
    pub(crate) fn word_at(&self, offset: u64) -> u64 {
        self.start + TABLE_AT + (offset - self.start) / GRANULE * 8
    }

    fn table_run(&self) -> Run {
        Run {
            offset: self.start,
            granules: self.table(),
            kind: RunKind::Table,
        }
    }

    fn head(&self, seed: u64) -> [u8; HEAD_LEN as usize] {
        let mut head = [0; HEAD_LEN as usize];
        head[..8].copy_from_slice(&MAGIC.to_le_bytes());
        head[8..16].copy_from_slice(&self.granules.to_le_bytes());
        let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&head[..16], seed ^ self.start);
        head[16..].copy_from_slice(&sum.to_le_bytes());
        head
    }

    /// Writes the head and an empty table, durably. The memory must be nobody's.
    pub(crate) fn format(&self, medium: &mut Medium, seed: u64) -> Result<()> {
        const PART: u64 = 64 << 10;
        let len = self.table() * GRANULE;
        let zeros = vec![0; PART.min(len) as usize];
        for at in (0..len).step_by(PART as usize) {
            let part = &zeros[..PART.min(len - at) as usize];
            medium.stream(self.start + at, part)?;
        }
        let head = self.head(seed);
        medium.store(self.start, &head)?;
        let word = self.table_run().word(seed).to_le_bytes();
        medium.store(self.start + TABLE_AT, &word)?;
        medium.flush(self.start, TABLE_AT + 8)?;
        medium.fence();
        Ok(())
    }

    /// Verifies the head.
    ///
    /// # Errors
    /// `Damaged` if it is not the one that [`Extent::format`] writes.
    pub(crate) fn verify(&self, medium: &Medium, seed: u64) -> Result<()> {
        let is_sound = medium.bytes(self.start, HEAD_LEN)? == self.head(seed);
        if !is_sound || medium.word(self.start + TABLE_AT)? != self.table_run().word(seed) {
            return Err(damaged("an extent's head is wrong", self.start));
        }
        medium.bytes(self.start, self.granules * GRANULE)?;
        Ok(())
    }

    /// What is in the extent. A word for each granule is read.
    pub(crate) fn contents(&self, medium: &Medium, seed: u64) -> Result<Contents> {
        let table = medium.bytes(self.start + TABLE_AT, 8 * self.granules)?;
        let words: &[u64] = bytemuck::cast_slice(table);
        let mut contents = Contents::default();
        let mut at = self.table();
        while at < self.granules {
            let offset = self.start + at * GRANULE;
            let rest = &words[at as usize..];
            let gap = rest.iter().take_while(|&&word| word == 0).count() as u64;
            if gap > 0 {
                contents.free.push((offset, gap));
                at += gap;
                continue;
            }
            let run = Run::of_word(rest[0], offset, seed)
                .filter(|run| run.granules <= self.granules - at && run.kind != RunKind::Table);
            let Some(run) = run else {
                let what = damaged("a run's word is wrong for the granule", offset);
                contents.damages.push(what.to_string());
                // How far that run went is not known: up to the next one, nothing is free.
                let next = |nth: u64| {
                    Run::of_word(words[nth as usize], self.start + nth * GRANULE, seed).is_some()
                };
                at = (at + 1..self.granules)
                    .find(|&nth| next(nth))
                    .unwrap_or(self.granules);
                continue;
            };
            let inside = &rest[1..run.granules as usize];
            if inside.iter().any(|&word| word != 0) {
                let what = damaged("a run within the run", offset);
                contents.damages.push(what.to_string());
            }
            contents.runs.push(run);
            at += run.granules;
        }
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granules_lie_inside_the_object_and_behind_the_table() {
        for (offset, size) in [(1040, 261_616), (4096, 64 << 20), (5000, (1 << 34) - 16)] {
            let extent = Extent::within(offset, size).expect("there is room");
            assert!(extent.start >= offset && extent.start.is_multiple_of(GRANULE));
            assert!(extent.range().end <= offset + size);
            let last = extent.range().end - GRANULE;
            assert!(extent.word_at(last) + 8 <= extent.start + extent.table() * GRANULE);
        }
        assert_eq!(Extent::within(4096, 8191), None);
        assert_eq!(Extent::within(u64::MAX - 8192, 8192), None);
    }
}
