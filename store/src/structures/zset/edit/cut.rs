//! Cutting a range of ranks out of a tree, as a tree of its own.
//!
//! Whole subtrees change hands; only the nodes on the way to the range's two ends are split, each
//! into what stays and what goes. O(log n), however many elements go.

use super::super::bulk::Cut;
use super::{Child, Editor, Inner, LEAF_MIN, Leaf, Tree, children};
use crate::structures::zset::node::{Bound, Element, NodePtr, member, there};
use pobj::{PPtr, Result};
use std::ops::Range;

/// What a node loses: the part of the range below it.
#[derive(Clone, Copy)]
struct Loss {
    from: u64,
    to: u64,
    /// The first element behind the range, if there is one.
    next: Option<Element>,
}

impl Editor<'_, '_> {
    /// Cuts the elements of these ranks out, which are some, and gives the tree of them.
    pub(crate) fn cut(&mut self, ranks: Range<u64>) -> Result<Cut> {
        let (tree, len) = (self.tree, ranks.end - ranks.start);
        if len == tree.len {
            self.tree = Tree::EMPTY;
            return Ok(Cut::of(tree));
        }
        let at = |rank: u64| tree.walk(self.tx, rank, false)?.next_element();
        let next = at(ranks.end)?;
        let last = match ranks.start.checked_sub(1) {
            Some(rank) => at(rank)?,
            None => None,
        };
        let loss = Loss {
            from: ranks.start,
            to: ranks.end,
            next,
        };
        let (gone, height) = self.split(there(tree.root)?, tree.height, tree.len, loss, false)?;
        self.tree.len -= len;
        for element in [last, next].into_iter().flatten() {
            self.refill(element)?;
        }
        while self.tree.height > 0 {
            let root: PPtr<Inner> = there(self.tree.root)?.cast();
            if self.inner(root)?.len()? > 1 {
                break;
            }
            self.tree.root = self.inner(root)?.child(0).node;
            self.tree.height -= 1;
            self.inners.free(self.tx, root)?;
        }
        Ok(Cut {
            root: gone.node,
            height: height as u64,
            len,
        })
    }

    /// Splits the node: it keeps what is outside of the range, of which there is something, and the
    /// rest goes to a new node, of the same height if `whole`. Else, as long as the range lies
    /// below one child, the new node may be lower.
    fn split(
        &mut self,
        node: NodePtr,
        height: usize,
        n: u64,
        loss: Loss,
        whole: bool,
    ) -> Result<(Child, usize)> {
        if height == 0 {
            let gone = self.split_off(
                node.cast(),
                n as usize,
                loss.from as usize..loss.to as usize,
            )?;
            return Ok((gone, 0));
        }
        let node: PPtr<Inner> = node.cast();
        let all = children(self.inner_mut(node)?)?;
        let (mut stay, mut gone, mut lower) = (Vec::new(), Vec::new(), None);
        let mut end = 0;
        for mut child in all {
            let start = end;
            end += child.count;
            let (from, to) = (loss.from.max(start), loss.to.min(end));
            if from >= to {
                stay.push(child);
                continue;
            }
            if (from, to) == (start, end) {
                gone.push(child);
                continue;
            }
            let inside = Loss {
                from: from - start,
                to: to - start,
                ..loss
            };
            let alone = !whole && (from, to) == (loss.from, loss.to);
            let below = self.split(there(child.node)?, height - 1, child.count, inside, !alone)?;
            if alone {
                lower = Some(below)
            } else {
                gone.push(below.0)
            }
            child.count -= to - from;
            if let (true, Some(next)) = (from == start, loss.next) {
                child.first = next;
            }
            stay.push(child);
        }
        *self.inner_mut(node)? = Inner::new(&stay);
        match lower {
            Some(lower) => Ok(lower),
            None => {
                let count = gone.iter().map(|child| child.count).sum();
                let first = gone[0].first;
                let node = self.inners.create(self.tx, Inner::new(&gone))?;
                let node = Some(node.cast());
                Ok((Child { first, count, node }, height))
            }
        }
    }

    /// Moves elements of a leaf of `n` to a new leaf.
    fn split_off(&mut self, leaf: PPtr<Leaf>, n: usize, range: Range<usize>) -> Result<Child> {
        let gone: Vec<Element> = range
            .clone()
            .map(|i| self.leaf(leaf)?.element(i))
            .collect::<Result<_>>()?;
        let copy = self.leaf_mut(leaf)?;
        for removed in 0..range.len() {
            copy.remove(range.start, n - removed)?;
        }
        Ok(Child {
            first: gone[0],
            count: gone.len() as u64,
            node: Some(self.leaves.create(self.tx, Leaf::new(&gone))?.cast()),
        })
    }

    /// The leaf of an element, or the node above it, may have too few left.
    fn refill(&mut self, element: Element) -> Result<()> {
        let (name, score) = member(self.tx, there(element.member)?)?;
        let name = name.to_vec();
        let path = self.down(&Bound::After(score, &name))?;
        if path.len < LEAF_MIN {
            self.refill_leaf(&path)
        } else {
            self.refill_inner(path.steps())
        }
    }
}
