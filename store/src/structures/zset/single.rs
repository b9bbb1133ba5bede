//! One element inserted, removed or moved, at once.
//!
//! Nearly always its leaf has room, or enough elements left. Then a slot, some bytes of the leaf's
//! order and one count in each node above are all that changes, and they are written without a copy
//! of any node. Where leaves change their number or share their elements anew, see `reshape.rs`;
//! only where inner nodes are split or joined, too, an [`Editor`] makes the change.

use super::edit::Editor;
use super::node::{Bound, Element, Inner, LEAF_MAX, LEAF_MIN, Leaf, Order, order_with};
use super::reshape::{self, Loss, first_of, spill, split};
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
    if tree.len > 0 {
        let place = tree.place(tx, &Bound::Before(element.score, name), path)?;
        let path = &place.path;
        // Steps whose counts are still to be told.
        let steps = match path.len {
            LEAF_MAX if spill(tx, &place, element, None)? || split(tx, &place, element)? => {
                Some(path.above())
            }
            LEAF_MAX => None,
            _ => {
                put(tx, &place, element)?;
                Some(path.steps())
            }
        };
        if let Some(steps) = steps {
            count(tx, steps, 1)?;
            tree.len += 1;
            return Ok(tree);
        }
    }
    let mut editor = Editor::new(tx, tree);
    editor.insert(element, name)?;
    editor.finish()
}

/// Removes an element, which must be there; `name` is its member's. O(log n).
#[inline]
pub(super) fn remove(tx: &mut Tx<'_>, tree: Tree, element: Element, name: &[u8]) -> Result<Tree> {
    let place = find(tx, tree, element, name)?;
    take_out(tx, tree, &place, element, name, LEAF_MIN)
}

/// Removes the element at `place`, which is at one end of the tree. O(log n).
///
/// Who takes one element after the other from an end empties leaf after leaf: such a leaf takes no
/// elements from its neighbour, but goes with its last one.
#[inline]
pub(super) fn pop(
    tx: &mut Tx<'_>,
    tree: Tree,
    place: &Place,
    element: Element,
    name: &[u8],
) -> Result<Tree> {
    take_out(tx, tree, place, element, name, 1)
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
    let has_room = new.path.len < LEAF_MAX;
    let stays = matches!(reshape::loss(tx, &old.path, LEAF_MIN)?, Loss::Alone);
    if !stays || !has_room && !spill(tx, &new, moved, Some(old.path.leaf))? {
        let mut editor = Editor::new(tx, tree);
        editor.remove(element.score, name)?;
        editor.insert(moved, name)?;
        return editor.finish();
    }
    if has_room {
        put(tx, &new, moved)?;
    }
    take(tx, &old)?;
    // Where the leaf has spilled, its parent knows already.
    let known = usize::from(!has_room);
    let steps = old.path.steps().iter().zip(new.path.steps()).rev();
    for (level, (&from, &to)) in steps.enumerate().filter(|(_, (from, to))| from != to) {
        add_to_count(tx, from, -1)?;
        if level >= known {
            add_to_count(tx, to, 1)?;
        }
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
fn take_out(
    tx: &mut Tx<'_>,
    mut tree: Tree,
    place: &Place,
    element: Element,
    name: &[u8],
    least: usize,
) -> Result<Tree> {
    let path = &place.path;
    let steps = match reshape::loss(tx, path, least)? {
        Loss::Alone => {
            take(tx, place)?;
            path.steps()
        }
        Loss::Join(other) => {
            reshape::join(tx, place, other)?;
            path.above()
        }
        Loss::Drop => {
            reshape::drop_leaf(tx, path)?;
            path.above()
        }
        Loss::Deep => {
            let mut editor = Editor::new(tx, tree);
            editor.remove(element.score, name)?;
            return editor.finish();
        }
    };
    count(tx, steps, -1)?;
    tree.len -= 1;
    Ok(tree)
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
