//! The counted tree over a list's inner chunks: from an index to the chunk in O(log n).
//!
//! ```text
//! node   0  2  len      number of children, 1 to NODE_MAX
//!        2  2  level    1: the children are chunks; n: they are nodes of level n - 1
//!        4  4  reserved zero
//!        8     children, 16 bytes each: pointer; a chunk's span, or a node's count of elements
//! ```
//!
//! All leaves have the same depth. A node is changed in place, by logged writes of the children
//! that move; a full one splits: at the end where a push arrives, so that pushes leave full nodes
//! behind, else in the middle. An empty one goes. Each function collects one batch and reads the
//! tree as it was before, so that between two of them the transaction takes a step.

use super::Side;
use super::child::Child;
use super::chunk::Chunk;
use crate::damaged::damaged;
use crate::layout::DATA;
use bytemuck::{Pod, Zeroable};
use pobj::{PPtr, Pool, Result, Tx};
use static_assertions::const_assert_eq;
use std::ops::Range;

/// Children of a full node; with its head, a node fills a slot of 1 KiB.
const NODE_MAX: usize = 63;
const HEAD: u64 = 8;
const NODE_LEN: u64 = HEAD + (NODE_MAX * size_of::<Child>()) as u64;
const_assert_eq!(NODE_LEN, 1016);
/// More levels than any list has.
const LEVELS_MAX: u64 = 12;

/// Where a tree hangs from; all zero if it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Tree {
    /// Offset of the root node.
    pub root: u64,
    /// Number of elements.
    pub count: u64,
    /// The root's level.
    pub levels: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    len: u16,
    level: u16,
    reserved: u32,
}
const_assert_eq!(size_of::<Head>() as u64, HEAD);

/// The way from the root to a chunk: the node and the child's number at each level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    steps: [(u64, u16); LEVELS_MAX as usize],
    depth: usize,
}

impl Path {
    /// The number of the chunk in its node.
    pub(super) fn number(&self) -> usize {
        self.steps[self.depth - 1].1.into()
    }

    fn descend(&mut self, node: Child, number: usize) {
        self.steps[self.depth] = (node.at, number as u16);
        self.depth += 1;
    }

    fn step(&self, depth: usize) -> Result<(PPtr<u8>, usize)> {
        let (node, number) = self.steps[depth];
        Ok((Child { at: node, word: 0 }.node()?, number.into()))
    }
}

/// The children of a node of this level.
#[inline]
pub(super) fn children(pool: &Pool, node: PPtr<u8>, level: u64) -> Result<&[Child]> {
    let head: &Head = pool.get(node.cast())?;
    if u64::from(head.level) != level || !(1..=NODE_MAX).contains(&usize::from(head.len)) {
        return Err(damaged("list: a node's head contradicts itself"));
    }
    let bytes = pool.bytes(
        node.at(HEAD),
        u64::from(head.len) * size_of::<Child>() as u64,
    )?;
    bytemuck::try_cast_slice(bytes).map_err(|_| damaged("list: a misaligned node"))
}

/// Where child `number` of a node lies.
pub(crate) fn child_at(node: PPtr<u8>, number: usize) -> PPtr<u8> {
    node.at(HEAD + (number * size_of::<Child>()) as u64)
}

fn total(children: &[Child], level: u64) -> u64 {
    children
        .iter()
        .fold(0, |sum, child| sum.saturating_add(child.count(level)))
}

fn head(len: usize, level: u64) -> Head {
    Head {
        len: len as u16,
        level: level as u16,
        reserved: 0,
    }
}

fn new_node(tx: &mut Tx<'_>, children: &[Child], level: u64) -> Result<Child> {
    let node = tx.alloc(NODE_LEN, DATA)?;
    tx.fill(node, bytemuck::bytes_of(&head(children.len(), level)))?;
    tx.fill(node.at(HEAD), bytemuck::cast_slice(children))?;
    Ok(Child {
        at: node.offset(),
        word: total(children, level),
    })
}

fn set_len(tx: &mut Tx<'_>, node: PPtr<u8>, len: usize, level: u64) -> Result<()> {
    tx.set(node.cast(), head(len, level))
}

impl Tree {
    /// Whether there are no chunks.
    pub(super) fn is_empty(&self) -> bool {
        self.root == 0
    }

    /// The root node, as if it were a child.
    pub(super) fn top(&self) -> Result<Child> {
        if self.root == 0 || self.levels == 0 || self.levels > LEVELS_MAX {
            return Err(damaged("list: a tree's root contradicts itself"));
        }
        Ok(Child {
            at: self.root,
            word: self.count,
        })
    }

    /// The chunk that holds element `index` of the tree, the way there, and the element's number in
    /// it. O(log n).
    pub(super) fn find(&self, pool: &Pool, mut index: u64) -> Result<(Path, Chunk, usize)> {
        let (mut path, mut at) = (Path::default(), self.top()?);
        for level in (1..=self.levels).rev() {
            let children = children(pool, at.node()?, level)?;
            let mut number = 0;
            loop {
                let child = children
                    .get(number)
                    .ok_or_else(|| damaged("list: a tree's counts contradict each other"))?;
                let count = child.count(level);
                if index < count {
                    break;
                }
                index -= count;
                number += 1;
            }
            path.descend(at, number);
            at = children[number];
        }
        Ok((path, Chunk::of(at)?, index as usize))
    }

    /// The chunk at one end, and the way there.
    pub(super) fn end(&self, pool: &Pool, side: Side) -> Result<(Path, Chunk)> {
        let (mut path, mut at) = (Path::default(), self.top()?);
        for level in (1..=self.levels).rev() {
            let children = children(pool, at.node()?, level)?;
            let number = match side {
                Side::Left => 0,
                Side::Right => children.len() - 1,
            };
            path.descend(at, number);
            at = children[number];
        }
        Ok((path, Chunk::of(at)?))
    }

    /// The chunks beside a chunk that are in the same node: before and after it.
    pub(super) fn neighbours(&self, pool: &Pool, path: &Path) -> Result<[Option<Chunk>; 2]> {
        let (node, number) = path.step(path.depth - 1)?;
        let children = children(pool, node, 1)?;
        let chunk = |number: Option<usize>| match number.and_then(|number| children.get(number)) {
            Some(&child) => Chunk::of(child).map(Some),
            None => Ok(None),
        };
        Ok([chunk(number.checked_sub(1))?, chunk(Some(number + 1))?])
    }

    /// Adds a chunk at one end.
    pub(super) fn push(&mut self, tx: &mut Tx<'_>, side: Side, chunk: Chunk) -> Result<()> {
        if self.is_empty() {
            let root = new_node(tx, &[chunk.child()], 1)?;
            *self = Tree {
                root: root.at,
                count: root.word,
                levels: 1,
            };
            return Ok(());
        }
        let (path, _) = self.end(tx, side)?;
        let number = path.number() + usize::from(side == Side::Right);
        self.replace(tx, &path, number..number, &[chunk])
    }

    /// Removes the chunk at one end, and returns it.
    pub(super) fn pop(&mut self, tx: &mut Tx<'_>, side: Side) -> Result<Chunk> {
        let (path, chunk) = self.end(tx, side)?;
        self.replace(tx, &path, path.number()..path.number() + 1, &[])?;
        Ok(chunk)
    }

    /// Puts `new` (at most two) in the place of the chunks with these numbers in the node at the
    /// end of `path`. The caller frees what has no place any more. O(log n).
    pub(super) fn replace(
        &mut self,
        tx: &mut Tx<'_>,
        path: &Path,
        range: Range<usize>,
        new: &[Chunk],
    ) -> Result<()> {
        let mut new: Vec<Child> = new.iter().map(|chunk| chunk.child()).collect();
        let mut range = range;
        let mut count = self.count;
        for depth in (0..path.depth).rev() {
            let level = (path.depth - depth) as u64;
            let (node, number) = path.step(depth)?;
            if level > 1 {
                range = number..number + 1;
            }
            let children = children(tx, node, level)?;
            let old = children
                .get(range.clone())
                .ok_or_else(|| damaged("list: a node has too few children"))?;
            if level == 1 {
                let gone = total(old, 1);
                count = count
                    .checked_sub(gone)
                    .ok_or_else(|| damaged("list: a tree's count is too small"))?;
                count += total(&new, 1);
            }
            if let ([old], [new_child]) = (old, &new[..]) {
                let (old, new_child) = (*old, *new_child);
                let own = own_count(path, depth, self.count, tx)?;
                let (before, after) = (old.count(level), new_child.count(level));
                let own = own
                    .checked_sub(before)
                    .ok_or_else(|| damaged("list: a node's count is too small"))?
                    + after;
                let at = child_at(node, range.start);
                if old.at == new_child.at {
                    tx.set(at.at(8), new_child.word)?
                } else {
                    tx.set(at.cast(), new_child)?
                }
                new = vec![Child {
                    at: node.offset(),
                    word: own,
                }];
                continue;
            }
            let all = [&children[..range.start], &new, &children[range.end..]].concat();
            let is_root = depth == 0;
            new = match all.len() {
                0 => {
                    tx.free(node)?;
                    Vec::new()
                }
                // The root's only child takes its place.
                1 if is_root && level > 1 => {
                    tx.free(node)?;
                    *self = Tree {
                        root: all[0].at,
                        count,
                        levels: level - 1,
                    };
                    return Ok(());
                }
                1..=NODE_MAX => {
                    let moved = &all[range.start..];
                    if !moved.is_empty() {
                        tx.write(child_at(node, range.start), bytemuck::cast_slice(moved))?;
                    }
                    set_len(tx, node, all.len(), level)?;
                    vec![Child {
                        at: node.offset(),
                        word: total(&all, level),
                    }]
                }
                len => {
                    let at = match range {
                        Range { end, .. } if end + 1 >= children.len() => NODE_MAX.min(len - 1),
                        Range { start: 0, .. } => len - NODE_MAX,
                        _ => len / 2,
                    };
                    let (stay, go) = all.split_at(at);
                    let moved = stay.get(range.start..).unwrap_or(&[]);
                    if !moved.is_empty() {
                        tx.write(child_at(node, range.start), bytemuck::cast_slice(moved))?;
                    }
                    set_len(tx, node, stay.len(), level)?;
                    vec![
                        Child {
                            at: node.offset(),
                            word: total(stay, level),
                        },
                        new_node(tx, go, level)?,
                    ]
                }
            };
        }
        *self = match new[..] {
            [] => Tree::default(),
            [root] => Tree {
                root: root.at,
                count,
                ..*self
            },
            _ => {
                let levels = self.levels + 1;
                if levels > LEVELS_MAX {
                    return Err(damaged("list: a tree has too many levels"));
                }
                Tree {
                    root: new_node(tx, &new, levels)?.at,
                    count,
                    levels,
                }
            }
        };
        Ok(())
    }

    /// Cuts off the `n` elements at one end, which must be fewer than all. What is cut off is a
    /// tree of its own, perhaps an empty one, but for the elements that share a chunk with one that
    /// stays: these are freed. O(log n).
    pub(super) fn cut(&mut self, tx: &mut Tx<'_>, side: Side, n: u64) -> Result<Tree> {
        let last_kept = match side {
            Side::Left => n,
            Side::Right => (self.count - n).saturating_sub(1),
        };
        let (path, mut chunk, inside) = self.find(tx, last_kept)?;
        let drop = match side {
            Side::Left => inside,
            Side::Right => usize::from(chunk.span.count) - 1 - inside,
        };
        chunk.drop_entries(tx, side, drop)?;
        let mut kept = chunk.child();
        let mut gone: Option<Child> = None;
        for depth in (0..path.depth).rev() {
            let level = (path.depth - depth) as u64;
            let (node, number) = path.step(depth)?;
            let children = children(tx, node, level)?;
            let (before, after) = (&children[..number], &children[number + 1..]);
            let (stay, cut) = match side {
                Side::Left => (
                    [&[kept][..], after].concat(),
                    [before, gone.as_slice()].concat(),
                ),
                Side::Right => (
                    [before, &[kept]].concat(),
                    [gone.as_slice(), after].concat(),
                ),
            };
            gone = if cut.is_empty() {
                None
            } else {
                Some(new_node(tx, &cut, level)?)
            };
            match side {
                Side::Left if number > 0 => {
                    tx.write(child_at(node, 0), bytemuck::cast_slice(&stay))?
                }
                _ => tx.set(child_at(node, number).cast(), kept)?,
            }
            set_len(tx, node, stay.len(), level)?;
            kept = Child {
                at: node.offset(),
                word: total(&stay, level),
            };
        }
        self.count = kept.word;
        Ok(match gone {
            Some(root) => Tree {
                root: root.at,
                count: root.word,
                levels: self.levels,
            },
            None => Tree::default(),
        })
    }

    /// Shows all chunks from one end on, but those that lie in the first `skip` elements; `f` gets
    /// how many elements of the chunk are to be skipped, and stops the walk by false.
    pub(super) fn walk(
        &self,
        pool: &Pool,
        side: Side,
        mut skip: u64,
        f: &mut impl FnMut(Chunk, usize) -> Result<bool>,
    ) -> Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        walk(pool, self.top()?, self.levels, side, &mut skip, f)
    }

    /// Frees chunks with their objects, from the right end, and the nodes that become empty, in
    /// about `budget` frees: the last chunk's objects may be more.
    pub(super) fn dismantle(&mut self, tx: &mut Tx<'_>, budget: usize) -> Result<()> {
        let (mut at, mut steps) = (self.top()?, Vec::new());
        for level in (2..=self.levels).rev() {
            let children = children(tx, at.node()?, level)?;
            steps.push((at.node()?, level, children.len()));
            at = *children.last().expect("a node has children");
        }
        let bottom = at.node()?;
        let mut chunks = children(tx, bottom, 1)?.to_vec();
        let mut frees = 0;
        while frees < budget
            && let Some(child) = chunks.pop()
        {
            frees += Chunk::of(child)?.destroy(tx)?;
        }
        if !chunks.is_empty() {
            return set_len(tx, bottom, chunks.len(), 1);
        }
        tx.free(bottom)?;
        while let Some((node, level, len)) = steps.pop() {
            if len > 1 {
                return set_len(tx, node, len - 1, level);
            }
            tx.free(node)?;
        }
        *self = Tree::default();
        Ok(())
    }

    /// Frees all nodes and chunks, with their objects. O(n).
    pub(super) fn destroy(&self, tx: &mut Tx<'_>) -> Result<()> {
        if self.is_empty() {
            Ok(())
        } else {
            destroy(tx, self.top()?, self.levels)
        }
    }

    /// The nodes' bytes in the pool and the chunks', objects of elements included.
    pub(super) fn memory(&self, pool: &Pool) -> Result<u64> {
        // One node for every NODE_MAX chunks or nodes is close enough.
        let (mut bytes, mut chunks) = (0, 0u64);
        self.walk(pool, Side::Left, 0, &mut |chunk, _| {
            chunks += 1;
            bytes += super::chunk_memory(pool, chunk)?;
            Ok(true)
        })?;
        Ok(bytes + chunks.div_ceil(NODE_MAX as u64 - 1) * NODE_LEN)
    }
}

/// The count of elements that the node at `depth` of the path has in all.
fn own_count(path: &Path, depth: usize, all: u64, pool: &Pool) -> Result<u64> {
    if depth == 0 {
        return Ok(all);
    }
    let (parent, number) = path.step(depth - 1)?;
    Ok(pool.get::<Child>(child_at(parent, number).cast())?.word)
}

fn destroy(tx: &mut Tx<'_>, at: Child, level: u64) -> Result<()> {
    let node = at.node()?;
    for child in children(tx, node, level)?.to_vec() {
        match level {
            1 => drop(Chunk::of(child)?.destroy(tx)?),
            _ => destroy(tx, child, level - 1)?,
        }
    }
    tx.free(node)
}

fn walk(
    pool: &Pool,
    at: Child,
    level: u64,
    side: Side,
    skip: &mut u64,
    f: &mut impl FnMut(Chunk, usize) -> Result<bool>,
) -> Result<bool> {
    let children = children(pool, at.node()?, level)?;
    for nth in 0..children.len() {
        let child = match side {
            Side::Left => children[nth],
            Side::Right => children[children.len() - 1 - nth],
        };
        let count = child.count(level);
        if *skip >= count {
            *skip -= count;
            continue;
        }
        let go_on = match level {
            1 => f(Chunk::of(child)?, std::mem::take(skip) as usize)?,
            _ => walk(pool, child, level - 1, side, skip, f)?,
        };
        if !go_on {
            return Ok(false);
        }
    }
    Ok(true)
}
