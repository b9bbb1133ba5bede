//! Writing buckets.
//!
//! A bucket that is written anew has room for as many entries as the next one or two lines hold, so
//! that it rarely moves before it is split; one that was split stays where it is unless that would
//! waste more.

use super::directory::{Bucket, Directory};
use super::slot::{LINE, LINE_SLOTS, Word};
use super::{hash, key};
use crate::damaged::damaged;
use crate::layout::DATA;
use pobj::{Pool, Result, Tx};

/// Lines of a new bucket with so many entries.
pub(crate) fn lines_for(entries: usize) -> u64 {
    entries as u64 / LINE_SLOTS + 2
}

/// Whether a bucket with so many entries may stay in so many slots.
fn suits(entries: usize, slots: u64) -> bool {
    entries as u64 <= slots && slots <= (lines_for(entries) + 1) * LINE_SLOTS
}

/// Makes bucket `index` hold `words`, where it is (`old`) if that suits, and gives the number of
/// its slots. A new bucket's word needs room in the directory.
pub(super) fn store(
    tx: &mut Tx<'_>,
    directory: &Directory,
    index: u64,
    old: Option<Bucket>,
    words: &[u64],
) -> Result<u64> {
    if let Some(old) = old.filter(|old| suits(words.len(), old.slots)) {
        write_in_place(tx, old, words)?;
        return Ok(old.slots);
    }
    let lines = lines_for(words.len());
    let bucket = create(tx, words, lines)?;
    directory.set_bucket(tx, index, bucket)?;
    if let Some(old) = old {
        tx.free(old.at)?;
    }
    Ok(lines * LINE_SLOTS)
}

/// Makes a bucket of so many lines, and gives the directory's word for it.
pub(super) fn create(tx: &mut Tx<'_>, words: &[u64], lines: u64) -> Result<Word> {
    let bucket = tx.alloc(lines * LINE, DATA)?;
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let used = bytes.len() as u64;
    tx.fill(bucket, bytes)?;
    tx.fill_zeros(bucket.at(used), lines * LINE - used)?;
    Word::of_bucket(bucket.ptr(), lines)
}

/// Logs the slots from the first that differs to the last; those behind `words` are to be empty.
pub(crate) fn write_in_place(tx: &mut Tx<'_>, bucket: Bucket, words: &[u64]) -> Result<()> {
    let old = bucket.words(tx)?;
    let differs = |&at: &usize| old[at] != words.get(at).copied().unwrap_or(0);
    let Some(first) = (0..old.len()).find(differs) else {
        return Ok(());
    };
    let last = (first..old.len()).rfind(differs).unwrap_or(first);
    if last < words.len() {
        let bytes = bytemuck::cast_slice(&words[first..=last]);
        return tx.write(bucket.slot(first).cast(), bytes);
    }
    let mut new = words.get(first..).unwrap_or_default().to_vec();
    new.resize(last + 1 - first, 0);
    tx.write(bucket.slot(first).cast(), bytemuck::cast_slice(&new))
}

/// Bit `bit` of the hash of the entry behind a word.
pub(crate) fn hash_bit<const KEY_AT: u64>(pool: &Pool, word: Word, bit: u32) -> Result<bool> {
    if let Some(known) = word.hash_bit(bit) {
        return Ok(known);
    }
    let entry = word
        .target()
        .ok_or_else(|| damaged("a hash table: an empty word"))?;
    Ok(hash(pool, key::<KEY_AT>(pool, entry)?) >> bit & 1 == 1)
}
