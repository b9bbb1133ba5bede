//! Changes of one entry where it fits: each logs one word. What moves words between buckets, or
//! makes one wider, an [`Editor`] does.

use super::directory::Directory;
use super::editor::Editor;
use super::slot::Word;
use super::{EntryPlace, EntryPtr, FULL, Lookup, Root, SPARSE, hash, look_up};
use pobj::{Result, Tx};

/// Adds an entry whose key has just been looked up and was not found. O(1).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
#[inline]
pub fn insert<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    lookup: &Lookup,
    entry: EntryPtr,
) -> Result<()> {
    if root.rest() < FULL * lookup.buckets
        && let Some(free) = free_slot(lookup.bucket.words(tx)?)
    {
        let word = Word::of_entry(entry, lookup.hash)?;
        tx.set(lookup.bucket.slot(free), word.0)?;
        root.form += 1;
        return Ok(());
    }
    insert_by_editor::<KEY_AT>(tx, root, entry, lookup.hash)
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
fn insert_by_editor<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    entry: EntryPtr,
    hash: u64,
) -> Result<()> {
    let mut editor = Editor::<KEY_AT>::begin(tx, root)?;
    editor.insert(entry, hash)?;
    editor.finish()
}

/// Puts another entry of the same key at its place; the old one is the caller's to free.
///
/// # Errors
/// `Damaged` if the slot is not in an allocated object; `TooLarge` if a word cannot hold where the
/// entry is.
pub fn replace(tx: &mut Tx<'_>, found: EntryPlace, entry: EntryPtr, hash: u64) -> Result<()> {
    tx.set(found.slot, Word::of_entry(entry, hash)?.0)
}

/// Takes an entry out, which is the caller's to free. O(1).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn remove<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    found: EntryPlace,
) -> Result<()> {
    let buckets = Directory::open(tx, root.value)?.buckets;
    remove_from::<KEY_AT>(tx, root, buckets, found)
}

#[inline]
fn remove_from<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    buckets: u64,
    found: EntryPlace,
) -> Result<()> {
    let entries = root.rest();
    if entries > 1 && (buckets == 1 || entries > SPARSE * buckets) {
        tx.set(found.slot, 0)?;
        root.form -= 1;
        return Ok(());
    }
    remove_by_editor::<KEY_AT>(tx, root, found)
}

#[cold]
fn remove_by_editor<const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    found: EntryPlace,
) -> Result<()> {
    let mut editor = Editor::<KEY_AT>::begin(tx, root)?;
    let place = editor.place(found)?;
    editor.remove(place)?;
    editor.finish()
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
    remove_from::<KEY_AT>(tx, root, lookup.buckets, found)?;
    tx.free(found.entry)?;
    Ok(true)
}
