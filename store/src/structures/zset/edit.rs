//! Changing the tree of a large sorted set by any number of elements, and as deep as need be; what
//! one element changes in general is done by `single.rs`.
//!
//! An [`Editor`] works on copies of the nodes it changes, in DRAM, so that an element can be
//! removed and inserted again, and nodes split and joined on the way, before anything is written.
//! At the end [`Editor::finish`] compares the copies with the pool and writes the words that
//! differ: usually a slot and a word or two of the leaf's order, and one count in each node above.
//! Counts alone do not make a copy; they are collected as differences.
//!
//! Which leaves are split, joined, or share their elements anew, and with which neighbour, follows
//! the rules of `reshape.rs`.

mod cut;

use super::node::{
    Bound, Child, Element, INNER_MAX, INNER_MIN, Inner, LEAF_MAX, LEAF_MIN, Leaf, MemberPtr,
    member, name_of, there,
};
use super::reshape::{self, JOINED_MAX, ROOMY};
use super::tree::{HEIGHT_MAX, Path, Step, Tree};
use crate::damaged::damaged;
use crate::layout::DATA;
use pobj::{Fresh, PPtr, Persistent, Pool, Result, Tx};
use std::mem::size_of;

/// A node's copy.
struct Copy<T> {
    at: PPtr<T>,
    node: T,
    /// Its memory, if this editor has allocated it: the node is not in the pool yet.
    fresh: Option<Fresh<T>>,
}

/// The copies of nodes of one kind.
struct Copies<T>(Vec<Copy<T>>);

impl<T: Persistent> Copies<T> {
    fn find(&self, at: PPtr<T>) -> Option<usize> {
        self.0.iter().position(|copy| copy.at == at)
    }

    fn get<'a>(&'a self, pool: &'a Pool, at: PPtr<T>) -> Result<&'a T> {
        match self.find(at) {
            Some(i) => Ok(&self.0[i].node),
            None => pool.get(at),
        }
    }

    /// The copy, and whether it was made only now.
    fn get_mut(&mut self, pool: &Pool, at: PPtr<T>) -> Result<(&mut T, bool)> {
        let (i, made) = match self.find(at) {
            Some(i) => (i, false),
            None => {
                let node = *pool.get(at)?;
                self.0.push(Copy {
                    at,
                    node,
                    fresh: None,
                });
                (self.0.len() - 1, true)
            }
        };
        Ok((&mut self.0[i].node, made))
    }

    fn create(&mut self, tx: &mut Tx<'_>, node: T) -> Result<PPtr<T>> {
        let fresh: Fresh<T> = tx.alloc(size_of::<T>() as u64, DATA)?.cast();
        self.0.push(Copy {
            at: fresh.ptr(),
            node,
            fresh: Some(fresh),
        });
        Ok(fresh.ptr())
    }

    fn free(&mut self, tx: &mut Tx<'_>, at: PPtr<T>) -> Result<()> {
        self.0.retain(|copy| copy.at != at);
        tx.free(at)
    }

    fn write(&self, tx: &mut Tx<'_>) -> Result<()> {
        for copy in &self.0 {
            match copy.fresh {
                Some(fresh) => tx.fill_value(fresh, &copy.node)?,
                None => write_difference(tx, copy.at, &copy.node)?,
            }
        }
        Ok(())
    }
}

/// Writes the words of `node` that differ from the pool's, neighbours together.
fn write_difference<T: Persistent>(tx: &mut Tx<'_>, at: PPtr<T>, node: &T) -> Result<()> {
    const WORDS: usize = size_of::<Inner>() / 8;
    let new: &[u64] = bytemuck::cast_slice(bytemuck::bytes_of(node));
    let mut old = [0u64; WORDS];
    let old = &mut old[..new.len()];
    old.copy_from_slice(bytemuck::cast_slice(bytemuck::bytes_of(tx.get(at)?)));
    let mut i = 0;
    while i < new.len() {
        if old[i] == new[i] {
            i += 1;
            continue;
        }
        let start = i;
        while i < new.len() && old[i] != new[i] {
            i += 1;
        }
        tx.write(
            at.at(8 * start as u64),
            bytemuck::cast_slice(&new[start..i]),
        )?;
    }
    Ok(())
}

/// A difference to a count that is not copied.
struct Delta {
    node: PPtr<Inner>,
    index: usize,
    by: i64,
}

/// Changes to one tree, to be written by [`Editor::finish`].
pub(super) struct Editor<'t, 'p> {
    tx: &'t mut Tx<'p>,
    tree: Tree,
    leaves: Copies<Leaf>,
    inners: Copies<Inner>,
    deltas: Vec<Delta>,
}

impl<'t, 'p> Editor<'t, 'p> {
    /// Begins to change a tree.
    pub(super) fn new(tx: &'t mut Tx<'p>, tree: Tree) -> Editor<'t, 'p> {
        let (leaves, inners) = (Copies(Vec::with_capacity(2)), Copies(Vec::new()));
        Editor {
            tx,
            tree,
            leaves,
            inners,
            deltas: Vec::with_capacity(8),
        }
    }

    /// Writes the changes to the transaction. The tree is empty if its length is 0; it owns nothing
    /// then.
    pub(super) fn finish(self) -> Result<Tree> {
        self.leaves.write(self.tx)?;
        self.inners.write(self.tx)?;
        for delta in self.deltas.iter().filter(|delta| delta.by != 0) {
            let at = Inner::count(delta.node, delta.index);
            let count = self.tx.get(at)?.wrapping_add_signed(delta.by);
            self.tx.set(at, count)?;
        }
        Ok(self.tree)
    }

    /// The name of a member.
    pub(super) fn name(&self, ptr: MemberPtr) -> Result<&[u8]> {
        Ok(member(self.tx, ptr)?.0)
    }

    fn inner(&self, at: PPtr<Inner>) -> Result<&Inner> {
        self.inners.get(self.tx, at)
    }

    fn leaf(&self, at: PPtr<Leaf>) -> Result<&Leaf> {
        self.leaves.get(self.tx, at)
    }

    /// The copy of an inner node, with the differences to its counts.
    fn inner_mut(&mut self, at: PPtr<Inner>) -> Result<&mut Inner> {
        let (node, made) = self.inners.get_mut(self.tx, at)?;
        if made {
            for delta in self.deltas.extract_if(.., |delta| delta.node == at) {
                let count = node.child(delta.index).count;
                node.set_count(delta.index, count.wrapping_add_signed(delta.by));
            }
        }
        Ok(node)
    }

    fn leaf_mut(&mut self, at: PPtr<Leaf>) -> Result<&mut Leaf> {
        Ok(self.leaves.get_mut(self.tx, at)?.0)
    }

    fn count(&self, at: PPtr<Inner>, index: usize) -> Result<u64> {
        Ok(self.count_in(at, self.inner(at)?, index))
    }

    /// The count of a child of the node at `at`.
    fn count_in(&self, at: PPtr<Inner>, node: &Inner, index: usize) -> u64 {
        let of_child = |delta: &&Delta| delta.node == at && delta.index == index;
        let by: i64 = self
            .deltas
            .iter()
            .filter(of_child)
            .map(|delta| delta.by)
            .sum();
        node.child(index).count.wrapping_add_signed(by)
    }

    /// Adds to the counts along a path, and to the tree's.
    fn add_to_counts(&mut self, path: &Path, by: i64) -> Result<()> {
        self.tree.len = self.tree.len.wrapping_add_signed(by);
        for step in path.steps() {
            let (node, index) = (step.node()?, step.index());
            if self.inners.find(node).is_some() {
                let copy = self.inner_mut(node)?;
                copy.set_count(index, copy.child(index).count.wrapping_add_signed(by));
                continue;
            }
            let same = |delta: &&mut Delta| delta.node == node && delta.index == index;
            match self.deltas.iter_mut().find(same) {
                Some(delta) => delta.by += by,
                None => self.deltas.push(Delta { node, index, by }),
            }
        }
        Ok(())
    }

    fn down(&self, bound: &Bound<'_>) -> Result<Path> {
        Path::down(
            self.tree,
            |at| self.inner(at),
            |at, node, index| self.count_in(at, node, index),
            |node| node.search(self.tx, bound),
        )
    }

    /// Inserts an element which is not there; `name` is its member's. O(log n).
    pub(super) fn insert(&mut self, element: Element, name: &[u8]) -> Result<()> {
        if self.tree.len == 0 {
            let root = self.leaves.create(self.tx, Leaf::new(&[element]))?;
            self.tree = Tree {
                root: Some(root.cast()),
                height: 0,
                len: 1,
            };
            return Ok(());
        }
        let bound = Bound::Before(element.score, name);
        // Each round splits a node on the way down, or ends.
        for _ in 0..2 * HEIGHT_MAX + 2 {
            let path = self.down(&bound)?;
            let at = self.leaf(path.leaf)?.search(self.tx, path.len, &bound)?;
            if path.len < LEAF_MAX {
                self.leaf_mut(path.leaf)?.insert(at, path.len, element)?;
                return self.add_to_counts(&path, 1);
            }
            self.make_room(&path, at)?;
        }
        Err(damaged("a sorted set: a tree's height"))
    }

    /// Removes the element of this score and name, which must be there. O(log n).
    pub(super) fn remove(&mut self, score: f64, name: &[u8]) -> Result<Element> {
        if self.tree.len == 0 {
            return Err(damaged("a sorted set: an element is missing from the tree"));
        }
        let bound = Bound::After(score, name);
        let path = self.down(&bound)?;
        let after = self.leaf(path.leaf)?.search(self.tx, path.len, &bound)?;
        let at = after
            .checked_sub(1)
            .ok_or_else(|| damaged("a sorted set: an element is missing from the tree"))?;
        let element = self.leaf(path.leaf)?.element(at)?;
        if name_of(self.tx, element.member)? != name {
            return Err(damaged("a sorted set: an element is missing from the tree"));
        }
        self.leaf_mut(path.leaf)?.remove(at, path.len)?;
        self.add_to_counts(&path, -1)?;
        if path.len == 1 {
            self.drop_leaf(&path)?;
            return Ok(element);
        }
        if at == 0 {
            let first = self.leaf(path.leaf)?.element(0)?;
            self.set_first(path.steps(), first)?;
        }
        if path.len - 1 < LEAF_MIN {
            self.refill_leaf(&path)?;
        }
        Ok(element)
    }

    /// The subtree at the end of `steps` has another first element now.
    fn set_first(&mut self, steps: &[Step], first: Element) -> Result<()> {
        match steps.iter().rev().find(|step| step.index() > 0) {
            Some(step) => {
                self.inner_mut(step.node()?)?.set_first(step.index(), first);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Makes room in the full leaf at the end of the path, or in a full node above it.
    fn make_room(&mut self, path: &Path, at: usize) -> Result<()> {
        let Some(step) = path.steps().last() else {
            return self.split_leaf_under_new_root(path.leaf);
        };
        let (node, index) = (step.node()?, step.index());
        let appends = at == LEAF_MAX
            && path.steps().iter().try_fold(true, |last, step| {
                Ok::<_, pobj::Error>(last && step.index() + 1 == self.inner(step.node()?)?.len()?)
            })?;
        if !appends && let Some((other, _)) = self.neighbour(node, index, ROOMY)? {
            let left = index.min(other);
            let total = self.count(node, left)? + self.count(node, left + 1)?;
            return self.even_leaves(node, left, total as usize / 2);
        }
        if self.inner(node)?.len()? == INNER_MAX {
            return self.split_inner(path.steps());
        }
        self.split_leaf(
            node,
            index,
            if appends { LEAF_MAX - 1 } else { LEAF_MAX / 2 },
        )
    }

    /// The elements of a leaf from index `from` of `n` on.
    fn tail(&self, leaf: PPtr<Leaf>, from: usize, n: usize) -> Result<Vec<Element>> {
        (from..n).map(|i| self.leaf(leaf)?.element(i)).collect()
    }

    /// The neighbour of child `index` that has fewer elements, at most `most`.
    fn neighbour(
        &self,
        node: PPtr<Inner>,
        index: usize,
        most: usize,
    ) -> Result<Option<(usize, u64)>> {
        let inner = self.inner(node)?;
        let beside = reshape::beside(index, inner.len()?);
        let counts = beside.map(|i| (i, self.count_in(node, inner, i)));
        Ok(reshape::emptiest(counts, most))
    }

    fn split_leaf(&mut self, parent: PPtr<Inner>, index: usize, keep: usize) -> Result<()> {
        let left = leaf_of(self.inner(parent)?.child(index))?;
        let moved = self.tail(left, keep, LEAF_MAX)?;
        let right = self.leaves.create(self.tx, Leaf::new(&moved))?;
        let child = Child {
            first: moved[0],
            count: moved.len() as u64,
            node: Some(right.cast()),
        };
        let parent = self.inner_mut(parent)?;
        parent.set_count(index, keep as u64);
        parent.insert(index + 1, child)
    }

    fn split_leaf_under_new_root(&mut self, leaf: PPtr<Leaf>) -> Result<()> {
        let first = self.leaf(leaf)?.element(0)?;
        let child = Child {
            first,
            count: LEAF_MAX as u64,
            node: Some(leaf.cast()),
        };
        let root = self.grow(child)?;
        self.split_leaf(root, 0, LEAF_MAX / 2)
    }

    /// Puts a new root above the old one, and gives it.
    fn grow(&mut self, only: Child) -> Result<PPtr<Inner>> {
        if self.tree.height == HEIGHT_MAX {
            return Err(damaged("a sorted set: a tree's height"));
        }
        let root = self.inners.create(self.tx, Inner::new(&[only]))?;
        self.tree.root = Some(root.cast());
        self.tree.height += 1;
        Ok(root)
    }

    /// Splits the full inner node at the end of `steps`, or a full one above it.
    fn split_inner(&mut self, steps: &[Step]) -> Result<()> {
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

    /// Moves elements between the children `left` and `left + 1`, leaves both, so that `keep` are
    /// in the left one.
    fn even_leaves(&mut self, parent: PPtr<Inner>, left: usize, keep: usize) -> Result<()> {
        let (a, b) = (
            leaf_of(self.inner(parent)?.child(left))?,
            leaf_of(self.inner(parent)?.child(left + 1))?,
        );
        let mut n = self.count(parent, left)? as usize;
        let total = n + self.count(parent, left + 1)? as usize;
        while n > keep {
            let element = self.leaf_mut(a)?.remove(n - 1, n)?;
            self.leaf_mut(b)?.insert(0, total - n, element)?;
            n -= 1;
        }
        while n < keep {
            let element = self.leaf_mut(b)?.remove(0, total - n)?;
            self.leaf_mut(a)?.insert(n, n, element)?;
            n += 1;
        }
        let first = self.leaf(b)?.element(0)?;
        let parent = self.inner_mut(parent)?;
        parent.set_count(left, n as u64);
        parent.set_count(left + 1, (total - n) as u64);
        parent.set_first(left + 1, first);
        Ok(())
    }

    /// The leaf at the end of the path has few elements left.
    fn refill_leaf(&mut self, path: &Path) -> Result<()> {
        let Some(step) = path.steps().last() else {
            return Ok(());
        };
        let (parent, index) = (step.node()?, step.index());
        if self.inner(parent)?.len()? == 1 {
            return Ok(());
        }
        let most = JOINED_MAX.saturating_sub(self.count(parent, index)? as usize);
        let Some((other, _)) = self.neighbour(parent, index, most)? else {
            return Ok(());
        };
        let left = index.min(other);
        let n = self.count(parent, left)? as usize;
        let total = n + self.count(parent, left + 1)? as usize;
        let (a, b) = (
            leaf_of(self.inner(parent)?.child(left))?,
            leaf_of(self.inner(parent)?.child(left + 1))?,
        );
        let moved = self.tail(b, 0, total - n)?;
        let leaf = self.leaf_mut(a)?;
        for (i, &element) in moved.iter().enumerate() {
            leaf.insert(n + i, n + i, element)?;
        }
        self.leaves.free(self.tx, b)?;
        let parent = self.inner_mut(parent)?;
        parent.remove(left + 1)?;
        parent.set_count(left, total as u64);
        self.refill_inner(path.steps())
    }

    /// The leaf at the end of the path has no elements left.
    fn drop_leaf(&mut self, path: &Path) -> Result<()> {
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

    /// The inner node at the end of `steps` has lost a child.
    fn refill_inner(&mut self, steps: &[Step]) -> Result<()> {
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
        let mut children = children(self.inner_mut(at_a)?)?;
        let right = children.len();
        children.append(&mut self::children(self.inner_mut(at_b)?)?);
        children[right].first = b.first;
        if children.len() <= INNER_MAX - 8 {
            *self.inner_mut(at_a)? = Inner::new(&children);
            self.inners.free(self.tx, at_b)?;
            let total = children.iter().map(|child| child.count).sum();
            let parent = self.inner_mut(parent)?;
            parent.remove(left + 1)?;
            parent.set_count(left, total);
            return self.refill_inner(above);
        }
        let (to_a, to_b) = children.split_at(children.len() / 2);
        *self.inner_mut(at_a)? = Inner::new(to_a);
        *self.inner_mut(at_b)? = Inner::new(to_b);
        let parent = self.inner_mut(parent)?;
        parent.set_count(left, to_a.iter().map(|child| child.count).sum());
        parent.set_count(left + 1, to_b.iter().map(|child| child.count).sum());
        parent.set_first(left + 1, to_b[0].first);
        Ok(())
    }
}

/// A child that is a leaf.
fn leaf_of(child: Child) -> Result<PPtr<Leaf>> {
    there(child.node).map(PPtr::cast)
}

/// A child that is an inner node.
fn inner_of(child: Child) -> Result<PPtr<Inner>> {
    there(child.node).map(PPtr::cast)
}

fn children(node: &Inner) -> Result<Vec<Child>> {
    Ok((0..node.len()?).map(|i| node.child(i)).collect())
}
