//! A slab page: a run of granules cut into slots of one size class.
//!
//! ```text
//!   0  4  magic      "PgSb"
//!   4  1  class      index into `classes::SIZES`
//!   5  1  kind       what its slots hold: the number of a `Kind`
//!   6  2  slots      number of slots
//!   8  4  first      where slot 0 starts, from the page's start (a 64-byte line of the pool)
//!  12  4  slot size  bytes
//!  16  8  checksum   XXH3-64 of the bytes before, seeded with the page's offset
//!  64     bitmap     one bit a slot, set while the slot is allocated; whole 64-bit words
//! ```
//!
//! The header is written once, with a bitmap of zeros, before the page's run is committed. The
//! bitmap changes only through logged writes, so that it always agrees with what is reachable.
//!
//! In a pool of format 1 pages were objects of libpmemobj's, in two lengths; those that are left
//! are used on.

use super::classes;
use super::run::GRANULE;
use crate::Kind;
use crate::layout::LINE;
use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert_eq;
use std::mem::size_of;

/// Granules of a page.
pub(crate) const PAGE_GRANULES: u64 = 16;
/// Bytes of a page.
pub(crate) const PAGE_LEN: u64 = PAGE_GRANULES * GRANULE;
/// Bytes of a page that is an object of libpmemobj's: for slots up to [`classes::SMALL_MAX`], and
/// above.
const OBJECT_PAGE_LEN: u64 = 65_392;
const BIG_OBJECT_PAGE_LEN: u64 = (1 << 20) - 16;

/// Bytes of the page at `offset` for slots of `class`. Objects of libpmemobj's never start at a
/// granule's boundary, as they have a header of 16 bytes in a chunk that starts at one or 1 KiB
/// behind it.
pub(crate) fn page_len(offset: u64, class: u8) -> u64 {
    if offset.is_multiple_of(GRANULE) {
        PAGE_LEN
    } else if classes::SIZES[class as usize] <= classes::SMALL_MAX {
        OBJECT_PAGE_LEN
    } else {
        BIG_OBJECT_PAGE_LEN
    }
}
/// Least bytes of any page.
pub(crate) const PAGE_LEN_MIN: u64 = OBJECT_PAGE_LEN;
/// Where the bitmap starts.
const BITMAP_AT: u64 = 64;

/// The head of a page.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct PageHeader {
    magic: u32,
    pub class: u8,
    pub kind: u8,
    pub slots: u16,
    pub first: u32,
    pub slot_size: u32,
    checksum: u64,
}
const_assert_eq!(size_of::<PageHeader>(), 24);

const MAGIC: u32 = u32::from_le_bytes(*b"PgSb");

impl PageHeader {
    /// The header of a page at pool offset `page` for slots of `class`.
    pub(crate) fn new(page: u64, class: u8, kind: Kind) -> PageHeader {
        let size = u64::from(classes::SIZES[class as usize]);
        let first =
            |slots: u64| (page + BITMAP_AT + 8 * slots.div_ceil(64)).next_multiple_of(LINE) - page;
        let len = page_len(page, class);
        let mut slots = (len - BITMAP_AT) / size;
        while first(slots) + slots * size > len {
            slots -= 1;
        }
        let mut header = PageHeader {
            magic: MAGIC,
            class,
            kind: kind.number(),
            slots: slots as u16,
            first: first(slots) as u32,
            slot_size: size as u32,
            checksum: 0,
        };
        header.checksum = header.expected_checksum(page);
        header
    }

    fn expected_checksum(&self, page: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(&bytemuck::bytes_of(self)[..16], page)
    }

    /// True if this is the header that [`PageHeader::new`] makes for its class and kind there.
    pub(crate) fn is_valid(&self, page: u64) -> bool {
        let known = if page.is_multiple_of(GRANULE) {
            self.class < classes::COUNT
        } else {
            (self.class as usize) < classes::SIZES.len()
        };
        match Kind::from_byte(self.kind) {
            Some(kind) if known => {
                bytemuck::bytes_of(self)
                    == bytemuck::bytes_of(&PageHeader::new(page, self.class, kind))
            }
            _ => false,
        }
    }

    /// Bytes of the header and the bitmap.
    pub(crate) fn head_len(&self) -> u64 {
        BITMAP_AT + 8 * self.words() as u64
    }

    /// Number of bitmap words.
    pub(crate) fn words(&self) -> usize {
        (self.slots as usize).div_ceil(64)
    }
}

/// Pool offset of bitmap word `word` of the page at `page`.
pub(crate) fn bitmap_word(page: u64, word: usize) -> u64 {
    page + BITMAP_AT + 8 * word as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_inside_the_page_and_after_the_bitmap() {
        for (class, page) in (0..classes::SIZES.len() as u8)
            .flat_map(|class| [4112, (1 << 30) + 48].map(|page| (class, page)))
            .chain((0..classes::COUNT).flat_map(|class| [4096, 1 << 20].map(|page| (class, page))))
        {
            {
                let header = PageHeader::new(page, class, Kind::new(0));
                let end =
                    u64::from(header.first) + u64::from(header.slots) * u64::from(header.slot_size);
                assert!(end <= page_len(page, class), "class {class}");
                assert!(BITMAP_AT + 8 * header.words() as u64 <= u64::from(header.first));
                assert_eq!((page + u64::from(header.first)) % LINE, 0);
                assert!(
                    page_len(page, class) - end < u64::from(header.slot_size) + 80,
                    "class {class} wastes {}",
                    page_len(page, class) - end
                );
                assert!(header.is_valid(page));
                assert!(!header.is_valid(page + 16), "a header belongs to its page");
            }
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let header = PageHeader::new(4096, 7, Kind::new(1));
        for at in 0..size_of::<PageHeader>() {
            let mut bytes: [u8; 24] = bytemuck::cast(header);
            bytes[at] ^= 4;
            assert!(
                !bytemuck::cast::<_, PageHeader>(bytes).is_valid(4096),
                "byte {at}"
            );
        }
    }
}
