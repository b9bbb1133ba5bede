//! The directory: from a bucket's number to the bucket.
//!
//! ```text
//! top      0  8  buckets   how many there are
//!          8  4  widest    slots of the widest bucket there has been
//!         12  4  height    levels of pages between the top and the buckets
//!         16  4  capacity  words in the top
//!         20 12  reserved  zero
//!         32     words     capacity of them
//! page     0     512 words
//! ```
//!
//! With height 0 the top's words are buckets (`slot::Word`); else they are offsets of pages, whose
//! words are pages, down to the last level, whose words are buckets. Words beyond the last bucket
//! hold anything: they are unreachable, so a new bucket's word need not be logged
//! (`Tx::fill_spare`).
//!
//! The top grows and shrinks by halves: 4, 8, … 512 words, then one level more with 2 words, the
//! first of which is a page made of the old 512. So no step copies more than 4 KiB, whatever the
//! table's size.

use super::slot::{self, LINE_SLOTS, Word};
use crate::damaged::damaged;
use crate::layout::DATA;
use crate::structures::Owns;
use crate::structures::mover::Mover;
use bytemuck::{Pod, Zeroable};
use pobj::{Error, PPtr, Pool, Result, Tx, field};
use static_assertions::const_assert_eq;

const PAGE_BITS: u32 = 9;
/// Words of a page, and of the largest top.
const PAGE_WORDS: u64 = 1 << PAGE_BITS;
const CAPACITY_MIN: u64 = 4;
/// Capacity of the top when a level is added.
const CAPACITY_DEEP: u64 = 2;
const HEIGHT_MAX: u32 = 4;
const HEAD: u64 = size_of::<Top>() as u64;

/// The fixed part of the top.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Top {
    buckets: u64,
    widest: u32,
    height: u32,
    capacity: u32,
    reserved: [u32; 3],
}
const_assert_eq!(size_of::<Top>(), 32);

/// A table's directory, as the transaction's reads show it.
#[derive(Clone, Copy, Debug)]
pub struct Directory {
    top: PPtr<Top>,
    /// Buckets.
    pub buckets: u64,
    /// Slots of the widest bucket there has been.
    pub widest: u64,
    height: u32,
    capacity: u64,
}

/// Where a bucket is, and how many slots it has.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Its first slot.
    pub at: PPtr<u64>,
    /// Slots.
    pub slots: u64,
}

impl Bucket {
    /// The bucket behind a word of the directory.
    #[inline(always)]
    fn of(word: Word) -> Result<Bucket> {
        let at = word.target().filter(|_| word.extra() > 0);
        let at = at
            .ok_or_else(|| damaged("a hash table: a bucket is missing"))?
            .cast();
        Ok(Bucket {
            at,
            slots: word.extra() * LINE_SLOTS,
        })
    }

    /// Where slot `index` is.
    #[inline]
    pub fn slot(&self, index: usize) -> PPtr<u64> {
        self.at.at(8 * index as u64)
    }

    /// Its slots; empty ones are zero.
    ///
    /// # Errors
    /// `Damaged` if the slots are outside the pool.
    #[inline(always)]
    pub fn words<'p>(&self, pool: &'p Pool) -> Result<&'p [u64]> {
        words(pool, self.at, self.slots)
    }
}

#[inline(always)]
fn words(pool: &Pool, at: PPtr<u64>, count: u64) -> Result<&[u64]> {
    let bytes = pool.bytes(at.cast(), 8 * count)?;
    bytemuck::try_cast_slice(bytes).map_err(|_| damaged("a hash table: a misaligned node"))
}

/// The page to which a word points.
#[inline(always)]
fn linked_page(word: u64) -> Result<PPtr<u64>> {
    PPtr::new(word).ok_or_else(|| damaged("a hash table: a directory page is missing"))
}

impl Directory {
    /// The directory whose top is at the offset `at`.
    ///
    /// # Errors
    /// `Damaged` if there is none, or if its head contradicts itself.
    #[inline(always)]
    pub fn open(pool: &Pool, at: u64) -> Result<Directory> {
        let top: PPtr<Top> = PPtr::new(at).ok_or_else(|| damaged("a hash table: no directory"))?;
        let head = pool.get(top)?;
        let directory = Directory {
            top,
            buckets: head.buckets,
            widest: u64::from(head.widest),
            height: head.height,
            capacity: u64::from(head.capacity),
        };
        let sound = directory.height <= HEIGHT_MAX
            && (1..=PAGE_WORDS).contains(&directory.capacity)
            && (1..=directory.room()).contains(&directory.buckets);
        if sound {
            Ok(directory)
        } else {
            Err(damaged("a hash table: a directory contradicts itself"))
        }
    }

    /// The word of a hash's bucket in the directory whose top is at the offset `at`, as the words
    /// there lie: without a check, and maybe older than the last commit. O(height).
    #[inline]
    pub fn guess(pool: &Pool, at: u64, hash: u64) -> Option<Word> {
        let top: PPtr<Top> = PPtr::new(at)?;
        let head = pool.peek(top)?;
        let height = head.height.min(HEIGHT_MAX);
        if !(1..=PAGE_WORDS << (PAGE_BITS * height)).contains(&head.buckets) {
            return None;
        }
        let index = slot::bucket_of(hash, head.buckets);
        let mut word = pool.peek(top.at::<u64>(HEAD + 8 * (index >> (PAGE_BITS * height))))?;
        for level in (0..height).rev() {
            let page = PPtr::<u64>::new(word)?;
            word = pool.peek(page.at::<u64>(8 * ((index >> (PAGE_BITS * level)) % PAGE_WORDS)))?;
        }
        Some(Word(word))
    }

    /// A new directory of one bucket. It can be opened after a `step`.
    ///
    /// # Errors
    /// `Full`.
    pub fn create(tx: &mut Tx<'_>, bucket: Word, slots: u64) -> Result<PPtr<u8>> {
        let head = Top {
            buckets: 1,
            widest: slots as u32,
            height: 0,
            capacity: CAPACITY_MIN as u32,
            reserved: [0; 3],
        };
        write_top(tx, &head, &[bucket.0])
    }

    /// A new directory of these buckets, at least one, the widest of which has `slots` slots.
    /// O(buckets); takes steps if they are many. It can be opened after a `step`.
    ///
    /// # Errors
    /// `Full`; `TooLarge` if there are more buckets than the highest directory holds.
    pub fn build(tx: &mut Tx<'_>, buckets: &[Word], slots: u64) -> Result<PPtr<u8>> {
        let mut level: Vec<u64> = buckets.iter().map(|word| word.0).collect();
        let mut height = 0;
        while level.len() as u64 > PAGE_WORDS {
            let mut above = Vec::with_capacity(level.len().div_ceil(PAGE_WORDS as usize));
            for words in level.chunks(PAGE_WORDS as usize) {
                let page = tx.alloc(8 * PAGE_WORDS, DATA)?;
                tx.fill(page, bytemuck::cast_slice(words))?;
                above.push(page.offset());
            }
            tx.step()?;
            (level, height) = (above, height + 1);
        }
        if height > HEIGHT_MAX {
            return Err(Error::TooLarge(buckets.len() as u64));
        }
        let least = if height == 0 {
            CAPACITY_MIN
        } else {
            CAPACITY_DEEP
        };
        let head = Top {
            buckets: buckets.len() as u64,
            widest: slots as u32,
            height,
            capacity: (level.len() as u64).next_power_of_two().max(least) as u32,
            reserved: [0; 3],
        };
        write_top(tx, &head, &level)
    }

    /// The offset to open it with.
    pub fn offset(&self) -> u64 {
        self.top.offset()
    }

    /// Most buckets this shape can hold.
    fn room(&self) -> u64 {
        self.capacity << (PAGE_BITS * self.height)
    }

    fn top_words(&self) -> PPtr<u64> {
        self.top.at(HEAD)
    }

    /// The word in which a path ends that goes `levels` down from the top towards bucket `index`.
    #[inline(always)]
    fn word_at(&self, pool: &Pool, index: u64, levels: u32) -> Result<PPtr<u64>> {
        let place = |level: u32| index >> (PAGE_BITS * level);
        let mut at: PPtr<u64> = self.top_words().at(8 * place(self.height));
        for level in (self.height - levels..self.height).rev() {
            let page = linked_page(*pool.get(at)?)?;
            at = page.at(8 * (place(level) % PAGE_WORDS));
        }
        Ok(at)
    }

    /// Bucket `index`, which must be below `buckets`. O(height).
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    #[inline(always)]
    pub fn bucket(&self, pool: &Pool, index: u64) -> Result<Bucket> {
        Bucket::of(Word(*pool.get(self.word_at(
            pool,
            index,
            self.height,
        )?)?))
    }

    /// Sets the word of bucket `index`, which `make_room` has made room for.
    pub(crate) fn set_bucket(&self, tx: &mut Tx<'_>, index: u64, word: Word) -> Result<()> {
        let at = self.word_at(tx, index, self.height)?;
        if index < self.buckets {
            return tx.set(at, word.0);
        }
        tx.fill_spare(at.cast(), bytemuck::bytes_of(&word.0))
    }

    /// Writes the number of buckets and the widest bucket's slots.
    pub(crate) fn set_size(&mut self, tx: &mut Tx<'_>, buckets: u64, widest: u64) -> Result<()> {
        if self.buckets != buckets {
            tx.set(field!(self.top, Top, buckets), buckets)?;
        }
        if self.widest != widest {
            tx.set(field!(self.top, Top, widest), widest as u32)?;
        }
        (self.buckets, self.widest) = (buckets, widest);
        Ok(())
    }

    /// Makes room for `buckets`; each new top and page takes a `step`.
    ///
    /// # Errors
    /// [`Damaged`, `Full`](crate::structures#errors). `TooLarge` as of [`Directory::build`].
    pub fn make_room(&mut self, tx: &mut Tx<'_>, buckets: u64) -> Result<()> {
        while self.room() < buckets {
            self.grow(tx)?;
        }
        // Level by level from the top: pages over [buckets before, buckets after) that are not
        // there.
        for level in (0..self.height).rev() {
            let span = 1 << (PAGE_BITS * (level + 1));
            for page in self.buckets.div_ceil(span)..buckets.div_ceil(span) {
                let at = self.word_at(tx, page * span, self.height - level - 1)?;
                let fresh = tx.alloc(8 * PAGE_WORDS, DATA)?;
                tx.fill_spare(at.cast(), bytemuck::bytes_of(&fresh.offset()))?;
                tx.step()?;
            }
        }
        Ok(())
    }

    /// Gives back what a directory of `buckets` does not need, after [`Directory::set_size`];
    /// `before` is the number of buckets it had. Takes a `step` if there is anything to give back.
    ///
    /// # Errors
    /// [`Damaged`, `Full`](crate::structures#errors).
    pub fn trim(&mut self, tx: &mut Tx<'_>, before: u64) -> Result<()> {
        if !self.is_loose(before) {
            return Ok(());
        }
        tx.step()?;
        self.free_pages(tx, before)?;
        while 4 * self.buckets <= self.room() && (self.height > 0 || self.capacity > CAPACITY_MIN) {
            self.shrink(tx)?;
        }
        Ok(())
    }

    /// True if [`Directory::trim`] would give something back.
    fn is_loose(&self, before: u64) -> bool {
        let pages = |buckets: u64| buckets.div_ceil(PAGE_WORDS);
        (self.height > 0 && pages(before) > pages(self.buckets))
            || (4 * self.buckets <= self.room()
                && (self.height > 0 || self.capacity > CAPACITY_MIN))
    }

    /// Frees the pages that only buckets in [buckets, before) needed.
    pub(super) fn free_pages(&self, tx: &mut Tx<'_>, before: u64) -> Result<()> {
        for level in 0..self.height {
            let span = 1 << (PAGE_BITS * (level + 1));
            for page in self.buckets.div_ceil(span)..before.div_ceil(span) {
                let at = self.word_at(tx, page * span, self.height - level - 1)?;
                tx.free(linked_page(*tx.get(at)?)?)?;
            }
        }
        Ok(())
    }

    /// Frees all pages and the top. The buckets are gone already.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn destroy(mut self, tx: &mut Tx<'_>, before: u64) -> Result<()> {
        self.buckets = 0;
        self.free_pages(tx, before)?;
        tx.free(self.top)
    }

    fn used_words(&self) -> u64 {
        self.buckets.div_ceil(1 << (PAGE_BITS * self.height))
    }

    fn head(&self) -> Top {
        Top {
            buckets: self.buckets,
            widest: self.widest as u32,
            height: self.height,
            capacity: self.capacity as u32,
            reserved: [0; 3],
        }
    }

    /// Replaces the top by one of twice the room.
    fn grow(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let old = words(tx, self.top_words(), self.used_words())?.to_vec();
        if self.capacity < PAGE_WORDS {
            self.capacity *= 2;
            return self.replace_top(tx, &old);
        }
        if self.height == HEIGHT_MAX {
            return Err(Error::TooLarge(self.buckets));
        }
        let page = tx.alloc(8 * PAGE_WORDS, DATA)?;
        tx.fill(page, bytemuck::cast_slice(&old))?;
        (self.height, self.capacity) = (self.height + 1, CAPACITY_DEEP);
        self.replace_top(tx, &[page.offset()])
    }

    /// Replaces the top by one of half the room.
    fn shrink(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        if self.height == 0 || self.capacity > CAPACITY_DEEP {
            self.capacity /= 2;
            let kept = words(tx, self.top_words(), self.used_words())?.to_vec();
            return self.replace_top(tx, &kept);
        }
        let page = linked_page(*tx.get(self.top_words())?)?;
        (self.height, self.capacity) = (self.height - 1, PAGE_WORDS);
        let kept = words(tx, page, self.used_words())?.to_vec();
        tx.free(page)?;
        self.replace_top(tx, &kept)
    }

    fn replace_top(&mut self, tx: &mut Tx<'_>, words: &[u64]) -> Result<()> {
        let top = write_top(tx, &self.head(), words)?;
        tx.free(self.top)?;
        self.top = top.cast();
        tx.step()
    }

    /// Moves the first page on the way to bucket `index` that is in the way of an evacuation;
    /// whether one has moved.
    pub(super) fn relocate_pages(&self, mover: &mut Mover<'_, '_>, index: u64) -> Result<bool> {
        for levels in 0..self.height {
            let link = self.word_at(mover.tx, index, levels)?;
            let page = linked_page(*mover.tx.get(link)?)?.cast();
            if mover.shift_at(link, page)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Shows `owns` the top and the pages.
    pub(super) fn each_object(&self, pool: &Pool, owns: Owns<'_>) -> Result<()> {
        owns(self.top.cast());
        for level in 0..self.height {
            let span = 1 << (PAGE_BITS * (level + 1));
            for page in 0..self.buckets.div_ceil(span) {
                let at = self.word_at(pool, page * span, self.height - level - 1)?;
                owns(linked_page(*pool.get(at)?)?.cast());
            }
        }
        Ok(())
    }

    /// Bytes of the pool that top and pages take, about.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn memory(&self, pool: &Pool) -> Result<u64> {
        let pages: u64 = (0..self.height)
            .map(|level| self.buckets.div_ceil(1 << (PAGE_BITS * (level + 1))))
            .sum();
        Ok(pool.capacity(self.top)? + pages * 8 * PAGE_WORDS)
    }
}

/// A new top with these first words.
fn write_top(tx: &mut Tx<'_>, head: &Top, words: &[u64]) -> Result<PPtr<u8>> {
    let top = tx.alloc(HEAD + 8 * u64::from(head.capacity), DATA)?;
    let mut bytes = Vec::with_capacity(HEAD as usize + 8 * words.len());
    bytes.extend_from_slice(bytemuck::bytes_of(head));
    bytes.extend_from_slice(bytemuck::cast_slice(words));
    tx.fill(top, &bytes)?;
    Ok(top.ptr())
}
