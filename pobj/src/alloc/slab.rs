//! The allocator: which slots are free, kept in DRAM and rebuilt from the page bitmaps at open.
//!
//! The DRAM bitmap of a page has a bit set for each slot that cannot be handed out: allocated,
//! reserved by the running batch, or freed by a group that is not over. The persistent bitmap says
//! what is allocated; it changes with the batch that allocates or frees (`bitmap_writes`).
//!
//! Cost: 64 bytes of DRAM a page plus one bit a slot; finding a free slot is O(1) in practice.

use super::classes;
use super::page::{PAGE_LEN, PageHeader, bitmap_word, page_len};
use crate::Kind;
use crate::error::{Result, damaged};
use crate::log::record::Writes;
use crate::medium::Medium;
use std::collections::{BTreeMap, HashMap};

/// A slot of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub page: u32,
    pub index: u16,
}

pub(super) struct Page {
    offset: u64,
    pub(super) header: PageHeader,
    pub(super) free: u16,
    /// Listed in `partial`.
    pub(super) listed: bool,
    /// Its slots are not handed out: see `evacuation`.
    pub(super) evacuating: bool,
    /// Bitmap word to look at first.
    hint: u16,
    taken: Box<[u64]>,
}

impl Page {
    /// Where `partial` has the pages of its kind and class.
    pub(super) fn key(&self) -> usize {
        usize::from(self.header.kind) * classes::COUNT + usize::from(self.header.class)
    }
}

/// The page of a window, and where its slots lie, relative to the window's start.
#[derive(Clone, Copy)]
struct Window {
    page: u32,
    from: i32,
    to: i32,
}

impl Window {
    const EMPTY: Window = Window {
        page: NO_PAGE,
        from: i32::MAX,
        to: i32::MIN,
    };

    /// Whether the slots of its page contain `len` bytes at `at`, relative to the window's start.
    #[inline]
    fn covers(&self, at: i64, len: i64) -> bool {
        at >= i64::from(self.from) && at + len <= i64::from(self.to)
    }
}

/// Where an offset points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// A slot of a page, with its size.
    Slot(Slot, u64),
    /// A large object, with its usable size.
    Large(u64),
}

/// Pages start at least `PAGE_LEN` apart, so at most one starts in a window of this many bytes, and one
/// that covers a window's start also starts in, or covers the start of, the window before.
const WINDOW: u64 = 32 << 10;
const NO_PAGE: u32 = u32::MAX;
/// So many slots and fewer change their bitmaps without a hash table.
const FEW: usize = 16;

/// All pages and large objects of a pool.
pub(crate) struct Slab {
    pub(super) pages: Vec<Option<Page>>,
    vacant: Vec<u32>,
    /// For each window of the pool the page that starts in it, else the one that covers its start.
    windows: Vec<Window>,
    /// Pages with free slots, by kind and class; entries may be out of date.
    pub(super) partial: Vec<Vec<u32>>,
    large: BTreeMap<u64, (u64, Kind)>,
    used: u64,
    /// Of those, bytes in large objects.
    used_large: u64,
    /// Bytes of the slots of all pages.
    capacity: u64,
    /// Pages without an allocated slot.
    empty: usize,
    /// Pages that are being evacuated.
    pub(super) evacuating: usize,
}

impl Slab {
    /// The allocator of a pool of `len` bytes, knowing no page yet.
    pub fn new(len: u64) -> Slab {
        Slab {
            pages: Vec::new(),
            vacant: Vec::new(),
            windows: vec![Window::EMPTY; len.div_ceil(WINDOW) as usize],
            partial: vec![Vec::new(); Kind::COUNT * classes::COUNT],
            large: BTreeMap::new(),
            used: 0,
            used_large: 0,
            capacity: 0,
            empty: 0,
            evacuating: 0,
        }
    }

    /// Bytes in allocated slots and large objects.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes of slots that are not allocated.
    pub fn scattered(&self) -> u64 {
        self.capacity - (self.used - self.used_large)
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.len() - self.vacant.len()
    }

    /// Takes over the page at `offset`: a fresh one, or one found at open.
    pub fn add_page(&mut self, medium: &Medium, offset: u64) -> Result<()> {
        let header: PageHeader = bytemuck::pod_read_unaligned(
            medium
                .bytes(offset, PAGE_LEN)?
                .split_at(size_of::<PageHeader>())
                .0,
        );
        if !header.is_valid(offset) {
            return Err(damaged("a slab page's header is wrong", offset));
        }
        medium.bytes(offset, page_len(header.class))?;
        let slots = usize::from(header.slots);
        let mut taken = Vec::with_capacity(header.words());
        for word in 0..header.words() {
            taken.push(medium.word(bitmap_word(offset, word))?);
        }
        // Bits beyond the last slot are never free.
        if !slots.is_multiple_of(64) {
            let last = taken.len() - 1;
            taken[last] |= u64::MAX << (slots % 64);
        }
        let free: u32 = taken.iter().map(|word| word.count_zeros()).sum();
        self.used += (slots as u64 - u64::from(free)) * u64::from(header.slot_size);
        self.empty += usize::from(free == u32::from(header.slots));
        self.capacity += slots as u64 * u64::from(header.slot_size);
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
        self.enter(id);
        if free > 0 {
            self.list(id);
        }
        Ok(())
    }

    /// Takes over a large object.
    pub fn add_large(&mut self, offset: u64, size: u64, kind: Kind) {
        if self.large.insert(offset, (size, kind)).is_none() {
            self.used += size;
            self.used_large += size;
        }
    }

    /// Corrects the size of a large object.
    pub fn resize_large(&mut self, offset: u64, size: u64) {
        if let Some(large) = self.large.get_mut(&offset) {
            self.used = self.used - large.0 + size;
            self.used_large = self.used_large - large.0 + size;
            large.0 = size;
        }
    }

    /// Forgets a large object that libpmemobj has freed.
    pub fn remove_large(&mut self, offset: u64) {
        if let Some((size, _)) = self.large.remove(&offset) {
            self.used -= size;
            self.used_large -= size;
        }
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
    pub fn reserve(&mut self, class: u8, kind: Kind) -> Option<(Slot, u64)> {
        let key = kind as usize * classes::COUNT + usize::from(class);
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
    pub fn release(&mut self, slot: Slot) {
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
        self.used -= size;
        self.empty += usize::from(empty);
        self.list(slot.page);
    }

    /// First and last window that `len` bytes at `offset` touch.
    fn windows_of(offset: u64, len: u64) -> (usize, usize) {
        (
            (offset / WINDOW) as usize,
            ((offset + len - 1) / WINDOW) as usize,
        )
    }

    /// A window's entry for a page.
    fn entry(&self, id: u32, window: usize) -> Window {
        let page = self.page(id);
        let relative = |offset: u64| (offset as i64 - (window as u64 * WINDOW) as i64) as i32;
        Window {
            page: id,
            from: relative(page.offset + u64::from(page.header.first)),
            to: relative(page.offset + page_len(page.header.class)),
        }
    }

    /// Enters a page: in the window it starts in, and where nothing else starts in the others.
    fn enter(&mut self, id: u32) {
        let page = self.page(id);
        let (first, last) = Self::windows_of(page.offset, page_len(page.header.class));
        for window in first..=last {
            if window == first || self.windows[window].page == NO_PAGE {
                self.windows[window] = self.entry(id, window);
            }
        }
    }

    /// Takes a page out again.
    fn leave(&mut self, id: u32) {
        let page = self.page(id);
        let (first, last) = Self::windows_of(page.offset, page_len(page.header.class));
        for window in &mut self.windows[first..=last] {
            if window.page == id {
                *window = Window::EMPTY;
            }
        }
        // The page before may reach into the window where this one started.
        let before = first.checked_sub(1).map(|window| self.windows[window]);
        if let Some(before) = before
            && i64::from(before.to) > WINDOW as i64
        {
            self.windows[first] = self.entry(before.page, first);
        }
    }

    /// The page whose slots contain `len` bytes at `offset`.
    #[inline]
    pub(super) fn page_of(&self, offset: u64, len: u64) -> Option<u32> {
        let (window, at) = ((offset / WINDOW) as usize, (offset % WINDOW) as i64);
        let len = len.min(u64::from(u32::MAX)) as i64;
        let here = self.windows.get(window)?;
        if here.covers(at, len) {
            return Some(here.page);
        }
        let before = self.windows.get(window.wrapping_sub(1))?;
        before
            .covers(at + WINDOW as i64, len)
            .then_some(before.page)
    }

    /// The allocated block that starts exactly at `offset`.
    #[inline]
    pub fn block(&self, offset: u64) -> Result<Block> {
        let wrong = || damaged("a pointer to nothing allocated", offset);
        let Some(id) = self.page_of(offset, 1) else {
            return self
                .large
                .get(&offset)
                .map(|large| Block::Large(large.0))
                .ok_or_else(wrong);
        };
        let page = self.page(id);
        // A page has less than 4 GiB: the shorter division is the faster one.
        let at = (offset - page.offset) as u32 - page.header.first;
        let size = page.header.slot_size;
        let (index, rest) = (at / size, at % size);
        let taken = page.taken.get((index / 64) as usize).copied();
        let is_taken = taken.is_some_and(|word| word & (1 << (index % 64)) != 0);
        if rest != 0 || index >= u32::from(page.header.slots) || !is_taken {
            return Err(wrong());
        }
        Ok(Block::Slot(
            Slot {
                page: id,
                index: index as u16,
            },
            u64::from(size),
        ))
    }

    /// True if `len` bytes at `offset` lie inside one page's slots or one large object: memory that
    /// a batch may write.
    #[inline]
    pub fn owns(&self, offset: u64, len: u64) -> bool {
        self.page_of(offset, len).is_some() || self.owns_large(offset, len)
    }

    #[cold]
    fn owns_large(&self, offset: u64, len: u64) -> bool {
        match self.large.range(..=offset).next_back() {
            Some((&start, &(size, _))) => offset.saturating_add(len) <= start + size,
            None => false,
        }
    }

    /// Adds to `writes` the bitmap words after `allocs` and `frees`.
    ///
    /// # Errors
    /// `Damaged`, with nothing added, if a slot is freed twice: in this batch, or in its group before.
    pub fn bitmap_writes(
        &self,
        medium: &Medium,
        allocs: &[Slot],
        frees: &[Slot],
        writes: &mut Writes,
    ) -> Result<()> {
        let changes = allocs
            .iter()
            .map(|slot| (slot, true))
            .chain(frees.iter().map(|slot| (slot, false)));
        if allocs.len() + frees.len() > FEW {
            return self.many_bitmap_writes(medium, changes, writes);
        }
        let mut words = [(0, 0); FEW];
        let mut used = 0;
        for (slot, set) in changes {
            let at = self.word_of(slot);
            let known = words[..used].iter().position(|&(known, _)| known == at);
            let index = match known {
                Some(index) => index,
                None => {
                    words[used] = (at, medium.word(at)?);
                    used += 1;
                    used - 1
                }
            };
            words[index].1 = changed(words[index].1, at, slot, set)?;
        }
        for (at, word) in &words[..used] {
            writes.push(*at, &word.to_le_bytes());
        }
        Ok(())
    }

    /// [`Slab::bitmap_writes`] for any number of slots.
    #[cold]
    fn many_bitmap_writes<'a>(
        &self,
        medium: &Medium,
        changes: impl Iterator<Item = (&'a Slot, bool)>,
        writes: &mut Writes,
    ) -> Result<()> {
        let mut words: HashMap<u64, u64> = HashMap::new();
        let mut order = Vec::new();
        for (slot, set) in changes {
            let at = self.word_of(slot);
            let word = match words.entry(at) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    order.push(at);
                    entry.insert(medium.word(at)?)
                }
            };
            *word = changed(*word, at, slot, set)?;
        }
        for at in order {
            writes.push(at, &words[&at].to_le_bytes());
        }
        Ok(())
    }

    /// Where the word is whose bits tell of a slot.
    fn word_of(&self, slot: &Slot) -> u64 {
        bitmap_word(self.page(slot.page).offset, usize::from(slot.index / 64))
    }

    /// Offset of the first allocated object of `kind` at or after `cursor`, and the cursor after it.
    ///
    /// Walking from cursor 0 visits each object that exists throughout the walk exactly once. The
    /// cursor means nothing after the pool is reopened.
    pub fn next_object(&self, kind: Kind, cursor: Cursor) -> Option<(u64, Cursor)> {
        let mut slot = cursor.slot;
        for id in cursor.page..self.pages.len() as u32 {
            if let Some(page) = &self.pages[id as usize]
                && page.header.kind == kind as u8
                && let Some(index) = next_bit(&page.taken, slot, page.header.slots)
            {
                let size = u64::from(page.header.slot_size);
                let offset = page.offset + u64::from(page.header.first) + u64::from(index) * size;
                return Some((
                    offset,
                    Cursor {
                        page: id,
                        slot: index + 1,
                        large: 0,
                    },
                ));
            }
            slot = 0;
        }
        let mut rest = self.large.range(cursor.large..);
        let (&offset, _) = rest.find(|(_, large)| large.1 == kind)?;
        Some((
            offset,
            Cursor {
                page: u32::MAX,
                slot: 0,
                large: offset + 1,
            },
        ))
    }

    /// The pages of objects of `kind`.
    pub fn runs(&self, kind: Kind) -> impl Iterator<Item = Run<'_>> {
        let pages = self.pages.iter().flatten();
        let pages = pages.filter(move |page| page.header.kind == kind as u8);
        pages.map(|page| Run {
            first: page.offset + u64::from(page.header.first),
            slot_size: u64::from(page.header.slot_size),
            slots: page.header.slots,
            taken: &page.taken,
        })
    }

    /// Where the large objects of `kind` are.
    pub fn large_objects(&self, kind: Kind) -> impl Iterator<Item = u64> {
        let large = self.large.iter();
        large.filter_map(move |(&offset, large)| (large.1 == kind).then_some(offset))
    }

    /// Takes at most `limit` empty pages out, for their memory to be given back: offsets and
    /// lengths.
    pub fn take_empty_pages(&mut self, limit: usize) -> Vec<(u64, u64)> {
        let is_empty = |page: &Page| page.free == page.header.slots;
        let ids = (0..self.pages.len()).filter(|&id| self.pages[id].as_ref().is_some_and(is_empty));
        let ids: Vec<usize> = ids.take(limit.min(self.empty)).collect();
        self.empty -= ids.len();
        let mut pages_taken = Vec::with_capacity(ids.len());
        for &id in &ids {
            let page = self.page(id as u32);
            let (offset, len) = (page.offset, page_len(page.header.class));
            let slots = u64::from(page.header.slots) * u64::from(page.header.slot_size);
            self.evacuating -= usize::from(page.evacuating);
            self.capacity -= slots;
            self.leave(id as u32);
            self.pages[id] = None;
            self.vacant.push(id as u32);
            pages_taken.push((offset, len));
        }
        let pages = &self.pages;
        for listed in &mut self.partial {
            listed.retain(|&id| pages[id as usize].is_some());
        }
        pages_taken
    }

    /// Number of pages without an allocated slot.
    pub fn empty_pages(&self) -> usize {
        self.empty
    }
}

/// The bitmap word at `at` after a slot of it was allocated (`set`) or freed.
fn changed(word: u64, at: u64, slot: &Slot, set: bool) -> Result<u64> {
    let bit = 1 << (slot.index % 64);
    if !set && word & bit == 0 {
        return Err(damaged("an object that is freed twice in page", at));
    }
    Ok(if set { word | bit } else { word & !bit })
}

/// The objects of one page.
pub(crate) struct Run<'s> {
    /// Where the first slot is.
    first: u64,
    /// Bytes of a slot.
    pub slot_size: u64,
    slots: u16,
    taken: &'s [u64],
}

impl Run<'_> {
    /// Where the allocated objects are, in order.
    #[inline]
    pub fn offsets(&self) -> impl Iterator<Item = u64> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let index = next_bit(self.taken, from, self.slots)?;
            from = index + 1;
            Some(self.first + u64::from(index) * self.slot_size)
        })
    }
}

/// A position in a walk over the objects of one kind; the default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    page: u32,
    slot: u16,
    large: u64,
}

/// Index of the first set bit at or after `from`, below `slots`.
fn next_bit(words: &[u64], from: u16, slots: u16) -> Option<u16> {
    let mut at = from;
    while at < slots {
        let word = words[usize::from(at / 64)] >> (at % 64);
        if word != 0 {
            let found = at + word.trailing_zeros() as u16;
            return (found < slots).then_some(found);
        }
        at = (at / 64 + 1) * 64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::next_bit;

    #[test]
    fn set_bits_are_found_in_order() {
        let words = [0b1001, 0, 1 << 63 | 1 << 5];
        assert_eq!(next_bit(&words, 0, 192), Some(0));
        assert_eq!(next_bit(&words, 1, 192), Some(3));
        assert_eq!(next_bit(&words, 4, 192), Some(133));
        assert_eq!(next_bit(&words, 134, 192), Some(191));
        assert_eq!(
            next_bit(&words, 134, 191),
            None,
            "bits beyond the last slot do not count"
        );
        assert_eq!(next_bit(&words, 192, 192), None);
    }
}
