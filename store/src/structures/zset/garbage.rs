//! Garbage: what the removal of a long range leaves to be freed later. Its bytes are in `head.rs`.
//!
//! The range is cut out of the tree of elements, in O(log n), and its tree is kept as a *cut*. The
//! table still has entries of the cut's members; what is found there is an element only if the tree
//! of elements has it. [`clean`] takes the cuts apart, a leaf at a time, and once all are gone the
//! encoding is the usual one again.
//!
//! Invariants
//! * A member belongs either to the tree of elements or to one cut.
//! * Every element has its entry in the table. A member of a cut has one, unless an element of the
//!   same name has come and taken its entry: then only the cut points to it.
//! * The table has as many entries as there are elements and `entries` of garbage.
//!
//! With no element left the sorted set is over ([`is_over`]), but not yet free.

use super::edit;
use super::head::{Garbage, GarbageHead, Link, WITH_GARBAGE};
use super::large::{Large, len};
use super::node::{MemberPtr, NAME_AT, member};
use crate::damaged::damaged;
use crate::layout::DATA;
use crate::structures::{Owns, Root, table};
use pobj::{Pool, Result, Tx};
use std::ops::Range;

/// Whether a sorted set has garbage. O(1).
#[inline]
pub fn has_garbage(root: Root) -> bool {
    root.encoding() == WITH_GARBAGE
}

/// Whether a sorted set has no elements, only garbage. O(1).
#[inline]
pub fn is_over(root: Root) -> bool {
    has_garbage(root) && len(root) == 0
}

impl Garbage {
    /// Shows `owns` the cuts with their nodes, and `members` the members in them.
    pub(super) fn each(
        self,
        pool: &Pool,
        owns: Owns<'_>,
        members: &mut dyn FnMut(MemberPtr),
    ) -> Result<()> {
        let mut next = self.cuts;
        while let Some(link) = next {
            owns(link.cast());
            let Link { next: after, cut } = *pool.get(link)?;
            cut.each(pool, owns, members)?;
            next = after;
        }
        Ok(())
    }
}

/// Removes the elements of these ranks, of which there are some. O(log n): their memory is garbage.
pub(super) fn remove_range(tx: &mut Tx<'_>, root: &mut Root, ranks: Range<u64>) -> Result<()> {
    let mut large = Large::open(tx, *root)?;
    let count = ranks.end - ranks.start;
    let mut editor = edit::Editor::new(tx, large.tree);
    let cut = editor.cut(ranks)?;
    large.tree = editor.finish()?;
    let old = large.garbage.unwrap_or(Garbage {
        entries: 0,
        cuts: None,
    });
    let next = old.cuts;
    let link = tx.alloc_value(&Link { next, cut }, DATA)?;
    let garbage = Garbage {
        entries: old.entries + count,
        cuts: Some(link),
    };
    let before = large;
    large.garbage = Some(garbage);
    match before.garbage {
        Some(_) => {
            let head = large.head.cast::<GarbageHead>();
            let contents = GarbageHead {
                head: large.contents(),
                garbage,
            };
            tx.set(head, contents)?;
        }
        None => {
            let contents = GarbageHead {
                head: large.contents(),
                garbage,
            };
            let head = tx.alloc_value(&contents, DATA)?;
            tx.free(large.head)?;
            large.head = head.cast();
        }
    }
    *root = large.root();
    Ok(())
}

/// Frees a part of the garbage, some dozen members; false if there is none. The root may be empty
/// then.
pub(super) fn clean(tx: &mut Tx<'_>, root: &mut Root) -> Result<bool> {
    if !has_garbage(*root) {
        return Ok(false);
    }
    let before = Large::open(tx, *root)?;
    let mut after = before;
    let garbage = before
        .garbage
        .ok_or_else(|| damaged("a sorted set: no garbage"))?;
    let Some(link) = garbage.cuts else {
        end(tx, before, root)?;
        return Ok(true);
    };
    let Link { next, cut } = *tx.get(link)?;
    let (members, is_last) = cut.shed(tx)?;
    let dropped = drop_entries(tx, &mut after.table, &members)?;
    let mut left = garbage;
    left.lose_entries(dropped)?;
    for ptr in members {
        tx.free(ptr)?;
    }
    if is_last {
        left.cuts = next;
        tx.free(link)?;
    }
    after.garbage = Some(left);
    after.close(tx, before, root)?;
    Ok(true)
}

/// Takes the entries of stale members out of the table; says how many had one.
fn drop_entries(tx: &mut Tx<'_>, table: &mut Root, members: &[MemberPtr]) -> Result<u64> {
    if *table == Root::EMPTY {
        return Ok(0);
    }
    let mut editor = table::Editor::<NAME_AT>::begin(tx, table)?;
    let mut dropped = 0;
    for &ptr in members {
        if editor.is_empty() {
            break;
        }
        let name = member(editor.tx, ptr)?.0.to_vec();
        let hash = table::hash(editor.tx, &name);
        if let Some(place) = editor.find(&name, hash)?
            && place.entry == ptr.cast()
        {
            editor.remove(place)?;
            dropped += 1;
        }
    }
    editor.finish()?;
    Ok(dropped)
}

/// All garbage is gone: the head loses its words for it, or goes.
fn end(tx: &mut Tx<'_>, mut large: Large, root: &mut Root) -> Result<()> {
    if large.table.rest() != large.tree.len {
        return Err(damaged("a sorted set: a count of garbage"));
    }
    tx.free(large.head)?;
    if large.tree.len == 0 {
        *root = Root::EMPTY;
        return Ok(());
    }
    let head = tx.alloc_value(&large.contents(), DATA)?;
    (large.head, large.garbage) = (head, None);
    *root = large.root();
    Ok(())
}
