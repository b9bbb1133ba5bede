//! Building a table of all its entries at once.

use super::bucket;
use super::directory::Directory;
use super::slot::{self, LINE_SLOTS, Word};
use super::{EntryPtr, FULL, Root, SPARSE};
use pobj::{Result, Tx};

/// Entries a bucket, on average, in a new table: it neither grows nor shrinks soon.
const FILL: u64 = (FULL + SPARSE) / 2;
/// Fills between two steps: enough to share a fence.
const STEP: usize = 512;

/// Buckets of a new table of so many entries: each has [`FILL`] at most on average, but for a few
/// tables of which one bucket less would be too few and one more too many.
fn buckets_for(entries: u64) -> u64 {
    entries.div_ceil(FILL).min((entries / SPARSE).max(1))
}

/// The entries of a table to be. The caller makes them, and has them here one by one.
#[derive(Default)]
pub struct Builder {
    entries: Vec<(u64, Word)>,
}

impl Builder {
    /// For so many entries.
    pub fn with_capacity(count: usize) -> Builder {
        Builder {
            entries: Vec::with_capacity(count),
        }
    }

    /// Adds an entry, whose key no other entry has; may take a `step`.
    pub fn push(&mut self, tx: &mut Tx<'_>, entry: EntryPtr, hash: u64) -> Result<()> {
        self.entries.push((hash, Word::of_entry(entry, hash)?));
        if self.entries.len().is_multiple_of(STEP) {
            tx.step()
        } else {
            Ok(())
        }
    }

    /// Makes the table; its root is empty if there are no entries. O(entries); takes steps. Every
    /// bucket is written once.
    pub fn finish(mut self, tx: &mut Tx<'_>, encoding: u8) -> Result<Root> {
        if self.entries.is_empty() {
            return Ok(Root::EMPTY);
        }
        let count = self.entries.len() as u64;
        let buckets = buckets_for(count);
        let index = |hash: u64| slot::bucket_of(hash, buckets);
        self.entries.sort_unstable_by_key(|&(hash, _)| index(hash));
        let (mut directory, mut widest) = (Vec::with_capacity(buckets as usize), 0);
        let (mut rest, mut words) = (self.entries.as_slice(), Vec::new());
        for at in 0..buckets {
            let len = rest
                .iter()
                .take_while(|&&(hash, _)| index(hash) == at)
                .count();
            let (own, others) = rest.split_at(len);
            rest = others;
            words.clear();
            words.extend(own.iter().map(|&(_, word)| word.0));
            let lines = bucket::lines_for(words.len());
            widest = widest.max(lines * LINE_SLOTS);
            directory.push(bucket::create(tx, &words, lines)?);
            if directory.len().is_multiple_of(STEP) {
                tx.step()?;
            }
        }
        let top = Directory::build(tx, &directory, widest)?;
        tx.step()?;
        Ok(Root::new(encoding, count, top.offset()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_table_is_neither_crowded_nor_sparse() {
        for entries in 1..10_000 {
            let buckets = buckets_for(entries);
            assert!(entries <= FULL * buckets, "{entries}");
            assert!(buckets == 1 || entries >= SPARSE * buckets, "{entries}");
        }
    }
}
