//! The object from which a large sorted set hangs, with its encodings.
//!
//! ```text
//! head   0  8  top      the table's directory (see `structures::table`)
//!        8  8  tree     the tree's root node (see `node`)
//!       16  8  entries  of the table that are garbage: no element has them
//!       24  8  cuts     the first cut, or 0; these two words only with [`WITH_GARBAGE`]: see `garbage`
//! ```

use super::node::damaged;
use bytemuck::{Pod, Zeroable};
use pobj::{PPtr, Pool, Result, Tx, field};
use static_assertions::const_assert_eq;
use std::mem::size_of;

/// The encoding of a sorted set without garbage.
pub const PLAIN: u8 = 2;
/// The encoding of one with garbage.
pub const WITH_GARBAGE: u8 = 3;

/// Of a sorted set without garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Head {
    pub top: u64,
    pub tree: u64,
}
const_assert_eq!(size_of::<Head>(), 16);

/// The last two words of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Garbage {
    /// Entries of the table that are garbage.
    pub entries: u64,
    /// The first cut, or 0.
    pub cuts: u64,
}

/// Of one with garbage.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct GarbageHead {
    pub head: Head,
    pub garbage: Garbage,
}
const_assert_eq!(size_of::<GarbageHead>(), 32);

impl Garbage {
    /// The garbage of a sorted set whose encoding says that there is some.
    pub fn of(pool: &Pool, head: PPtr<Head>) -> Result<Garbage> {
        Ok(pool.get::<GarbageHead>(head.cast())?.garbage)
    }

    /// Writes what differs.
    pub fn write_changes(self, tx: &mut Tx<'_>, head: PPtr<Head>, new: Garbage) -> Result<()> {
        match self == new {
            true => Ok(()),
            false => tx.set(
                field!(head.cast::<GarbageHead>(), GarbageHead, garbage),
                new,
            ),
        }
    }

    /// So many entries of the table are no garbage any more.
    pub fn lose_entries(&mut self, count: u64) -> Result<()> {
        let left = self.entries.checked_sub(count);
        self.entries = left.ok_or_else(|| damaged("a count of garbage"))?;
        Ok(())
    }
}
