//! A full leaf that gets one element more gives some of its own to a neighbour with room.
//!
//! So leaves are about four fifths full. Only the elements that change hands are written, the leaves' orders,
//! and what the nodes above say of the two.

use super::node::{Element, Inner, LEAF_MAX, Leaf, damaged, order_with, pointer};
use super::tree::{Place, Step, leaf};
use bytemuck::Zeroable;
use pobj::{Result, Tx};

/// A neighbour with more elements is not asked: what room it has would soon be used up.
const FEW: usize = LEAF_MAX - 6;

/// Puts an element at `place`, in a full leaf, and moves others to a neighbour, which is not `except`; false,
/// and nothing is done, if none has the room. The counts above the leaves' parent are the caller's.
pub fn spill(tx: &mut Tx<'_>, place: &Place, new: Element, except: u64) -> Result<bool> {
    let Place { path, at } = place;
    let Some(&Step {
        node: parent,
        index,
    }) = path.steps().last()
    else {
        return Ok(false);
    };
    let inner: &Inner = tx.get(pointer(parent)?)?;
    let (before, behind) = (index.checked_sub(1), Some(index + 1));
    let fewest = [before, behind]
        .into_iter()
        .flatten()
        .filter(|&i| i < inner.counts().map_or(0, <[u64]>::len))
        .map(|i| (i, inner.child(i)))
        .filter(|(_, child)| child.node != except && child.count <= FEW as u64)
        .min_by_key(|(_, child)| child.count);
    let Some((other_index, other)) = fewest else {
        return Ok(false);
    };
    let (full, node, n) = (
        leaf(tx, path.leaf)?,
        leaf(tx, other.node)?,
        other.count as usize,
    );
    let (total, to_left) = (n + LEAF_MAX + 1, other_index < index);
    let left = total / 2;
    // Of the full leaf's elements, the new one among them, these move.
    let moving = if to_left {
        0..left - n
    } else {
        left..LEAF_MAX + 1
    };
    let element = |i: usize| match i {
        _ if i < *at => full.element(i),
        _ if i == *at => Ok(new),
        _ => full.element(i - 1),
    };
    let mut moved = [Element::zeroed(); LEAF_MAX];
    for (to, from) in moved.iter_mut().zip(moving.clone()) {
        *to = element(from)?;
    }
    let moved = &moved[..moving.len()];
    let first = element(if to_left { moving.end } else { left })?;

    let (mut order, slots) = (*node.order(), *node.order());
    let slots = slots
        .get(n..n + moved.len())
        .ok_or_else(|| damaged("a leaf's length"))?;
    let mut own = *full.order();
    if to_left {
        own.rotate_left(moved.len() - usize::from(*at < moving.end));
    } else {
        order[..n + moved.len()].rotate_right(moved.len());
        tx.write(pointer(other.node)?, &order[..n + moved.len()])?;
    }
    for (&slot, &element) in slots.iter().zip(moved) {
        tx.set(pointer(other.node + Leaf::slot_at(slot)?)?, element)?;
    }
    if !moving.contains(at) {
        let (at, len) = match to_left {
            true => (at - moved.len(), LEAF_MAX - moved.len()),
            false => (*at, left - 1),
        };
        let (slot, with) = order_with(&own, at, len)?;
        own = with;
        tx.set(pointer(path.leaf + Leaf::slot_at(slot)?)?, new)?;
    }
    tx.write(pointer(path.leaf)?, &own)?;

    let (a, b) = if to_left {
        (other_index, index)
    } else {
        (index, other_index)
    };
    let counts = [left as u64, (total - left) as u64];
    tx.set(pointer(parent + Inner::count_at(a))?, counts)?;
    let (score, member) = Inner::first_at(b);
    tx.set(pointer(parent + score)?, first.score)?;
    tx.set(pointer(parent + member)?, first.member)?;
    Ok(true)
}
