//! Reading the tree of a large sorted set: ranks, searches, walks. Nothing is written here.

use super::node::{Bound, Element, Inner, LEAF_MAX, Leaf, MemberPtr, NodePtr, name_of, there};
use crate::damaged::damaged;
use pobj::{PPtr, Pool, Result};

/// Most levels of inner nodes. The fewest elements of a tree this high are beyond any pool.
pub(crate) const HEIGHT_MAX: usize = 16;

/// A tree: where it begins and how large it is. Its elements are at least one, but for
/// [`Tree::EMPTY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// The root node.
    pub root: Option<NodePtr>,
    /// Levels of inner nodes; 0 if the root is a leaf.
    pub height: usize,
    /// Number of elements.
    pub len: u64,
}

/// A step of the way down: an inner node, and the child taken. In one word, as paths are copied
/// often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step(u64);

impl Step {
    /// Above the offset of a node, which lies in the pool, hence below 2^48.
    const INDEX_SHIFT: u32 = 56;

    #[inline]
    fn new(node: PPtr<Inner>, index: usize) -> Step {
        Step(node.offset() | (index as u64) << Step::INDEX_SHIFT)
    }

    /// The node.
    #[inline]
    pub(super) fn node(self) -> Result<PPtr<Inner>> {
        there(PPtr::new(self.0 & ((1 << Step::INDEX_SHIFT) - 1)))
    }

    /// Index of the child.
    #[inline]
    pub(super) fn index(self) -> usize {
        (self.0 >> Step::INDEX_SHIFT) as usize
    }
}

/// The way from the root to a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    steps: [Step; HEIGHT_MAX],
    height: usize,
    /// The leaf.
    pub leaf: PPtr<Leaf>,
    /// Number of the leaf's elements.
    pub len: usize,
}

impl Path {
    /// The steps, the root's first.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps[..self.height]
    }

    /// The steps above the leaf's parent.
    pub(super) fn above(&self) -> &[Step] {
        &self.steps[..self.height.saturating_sub(1)]
    }

    /// Walks down; `choose` takes the child of each inner node. `inner` and `count` read nodes and
    /// a child's count, so that a writer can show its own view.
    #[inline]
    pub(super) fn down<'a>(
        tree: Tree,
        inner: impl Fn(PPtr<Inner>) -> Result<&'a Inner>,
        count: impl Fn(PPtr<Inner>, &Inner, usize) -> u64,
        mut choose: impl FnMut(&'a Inner) -> Result<usize>,
    ) -> Result<Path> {
        if tree.height > HEIGHT_MAX {
            return Err(damaged("a sorted set: a tree's height"));
        }
        let mut path = Path {
            steps: [Step::default(); HEIGHT_MAX],
            height: tree.height,
            leaf: there(tree.root)?.cast(),
            len: 0,
        };
        let mut below = tree.len;
        for level in 1..=tree.height {
            let at: PPtr<Inner> = path.leaf.cast();
            let node = inner(at)?;
            let index = choose(node)?;
            if index >= node.len()? {
                return Err(damaged("a sorted set: a count"));
            }
            path.steps[level - 1] = Step::new(at, index);
            if level == tree.height {
                below = count(at, node, index);
            }
            path.leaf = there(node.child(index).node)?.cast();
        }
        match below {
            1..=30 => path.len = below as usize,
            _ => return Err(damaged("a sorted set: a leaf's length")),
        }
        Ok(path)
    }
}
const _: () = assert!(LEAF_MAX == 30);

/// Bits that no count has more of: a pool has not so many bytes.
const COUNT_BITS: u32 = 48;

/// A place in a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The way to the leaf.
    pub path: Path,
    /// The index in the leaf.
    pub at: usize,
}

impl Tree {
    /// No elements, and no node.
    pub(super) const EMPTY: Tree = Tree {
        root: None,
        height: 0,
        len: 0,
    };

    #[inline]
    fn down<'p>(
        self,
        pool: &'p Pool,
        choose: impl FnMut(&'p Inner) -> Result<usize>,
    ) -> Result<Path> {
        let count = |_, node: &Inner, i| node.child(i).count;
        Path::down(self, |at| pool.get(at), count, choose)
    }

    /// The place of a bound: that of the first element behind it, or the end of the leaf before
    /// that; `path` is the way to it if that is known. The tree is not empty. O(log n).
    #[inline]
    pub(super) fn place(self, pool: &Pool, bound: &Bound<'_>, path: Option<Path>) -> Result<Place> {
        let path = match path {
            Some(path) => path,
            None => self.path(pool, bound)?,
        };
        let at = pool.get(path.leaf)?.search(pool, path.len, bound)?;
        Ok(Place { path, at })
    }

    /// The way to the leaf that a bound is in: in that leaf, or at its end. The tree is not empty.
    /// O(log n).
    #[inline]
    pub(super) fn path(self, pool: &Pool, bound: &Bound<'_>) -> Result<Path> {
        self.down(pool, |node| node.search(pool, bound))
    }

    /// The place of the first element, or of the last one. The tree is not empty. O(log n).
    #[inline]
    pub(super) fn end(self, pool: &Pool, last: bool) -> Result<Place> {
        let path = self.down(pool, |node| if last { Ok(node.len()? - 1) } else { Ok(0) })?;
        let at = if last { path.len - 1 } else { 0 };
        Ok(Place { path, at })
    }

    /// The number of elements before the bound. O(log n).
    pub(super) fn rank(self, pool: &Pool, bound: &Bound<'_>) -> Result<u64> {
        let mut before = 0u64;
        let path = self.down(pool, |node| {
            let index = node.search(pool, bound)?;
            let counts = node.counts()?[..index].iter();
            let (left, bits) =
                counts.fold((0u64, 0), |(sum, bits), &n| (sum.wrapping_add(n), bits | n));
            // No sum of smaller ones overflows.
            if bits >> COUNT_BITS != 0 {
                return Err(damaged("a sorted set: a tree's counts"));
            }
            before += left;
            Ok(index)
        })?;
        let at = pool.get(path.leaf)?.search(pool, path.len, bound)? as u64;
        match before + at {
            rank if rank <= self.len => Ok(rank),
            _ => Err(damaged("a sorted set: a tree's counts")),
        }
    }

    /// Whether the element of this score and name is this member. O(log n).
    pub(super) fn holds(
        self,
        pool: &Pool,
        score: f64,
        name: &[u8],
        member: MemberPtr,
    ) -> Result<bool> {
        if self.len == 0 {
            return Ok(false);
        }
        let path = self.path(pool, &Bound::After(score, name))?;
        let member = Some(member);
        let at = pool
            .get(path.leaf)?
            .index_of(path.len, Element { score, member });
        Ok(at.is_some())
    }

    /// A walk that begins at the element of this rank. O(log n), then O(1) a step.
    pub(super) fn walk(self, pool: &Pool, rank: u64, reverse: bool) -> Result<Walk<'_>> {
        let mut walk = Walk {
            pool,
            path: None,
            slots: &[],
            here: &[],
            behind: 0,
            reverse,
        };
        if rank >= self.len {
            return Ok(walk);
        }
        let mut at = rank;
        let path = self.down(pool, |node| {
            for (index, &count) in node.counts()?.iter().enumerate() {
                if at < count {
                    return Ok(index);
                }
                at -= count;
            }
            Err(damaged("a sorted set: a tree's counts"))
        })?;
        let leaf = pool.get(path.leaf)?;
        let to_come = if reverse { rank + 1 } else { self.len - rank };
        let at = at as usize;
        let here = if reverse { 0..at + 1 } else { at..path.len };
        (walk.slots, walk.here) = (leaf.slots(), leaf.order_of(here)?);
        walk.behind = behind(to_come, walk.here)?;
        walk.path = Some(path);
        Ok(walk)
    }
}

/// How many of the elements to come are in other leaves than `here`.
fn behind(to_come: u64, here: &[u8]) -> Result<u64> {
    let behind = to_come.checked_sub(here.len() as u64);
    behind.ok_or_else(|| damaged("a sorted set: a tree's counts"))
}

/// A walk over elements, in either direction.
pub(super) struct Walk<'p> {
    pool: &'p Pool,
    /// The way to the leaf; `None` if there is nothing to walk over.
    path: Option<Path>,
    /// The leaf's slots.
    slots: &'p [Element],
    /// The numbers of those of the leaf's elements that are still to come.
    here: &'p [u8],
    /// How many elements are to come in other leaves.
    behind: u64,
    reverse: bool,
}

impl<'p> Walk<'p> {
    /// The next element; `None` at the end.
    #[inline]
    pub(crate) fn next_element(&mut self) -> Result<Option<Element>> {
        if self.here.is_empty() {
            if self.behind == 0 {
                return Ok(None);
            }
            self.turn_leaf()?;
        }
        let slot = if self.reverse {
            self.here.split_off_last()
        } else {
            self.here.split_off_first()
        };
        match slot.and_then(|&slot| self.slots.get(usize::from(slot))) {
            Some(element) => Ok(Some(*element)),
            None => Err(damaged("a sorted set: a leaf's order")),
        }
    }

    /// The next element's name and score; `None` at the end.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<Option<(&'p [u8], f64)>> {
        match self.next_element()? {
            Some(element) => Ok(Some((name_of(self.pool, element.member)?, element.score))),
            None => Ok(None),
        }
    }

    /// Shows `visit` the names and scores of the next `count` elements, which are to be there.
    #[inline]
    pub(super) fn each(
        &mut self,
        mut count: u64,
        mut visit: impl FnMut(&'p [u8], f64),
    ) -> Result<()> {
        if count.saturating_sub(self.here.len() as u64) > self.behind {
            return Err(damaged("a sorted set: a walk beyond its end"));
        }
        while count > 0 {
            if self.here.is_empty() {
                self.turn_leaf()?;
            }
            let (pool, slots) = (self.pool, self.slots);
            let mut show = |&slot: &u8| match slots.get(usize::from(slot)) {
                Some(&Element { score, member }) => {
                    visit(name_of(pool, member)?, score);
                    Ok(())
                }
                None => Err(damaged("a sorted set: a leaf's order")),
            };
            let n = self.here.len();
            let shown = n.min(usize::try_from(count).unwrap_or(usize::MAX));
            if self.reverse {
                let (rest, part) = self.here.split_at(n - shown);
                part.iter().rev().try_for_each(&mut show)?;
                self.here = rest;
            } else {
                let (part, rest) = self.here.split_at(shown);
                part.iter().try_for_each(&mut show)?;
                self.here = rest;
            }
            count -= shown as u64;
        }
        Ok(())
    }

    /// Goes to the neighbouring leaf.
    #[cold]
    fn turn_leaf(&mut self) -> Result<()> {
        let path = self
            .path
            .as_mut()
            .ok_or_else(|| damaged("a sorted set: a walk"))?;
        for level in (0..path.height).rev() {
            let (parent, index) = (path.steps[level].node()?, path.steps[level].index());
            let node = self.pool.get(parent)?;
            let next = match self.reverse {
                false if index + 1 < node.len()? => index + 1,
                true if index > 0 => index - 1,
                _ => continue,
            };
            path.steps[level] = Step::new(parent, next);
            let mut child = node.child(next);
            for below in level + 1..path.height {
                let at: PPtr<Inner> = there(child.node)?.cast();
                let node = self.pool.get(at)?;
                let index = if self.reverse { node.len()? - 1 } else { 0 };
                path.steps[below] = Step::new(at, index);
                child = node.child(index);
            }
            let len = usize::try_from(child.count)
                .ok()
                .filter(|n| (1..=LEAF_MAX).contains(n));
            path.len = len.ok_or_else(|| damaged("a sorted set: a leaf's length"))?;
            path.leaf = there(child.node)?.cast();
            let leaf = self.pool.get(path.leaf)?;
            (self.slots, self.here) = (leaf.slots(), leaf.order_of(0..path.len)?);
            self.behind = behind(self.behind, self.here)?;
            return Ok(());
        }
        Err(damaged("a sorted set: a tree's counts"))
    }
}
