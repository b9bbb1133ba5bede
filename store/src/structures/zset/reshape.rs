//! Leaves that are full, or nearly empty: what becomes of one, a neighbour, and the node above.
//!
//! A full leaf that gets one element more gives some to a neighbour with room, so leaves are about
//! four fifths full; else it is split. A leaf that has few elements left is joined with a neighbour
//! that has few, and one that has none left goes. Only what changes is written. Each function here
//! leaves the counts above the leaf's parent to its caller, and does nothing where nodes above the
//! parent would be split or joined: there an [`Editor`](super::edit::Editor) is needed.

use super::node::{Child, Element, INNER_MAX, INNER_MIN, Inner, LEAF_MAX, Leaf, order_with, there};
use super::tree::{Path, Place, Step};
use crate::damaged::damaged;
use crate::layout::DATA;
use bytemuck::Zeroable;
use pobj::{PPtr, Pool, Result, Tx};

/// A neighbour with more elements is not asked to take some: what room it has would soon be used
/// up.
pub(super) const ROOMY: usize = LEAF_MAX - 6;
/// Two leaves are joined if they have no more elements than this.
pub(super) const JOINED_MAX: usize = LEAF_MAX - 4;

/// The parent of the leaf at the end of a path, and the leaf's index in it.
fn parent<'p>(pool: &'p Pool, path: &Path) -> Result<Option<(PPtr<Inner>, &'p Inner, usize)>> {
    match path.steps().last() {
        Some(step) => {
            let at = step.node()?;
            Ok(Some((at, pool.get(at)?, step.index())))
        }
        None => Ok(None),
    }
}

/// The neighbours of child `index` among `n`.
pub(super) fn beside(index: usize, n: usize) -> impl Iterator<Item = usize> {
    let both = [index.checked_sub(1), Some(index + 1)].into_iter();
    both.flatten().filter(move |&i| i < n)
}

/// Of leaves and the numbers of their elements the one that has fewest, `most` at most.
pub(super) fn emptiest(
    leaves: impl Iterator<Item = (usize, u64)>,
    most: usize,
) -> Option<(usize, u64)> {
    let few = leaves.filter(|&(_, count)| count <= most as u64);
    few.min_by_key(|&(_, count)| count)
}

/// The neighbour of child `index` that has fewer elements, at most `most`, and is not the node
/// `except`.
fn neighbour(
    node: &Inner,
    index: usize,
    most: usize,
    except: Option<PPtr<Leaf>>,
) -> Result<Option<(usize, Child)>> {
    let others = beside(index, node.len()?).map(|i| (i, node.child(i)));
    let others =
        others.filter(|(_, child)| except.is_none_or(|except| child.node != Some(except.cast())));
    let found = emptiest(others.map(|(i, child)| (i, child.count)), most);
    Ok(found.map(|(i, _)| (i, node.child(i))))
}

/// The elements of a full leaf and one more, at index `at`: that of index `i`.
fn element_of(full: &Leaf, at: usize, new: Element, i: usize) -> Result<Element> {
    match i {
        _ if i < at => full.element(i),
        _ if i == at => Ok(new),
        _ => full.element(i - 1),
    }
}

/// Puts an element at `place`, in a full leaf, and moves others to a neighbour, which is not
/// `except`; false, and nothing is done, if none has the room.
pub(crate) fn spill(
    tx: &mut Tx<'_>,
    place: &Place,
    new: Element,
    except: Option<PPtr<Leaf>>,
) -> Result<bool> {
    let Place { path, at } = place;
    let Some((parent, inner, index)) = parent(tx, path)? else {
        return Ok(false);
    };
    let Some((other_index, other)) = neighbour(inner, index, ROOMY, except)? else {
        return Ok(false);
    };
    let theirs: PPtr<Leaf> = there(other.node)?.cast();
    let (full, node, n) = (tx.get(path.leaf)?, tx.get(theirs)?, other.count as usize);
    let (total, to_left) = (n + LEAF_MAX + 1, other_index < index);
    let left = total / 2;
    // Of the full leaf's elements, the new one among them, these move.
    let moving = if to_left {
        0..left - n
    } else {
        left..LEAF_MAX + 1
    };
    let mut moved = [Element::zeroed(); LEAF_MAX];
    for (to, from) in moved.iter_mut().zip(moving.clone()) {
        *to = element_of(full, *at, new, from)?;
    }
    let moved = &moved[..moving.len()];
    let first = element_of(full, *at, new, if to_left { moving.end } else { left })?;

    let (mut own, mut order) = (*full.order(), *node.order());
    let slots: [u8; LEAF_MAX] = order;
    if to_left {
        own.rotate_left(moved.len() - usize::from(moving.contains(at)));
    } else {
        order[..n + moved.len()].rotate_right(moved.len());
        tx.write(theirs.cast(), &order[..n + moved.len()])?;
    }
    fill_slots(tx, theirs, &slots[n..], moved)?;
    if !moving.contains(at) {
        let (at, len) = if to_left {
            (at - moved.len(), LEAF_MAX - moved.len())
        } else {
            (*at, left - 1)
        };
        let (slot, with) = order_with(&own, at, len)?;
        own = with;
        tx.set(Leaf::slot(path.leaf, slot)?, new)?;
    }
    tx.write(path.leaf.cast(), &own)?;

    let (a, b) = if to_left {
        (other_index, index)
    } else {
        (index, other_index)
    };
    let counts = [left as u64, (total - left) as u64];
    tx.set(Inner::count(parent, a).cast(), counts)?;
    set_first(tx, parent, b, first)?;
    Ok(true)
}

/// Writes elements to these slots of a leaf.
fn fill_slots(tx: &mut Tx<'_>, leaf: PPtr<Leaf>, slots: &[u8], elements: &[Element]) -> Result<()> {
    if slots.len() < elements.len() {
        return Err(damaged("a sorted set: a leaf's length"));
    }
    for (&slot, &element) in slots.iter().zip(elements) {
        tx.set(Leaf::slot(leaf, slot)?, element)?;
    }
    Ok(())
}

/// Says of child `index` of the node which element is its first.
fn set_first(tx: &mut Tx<'_>, node: PPtr<Inner>, index: usize, first: Element) -> Result<()> {
    let (score, member) = Inner::first(node, index);
    tx.set(score, first.score)?;
    tx.set(member, first.member)
}

/// Writes what a node says of its children, from one on.
fn write_children(tx: &mut Tx<'_>, at: PPtr<Inner>, node: &Inner, from: usize) -> Result<()> {
    tx.set(at.cast(), node.len()? as u64)?;
    for (place, words) in node.children_from(at, from)? {
        tx.write(place, words)?;
    }
    Ok(())
}

/// Puts an element at `place`, in a full leaf, of which a part goes to a new one; false, and
/// nothing is done, if the parent is full, or there is none.
pub(super) fn split(tx: &mut Tx<'_>, place: &Place, new: Element) -> Result<bool> {
    let Place { path, at } = place;
    let Some((parent, inner, index)) = parent(tx, path)? else {
        return Ok(false);
    };
    if inner.len()? == INNER_MAX {
        return Ok(false);
    }
    // Elements that arrive in order leave full leaves behind.
    let left = if *at == LEAF_MAX && is_last(tx, path)? {
        LEAF_MAX
    } else {
        LEAF_MAX.div_ceil(2)
    };
    let full = tx.get(path.leaf)?;
    let (own, mut inner) = (*full.order(), *inner);
    let mut moved = [Element::zeroed(); LEAF_MAX];
    let moved = &mut moved[..LEAF_MAX + 1 - left];
    for (i, to) in moved.iter_mut().enumerate() {
        *to = element_of(full, *at, new, left + i)?;
    }
    let node = tx.alloc_value(&Leaf::new(moved), DATA)?;
    if *at < left {
        let (slot, order) = order_with(&own, *at, left - 1)?;
        tx.write(path.leaf.cast(), &order)?;
        tx.set(Leaf::slot(path.leaf, slot)?, new)?;
    }
    inner.set_count(index, left as u64);
    let child = Child {
        first: moved[0],
        count: moved.len() as u64,
        node: Some(node.cast()),
    };
    inner.insert(index + 1, child)?;
    write_children(tx, parent, &inner, index)?;
    Ok(true)
}

/// Whether the path leads to the last leaf.
fn is_last(pool: &Pool, path: &Path) -> Result<bool> {
    for step in path.steps() {
        let node = pool.get(step.node()?)?;
        if step.index() + 1 < node.len()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How a leaf can lose an element.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// It keeps enough, or no neighbour could be joined with it.
    Alone,
    /// [`join`] it with this child of its parent.
    Join(usize),
    /// It was the last one: [`drop_leaf`].
    Drop,
    /// Nodes above its parent change.
    Deep,
}

/// How the leaf at the end of the path, of which `least` elements are enough, can lose one.
pub(super) fn loss(pool: &Pool, path: &Path, least: usize) -> Result<Loss> {
    let n = path.len;
    if n > least {
        return Ok(Loss::Alone);
    }
    let Some((_, inner, index)) = parent(pool, path)? else {
        return Ok(if n > 1 { Loss::Alone } else { Loss::Deep });
    };
    let way = match n {
        1 => Loss::Drop,
        _ => match neighbour(inner, index, JOINED_MAX + 1 - n, None)? {
            Some((other, _)) => Loss::Join(other),
            None => return Ok(Loss::Alone),
        },
    };
    let fewest = if path.steps().len() == 1 {
        2
    } else {
        INNER_MIN
    };
    Ok(if inner.len()? > fewest {
        way
    } else {
        Loss::Deep
    })
}

/// Takes out the element at `place`, and joins the leaf with a neighbour, a child of its parent.
pub(super) fn join(tx: &mut Tx<'_>, place: &Place, other: usize) -> Result<()> {
    let Place { path, at } = place;
    let Some((parent, inner, index)) = parent(tx, path)? else {
        return Err(damaged("a sorted set: a tree's height"));
    };
    let (n, child) = (path.len - 1, inner.child(other));
    let other_leaf: PPtr<Leaf> = there(child.node)?.cast();
    let (own, mut inner) = (tx.get(path.leaf)?, *inner);
    let theirs = tx.get(other_leaf)?;
    let (order, their_order) = (own.order_moved(*at, n)?, *theirs.order());
    let first = own.element_in(&order, 0)?;
    let mut moved = [Element::zeroed(); LEAF_MAX];
    let total = n + child.count as usize;
    let left = index.min(other);
    if other < index {
        for (i, to) in moved[..n].iter_mut().enumerate() {
            *to = own.element_in(&order, i)?;
        }
        fill_slots(tx, other_leaf, &their_order[total - n..], &moved[..n])?;
        tx.free(path.leaf)?;
    } else {
        let moved = &mut moved[..total - n];
        for (i, to) in moved.iter_mut().enumerate() {
            *to = theirs.element(i)?;
        }
        tx.write(path.leaf.cast(), &order)?;
        fill_slots(tx, path.leaf, &order[n..], moved)?;
        tx.free(other_leaf)?;
        if *at == 0 {
            match index {
                0 => first_of(tx, path.above(), first)?,
                _ => inner.set_first(index, first),
            }
        }
    }
    inner.remove(left + 1)?;
    inner.set_count(left, total as u64);
    write_children(tx, parent, &inner, left)
}

/// Frees the leaf at the end of the path, whose only element is gone.
pub(crate) fn drop_leaf(tx: &mut Tx<'_>, path: &Path) -> Result<()> {
    let Some((parent, inner, index)) = parent(tx, path)? else {
        return Err(damaged("a sorted set: a tree's height"));
    };
    let mut inner = *inner;
    inner.remove(index)?;
    tx.free(path.leaf)?;
    if index == 0 {
        first_of(tx, path.above(), inner.child(0).first)?;
    }
    write_children(tx, parent, &inner, index)
}

/// The subtree at the end of `steps` has another first element now.
pub(crate) fn first_of(tx: &mut Tx<'_>, steps: &[Step], first: Element) -> Result<()> {
    match steps.iter().rev().find(|step| step.index() > 0) {
        Some(step) => set_first(tx, step.node()?, step.index(), first),
        None => Ok(()),
    }
}
