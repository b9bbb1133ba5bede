//! The on-media layout: the byte map of the root object and the constants around it.
//!
//! ```text
//! root object (libpmemobj's, `ROOT_SIZE` bytes)
//!     0    64  Header      identity; written once at creation, checksummed
//!    64     8  log         offset of the log object
//!    72     8  log length  usable bytes of the log object; 0 means `OLD_LOG_LEN`
//!    80     8  journal id  which journal has the latest changes, while the format version says that one has
//!    88     8  written     the position in that journal up to which the file has everything, at least
//!    96    16  resumed     a journal's id, and the generation it had when the pool was last opened with it in use
//!   128     8  published   of format 1: number of the last log record whose large objects libpmemobj has published
//!   256  1024  user words  128 words that belong to the layer above (`Pool::user_word`)
//! log object
//!     0        the log ring, `RING_LEN` bytes from the first multiple of 64
//!              the first undo segment, the rest
//! ```
//!
//! Everything is little-endian with fixed-width integers. `docs/format.md` has the whole story.

use crate::error::{Error, Result};
use bytemuck::{Pod, Zeroable};
use static_assertions::{assert_cfg, const_assert_eq};
use std::mem::{offset_of, size_of};

assert_cfg!(
    all(target_endian = "little", target_pointer_width = "64"),
    "pools are little-endian and are mapped whole: 64-bit little-endian targets only"
);

/// On-media format version this program writes, and the highest it reads.
pub const FORMAT_VERSION: u32 = 2;
/// The format without extents: pages, large objects and undo segments are objects of libpmemobj's.
/// Such a pool is turned into one of [`FORMAT_VERSION`] when it is opened, and what it has is used
/// on.
pub(crate) const FORMAT_WITHOUT_EXTENTS: u32 = 1;

/// Set in the format version of a pool whose latest changes are in its journal: so a program that
/// does not know journals refuses it.
pub(crate) const JOURNALED: u32 = 1 << 31;

/// A cache line: the unit of flushing.
pub(crate) const LINE: u64 = 64;
/// Bytes of the log ring. Small, so that it stays in the processor's cache.
pub(crate) const RING_LEN: u64 = 32 << 10;
/// Largest log record; a batch that needs more goes through the undo log. A record must never
/// reach the record before it, hence at most half the ring.
pub(crate) const RECORD_MAX: usize = 8 << 10;
/// Bytes of the log object of a pool that does not say how many they are.
pub(crate) const OLD_LOG_LEN: u64 = 65_392;
/// Words of the root object that belong to the layer above.
pub(crate) const USER_WORDS: usize = 128;

/// Offset of [`published`](self) in the root object.
pub(crate) const PUBLISHED_AT: u64 = 128;
/// Offset of the user words in the root object.
pub(crate) const USER_AT: u64 = 256;
/// Offset of the word in the root object that holds the log object's offset.
pub(crate) const LOG_AT: u64 = 64;
/// Offset of the word in the root object that holds the log object's length.
pub(crate) const LOG_LEN_AT: u64 = 72;
/// Offset of the word in the root object that holds the journal's id, while the format version has
/// [`JOURNALED`].
pub(crate) const JOURNAL_AT: u64 = 80;
/// Offset of the word in the root object that holds the position in that journal up to which the
/// file has everything.
pub(crate) const WRITTEN_AT: u64 = 88;
/// Offset of two words in the root object: the id of a journal, and the generation that its control
/// block had when the pool was last opened with it in use, at least. They count if the id is the
/// one at [`JOURNAL_AT`].
pub(crate) const RESUMED_AT: u64 = 96;
/// Offset of the format version in the root object; its word has the flags, too.
pub(crate) const VERSION_AT: u64 = 8;
/// Bytes of the root object.
pub(crate) const ROOT_SIZE: u64 = USER_AT + 8 * USER_WORDS as u64;

/// libpmemobj type numbers of our objects.
pub(crate) mod type_num {
    /// A slab page, of format 1.
    pub(crate) const PAGE: u64 = 1;
    /// An overflow segment of the undo log, of format 1.
    pub(crate) const UNDO: u64 = 2;
    /// The log object.
    pub(crate) const LOG: u64 = 3;
    /// An extent (see `alloc::extent`).
    pub(crate) const EXTENT: u64 = 4;
    /// A large object of format 1 that was freed: its memory is to be given back to libpmemobj.
    pub(crate) const FREED: u64 = 5;
    /// A large object of the kind of number 0, of format 1; plus the number for the others.
    pub(crate) const LARGE: u64 = 16;

    /// Whether objects of a type exist only in a pool that has a root object.
    pub(crate) fn is_data(type_num: u64) -> bool {
        matches!(type_num, PAGE | EXTENT | FREED) || type_num >= LARGE
    }

    /// Offset of the type number of libpmemobj's object at `offset`: the second word of the header
    /// before it.
    pub(crate) fn word_of(offset: u64) -> u64 {
        offset - 8
    }
}

/// The pool's identity, at the start of the root object; immutable once written.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Header {
    /// That of the [`Layout`](crate::Layout).
    pub magic: u64,
    /// Format version of everything in the pool.
    pub format_version: u32,
    /// Reserved, zero.
    pub flags: u32,
    /// The pool's own random bytes: seeds of checksums and of keyed hashes.
    pub seed: [u64; 2],
    /// Reserved, zero.
    pub reserved: [u64; 3],
    /// XXH3-64 of the bytes before, where the format version counts as 1: so a pool goes from one
    /// format to the next by the store of one word.
    pub checksum: u64,
}
const_assert_eq!(size_of::<Header>(), 64);
const_assert_eq!(offset_of!(Header, checksum), 56);
const_assert_eq!(offset_of!(Header, format_version), VERSION_AT as usize);

/// A seed for a new pool.
pub(crate) fn random_seed() -> Result<[u64; 2]> {
    let mut seed = [0u64; 2];
    let filled = getrandom::fill(bytemuck::bytes_of_mut(&mut seed));
    filled.map_err(|error| Error::Io(format!("a random seed: {error}")))?;
    Ok(seed)
}

impl Header {
    /// A fresh header around a random seed.
    pub(crate) fn new(magic: u64, seed: [u64; 2]) -> Header {
        let mut header = Header {
            magic,
            format_version: FORMAT_VERSION,
            flags: 0,
            seed,
            reserved: [0; 3],
            checksum: 0,
        };
        header.checksum = header.expected_checksum();
        header
    }

    /// What `checksum` must be.
    pub(crate) fn expected_checksum(&self) -> u64 {
        let first = Header {
            format_version: 1,
            ..*self
        };
        let bytes = bytemuck::bytes_of(&first);
        xxhash_rust::xxh3::xxh3_64(&bytes[..offset_of!(Header, checksum)])
    }

    /// True while creation is not over: the magic is written last.
    pub(crate) fn is_blank(&self) -> bool {
        self.magic == 0
    }
}

/// Where the fixed parts of the pool lie, as pool offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Areas {
    /// The root object.
    pub root: u64,
    /// The log ring, `RING_LEN` bytes.
    pub ring: u64,
    /// The first undo segment.
    pub undo: u64,
    /// Its bytes: what the ring leaves of the log object.
    pub undo_len: u64,
}

impl Areas {
    /// The areas of the root object at offset `root` and the log object of `log_len` bytes at
    /// `log`.
    pub(crate) fn of(root: u64, log: u64, log_len: u64) -> Areas {
        let ring = log.next_multiple_of(LINE);
        Areas {
            root,
            ring,
            undo: ring + RING_LEN,
            undo_len: log_len - LINE - RING_LEN,
        }
    }

    /// Offset of the `published` word.
    pub(crate) fn published(&self) -> u64 {
        self.root + PUBLISHED_AT
    }

    /// Offset of user word `index`.
    pub(crate) fn user_word(&self, index: usize) -> u64 {
        assert!(index < USER_WORDS, "user word {index} of {USER_WORDS}");
        self.root + USER_AT + 8 * index as u64
    }

    /// True if `len` bytes at `offset` lie in the user words.
    pub(crate) fn is_user_word(&self, offset: u64, len: u64) -> bool {
        let start = self.root + USER_AT;
        offset >= start && offset.saturating_add(len) <= start + 8 * USER_WORDS as u64
    }
}
