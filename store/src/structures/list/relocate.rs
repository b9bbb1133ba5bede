//! Moving a list's objects: header, nodes, chunks, and the objects of long elements.

use super::child::Child;
use super::chunk::Chunk;
use super::entry::{Entries, Value};
use super::handle::{DEEP, Form, Header, List, SINGLE};
use super::tree::{Tree, child_at, children};
use crate::damaged::damaged;
use crate::structures::Root;
use crate::structures::mover::{Cursor, Mover};
use pobj::{PPtr, Result, field};

/// The phase in which the ends of a list move; and that of its tree, whose place is an element's
/// number.
const ENDS: u8 = 0;
const TREE: u8 = 1;

/// Moves some objects of a list; see `Structure::relocate`.
pub(super) fn relocate(
    mover: &mut Mover<'_, '_>,
    root: &mut Root,
    cursor: Cursor,
) -> Result<Option<Cursor>> {
    if !matches!(root.encoding(), SINGLE | DEEP) {
        return Ok(None);
    }
    if mover.shift_root(root)? {
        return Ok(Some(cursor));
    }
    let list = List::open(mover.tx, *root)?;
    match (list.form, list.stored) {
        (Form::Single(chunk), _) => objects(mover, chunk).map(|()| None),
        (Form::Deep { head, tree, tail }, Some((header, _))) => match cursor.phase {
            ENDS => {
                let links = [field!(header, Header, head), field!(header, Header, tail)];
                let mut moved = false;
                for (chunk, link) in [head, tail].into_iter().zip(links) {
                    if let Some(chunk) = chunk {
                        moved |= self::chunk(mover, chunk, link)?;
                    }
                }
                let phase = if moved { ENDS } else { TREE };
                Ok(Some(Cursor { phase, at: 0 }))
            }
            _ => {
                let link = field!(field!(header, Header, tree), Tree, root);
                let next = in_tree(mover, tree, link, cursor.at)?;
                Ok(next.map(|at| Cursor { phase: TREE, at }))
            }
        },
        _ => Ok(None),
    }
}

/// Moves a chunk to which `link` points, or else the objects of its entries; whether the chunk has
/// moved.
fn chunk(mover: &mut Mover<'_, '_>, chunk: Chunk, link: PPtr<Child>) -> Result<bool> {
    if mover.shift_at(field!(link, Child, at), chunk.at)? {
        return Ok(true);
    }
    objects(mover, chunk).map(|()| false)
}

/// Moves the objects to which a chunk's entries point.
fn objects(mover: &mut Mover<'_, '_>, chunk: Chunk) -> Result<()> {
    const TAG: u64 = 1;
    const BYTES_A_LOOK: usize = 256;
    mover.spend((chunk.used() / BYTES_A_LOOK) as u64);
    let mut found = Vec::new();
    let (bytes, mut at) = (chunk.bytes(mover.tx)?, u64::from(chunk.span.start));
    for entry in Entries(bytes) {
        let entry = entry?;
        if let Value::Object(object, _) = entry.value
            && mover.tx.evacuating(object)
        {
            found.push((at, object));
        }
        at += entry.raw.len() as u64;
    }
    for (at, object) in found {
        if let Some(target) = mover.shift(object)? {
            let word = target.offset().to_le_bytes();
            mover.tx.write(chunk.at.at(at + TAG), &word)?;
        }
    }
    Ok(())
}

/// Moves what is on the way to element `index` of the tree and, if nothing there has moved, the
/// chunks from that element's to the last one beside it. The next element's number, or that of the
/// first one whose chunk has moved; `None` at the end.
fn in_tree(
    mover: &mut Mover<'_, '_>,
    tree: Tree,
    root: PPtr<u64>,
    index: u64,
) -> Result<Option<u64>> {
    if index >= tree.count {
        return Ok(None);
    }
    let (mut at, mut link, mut left) = (tree.top()?, root, index);
    for level in (1..=tree.levels).rev() {
        let node = at.node()?;
        if mover.shift_at(link, node)? {
            return Ok(Some(index));
        }
        let children = children(mover.tx, node, level)?;
        let mut number = 0;
        while let Some(child) = children.get(number)
            && left >= child.count(level)
        {
            left -= child.count(level);
            number += 1;
        }
        let Some(&child) = children.get(number) else {
            return Err(damaged("list: a tree's counts contradict each other"));
        };
        if level == 1 {
            let rest = children[number..].to_vec();
            return chunks(mover, node, number, &rest, index - left, tree.count);
        }
        link = field!(child_at(node, number).cast(), Child, at);
        at = child;
    }
    Err(damaged("list: a tree without levels"))
}

/// Moves chunks of a node: `rest` are its children from `number` on, the first of which begins with
/// element `next`, of `count`.
fn chunks(
    mover: &mut Mover<'_, '_>,
    node: PPtr<u8>,
    number: usize,
    rest: &[Child],
    mut next: u64,
    count: u64,
) -> Result<Option<u64>> {
    let mut again = None;
    for (nth, &child) in rest.iter().enumerate() {
        if nth > 0 && mover.is_spent() {
            break;
        }
        let link = child_at(node, number + nth).cast();
        if chunk(mover, Chunk::of(child)?, link)? {
            again.get_or_insert(next);
        }
        next += child.elements();
    }
    Ok(again.or((next < count).then_some(next)))
}
