//! Moving a sorted set's objects: head, nodes, the table, and the members, to which the table, a
//! leaf and perhaps a separator point.

use super::head::{self, Head};
use super::large::Large;
use super::node::{Bound, Element, Inner, Leaf, NodePtr, member, there};
use super::tree::Tree;
use super::{garbage, small};
use crate::damaged::damaged;
use crate::structures::Root;
use crate::structures::mover::{Cursor, Mover};
use crate::structures::table;
use pobj::{PPtr, Result, field};

/// The phase in which the nodes of the tree move, whose place is a rank; and that of the table with
/// the members.
const NODES: u8 = 0;
const TABLE: u8 = 1;

/// Moves some objects of a sorted set; see `Structure::relocate`. One that has garbage stays where
/// it is: that goes soon.
pub(super) fn relocate(
    mover: &mut Mover<'_, '_>,
    root: &mut Root,
    cursor: Cursor,
) -> Result<Option<Cursor>> {
    match root.encoding() {
        small::ENCODING => mover.shift_root(root).map(|_| None),
        head::PLAIN if !garbage::has_garbage(*root) => {
            if mover.shift_root(root)? {
                Ok(Some(cursor))
            } else {
                relocate_large(mover, *root, cursor)
            }
        }
        _ => Ok(None),
    }
}

fn relocate_large(mover: &mut Mover<'_, '_>, root: Root, cursor: Cursor) -> Result<Option<Cursor>> {
    let large = Large::open(mover.tx, root)?;
    if cursor.phase == NODES {
        let next = nodes(mover, &large, cursor.at)?;
        let next = next.map(|at| Cursor { phase: NODES, at });
        return Ok(next.or(Some(Cursor {
            phase: TABLE,
            at: 0,
        })));
    }
    let (tree, mut table) = (large.tree, large.table);
    let next = table::relocate(mover, &mut table, cursor.at, &mut |mover, old, new| {
        repoint(mover, tree, old, new)
    })?;
    if table.value != large.table.value {
        mover.tx.set(field!(large.head, Head, top), table.value)?;
    }
    Ok(next.map(|at| Cursor { phase: TABLE, at }))
}

/// Moves the nodes on the way to a rank and, if none of them has moved, the leaves beside that
/// rank's. The rank to go on with; `None` at the end.
fn nodes(mover: &mut Mover<'_, '_>, large: &Large, rank: u64) -> Result<Option<u64>> {
    let Tree { root, height, len } = large.tree;
    let (mut node, mut left) = (there(root)?, rank);
    let mut link: PPtr<Option<NodePtr>> = field!(large.head, Head, tree);
    for level in (1..=height).rev() {
        if mover.shift_at(link.cast(), node.cast())? {
            return Ok(Some(rank));
        }
        let at: PPtr<Inner> = node.cast();
        let inner = *mover.tx.get(at)?;
        let counts = inner.counts()?;
        if level == 1 {
            let mut next = rank - left.min(rank);
            for (i, count) in counts.iter().enumerate() {
                mover.shift_at(
                    Inner::link(at, i).cast(),
                    there(inner.child(i).node)?.cast(),
                )?;
                next = next.saturating_add(*count);
            }
            // Damage could keep the rank where it is.
            return Ok(Some(next.max(rank + 1)).filter(|&next| next < len));
        }
        let mut i = 0;
        while i + 1 < counts.len() && left >= counts[i] {
            left -= counts[i];
            i += 1;
        }
        link = Inner::link(at, i);
        node = there(inner.child(i).node)?;
    }
    mover.shift_at(link.cast(), node.cast())?;
    Ok(None)
}

/// Has the tree point to the new place of a member.
fn repoint(mover: &mut Mover<'_, '_>, tree: Tree, old: PPtr<u8>, new: PPtr<u8>) -> Result<()> {
    let (name, score) = member(mover.tx, old.cast())?;
    let path = tree.path(mover.tx, &Bound::After(score, name))?;
    let node = mover.tx.get(path.leaf)?;
    let element = Element {
        score,
        member: Some(old.cast()),
    };
    let at = node
        .index_of(path.len, element)
        .ok_or_else(|| damaged("a sorted set: the tree misses a member"))?;
    let new = Some(new.cast());
    let slot = Leaf::slot(path.leaf, node.order()[at])?;
    mover.tx.set(field!(slot, Element, member), new)?;
    let above = path.steps().iter().rev().find(|step| step.index() > 0);
    match above {
        Some(step) if at == 0 => {
            let (_, first) = Inner::first(step.node()?, step.index());
            mover.tx.set(first, new)
        }
        _ => Ok(()),
    }
}
