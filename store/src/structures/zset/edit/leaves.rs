//! Leaves that are full, or nearly empty: what becomes of one, and of its neighbour.
//!
//! A full leaf that gets one element more gives some to a neighbour with room, so leaves are about
//! four fifths full; else it is split. A leaf that has few elements left is joined with a neighbour
//! that has few, and one that has none left goes.

use super::Editor;
use crate::damaged::damaged;
use crate::structures::zset::node::{Child, Element, INNER_MAX, Inner, LEAF_MAX, Leaf, there};
use crate::structures::zset::tree::{Path, Tree};
use pobj::{PPtr, Result};

/// A neighbour with more elements is not asked to take some: what room it has would soon be used
/// up.
const ROOMY: usize = LEAF_MAX - 6;
/// Two leaves are joined if they have no more elements than this.
const JOINED_MAX: usize = LEAF_MAX - 4;

impl Editor<'_, '_> {
    /// Puts an element at index `at` of the full leaf at the end of the path, of which others go to
    /// a neighbour, or to a new leaf; false if only a node above has been split to that end.
    pub(super) fn put_into_full(&mut self, path: &Path, at: usize, new: Element) -> Result<bool> {
        let Some(step) = path.steps().last() else {
            let first = self.leaf(path.leaf)?.element(0)?;
            let count = LEAF_MAX as u64;
            let node = Some(path.leaf.cast());
            let root = self.grow(Child { first, count, node })?;
            self.split_leaf(path, (root, 0), at, new, false)?;
            return Ok(true);
        };
        let parent = (step.node()?, step.index());
        if let Some(other) = self.neighbour(parent, ROOMY)? {
            self.spill(path, parent, other, at, new)?;
        } else if self.inner(parent.0)?.len()? < INNER_MAX {
            let appends = at == LEAF_MAX && self.is_last(path)?;
            self.split_leaf(path, parent, at, new, appends)?;
        } else {
            self.split_inner(path.steps())?;
            return Ok(false);
        }
        self.add_to_counts(path.above(), 1)?;
        Ok(true)
    }

    /// Whether the path leads to the last leaf.
    fn is_last(&self, path: &Path) -> Result<bool> {
        for step in path.steps() {
            if step.index() + 1 < self.inner(step.node()?)?.len()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The element of index `i`, if there were one more at index `at`.
    fn with(&self, leaf: PPtr<Leaf>, (at, new): (usize, Element), i: usize) -> Result<Element> {
        match i {
            _ if i < at => self.leaf(leaf)?.element(i),
            _ if i == at => Ok(new),
            _ => self.leaf(leaf)?.element(i - 1),
        }
    }

    /// The neighbour of a child that has fewer elements, at most `most`.
    fn neighbour(&self, (node, index): (PPtr<Inner>, usize), most: usize) -> Result<Option<usize>> {
        let inner = self.inner(node)?;
        let n = inner.len()?;
        let beside = [index.checked_sub(1), Some(index + 1)]
            .into_iter()
            .flatten();
        let counts = (beside.filter(|&i| i < n)).map(|i| (i, self.count_in(node, inner, i)));
        let few = counts.filter(|&(_, count)| count <= most as u64);
        Ok(few.min_by_key(|&(_, count)| count).map(|(i, _)| i))
    }

    /// Puts an element into a full leaf, and moves others to its neighbour `other`, so that both
    /// have as many.
    fn spill(
        &mut self,
        path: &Path,
        (parent, index): (PPtr<Inner>, usize),
        other: usize,
        at: usize,
        new: Element,
    ) -> Result<()> {
        let theirs = leaf_of(self.inner(parent)?.child(other))?;
        let n = self.count(parent, other)? as usize;
        let total = n + LEAF_MAX + 1;
        let (left, to_left) = (total / 2, other < index);
        let first;
        if to_left {
            let moving = left - n;
            first = self.with(path.leaf, (at, new), moving)?;
            for i in 0..moving {
                let element = self.with(path.leaf, (at, new), i)?;
                self.leaf_mut(theirs)?.insert(n + i, n + i, element)?;
            }
            let leaf = self.leaf_mut(path.leaf)?;
            let gone = moving - usize::from(at < moving);
            leaf.remove_first(gone);
            if at >= moving {
                leaf.insert(at - gone, LEAF_MAX - gone, new)?;
            }
        } else {
            first = self.with(path.leaf, (at, new), left)?;
            for i in (left..=LEAF_MAX).rev() {
                let element = self.with(path.leaf, (at, new), i)?;
                self.leaf_mut(theirs)?.insert(0, total - 1 - i, element)?;
            }
            if at < left {
                self.leaf_mut(path.leaf)?.insert(at, left - 1, new)?;
            }
        }
        let (a, b) = (index.min(other), index.max(other));
        let parent = self.inner_mut(parent)?;
        parent.set_count(a, left as u64);
        parent.set_count(b, (total - left) as u64);
        parent.set_first(b, first);
        Ok(())
    }

    /// Puts an element into a full leaf, of which a part goes to a new one.
    fn split_leaf(
        &mut self,
        path: &Path,
        (parent, index): (PPtr<Inner>, usize),
        at: usize,
        new: Element,
        appends: bool,
    ) -> Result<()> {
        // Elements that arrive in order leave full leaves behind.
        let left = if appends {
            LEAF_MAX
        } else {
            LEAF_MAX.div_ceil(2)
        };
        let mut moved = [new; LEAF_MAX];
        let moved = &mut moved[..LEAF_MAX + 1 - left];
        for (i, to) in moved.iter_mut().enumerate() {
            *to = self.with(path.leaf, (at, new), left + i)?;
        }
        if at < left {
            self.leaf_mut(path.leaf)?.insert(at, left - 1, new)?;
        }
        let leaf = self.leaves.create(self.tx, Leaf::new(moved))?;
        let parent = self.inner_mut(parent)?;
        parent.set_count(index, left as u64);
        let child = Child {
            first: moved[0],
            count: moved.len() as u64,
            node: Some(leaf.cast()),
        };
        parent.insert(index + 1, child)
    }

    /// The leaf at the end of the path has few elements left.
    pub(super) fn refill_leaf(&mut self, path: &Path) -> Result<()> {
        let Some(step) = path.steps().last() else {
            return Ok(());
        };
        let (parent, index) = (step.node()?, step.index());
        if self.inner(parent)?.len()? == 1 {
            return Ok(());
        }
        let most = JOINED_MAX.saturating_sub(self.count(parent, index)? as usize);
        let Some(other) = self.neighbour((parent, index), most)? else {
            return Ok(());
        };
        let left = index.min(other);
        let n = self.count(parent, left)? as usize;
        let joining = self.count(parent, left + 1)? as usize;
        let inner = self.inner(parent)?;
        let (a, b) = (leaf_of(inner.child(left))?, leaf_of(inner.child(left + 1))?);
        for i in 0..joining {
            let element = self.leaf(b)?.element(i)?;
            self.leaf_mut(a)?.insert(n + i, n + i, element)?;
        }
        self.leaves.free(self.tx, b)?;
        let parent = self.inner_mut(parent)?;
        parent.remove(left + 1)?;
        parent.set_count(left, (n + joining) as u64);
        self.refill_inner(path.steps())
    }

    /// The leaf at the end of the path has no elements left.
    pub(super) fn drop_leaf(&mut self, path: &Path) -> Result<()> {
        self.leaves.free(self.tx, path.leaf)?;
        let mut steps = path.steps();
        while let Some((step, above)) = steps.split_last() {
            let (node, index) = (step.node()?, step.index());
            let copy = self.inner_mut(node)?;
            copy.remove(index)?;
            if !copy.is_empty() {
                let first = copy.child(0).first;
                if index == 0 {
                    self.set_first(above, first)?;
                }
                return self.refill_inner(steps);
            }
            self.inners.free(self.tx, node)?;
            steps = above;
        }
        if self.tree.len != 0 {
            return Err(damaged("a sorted set: a tree's counts"));
        }
        self.tree = Tree::EMPTY;
        Ok(())
    }
}

/// A child that is a leaf.
fn leaf_of(child: Child) -> Result<PPtr<Leaf>> {
    there(child.node).map(PPtr::cast)
}
