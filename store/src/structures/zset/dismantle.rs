//! How a large sorted set is freed.

use super::head::Head;
use super::large::Large;
use super::{bulk, garbage};
use crate::structures::{Root, table};
use pobj::{Result, Tx, field};

/// Frees a part of what the sorted set owns, in about `budget` frees; true if nothing is left.
///
/// First the garbage goes, then the tree, whose place in the head is zero then, and last the table
/// with the members.
pub(super) fn dismantle(tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
    if garbage::clean(tx, root)? {
        return Ok(*root == Root::EMPTY);
    }
    let large = Large::open(tx, *root)?;
    if large.tree.root.is_some() {
        let tree = bulk::dismantle(tx, large.tree, budget)?;
        if tree.len == 0 {
            tx.set(field!(large.head, Head, tree), None)?;
        }
        return Ok(false);
    }
    let mut table = large.table;
    if !table::dismantle(tx, &mut table, budget)? {
        return Ok(false);
    }
    tx.free(large.head)?;
    *root = Root::EMPTY;
    Ok(true)
}

/// Frees everything at once. O(n); takes steps if there is garbage.
pub(super) fn destroy(tx: &mut Tx<'_>, mut root: Root) -> Result<()> {
    while garbage::clean(tx, &mut root)? {
        tx.step()?;
    }
    if root == Root::EMPTY {
        return Ok(());
    }
    let large = Large::open(tx, root)?;
    if large.tree.root.is_some() {
        bulk::dismantle(tx, large.tree, usize::MAX)?;
    }
    table::destroy(tx, large.table)?;
    tx.free(large.head)
}
