//! Inner nodes that are full, or nearly empty: what becomes of one, of its neighbour, and of the
//! nodes above.

use super::{Editor, children};
use crate::damaged::damaged;
use crate::structures::zset::node::{Child, INNER_MAX, INNER_MIN, Inner, there};
use crate::structures::zset::tree::{HEIGHT_MAX, Step};
use pobj::{PPtr, Result};

/// Two inner nodes are joined if they have no more children than this; else they share them.
const JOINED_MAX: usize = INNER_MAX - 8;

impl Editor<'_, '_> {
    /// Puts a new root above the old one, and gives it.
    pub(super) fn grow(&mut self, only: Child) -> Result<PPtr<Inner>> {
        if self.tree.height == HEIGHT_MAX {
            return Err(damaged("a sorted set: a tree's height"));
        }
        let root = self.inners.create(self.tx, Inner::new(&[only]))?;
        self.tree.root = Some(root.cast());
        self.tree.height += 1;
        Ok(root)
    }

    /// Splits the full inner node at the end of `steps`, or a full one above it.
    pub(super) fn split_inner(&mut self, steps: &[Step]) -> Result<()> {
        let Some((step, above)) = steps.split_last() else {
            return Err(damaged("a sorted set: a tree's height"));
        };
        let node = step.node()?;
        let (parent, index) = match above.last() {
            Some(step) if self.inner(step.node()?)?.len()? == INNER_MAX => {
                return self.split_inner(above);
            }
            Some(step) => (step.node()?, step.index()),
            None => {
                let first = self.inner(node)?.child(0).first;
                let root = self.grow(Child {
                    first,
                    count: self.tree.len,
                    node: Some(node.cast()),
                })?;
                (root, 0)
            }
        };
        let keep = INNER_MAX / 2;
        let full = self.inner_mut(node)?;
        let moved: Vec<Child> = (keep..INNER_MAX).map(|i| full.child(i)).collect();
        while full.len()? > keep {
            full.remove(full.len()? - 1)?;
        }
        let count = moved.iter().map(|child| child.count).sum();
        let right = self.inners.create(self.tx, Inner::new(&moved))?;
        let total = self.count(parent, index)?;
        let parent = self.inner_mut(parent)?;
        parent.set_count(index, total.wrapping_sub(count));
        parent.insert(
            index + 1,
            Child {
                first: moved[0].first,
                count,
                node: Some(right.cast()),
            },
        )
    }

    /// The inner node at the end of `steps` has lost a child.
    pub(super) fn refill_inner(&mut self, steps: &[Step]) -> Result<()> {
        let Some((step, above)) = steps.split_last() else {
            return Ok(());
        };
        let node = step.node()?;
        let n = self.inner(node)?.len()?;
        let Some(step) = above.last() else {
            if n == 1 {
                self.tree.root = self.inner(node)?.child(0).node;
                self.tree.height -= 1;
                self.inners.free(self.tx, node)?;
            }
            return Ok(());
        };
        let (parent, index) = (step.node()?, step.index());
        if n >= INNER_MIN || self.inner(parent)?.len()? == 1 {
            return Ok(());
        }
        let left = index.saturating_sub(1);
        let (a, b) = (
            self.inner(parent)?.child(left),
            self.inner(parent)?.child(left + 1),
        );
        // Copies first: their counts are up to date.
        let (at_a, at_b) = (inner_of(a)?, inner_of(b)?);
        let mut all = children(self.inner_mut(at_a)?)?;
        let right = all.len();
        all.append(&mut children(self.inner_mut(at_b)?)?);
        all[right].first = b.first;
        if all.len() <= JOINED_MAX {
            *self.inner_mut(at_a)? = Inner::new(&all);
            self.inners.free(self.tx, at_b)?;
            let total = all.iter().map(|child| child.count).sum();
            let parent = self.inner_mut(parent)?;
            parent.remove(left + 1)?;
            parent.set_count(left, total);
            return self.refill_inner(above);
        }
        let (to_a, to_b) = all.split_at(all.len() / 2);
        *self.inner_mut(at_a)? = Inner::new(to_a);
        *self.inner_mut(at_b)? = Inner::new(to_b);
        let parent = self.inner_mut(parent)?;
        parent.set_count(left, to_a.iter().map(|child| child.count).sum());
        parent.set_count(left + 1, to_b.iter().map(|child| child.count).sum());
        parent.set_first(left + 1, to_b[0].first);
        Ok(())
    }
}

/// A child that is an inner node.
fn inner_of(child: Child) -> Result<PPtr<Inner>> {
    there(child.node).map(PPtr::cast)
}
