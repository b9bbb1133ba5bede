//! Changes of one entry. Each logs one word, unless a bucket is full, or the table grows or
//! shrinks.

use super::bucket::{self, hash_bit};
use super::directory::Directory;
use super::editor::free_buckets;
use super::slot::{self, Word};
use super::{EntryPtr, FULL, Found, Lookup, Root, SPARSE, hash, look_up};
use pobj::{Result, Tx};

/// Adds an entry whose key has just been looked up and was not found. O(1).
#[inline]
pub fn insert<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    lookup: &Lookup,
    entry: EntryPtr,
) -> Result<()> {
    let word = Word::of_entry(entry, lookup.hash)?;
    if root.rest() >= FULL * lookup.buckets {
        return insert_and_split::<KEY_AT>(tx, root, lookup, word);
    }
    match free_slot(lookup.bucket.words(tx)?) {
        Some(free) => tx.set(lookup.bucket.slot(free), word.0)?,
        None => insert_and_widen(tx, *root, lookup, word)?,
    }
    root.form += 1;
    Ok(())
}

/// A free slot: the one behind the last entry, or else the first.
#[inline]
fn free_slot(words: &[u64]) -> Option<usize> {
    match words.iter().rposition(|&word| word != 0) {
        None => Some(0),
        Some(last) if last + 1 < words.len() => Some(last + 1),
        _ => words.iter().position(|&word| word == 0),
    }
}

#[cold]
fn insert_and_widen(tx: &mut Tx<'_>, root: Root, lookup: &Lookup, word: Word) -> Result<()> {
    let mut directory = Directory::open(tx, root.value)?;
    let slots = widen(tx, &directory, lookup, word)?;
    let widest = directory.widest.max(slots);
    directory.set_size(tx, directory.buckets, widest)
}

/// Moves the key's bucket, which is full, to where there is room for one word more; gives its
/// number of slots.
fn widen(tx: &mut Tx<'_>, directory: &Directory, lookup: &Lookup, word: Word) -> Result<u64> {
    let mut words = lookup.bucket.words(tx)?.to_vec();
    words.push(word.0);
    bucket::store(tx, directory, lookup.index(), Some(lookup.bucket), &words)
}

/// Adds a word, and moves a part of one bucket, which need not be the word's, to a new one.
#[cold]
fn insert_and_split<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    lookup: &Lookup,
    word: Word,
) -> Result<()> {
    let mut directory = Directory::open(tx, root.value)?;
    let index = directory.buckets;
    directory.make_room(tx, index + 1)?;
    let (parent, bit) = slot::parent_of(index);
    let split = directory.bucket(tx, parent)?;
    let room = split.slots as usize + 1;
    let (mut low, mut high) = (Vec::with_capacity(room), Vec::with_capacity(room));
    for &word in split.words(tx)?.iter().filter(|&&word| word != 0) {
        match hash_bit::<KEY_AT>(tx, Word(word), bit)? {
            true => high.push(word),
            false => low.push(word),
        }
    }
    let mut widest = directory.widest;
    match slot::bucket_of(lookup.hash, index + 1) {
        own if own == index => high.push(word.0),
        own if own == parent => low.push(word.0),
        _ => match free_slot(lookup.bucket.words(tx)?) {
            Some(free) => tx.set(lookup.bucket.slot(free), word.0)?,
            None => widest = widest.max(widen(tx, &directory, lookup, word)?),
        },
    }
    for (index, old, words) in [(parent, Some(split), &low), (index, None, &high)] {
        widest = widest.max(bucket::store(tx, &directory, index, old, words)?);
    }
    directory.set_size(tx, index + 1, widest)?;
    *root = Root::new(root.encoding(), root.rest() + 1, directory.offset());
    Ok(())
}

/// Puts another entry of the same key at its place; the old one is the caller's to free.
pub fn replace(tx: &mut Tx<'_>, found: Found, entry: EntryPtr, hash: u64) -> Result<()> {
    tx.set(found.slot, Word::of_entry(entry, hash)?.0)
}

/// Takes an entry out, which is the caller's to free. O(1).
pub fn remove(tx: &mut Tx<'_>, root: &mut Root, found: Found) -> Result<()> {
    let buckets = Directory::open(tx, root.value)?.buckets;
    remove_from(tx, root, buckets, found)
}

#[inline]
fn remove_from(tx: &mut Tx<'_>, root: &mut Root, buckets: u64, found: Found) -> Result<()> {
    let entries = root.rest();
    if entries <= 1 {
        let directory = Directory::open(tx, root.value)?;
        *root = Root::EMPTY;
        return free_buckets(tx, directory);
    }
    if buckets > 1 && entries <= SPARSE * buckets {
        return remove_and_merge(tx, root, found);
    }
    tx.set(found.slot, 0)?;
    root.form -= 1;
    Ok(())
}

/// Takes an entry out, and moves the last bucket's entries to the bucket it was split from.
#[cold]
fn remove_and_merge(tx: &mut Tx<'_>, root: &mut Root, found: Found) -> Result<()> {
    let mut directory = Directory::open(tx, root.value)?;
    let before = directory.buckets;
    let index = before - 1;
    let (parent, _) = slot::parent_of(index);
    let (from, into) = (directory.bucket(tx, index)?, directory.bucket(tx, parent)?);
    let mut words = Vec::with_capacity((from.slots + into.slots) as usize);
    for bucket in [into, from] {
        let slots = bucket.words(tx)?.iter().enumerate();
        let stay = slots.filter(|&(at, &word)| word != 0 && bucket.slot(at) != found.slot);
        words.extend(stay.map(|(_, &word)| word));
    }
    if found.index != index && found.index != parent {
        tx.set(found.slot, 0)?;
    }
    tx.free(from.at)?;
    let slots = bucket::store(tx, &directory, parent, Some(into), &words)?;
    let widest = directory.widest.max(slots);
    directory.set_size(tx, index, widest)?;
    directory.trim(tx, before)?;
    *root = Root::new(root.encoding(), root.rest() - 1, directory.offset());
    Ok(())
}

/// Removes the entry of `key`, if it is there, and frees it. O(1).
pub(crate) fn remove_key<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    key: &[u8],
) -> Result<bool> {
    let hash = hash(tx, key);
    let lookup = look_up::<KEY_AT>(tx, *root, key, hash)?;
    let Some(found) = lookup.found else {
        return Ok(false);
    };
    remove_from(tx, root, lookup.buckets, found)?;
    tx.free(found.entry)?;
    Ok(true)
}
