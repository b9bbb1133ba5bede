//! Walks over all allocated objects of one kind.

use super::{Page, Slab, Slot};
use crate::Kind;

/// The objects of one page.
pub(crate) struct PageObjects<'s> {
    /// Where the first slot is.
    first: u64,
    /// Bytes of a slot.
    pub slot_size: u64,
    slots: u16,
    taken: &'s [u64],
}

impl PageObjects<'_> {
    fn of(page: &Page) -> PageObjects<'_> {
        PageObjects {
            first: page.offset + u64::from(page.header.first),
            slot_size: u64::from(page.header.slot_size),
            slots: page.header.slots,
            taken: &page.taken,
        }
    }

    /// How many objects there are.
    pub(crate) fn count(&self) -> u64 {
        let taken: u32 = self.taken.iter().map(|word| word.count_ones()).sum();
        let beyond = self.taken.len() as u32 * 64 - u32::from(self.slots);
        u64::from(taken.saturating_sub(beyond))
    }

    /// Where the allocated objects are, in order.
    #[inline]
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let index = next_bit(self.taken, from, self.slots)?;
            from = index + 1;
            Some(self.first + u64::from(index) * self.slot_size)
        })
    }
}

impl Slab {
    /// The pages of objects of `kind`.
    pub(crate) fn pages_of(&self, kind: Kind) -> impl Iterator<Item = PageObjects<'_>> {
        let pages = self.pages.iter().flatten();
        let pages = pages.filter(move |page| page.header.kind == kind.number());
        pages.map(PageObjects::of)
    }

    /// Where the objects of `kind` are that are alone in their memory.
    pub(crate) fn large_objects(&self, kind: Kind) -> impl Iterator<Item = u64> {
        self.large.of_kind(kind, 0).map(|(_, offset)| offset)
    }

    /// Where the object begins that the byte at `offset` belongs to, or would if it were allocated,
    /// and of what kind it is.
    pub(crate) fn object_around(&self, offset: u64) -> Option<(u64, Kind)> {
        if let Some(id) = self.windows.page_of(offset, 1) {
            let page = self.page(id);
            let first = page.offset + u64::from(page.header.first);
            let size = u64::from(page.header.slot_size);
            let kind = Kind::from_byte(page.header.kind)?;
            return Some((offset - (offset - first) % size, kind));
        }
        let large = self.large_around(offset)?;
        Some((large.offset, large.kind))
    }

    /// Where a slot begins.
    pub(crate) fn slot_offset(&self, slot: Slot) -> u64 {
        let page = self.page(slot.page);
        let size = u64::from(page.header.slot_size);
        page.offset + u64::from(page.header.first) + u64::from(slot.index) * size
    }

    /// Offset of the first allocated object of `kind` at or after `cursor`, and the cursor after
    /// it.
    ///
    /// Walking from cursor 0 visits each object that exists throughout the walk exactly once. The
    /// cursor means nothing after the pool is reopened.
    pub(crate) fn next_object(&self, kind: Kind, cursor: Cursor) -> Option<(u64, Cursor)> {
        let mut slot = cursor.slot;
        for id in cursor.page..self.pages.len() as u32 {
            if let Some(page) = &self.pages[id as usize]
                && page.header.kind == kind.number()
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
        let (id, offset) = self.large.of_kind(kind, cursor.large).next()?;
        Some((
            offset,
            Cursor {
                page: u32::MAX,
                slot: 0,
                large: id + 1,
            },
        ))
    }
}

/// A position in a walk over the objects of one kind; the default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    page: u32,
    slot: u16,
    large: u32,
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
