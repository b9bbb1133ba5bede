//! Prefetching what a look-up is about to read.
//!
//! Half of a look-up's time in a large table is waiting for two lines that nothing else has
//! touched: a bucket's and then the entry's. A caller that knows the key some time before looking
//! it up prefetches them here. It is a hint: words are read as they are, without a check or a wait,
//! and nothing depends on the result.

use super::directory::Directory;
use super::slot::{self, LINE, LINE_SLOTS, Word};
use super::{EntryPtr, hash};
use pobj::{PPtr, Pool};

/// Lines of a bucket that are asked for: nearly all entries are in these.
const LINES: u64 = 3;

type Line = [u64; LINE_SLOTS as usize];

/// The bucket that a look-up will begin with.
#[derive(Clone, Copy, Debug)]
pub struct Prefetch {
    bucket: PPtr<u64>,
    lines: u64,
    tag: u64,
}

/// Begins to load the bucket of `key` in the table whose directory is at the offset `table`. O(1).
#[inline]
pub fn prefetch_bucket(pool: &Pool, table: u64, key: &[u8]) -> Option<Prefetch> {
    Prefetch::of(pool, table, hash(pool, key))
}

impl Prefetch {
    /// [`prefetch_bucket`] for a key of this hash.
    #[inline]
    pub fn of(pool: &Pool, table: u64, hash: u64) -> Option<Prefetch> {
        let word = Directory::guess(pool, table, hash)?;
        let prefetch = Prefetch {
            bucket: word.target()?.cast(),
            lines: word.extra().min(LINES),
            tag: slot::tag(hash),
        };
        for line in 0..prefetch.lines {
            pool.prefetch(prefetch.bucket.at::<u64>(LINE * line));
        }
        Some(prefetch)
    }

    /// Begins to load the entry that the bucket shows for the key, and tells which. O(1).
    #[inline]
    pub fn prefetch_entry(self, pool: &Pool) -> Option<EntryPtr> {
        let entry = (0..self.lines).find_map(|line| {
            let words = pool.peek(self.bucket.at::<Line>(LINE * line))?;
            let shown = words.iter().find(|&&word| Word(word).has_tag(self.tag));
            Word(*shown?).target()
        })?;
        pool.prefetch(entry);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::DATA;
    use crate::structures::limits::AllLimits;
    use crate::structures::table::find;
    use crate::structures::{Root, set, table_to_prefetch};
    use crate::testing::pool;
    use crate::value::ValueType;
    use fastrand::Rng;

    /// Where an entry's member begins in a set's table.
    const SET_KEY_AT: u64 = 4;

    #[test]
    fn nearly_all_members_are_found_by_prefetch_whatever_the_height_of_the_directory() {
        let (_directory, mut pool) = pool(64 << 20);
        let names: Vec<String> = (0..40_000).map(|n| format!("member:{n}")).collect();
        let (mut root, mut begin) = (Root::EMPTY, 0);
        for end in [1000, 3000, 40_000] {
            let mut tx = pool.begin();
            let new = names[begin..end].iter().map(|name| name.as_bytes());
            set::add(&mut tx, &mut root, AllLimits::DEFAULT.set, new).unwrap();
            tx.commit().unwrap();
            begin = end;
            let table = table_to_prefetch(&pool, ValueType::Set, root).expect("a table");
            let missed = names[..end].iter().filter(|name| {
                let prefetch = prefetch_bucket(&pool, table, name.as_bytes()).unwrap();
                let entry = prefetch.prefetch_entry(&pool);
                let hash = hash(&pool, name.as_bytes());
                let found = find::<SET_KEY_AT>(&pool, root, name.as_bytes(), hash).unwrap();
                entry != Some(found.expect("a member").entry)
            });
            let missed = missed.count();
            assert!(missed < end / 10, "{missed} of {end}");
        }
    }

    #[test]
    fn whatever_lies_there_is_only_a_wrong_guess() {
        let (_directory, mut pool) = pool(64 << 20);
        let mut random = Rng::with_seed(7);
        for round in 0..2000 {
            let small = 1 << random.u32(0..64);
            let words: [u64; 16] = std::array::from_fn(|_| random.u64(..) % small);
            let mut tx = pool.begin();
            let at = tx.alloc(128, DATA).unwrap();
            tx.fill(at, bytemuck::bytes_of(&words)).unwrap();
            tx.commit().unwrap();
            for value in [at.offset(), random.u64(..), pool.usage().size - round] {
                if let Some(prefetch) = prefetch_bucket(&pool, value, b"member") {
                    prefetch.prefetch_entry(&pool);
                }
            }
        }
        assert_eq!(prefetch_bucket(&pool, 0, b"member").map(|_| ()), None);
    }
}
