//! The allocator: which slots are free, kept in DRAM and rebuilt from the page bitmaps at open.
//!
//! The DRAM bitmap of a page has a bit set for each slot that cannot be handed out: allocated,
//! reserved by the running batch, or freed by an open group. The persistent bitmap says what is
//! allocated; it changes with the batch that allocates or frees (`bitmap_writes`).
//!
//! Cost: 64 bytes of DRAM a page plus one bit a slot; finding a free slot is O(1) in practice.

pub(crate) mod evacuation;
mod gathering;
mod large;
pub(crate) mod walk;

use super::classes;
use super::page::{PAGE_LEN, PAGE_LEN_MIN, PageHeader, bitmap_word, page_len};
use super::windows::{Holder, Windows};
use crate::Kind;
use crate::error::{Result, damaged};
use crate::medium::Medium;
use large::LargeObjects;
use std::collections::BTreeSet;

/// A slot of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub page: u32,
    pub index: u16,
}

pub(super) struct Page {
    pub(super) offset: u64,
    pub(super) header: PageHeader,
    pub(super) free: u16,
    /// Listed in `partial`.
    pub(super) listed: bool,
    /// Its slots are not handed out: see `evacuation`.
    pub(super) evacuating: bool,
    /// Bitmap word to look at first.
    hint: u16,
    pub(super) taken: Box<[u64]>,
}

impl Page {
    /// Where `partial` has the pages of its kind and class.
    pub(super) fn key(&self) -> usize {
        list_of(self.header.kind, self.header.class)
    }

    pub(super) fn len(&self) -> u64 {
        page_len(self.offset, self.header.class)
    }

    /// Bytes of all slots.
    fn slot_bytes(&self) -> u64 {
        u64::from(self.header.slots) * u64::from(self.header.slot_size)
    }

    fn is_empty(&self) -> bool {
        self.free == self.header.slots
    }
}

/// The list of pages of a kind and class.
#[inline]
fn list_of(kind: u8, class: u8) -> usize {
    usize::from(kind) * classes::SIZES.len() + usize::from(class)
}

/// All pages and large objects of a pool.
pub(crate) struct Slab {
    /// Kinds of objects: those of the numbers below this.
    kinds: u8,
    pub(super) pages: Vec<Option<Page>>,
    vacant: Vec<u32>,
    pub(super) windows: Windows,
    /// Pages with free slots, by kind and class; entries may be out of date.
    pub(super) partial: Vec<Vec<u32>>,
    large: LargeObjects,
    /// Bytes in allocated slots and large objects.
    pub(super) used: u64,
    /// Bytes of large objects.
    pub(super) alone: u64,
    /// Bytes of all slots.
    slots: u64,
    /// Pages without an allocated slot.
    empty: usize,
    /// Pages that are being evacuated.
    pub(super) evacuating: usize,
}

impl Slab {
    /// The allocator of a pool of `len` bytes and so many kinds of objects, knowing no page yet.
    pub(crate) fn new(len: u64, kinds: u8) -> Slab {
        Slab {
            kinds,
            pages: Vec::new(),
            vacant: Vec::new(),
            windows: Windows::new(len),
            partial: vec![Vec::new(); usize::from(kinds) * classes::SIZES.len()],
            large: LargeObjects::default(),
            used: 0,
            alone: 0,
            slots: 0,
            empty: 0,
            evacuating: 0,
        }
    }

    /// Whether there are objects of this kind.
    pub(crate) fn knows(&self, kind: Kind) -> bool {
        kind.number() < self.kinds
    }

    /// The pool has `len` bytes from now on.
    pub(crate) fn grow(&mut self, len: u64) {
        self.windows.grow(len);
    }

    /// Bytes in allocated slots and large objects.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Number of pages.
    pub(crate) fn page_count(&self) -> usize {
        self.pages.len() - self.vacant.len()
    }

    /// Takes over a page that was found at open, or that was given up and is there again.
    ///
    /// # Errors
    /// `Damaged` if its header is wrong.
    pub(crate) fn add_page(&mut self, medium: &Medium, offset: u64) -> Result<()> {
        let header: PageHeader = bytemuck::pod_read_unaligned(
            medium
                .bytes(offset, PAGE_LEN_MIN)?
                .split_at(size_of::<PageHeader>())
                .0,
        );
        if !header.is_valid(offset) || header.kind >= self.kinds {
            return Err(damaged("a slab page's header is wrong", offset));
        }
        medium.bytes(offset, page_len(offset, header.class))?;
        let mut taken = Vec::with_capacity(header.words());
        for word in 0..header.words() {
            taken.push(medium.word(bitmap_word(offset, word))?);
        }
        self.enlist(offset, header, taken);
        Ok(())
    }

    /// Takes over a page that the running batch makes: nothing is allocated there.
    pub(crate) fn add_fresh_page(&mut self, offset: u64, header: PageHeader) {
        self.enlist(offset, header, vec![0; header.words()]);
    }

    fn enlist(&mut self, offset: u64, header: PageHeader, mut taken: Vec<u64>) {
        let slots = usize::from(header.slots);
        // Bits beyond the last slot are never free.
        if !slots.is_multiple_of(64) {
            let last = taken.len() - 1;
            taken[last] |= u64::MAX << (slots % 64);
        }
        let free: u32 = taken.iter().map(|word| word.count_zeros()).sum();
        let size = u64::from(header.slot_size);
        self.used += (slots as u64 - u64::from(free)) * size;
        self.slots += slots as u64 * size;
        self.empty += usize::from(free == u32::from(header.slots));
        let page = Page {
            offset,
            header,
            free: free as u16,
            listed: false,
            evacuating: false,
            hint: 0,
            taken: taken.into_boxed_slice(),
        };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.pages[id as usize] = Some(page);
                id
            }
            None => {
                self.pages.push(Some(page));
                self.pages.len() as u32 - 1
            }
        };
        let page = self.page(id);
        let (start, end) = (page.offset, page.offset + page.len());
        let slots = start + u64::from(page.header.first);
        self.windows
            .enter(Holder::Page(id), start, end, Some(slots));
        if free > 0 {
            self.list(id);
        }
    }

    /// Bytes of slots that are not allocated, on pages that have others.
    pub(crate) fn scattered(&self) -> u64 {
        let free = self.slots + self.alone - self.used;
        free.saturating_sub(self.empty as u64 * PAGE_LEN)
    }

    pub(super) fn page(&self, id: u32) -> &Page {
        self.pages[id as usize]
            .as_ref()
            .expect("page ids come from live pages")
    }

    fn page_mut(&mut self, id: u32) -> &mut Page {
        self.pages[id as usize]
            .as_mut()
            .expect("page ids come from live pages")
    }

    pub(super) fn list(&mut self, id: u32) {
        let page = self.page_mut(id);
        if !page.listed && !page.evacuating {
            page.listed = true;
            let key = page.key();
            self.partial[key].push(id);
        }
    }

    /// Reserves a slot of `class`; `None` if a new page is needed.
    #[inline]
    pub(crate) fn reserve(&mut self, class: u8, kind: Kind) -> Option<(Slot, u64)> {
        let key = list_of(kind.number(), class);
        while let Some(&id) = self.partial[key].last() {
            let page = self.pages[id as usize]
                .as_mut()
                .filter(|page| page.free > 0);
            let Some(page) = page else {
                self.partial[key].pop();
                if let Some(page) = self.pages[id as usize].as_mut() {
                    page.listed = false;
                }
                continue;
            };
            let words = page.taken.len();
            let mut word = usize::from(page.hint);
            while page.taken[word] == u64::MAX {
                word = (word + 1) % words;
            }
            let bit = page.taken[word].trailing_ones();
            page.taken[word] |= 1 << bit;
            page.hint = word as u16;
            self.empty -= usize::from(page.free == page.header.slots);
            page.free -= 1;
            let index = (word * 64) as u16 + bit as u16;
            let size = u64::from(page.header.slot_size);
            let offset = page.offset + u64::from(page.header.first) + u64::from(index) * size;
            self.used += size;
            return Some((Slot { page: id, index }, offset));
        }
        None
    }

    /// Makes a slot free for reuse: its allocation was dropped, or its free is durable.
    pub(crate) fn release(&mut self, slot: Slot) {
        let page = self.page_mut(slot.page);
        let (word, bit) = (usize::from(slot.index / 64), slot.index % 64);
        debug_assert!(
            page.taken[word] & (1 << bit) != 0,
            "a slot is released once"
        );
        page.taken[word] &= !(1 << bit);
        page.hint = word as u16;
        page.free += 1;
        let (size, empty) = (
            u64::from(page.header.slot_size),
            page.free == page.header.slots,
        );
        let is_listed = page.listed;
        self.used -= size;
        self.empty += usize::from(empty);
        if !is_listed {
            self.list(slot.page);
        }
    }

    /// Usable bytes of the allocated block that starts exactly at `offset`.
    #[inline(never)]
    pub(crate) fn size_at(&self, offset: u64) -> Option<u64> {
        match self.windows.page_of(offset, 1) {
            Some(id) => self.slot_at(id, offset).map(|(_, size)| size),
            None => self.large_at(offset).map(|large| large.size),
        }
    }

    /// The allocated slot that starts exactly at `offset`, and its bytes.
    #[inline]
    pub(crate) fn slot(&self, offset: u64) -> Option<(Slot, u64)> {
        self.slot_at(self.windows.page_of(offset, 1)?, offset)
    }

    /// The allocated slot of a page that starts exactly at `offset`, and its bytes.
    #[inline]
    fn slot_at(&self, id: u32, offset: u64) -> Option<(Slot, u64)> {
        let page = self.page(id);
        // A page has less than 4 GiB: the shorter division is the faster one.
        let at = (offset - page.offset) as u32 - page.header.first;
        let size = page.header.slot_size;
        let (index, rest) = (at / size, at % size);
        let taken = page.taken.get((index / 64) as usize).copied();
        let is_taken = taken.is_some_and(|word| word & (1 << (index % 64)) != 0);
        if rest != 0 || index >= u32::from(page.header.slots) || !is_taken {
            return None;
        }
        let slot = Slot {
            page: id,
            index: index as u16,
        };
        Some((slot, u64::from(size)))
    }

    /// True if `len` bytes at `offset` lie inside one page's slots or one large object: memory that
    /// a batch may write.
    #[inline]
    pub(crate) fn owns(&self, offset: u64, len: u64) -> bool {
        self.windows.page_of(offset, len).is_some() || self.owns_large(offset, len)
    }

    /// Takes at most `limit` empty pages that `is_wanted` says by their offsets out, for their
    /// memory to be given back: offsets and headers.
    pub(crate) fn take_empty_pages(
        &mut self,
        limit: usize,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Vec<(u64, PageHeader)> {
        if self.empty == 0 {
            return Vec::new();
        }
        let ids = (0..self.pages.len()).filter(|&id| {
            let page = self.pages[id].as_ref();
            page.is_some_and(|page| page.is_empty() && is_wanted(page.offset))
        });
        let ids: Vec<usize> = ids.take(limit.min(self.empty)).collect();
        self.take_pages(&ids)
    }

    /// Takes the page at `offset` out, if there is one without an allocated slot.
    pub(crate) fn take_page(&mut self, offset: u64) -> bool {
        let Some(Holder::Page(id)) = self.windows.holder(offset) else {
            return false;
        };
        let page = self.page(id);
        page.offset == offset && page.is_empty() && !self.take_pages(&[id as usize]).is_empty()
    }

    fn take_pages(&mut self, ids: &[usize]) -> Vec<(u64, PageHeader)> {
        let mut taken = Vec::with_capacity(ids.len());
        for &id in ids {
            let page = self.page(id as u32);
            let start = page.offset;
            self.windows.leave(Holder::Page(id as u32), start);
            if let Some(page) = self.pages[id].take() {
                self.vacant.push(id as u32);
                self.empty -= 1;
                self.slots -= page.slot_bytes();
                self.evacuating -= usize::from(page.evacuating);
                taken.push((page.offset, page.header));
            }
        }
        let lists = taken
            .iter()
            .map(|(_, header)| list_of(header.kind, header.class));
        let lists: BTreeSet<usize> = lists.collect();
        let pages = &self.pages;
        for list in lists {
            self.partial[list].retain(|&id| pages[id as usize].is_some());
        }
        taken
    }

    /// Reserves a slot of a larger class than `class`, of at most `most` bytes, on a page that is
    /// there.
    pub(crate) fn reserve_larger(
        &mut self,
        class: u8,
        kind: Kind,
        most: u64,
    ) -> Option<(Slot, u64)> {
        let larger = class + 1..classes::COUNT;
        let fits = |class: &u8| u64::from(classes::SIZES[*class as usize]) <= most;
        larger
            .take_while(fits)
            .find_map(|class| self.reserve(class, kind))
    }

    /// Number of pages without an allocated slot.
    pub(crate) fn empty_pages(&self) -> usize {
        self.empty
    }
}
