//! Changes of several entries of a table in one batch.
//!
//! Whatever moves words between buckets is done here, for many changes or for one; a change of a
//! single word is done in `one.rs`.
//!
//! A transaction's reads do not see its writes, so a caller that inserts twice in one batch must
//! remember what the first insertion did. [`Editor`] does: it keeps the buckets it has touched in
//! DRAM, splits and merges them there, and writes each one once, in [`Editor::finish`].

use super::bucket::{self, hash_bit};
use super::directory::{Bucket, Directory};
use super::slot::{self, LINE_SLOTS, Word};
use super::{EntryPlace, EntryPtr, FULL, Root, SPARSE, hash, position};
use crate::damaged::damaged;
use pobj::{Result, Tx};

/// How many changes a batch should collect: enough to share a fence, few enough for a small batch.
pub const BATCH: usize = 32;

/// A bucket in DRAM.
struct Touched {
    index: u64,
    /// Where it is on media; `None` if it is new.
    old: Option<Bucket>,
    words: Vec<u64>,
    /// It was split or merged: its size is to be fitted.
    refit: bool,
    /// It was merged into another one.
    gone: bool,
}

impl Touched {
    fn put(&mut self, word: Word) {
        match self.words.iter_mut().find(|slot| **slot == 0) {
            Some(slot) => *slot = word.0,
            None => self.words.push(word.0),
        }
    }
}

/// Several changes of one table as one batch.
pub struct Editor<'t, 'p, const KEY_AT: u64> {
    /// The transaction, for entries to be made in.
    pub tx: &'t mut Tx<'p>,
    root: &'t mut Root,
    directory: Directory,
    buckets: u64,
    entries: u64,
    touched: Vec<Touched>,
}

/// A place in an [`Editor`].
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The entry.
    pub entry: EntryPtr,
    touched: usize,
    slot: usize,
}

/// A new table without entries: the first thing to do with it is to insert some. Takes a `step`.
///
/// # Errors
/// `Full`.
pub fn create(tx: &mut Tx<'_>, encoding: u8) -> Result<Root> {
    let bucket = bucket::create(tx, &[], 1)?;
    let top = Directory::create(tx, bucket, LINE_SLOTS)?;
    tx.step()?;
    Ok(Root::new(encoding, 0, top.offset()))
}

impl<'t, 'p, const KEY_AT: u64> Editor<'t, 'p, KEY_AT> {
    /// Begins a batch of changes. What the transaction collected before about this table must have
    /// been followed by a `step`.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn begin(tx: &'t mut Tx<'p>, root: &'t mut Root) -> Result<Self> {
        let directory = Directory::open(tx, root.value)?;
        let (buckets, entries) = (directory.buckets, root.rest());
        Ok(Editor {
            tx,
            root,
            directory,
            buckets,
            entries,
            // What one change touches: a bucket, and two that are split or merged.
            touched: Vec::with_capacity(3),
        })
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.entries
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The bucket `index`, from media if it is not touched yet.
    fn touch(&mut self, index: u64) -> Result<usize> {
        if let Some(at) = self
            .touched
            .iter()
            .position(|touched| touched.index == index)
        {
            return Ok(at);
        }
        let bucket = self.directory.bucket(self.tx, index)?;
        // With room for one more.
        let mut words = Vec::with_capacity(bucket.slots as usize + 1);
        words.extend_from_slice(bucket.words(self.tx)?);
        let old = Some(bucket);
        self.touched.push(Touched {
            index,
            old,
            words,
            refit: false,
            gone: false,
        });
        Ok(self.touched.len() - 1)
    }

    /// The entry of `key`, whose hash is `hash`.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn find(&mut self, key: &[u8], hash: u64) -> Result<Option<Place>> {
        let touched = self.touch(slot::bucket_of(hash, self.buckets))?;
        let words = &self.touched[touched].words;
        let at = position::<KEY_AT>(self.tx, words, key, hash)?;
        Ok(at.map(|(slot, entry)| Place {
            entry,
            touched,
            slot,
        }))
    }

    /// The place of an entry that was found in the table as the batch began with it.
    pub(super) fn place(&mut self, found: EntryPlace) -> Result<Place> {
        let touched = self.touch(found.index)?;
        let bucket = &self.touched[touched];
        let is_it = |&slot: &usize| bucket.old.is_some_and(|old| old.slot(slot) == found.slot);
        let slot = (0..bucket.words.len()).find(is_it);
        Ok(Place {
            entry: found.entry,
            touched,
            slot: slot.ok_or_else(|| damaged("a hash table: an entry is not in its bucket"))?,
        })
    }

    /// Adds an entry whose key is not there yet.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors). Want of room shows when the batch is
    /// [finished](Editor::finish).
    pub fn insert(&mut self, entry: EntryPtr, hash: u64) -> Result<()> {
        let word = Word::of_entry(entry, hash)?;
        let touched = self.touch(slot::bucket_of(hash, self.buckets))?;
        self.touched[touched].put(word);
        self.entries += 1;
        while self.entries > FULL * self.buckets {
            self.split()?;
        }
        Ok(())
    }

    /// Puts another entry of the same key at a place that the last `find` gave.
    ///
    /// # Errors
    /// `TooLarge` if a word cannot hold where the entry is.
    pub fn replace(&mut self, place: Place, entry: EntryPtr, hash: u64) -> Result<()> {
        self.touched[place.touched].words[place.slot] = Word::of_entry(entry, hash)?.0;
        Ok(())
    }

    /// Takes out the entry at a place that the last `find` gave; the entry is the caller's to free.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn remove(&mut self, place: Place) -> Result<()> {
        self.touched[place.touched].words[place.slot] = 0;
        let left = self.entries.checked_sub(1);
        self.entries = left.ok_or_else(|| damaged("a hash table: a length of zero"))?;
        while self.buckets > 1 && self.entries < SPARSE * self.buckets {
            self.merge()?;
        }
        Ok(())
    }

    /// Moves a part of one bucket to a new one.
    fn split(&mut self) -> Result<()> {
        let index = self.buckets;
        let (parent, bit) = slot::parent_of(index);
        let at = self.touch(parent)?;
        let words = std::mem::take(&mut self.touched[at].words);
        let mut low = Vec::with_capacity(words.len());
        let mut high = Vec::with_capacity(words.len());
        for word in words.into_iter().filter(|&word| word != 0) {
            if hash_bit::<KEY_AT>(self.tx, Word(word), bit)? {
                high.push(word)
            } else {
                low.push(word)
            }
        }
        (self.touched[at].words, self.touched[at].refit) = (low, true);
        match self
            .touched
            .iter_mut()
            .find(|touched| touched.index == index)
        {
            // It was there when the batch began, and was merged since.
            Some(again) => (again.words, again.refit, again.gone) = (high, true, false),
            None => {
                self.touched.push(Touched {
                    index,
                    old: None,
                    words: high,
                    refit: true,
                    gone: false,
                });
            }
        }
        self.buckets += 1;
        Ok(())
    }

    /// Moves the last bucket's entries to the one it was split from.
    fn merge(&mut self) -> Result<()> {
        let index = self.buckets - 1;
        let (parent, _) = slot::parent_of(index);
        let from = self.touch(index)?;
        let into = self.touch(parent)?;
        let moved = std::mem::take(&mut self.touched[from].words);
        self.touched[from].gone = true;
        let into = &mut self.touched[into];
        into.words.extend(moved);
        into.words.retain(|&word| word != 0);
        into.refit = true;
        self.buckets -= 1;
        Ok(())
    }

    /// Adds all changes to the transaction. O(changes).
    ///
    /// # Errors
    /// [`Damaged`, `Full`](crate::structures#errors). `TooLarge` if there would be too many
    /// buckets.
    pub fn finish(mut self) -> Result<()> {
        if self.entries == 0 {
            return self.finish_empty();
        }
        self.directory.make_room(self.tx, self.buckets)?;
        let mut widest = self.directory.widest;
        for touched in std::mem::take(&mut self.touched) {
            widest = widest.max(self.write(&touched)?);
        }
        let before = self.directory.buckets;
        self.directory.set_size(self.tx, self.buckets, widest)?;
        if self.buckets < before {
            self.directory.trim(self.tx, before)?;
        }
        *self.root = Root::new(self.root.encoding(), self.entries, self.directory.offset());
        Ok(())
    }

    /// The last entry is gone: so goes the table.
    fn finish_empty(self) -> Result<()> {
        *self.root = Root::EMPTY;
        free_buckets(self.tx, self.directory)
    }

    /// Adds a bucket's changes to the transaction, and gives its number of slots.
    fn write(&mut self, touched: &Touched) -> Result<u64> {
        if touched.gone {
            if let Some(old) = touched.old {
                self.tx.free(old.at)?;
            }
            return Ok(0);
        }
        let is_wide_enough = |old: Bucket| touched.words.len() as u64 <= old.slots;
        match touched.old {
            Some(old) if !touched.refit && is_wide_enough(old) => {
                bucket::write_in_place(self.tx, old, &touched.words)?;
                Ok(old.slots)
            }
            old => bucket::store(self.tx, &self.directory, touched.index, old, &touched.words),
        }
    }
}

/// Frees a table whose entries are gone.
fn free_buckets(tx: &mut Tx<'_>, directory: Directory) -> Result<()> {
    for index in 0..directory.buckets {
        let bucket = directory.bucket(tx, index)?;
        tx.free(bucket.at)?;
    }
    directory.destroy(tx, directory.buckets)
}

/// Removes the entries of `keys` that are there, and frees them; gives their number. O(keys).
pub(crate) fn remove_keys<'a, const KEY_AT: u64>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    keys: impl Iterator<Item = &'a [u8]>,
) -> Result<u64> {
    let mut removed = 0;
    let mut keys = keys.peekable();
    while root.rest() > 0 && keys.peek().is_some() {
        if removed > 0 {
            tx.step()?;
        }
        let mut editor = Editor::<KEY_AT>::begin(tx, root)?;
        for key in keys.by_ref().take(BATCH) {
            let hash = hash(editor.tx, key);
            if let Some(place) = editor.find(key, hash)? {
                editor.remove(place)?;
                editor.tx.free(place.entry)?;
                removed += 1;
            }
            if editor.is_empty() {
                break;
            }
        }
        editor.finish()?;
    }
    Ok(removed)
}

/// Frees a part of a table that nobody reaches any more, in about `budget` frees, from its last
/// bucket on; true, and the root empty, when nothing is left. An entry owns nothing but itself.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn dismantle(tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
    let mut directory = Directory::open(tx, root.value)?;
    let before = directory.buckets;
    let (mut buckets, mut frees) = (before, 0);
    while buckets > 0 && frees < budget {
        buckets -= 1;
        let bucket = directory.bucket(tx, buckets)?;
        for word in bucket.words(tx)?.to_vec() {
            if let Some(entry) = Word(word).target() {
                tx.free(entry)?;
                frees += 1;
            }
        }
        tx.free(bucket.at)?;
        frees += 1;
    }
    if buckets == 0 {
        directory.destroy(tx, before)?;
        *root = Root::EMPTY;
        return Ok(true);
    }
    let widest = directory.widest;
    directory.set_size(tx, buckets, widest)?;
    directory.free_pages(tx, before)?;
    Ok(false)
}

/// Frees the table with all its entries, in one batch. O(n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn destroy(tx: &mut Tx<'_>, root: Root) -> Result<()> {
    let mut rest = root;
    dismantle(tx, &mut rest, usize::MAX).map(|_| ())
}
