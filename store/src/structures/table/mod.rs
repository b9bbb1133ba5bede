//! The persistent hash table under hashes, sets and the members of sorted sets.
//!
//! ```text
//! root     value = the directory's top, rest = number of entries
//! top      see `directory`: from a bucket's number to the bucket
//! bucket   whole cache lines of 8 slots; a slot is zero, or a `slot::Word`: an entry's address and tag
//! entry    0        4  length of the key
//!          KEY_AT      the key; before and behind it, what the owner of the table keeps there
//! ```
//!
//! *Linear hashing.* A table of n buckets finds a key by the low bits of its hash: SipHash-1-3 with
//! the pool's own key, so that clients cannot craft keys that fall into one bucket. At more than
//! [`FULL`] entries a bucket on average, one bucket is split in two, whose number is known from n;
//! at fewer than [`SPARSE`], the last one is merged back. So a change moves a few dozen words,
//! never the table, and nothing is rebuilt when the pool is opened. A bucket has no overflow chain:
//! when its slots run out it moves to an object two lines larger, and the directory's word with it.
//!
//! Invariants
//! * Every entry's word is in bucket `slot::bucket_of(hash, n)`, in any of its slots, and in no
//!   other.
//! * `FULL * n >= entries`, and `entries >= SPARSE * n` unless n is 1. No entry: no table.
//! * No bucket has more slots than the top's `widest`.
//!
//! Fences: an insertion into a free slot, a removal, and the replacement of an entry each log one
//! word beside the root's: one fence with the entry itself. So does, in general, one that splits or
//! merges, as the two new buckets are fresh bytes of less than 1 KiB.
//!
//! Space: 48 bytes for a field of 16 and a value of 16 with its header, about 13 for its share of
//! bucket and directory.
//!
//! | file | what |
//! |---|---|
//! | `slot` | words, and the arithmetic of linear hashing |
//! | `directory` | from a bucket's number to the bucket |
//! | `bucket` | writing a bucket |
//! | `one` | changes of one entry |
//! | `editor` | changes of several entries in one batch |
//! | `relocate` | moving a table's objects |
//! | `prefetch` | asking early for what a look-up will read |
//! | `build`, `check` | a table of all its entries at once; whether a table is sound |

mod bucket;
mod build;
mod check;
mod directory;
mod editor;
mod one;
mod prefetch;
mod relocate;
pub mod slot;

use crate::damaged::damaged;
pub use build::Builder;
pub use check::check;
pub use directory::{Bucket, Directory};
pub(crate) use editor::remove_keys;
pub use editor::{BATCH, Editor, create, destroy, dismantle};
pub(crate) use one::remove_key;
pub use one::{insert, remove, replace};
pub use prefetch::{Prefetch, prefetch_bucket};
pub(crate) use relocate::relocate_alone;
pub use relocate::{Moved, relocate};

use super::Root;
use pobj::{PPtr, Pool, Result};
use siphasher::sip::SipHasher13;
use slot::{LINE_SLOTS, Word};

/// Entries a bucket, on average, above which the table grows.
const FULL: u64 = 16;
/// Entries a bucket, on average, below which it shrinks.
const SPARSE: u64 = 8;
/// Tries of a random pick; a sound table needs a dozen, and one of 10,000 in less than 1e-60 of
/// cases.
const TRIES_MAX: u32 = 10_000;

/// A pointer to an entry's first byte.
pub type EntryPtr = PPtr<u8>;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPlace {
    /// The entry.
    pub entry: EntryPtr,
    /// The slot that points to it.
    slot: PPtr<u64>,
    /// The number of its bucket.
    index: u64,
}

/// Where an entry is, or where one of its key would go; good until the table changes.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    /// The entry, if it is there.
    pub found: Option<EntryPlace>,
    hash: u64,
    /// The key's bucket.
    bucket: Bucket,
    /// How many buckets the table has.
    buckets: u64,
}

/// The hash of a key in this pool.
#[inline]
pub fn hash(pool: &Pool, key: &[u8]) -> u64 {
    let [k0, k1] = pool.seed();
    SipHasher13::new_with_keys(k0, k1).hash(key)
}

/// Number of entries. O(1).
#[inline]
pub fn len(root: Root) -> u64 {
    root.rest()
}

/// An entry's key.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn key<const KEY_AT: u64>(pool: &Pool, entry: EntryPtr) -> Result<&[u8]> {
    let len = *pool.get(entry.cast::<u32>())?;
    pool.bytes(entry.at(KEY_AT), u64::from(len))
}

/// The entry of `key`, whose hash is `hash`. O(1).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline(always)]
pub fn find<const KEY_AT: u64>(
    pool: &Pool,
    root: Root,
    key: &[u8],
    hash: u64,
) -> Result<Option<EntryPlace>> {
    Ok(look_up::<KEY_AT>(pool, root, key, hash)?.found)
}

/// Looks up `key`, whose hash is `hash`. O(1).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn look_up<const KEY_AT: u64>(
    pool: &Pool,
    root: Root,
    key: &[u8],
    hash: u64,
) -> Result<Lookup> {
    let directory = Directory::open(pool, root.value)?;
    let buckets = directory.buckets;
    let index = slot::bucket_of(hash, buckets);
    let bucket = directory.bucket(pool, index)?;
    let at = position::<KEY_AT>(pool, bucket.words(pool)?, key, hash)?;
    let found = at.map(|(slot, entry)| EntryPlace {
        entry,
        slot: bucket.slot(slot),
        index,
    });
    Ok(Lookup {
        found,
        hash,
        bucket,
        buckets,
    })
}

/// The slot of `key` among these, and its entry.
#[inline(always)]
fn position<const KEY_AT: u64>(
    pool: &Pool,
    words: &[u64],
    key: &[u8],
    hash: u64,
) -> Result<Option<(usize, EntryPtr)>> {
    const LINE: usize = LINE_SLOTS as usize;
    let tag = slot::tag(hash);
    let (lines, rest) = words.as_chunks::<LINE>();
    for (index, line) in lines.iter().enumerate() {
        // Nearly always this is all that is done with a line, so it is to be unrolled.
        if line.iter().any(|&word| Word(word).has_tag(tag))
            && let Some((at, entry)) = position_in::<KEY_AT>(pool, line, key, tag)?
        {
            return Ok(Some((LINE * index + at, entry)));
        }
    }
    let found = position_in::<KEY_AT>(pool, rest, key, tag)?;
    Ok(found.map(|(at, entry)| (LINE * lines.len() + at, entry)))
}

/// [`position`] among few, one by one.
#[inline(always)]
fn position_in<const KEY_AT: u64>(
    pool: &Pool,
    words: &[u64],
    key: &[u8],
    tag: u64,
) -> Result<Option<(usize, EntryPtr)>> {
    for (at, &word) in words.iter().enumerate() {
        if Word(word).has_tag(tag)
            && let Some(entry) = Word(word).target()
            && is_of_key::<KEY_AT>(pool, entry, key)?
        {
            return Ok(Some((at, entry)));
        }
    }
    Ok(None)
}

#[inline(always)]
fn is_of_key<const KEY_AT: u64>(pool: &Pool, entry: EntryPtr, key: &[u8]) -> Result<bool> {
    let len = *pool.get(entry.cast::<u32>())?;
    Ok(len as usize == key.len() && pool.bytes(entry.at(KEY_AT), u64::from(len))? == key)
}

/// All entries, in no particular order; nothing after an error.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn entries(pool: &Pool, root: Root) -> Result<Entries<'_>> {
    let directory = Directory::open(pool, root.value)?;
    Ok(Entries {
        pool,
        directory,
        next: 0,
        words: [].iter(),
    })
}

/// See [`entries`].
pub struct Entries<'p> {
    pool: &'p Pool,
    directory: Directory,
    /// The next bucket.
    next: u64,
    words: std::slice::Iter<'p, u64>,
}

impl Iterator for Entries<'_> {
    type Item = Result<EntryPtr>;

    fn next(&mut self) -> Option<Result<EntryPtr>> {
        loop {
            if let Some(entry) = self.words.by_ref().find_map(|&word| Word(word).target()) {
                return Some(Ok(entry));
            }
            if self.next >= self.directory.buckets {
                return None;
            }
            let bucket = self.directory.bucket(self.pool, self.next);
            match bucket.and_then(|bucket| bucket.words(self.pool)) {
                Ok(words) => (self.words, self.next) = (words.iter(), self.next + 1),
                Err(error) => {
                    self.next = u64::MAX;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Calls `visit` with the entries of the bucket at `cursor`, and gives the next cursor; 0 is the
/// start, and the end. Every entry that is there from start to end is visited, whatever else
/// changes.
///
/// # Errors
/// [`Damaged`](crate::structures#errors). Those of `visit`, too.
pub fn scan(
    pool: &Pool,
    root: Root,
    cursor: u64,
    mut visit: impl FnMut(EntryPtr) -> Result<()>,
) -> Result<u64> {
    let directory = Directory::open(pool, root.value)?;
    let (index, next) = slot::scan_step(cursor, directory.buckets);
    let words = directory.bucket(pool, index)?.words(pool)?;
    words
        .iter()
        .filter_map(|&word| Word(word).target())
        .try_for_each(&mut visit)?;
    Ok(next)
}

/// Calls `visit` with the entries whose tag is that of `hash`, in its bucket: the one of a key with
/// this hash, if it is there, and few others. O(1).
///
/// # Errors
/// [`Damaged`](crate::structures#errors). Those of `visit`, too.
pub fn alike(
    pool: &Pool,
    root: Root,
    hash: u64,
    visit: impl FnMut(EntryPtr) -> Result<()>,
) -> Result<()> {
    let directory = Directory::open(pool, root.value)?;
    let index = slot::bucket_of(hash, directory.buckets);
    let words = directory.bucket(pool, index)?.words(pool)?;
    words
        .iter()
        .filter(|&&word| Word(word).may_be(hash))
        .filter_map(|&word| Word(word).target())
        .try_for_each(visit)
}

/// An entry, each with the same probability. O(1) expected.
///
/// Draws a bucket and one of as many slots as the widest bucket has, until an entry is there.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn random(pool: &Pool, root: Root) -> Result<EntryPlace> {
    let directory = Directory::open(pool, root.value)?;
    for _ in 0..TRIES_MAX {
        let index = fastrand::u64(..directory.buckets);
        let slot = fastrand::u64(..directory.widest.max(1));
        let bucket = directory.bucket(pool, index)?;
        if slot < bucket.slots {
            let slot = bucket.slot(slot as usize);
            if let Some(entry) = Word(*pool.get(slot)?).target() {
                return Ok(EntryPlace { entry, slot, index });
            }
        }
    }
    Err(damaged("a hash table: no entry where some should be"))
}

/// Bytes of the pool that the table takes without its entries. O(n / 16).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn memory(pool: &Pool, root: Root) -> Result<u64> {
    let directory = Directory::open(pool, root.value)?;
    let mut bytes = directory.memory(pool)?;
    for index in 0..directory.buckets {
        bytes += pool.capacity(directory.bucket(pool, index)?.at)?;
    }
    Ok(bytes)
}

/// Bytes of the pool that the entries take, estimated from the first few. O(1).
pub(crate) fn entries_memory(pool: &Pool, root: Root) -> Result<u64> {
    const SAMPLES: usize = 16;
    let (mut sum, mut count) = (0, 0);
    for entry in entries(pool, root)?.take(SAMPLES) {
        sum += pool.capacity(entry?)?;
        count += 1;
    }
    Ok(sum * len(root) / count.max(1))
}
