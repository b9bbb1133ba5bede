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
    ///
    /// # Errors
    /// `TooLarge` if a word cannot hold where the entry is; `Full` if the undo log cannot grow.
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
    ///
    /// # Errors
    /// `Full`; `TooLarge` if there are too many entries.
    pub fn finish(self, tx: &mut Tx<'_>, encoding: u8) -> Result<Root> {
        if self.entries.is_empty() {
            return Ok(Root::EMPTY);
        }
        let count = self.entries.len() as u64;
        let buckets = buckets_for(count);
        let (starts, words) = by_bucket(&self.entries, buckets);
        let (mut directory, mut widest) = (Vec::with_capacity(buckets as usize), 0);
        for bounds in starts.windows(2) {
            let words = &words[bounds[0]..bounds[1]];
            let lines = bucket::lines_for(words.len());
            widest = widest.max(lines * LINE_SLOTS);
            directory.push(bucket::create(tx, words, lines)?);
            if directory.len().is_multiple_of(STEP) {
                tx.step()?;
            }
        }
        let top = Directory::build(tx, &directory, widest)?;
        tx.step()?;
        Ok(Root::new(encoding, count, top.offset()))
    }
}

/// The words of entries, each bucket's together, and where each begins, and the last one ends.
/// O(entries).
fn by_bucket(entries: &[(u64, Word)], buckets: u64) -> (Vec<usize>, Vec<u64>) {
    let bucket_of = |hash| slot::bucket_of(hash, buckets) as usize;
    // First how many entries each bucket has, then where they end, and at last where they begin.
    let mut bounds = vec![0; buckets as usize + 1];
    for &(hash, _) in entries {
        bounds[bucket_of(hash)] += 1;
    }
    let mut end = 0;
    for bound in &mut bounds {
        end += *bound;
        *bound = end;
    }
    let mut words = vec![0; entries.len()];
    for &(hash, word) in entries {
        let place = &mut bounds[bucket_of(hash)];
        *place -= 1;
        words[*place] = word.0;
    }
    (bounds, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_its_entries() {
        let hashes = [7, 2, 0, 3, 7, 4, 1 << 40];
        let word = |at: usize| Word(at as u64 + 1);
        let entries: Vec<(u64, Word)> = (0..)
            .zip(hashes)
            .map(|(at, hash)| (hash, word(at)))
            .collect();
        let (starts, words) = by_bucket(&entries, 5);
        assert_eq!(starts, [0, 2, 2, 3, 6, 7]);
        let mut buckets: Vec<Vec<u64>> = starts
            .windows(2)
            .map(|at| words[at[0]..at[1]].to_vec())
            .collect();
        buckets.iter_mut().for_each(|bucket| bucket.sort_unstable());
        assert_eq!(
            buckets,
            [vec![3, 7], vec![], vec![2], vec![1, 4, 5], vec![6]]
        );
    }

    #[test]
    fn a_new_table_is_neither_crowded_nor_sparse() {
        for entries in 1..10_000 {
            let buckets = buckets_for(entries);
            assert!(entries <= FULL * buckets, "{entries}");
            assert!(buckets == 1 || entries >= SPARSE * buckets, "{entries}");
        }
    }
}
