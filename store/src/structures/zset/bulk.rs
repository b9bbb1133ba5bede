//! Building a tree from all its elements at once, and taking one apart.

use super::node::{Child, Element, INNER_MAX, Inner, LEAF_MAX, Leaf, MemberPtr, NodePtr, there};
use super::tree::{HEIGHT_MAX, Tree};
use crate::damaged::damaged;
use crate::layout::DATA;
use crate::structures::Owns;
use bytemuck::{Pod, Zeroable};
use pobj::{Pool, Result, Tx};
use std::mem::size_of;

/// Elements of a leaf of a new tree: some room is left for later ones.
const LEAF_FILL: usize = LEAF_MAX * 9 / 10;
/// Children of an inner node of a new tree.
const INNER_FILL: usize = INNER_MAX * 9 / 10;

/// Cuts `n` things into the fewest parts of at most `most`, of nearly equal size.
fn parts(n: usize, most: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = n.div_ceil(most);
    (0..count).map(move |i| i * n / count..(i + 1) * n / count)
}

/// A tree that was cut off another one, and that owns its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Cut {
    /// The root node.
    pub root: Option<NodePtr>,
    /// Levels of inner nodes.
    pub height: u64,
    /// Number of elements when it was cut off.
    pub len: u64,
}

impl Cut {
    /// The whole of a tree.
    pub(super) fn of(tree: Tree) -> Cut {
        Cut {
            root: tree.root,
            height: tree.height as u64,
            len: tree.len,
        }
    }

    /// Shows `owns` the nodes, and `members` the members that are left.
    pub(super) fn each(
        self,
        pool: &Pool,
        owns: Owns<'_>,
        members: &mut dyn FnMut(MemberPtr),
    ) -> Result<()> {
        let mut level = vec![(self.root, self.len)];
        for _ in 0..self.height.min(HEIGHT_MAX as u64) {
            let mut below = Vec::new();
            for (node, _) in level {
                let node = there(node)?;
                owns(node.cast());
                let inner: &Inner = pool.get(node.cast())?;
                let children = (0..inner.len()?).map(|i| inner.child(i));
                below.extend(children.map(|child| (child.node, child.count)));
            }
            level = below;
        }
        for (node, count) in level {
            let node = there(node)?;
            owns(node.cast());
            let leaf: &Leaf = pool.get(node.cast())?;
            for i in 0..count as usize {
                members(there(leaf.element(i)?.member)?);
            }
        }
        Ok(())
    }

    /// Frees the last leaf, and the nodes that become empty; gives its members, and whether nothing
    /// is left.
    pub(crate) fn shed(self, tx: &mut Tx<'_>) -> Result<(Vec<MemberPtr>, bool)> {
        if self.height > HEIGHT_MAX as u64 {
            return Err(damaged("a sorted set: a tree's height"));
        }
        let (mut node, mut count, mut above) = (there(self.root)?, self.len, Vec::new());
        for _ in 0..self.height {
            let inner: &Inner = tx.get(node.cast())?;
            let n = inner.len()?;
            let last = inner.child(n - 1);
            above.push((node, n));
            (node, count) = (there(last.node)?, last.count);
        }
        let leaf: Leaf = *tx.get(node.cast())?;
        let count = usize::try_from(count).ok().filter(|&n| n <= LEAF_MAX);
        let members = (0..count.ok_or_else(|| damaged("a sorted set: a leaf's length"))?)
            .map(|i| there(leaf.element(i)?.member))
            .collect::<Result<_>>()?;
        tx.free(node)?;
        while let Some((node, n)) = above.pop() {
            if n > 1 {
                tx.set(node.cast(), n as u64 - 1)?;
                return Ok((members, false));
            }
            tx.free(node)?;
        }
        Ok((members, true))
    }
}

/// Builds a tree of elements in ascending order, at least one. O(n).
pub(super) fn build(tx: &mut Tx<'_>, elements: &[Element]) -> Result<Tree> {
    let mut level = Vec::with_capacity(elements.len().div_ceil(LEAF_FILL));
    for part in parts(elements.len(), LEAF_FILL) {
        let part = &elements[part];
        let leaf = tx.alloc_value(&Leaf::new(part), DATA)?;
        level.push(Child {
            first: part[0],
            count: part.len() as u64,
            node: Some(leaf.cast()),
        });
    }
    let mut height = 0;
    while level.len() > 1 {
        let mut above = Vec::with_capacity(level.len().div_ceil(INNER_FILL));
        for part in parts(level.len(), INNER_FILL) {
            let part = &level[part];
            let inner = tx.alloc_value(&Inner::new(part), DATA)?;
            let count = part.iter().map(|child| child.count).sum();
            above.push(Child {
                first: part[0].first,
                count,
                node: Some(inner.cast()),
            });
        }
        level = above;
        height += 1;
    }
    let root = level
        .first()
        .ok_or_else(|| damaged("a sorted set: an empty tree"))?
        .node;
    Ok(Tree {
        root,
        height,
        len: elements.len() as u64,
    })
}

/// Frees nodes from the tree's end, at most about `budget`, but no members. Gives what is left, of
/// length 0 if nothing is. The tree can no longer be read as one: counts are not kept up to date.
pub(super) fn dismantle(tx: &mut Tx<'_>, tree: Tree, budget: usize) -> Result<Tree> {
    if tree.height > HEIGHT_MAX {
        return Err(damaged("a sorted set: a tree's height"));
    }
    let torn = tear(tx, there(tree.root)?, tree.height, &mut budget.max(1))?;
    Ok(if torn { Tree::EMPTY } else { tree })
}

/// Frees what is below a node from its end, and the node itself if nothing is left; true then.
fn tear(tx: &mut Tx<'_>, node: NodePtr, height: usize, budget: &mut usize) -> Result<bool> {
    if height > 0 {
        let inner: Inner = *tx.get(node.cast())?;
        let n = inner.len()?;
        for left in (0..n).rev() {
            if *budget > 0 && tear(tx, there(inner.child(left).node)?, height - 1, budget)? {
                continue;
            }
            if left + 1 < n {
                tx.set(node.cast(), left as u64 + 1)?;
            }
            return Ok(false);
        }
    }
    *budget = budget.saturating_sub(1);
    tx.free(node)?;
    Ok(true)
}

/// The objects a tree takes besides its members, in bytes.
pub(super) fn memory(pool: &Pool, tree: Tree) -> Result<u64> {
    let (mut sum, mut level) = (0, vec![tree.root]);
    for height in (0..tree.height.min(HEIGHT_MAX)).rev() {
        let mut below = Vec::new();
        for &node in &level {
            let node = there(node)?;
            let inner: &Inner = pool.get(node.cast())?;
            below.extend((0..inner.len()?).map(|i| inner.child(i).node));
            sum += pool.capacity(node)?;
        }
        if height == 0 {
            return Ok(sum + below.len() as u64 * size_of::<Leaf>() as u64);
        }
        level = below;
    }
    Ok(sum + size_of::<Leaf>() as u64)
}
