//! The object from which a large sorted set hangs, with its encodings.
//!
//! ```text
//! head   0  8  top      the table's directory (see `structures::table`)
//!        8  8  tree     the tree's root node (see `node`)
//!       16  8  entries  of the table that are garbage: no element has them
//!       24  8  cuts     the first cut, or 0; these two words only with [`WITH_GARBAGE`]: see `garbage`
//!
//! cut    0  8  next     the next cut, or 0
//!        8 24  tree     a tree that was cut off: root node, height, number of elements
//! ```

use super::bulk::Cut;
use super::node::NodePtr;
use crate::damaged::damaged;
use bytemuck::{Pod, Zeroable};
use pobj::{PPtr, Pool, Result, Tx, field};
use static_assertions::const_assert_eq;
use std::mem::size_of;

/// The encoding of a sorted set without garbage.
pub(super) const PLAIN: u8 = 2;
/// The encoding of one with garbage.
pub(crate) const WITH_GARBAGE: u8 = 3;

/// Of a sorted set without garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Head {
    pub top: u64,
    pub tree: Option<NodePtr>,
}
const_assert_eq!(size_of::<Head>(), 16);

/// The last two words of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Garbage {
    /// Entries of the table that are garbage.
    pub entries: u64,
    /// The first cut.
    pub cuts: Option<PPtr<Link>>,
}

/// A cut, and the next one.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Link {
    pub next: Option<PPtr<Link>>,
    pub cut: Cut,
}
const_assert_eq!(size_of::<Link>(), 32);

/// Of one with garbage.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct GarbageHead {
    pub head: Head,
    pub garbage: Garbage,
}
const_assert_eq!(size_of::<GarbageHead>(), 32);

impl Garbage {
    /// The garbage of a sorted set whose encoding says that there is some.
    pub(super) fn of(pool: &Pool, head: PPtr<Head>) -> Result<Garbage> {
        Ok(pool.get::<GarbageHead>(head.cast())?.garbage)
    }

    /// Writes what differs.
    pub(crate) fn write_changes(
        self,
        tx: &mut Tx<'_>,
        head: PPtr<Head>,
        new: Garbage,
    ) -> Result<()> {
        if self == new {
            Ok(())
        } else {
            tx.set(
                field!(head.cast::<GarbageHead>(), GarbageHead, garbage),
                new,
            )
        }
    }

    /// So many entries of the table are no garbage any more.
    pub(crate) fn lose_entries(&mut self, count: u64) -> Result<()> {
        let left = self.entries.checked_sub(count);
        self.entries = left.ok_or_else(|| damaged("a sorted set: a count of garbage"))?;
        Ok(())
    }
}
