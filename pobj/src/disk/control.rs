//! The control blocks of a journal, as `journal.rs` describes them, and what follows from its size.

use crate::images::BLOCK;
use bytemuck::{Pod, Zeroable};
use static_assertions::{const_assert, const_assert_eq};
use std::fs::File;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::unix::fs::FileExt;
use xxhash_rust::xxh3::xxh3_64;

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"PmJourna");
/// Where the ring begins.
pub(super) const RING_AT: u64 = 2 * BLOCK;
/// Least bytes of the ring.
pub(super) const CAPACITY_MIN: u64 = 1 << 20;
/// Most bytes of a journal: more than there can be, and few enough to count with.
pub const JOURNAL_MAX: u64 = 1 << 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Control {
    pub magic: u64,
    pub generation: u64,
    pub id: u64,
    pub capacity: u64,
    pub start: u64,
    pub pool: u64,
    pub checksum: u64,
}
const_assert_eq!(size_of::<Control>(), 56);
const_assert_eq!(offset_of!(Control, checksum), 48);
const_assert!(size_of::<Control>() as u64 <= BLOCK);

impl Control {
    pub(super) fn expected_checksum(&self) -> u64 {
        xxh3_64(&bytemuck::bytes_of(self)[..offset_of!(Control, checksum)])
    }

    fn is_sound(&self) -> bool {
        self.magic == MAGIC
            && self.checksum == self.expected_checksum()
            && self.capacity >= CAPACITY_MIN
            && self.capacity.is_multiple_of(BLOCK)
            && self.start.is_multiple_of(BLOCK)
    }

    /// The one that counts in an open journal.
    pub(super) fn read(file: &File) -> io::Result<Option<Control>> {
        let mut found: Option<Control> = None;
        for block in 0..2 {
            let mut control = Control::zeroed();
            match file.read_exact_at(bytemuck::bytes_of_mut(&mut control), block * BLOCK) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let newer = found.is_none_or(|found| found.generation < control.generation);
            if control.is_sound() && control.generation % 2 == block && newer {
                found = Some(control);
            }
        }
        Ok(found)
    }
}

/// Bytes of the ring of a journal of `capacity` bytes.
pub(super) fn whole(capacity: u64) -> u64 {
    capacity
        .clamp(CAPACITY_MIN, JOURNAL_MAX)
        .next_multiple_of(BLOCK)
}

/// Most bytes that a record takes of the ring of so many.
pub(super) fn record_max_of(capacity: u64) -> u64 {
    capacity / 8 / BLOCK * BLOCK
}

/// So many bytes of the ring may be in use before such a record is written.
pub(super) fn most_of(capacity: u64) -> u64 {
    capacity - record_max_of(capacity) - BLOCK
}
