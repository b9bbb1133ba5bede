//! One element inserted, removed or moved, at once.
//!
//! Mostly its leaf has room, or enough elements left. Then a slot, some bytes of the leaf's order
//! and one count in each node above are all that changes, and they are written without a copy of
//! any node. Where elements of others move, or nodes come and go, an [`Editor`] makes the change.

use super::edit::Editor;
use super::node::{Bound, Element, Inner, LEAF_MAX, LEAF_MIN, Leaf, Order, order_with};
use super::tree::{Path, Place, Step, Tree};
use crate::damaged::damaged;
use pobj::{Pool, Result, Tx};

/// Inserts an element which is not there; `name` is its member's. `path` is the way to its place if
/// that is known. O(log n).
#[inline]
pub(super) fn insert(
    tx: &mut Tx<'_>,
    mut tree: Tree,
    element: Element,
    name: &[u8],
    path: Option<Path>,
) -> Result<Tree> {
    if tree.len == 0 {
        return edit(tx, tree, |editor| editor.insert(element, name));
    }
    let place = tree.place(tx, &Bound::Before(element.score, name), path)?;
    if place.path.len == LEAF_MAX {
        return edit(tx, tree, |editor| editor.insert_at(&place, element, name));
    }
    put(tx, &place, element)?;
    count(tx, place.path.steps(), 1)?;
    tree.len += 1;
    Ok(tree)
}

/// Makes a change that reaches beyond one leaf.
#[cold]
#[inline(never)]
fn edit(
    tx: &mut Tx<'_>,
    tree: Tree,
    change: impl FnOnce(&mut Editor<'_, '_>) -> Result<()>,
) -> Result<Tree> {
    let mut editor = Editor::new(tx, tree);
    change(&mut editor)?;
    editor.finish()
}

/// Removes an element, which must be there; `name` is its member's. O(log n).
#[inline]
pub(super) fn remove(tx: &mut Tx<'_>, tree: Tree, element: Element, name: &[u8]) -> Result<Tree> {
    let place = find(tx, tree, element, name)?;
    take_out(tx, tree, &place, LEAF_MIN)
}

/// Removes the element at `place`, which is at one end of the tree. O(log n).
///
/// Who takes one element after the other from an end empties leaf after leaf: such a leaf takes no
/// elements from its neighbour, but goes with its last one.
#[inline]
pub(super) fn pop(tx: &mut Tx<'_>, tree: Tree, place: &Place) -> Result<Tree> {
    take_out(tx, tree, place, 1)
}

/// Gives an element, which must be there, another score; `name` is its member's. `path` is the way
/// to the place of that score if it is known. O(log n).
#[inline]
pub(crate) fn rescore(
    tx: &mut Tx<'_>,
    tree: Tree,
    element: Element,
    name: &[u8],
    score: f64,
    path: Option<Path>,
) -> Result<Tree> {
    let old = find(tx, tree, element, name)?;
    let bound = Bound::Before(score, name);
    let (n, node) = (old.path.len, tx.get(old.path.leaf)?);
    if node.score(0) < score && score < node.score(n - 1) {
        let to = node.search(tx, n, &bound)?;
        return move_inside(tx, tree, &old, to, score);
    }
    // At or beyond an end of its leaf: this one or another.
    let new = tree.place(tx, &bound, path)?;
    if new.path.leaf == old.path.leaf {
        return move_inside(tx, tree, &old, new.at, score);
    }
    let moved = Element { score, ..element };
    if new.path.len == LEAF_MAX || !can_lose_one(&old.path, LEAF_MIN) {
        return edit(tx, tree, |editor| {
            editor.remove_at(&old)?;
            editor.insert(moved, name)
        });
    }
    put(tx, &new, moved)?;
    take(tx, &old)?;
    let steps = old.path.steps().iter().zip(new.path.steps());
    for (&from, &to) in steps.filter(|(from, to)| from != to) {
        add_to_count(tx, from, -1)?;
        add_to_count(tx, to, 1)?;
    }
    Ok(tree)
}

/// The place of an element, which must be there.
#[inline]
fn find(pool: &Pool, tree: Tree, element: Element, name: &[u8]) -> Result<Place> {
    let missing = || damaged("a sorted set: an element is missing from the tree");
    if tree.len == 0 {
        return Err(missing());
    }
    let path = tree.path(pool, &Bound::After(element.score, name))?;
    let at = pool.get(path.leaf)?.index_of(path.len, element);
    Ok(Place {
        path,
        at: at.ok_or_else(missing)?,
    })
}

/// Removes the element at `place`, of whose leaf `least` elements are enough.
#[inline]
fn take_out(tx: &mut Tx<'_>, mut tree: Tree, place: &Place, least: usize) -> Result<Tree> {
    if !can_lose_one(&place.path, least) {
        return edit(tx, tree, |editor| editor.remove_at(place));
    }
    take(tx, place)?;
    count(tx, place.path.steps(), -1)?;
    tree.len -= 1;
    Ok(tree)
}

/// Whether the leaf at the end of the path, of which `least` elements are enough, can lose one: the
/// tree's only leaf can as long as it keeps any.
#[inline]
fn can_lose_one(path: &Path, least: usize) -> bool {
    let least = if path.steps().is_empty() { 1 } else { least };
    path.len > least
}

/// Takes the element at `place` out of its leaf, which keeps some.
#[inline]
fn take(tx: &mut Tx<'_>, place: &Place) -> Result<()> {
    let Place { path, at } = place;
    let node = tx.get(path.leaf)?;
    let order = node.order_moved(*at, path.len - 1)?;
    if *at == 0 {
        let first = node.element(1)?;
        first_of(tx, path.steps(), first)?;
    }
    write_order(tx, path, &order, *at, path.len - 1)
}

/// Puts an element at `place`, in a leaf with room.
#[inline]
fn put(tx: &mut Tx<'_>, place: &Place, element: Element) -> Result<()> {
    let Place { path, at } = place;
    let (slot, order) = order_with(tx.get(path.leaf)?.order(), *at, path.len)?;
    write_order(tx, path, &order, *at, path.len)?;
    tx.set(Leaf::slot(path.leaf, slot)?, element)
}

/// Gives the element at `old` another score, with which it stands before the one at index `before`.
#[inline]
fn move_inside(
    tx: &mut Tx<'_>,
    tree: Tree,
    old: &Place,
    before: usize,
    score: f64,
) -> Result<Tree> {
    let Place { path, at: from } = old;
    let to = if before > *from { before - 1 } else { before };
    let node = tx.get(path.leaf)?;
    let (element, order) = (node.element(*from)?, node.order_moved(*from, to)?);
    let (slot, moved) = (order[to], Element { score, ..element });
    let first = match (from, to) {
        (_, 0) => Some(moved),
        (0, _) => Some(node.element(1)?),
        _ => None,
    };
    write_order(tx, path, &order, to.min(*from), to.max(*from))?;
    tx.set(Leaf::slot(path.leaf, slot)?.cast(), moved.score)?;
    if let Some(first) = first {
        first_of(tx, path.steps(), first)?;
    }
    Ok(tree)
}

/// Writes the leaf's order, of which the indices `from` to `to` differ if those are not the same.
#[inline]
fn write_order(tx: &mut Tx<'_>, path: &Path, order: &Order, from: usize, to: usize) -> Result<()> {
    if from == to {
        Ok(())
    } else {
        tx.write(path.leaf.at(from as u64), &order[from..=to])
    }
}

/// Adds to the counts of these steps.
#[inline]
fn count(tx: &mut Tx<'_>, steps: &[Step], by: i64) -> Result<()> {
    steps
        .iter()
        .try_for_each(|&step| add_to_count(tx, step, by))
}

#[inline]
fn add_to_count(tx: &mut Tx<'_>, step: Step, by: i64) -> Result<()> {
    let at = Inner::count(step.node()?, step.index());
    let count = *tx.get(at)?;
    tx.set(at, count.wrapping_add_signed(by))
}

/// The subtree at the end of `steps` has another first element now.
fn first_of(tx: &mut Tx<'_>, steps: &[Step], first: Element) -> Result<()> {
    let Some(step) = steps.iter().rev().find(|step| step.index() > 0) else {
        return Ok(());
    };
    let (score, member) = Inner::first(step.node()?, step.index());
    tx.set(score, first.score)?;
    tx.set(member, first.member)
}
