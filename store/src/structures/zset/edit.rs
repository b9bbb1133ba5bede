//! Changing the tree of a large sorted set by any number of elements, and as deep as need be; where
//! one element fits in its leaf, or leaves enough behind there, `single.rs` changes it.
//!
//! An [`Editor`] works on copies of the nodes it changes, in DRAM, so that an element can be
//! removed and inserted again, and nodes split and joined on the way, before anything is written.
//! At the end [`Editor::finish`] compares the copies with the pool and writes the words that
//! differ: usually a slot and a word or two of the leaf's order, and one count in each node above.
//! Counts alone do not make a copy; they are collected as differences.

mod copies;
mod cut;
mod inners;
mod leaves;

use super::node::{
    Bound, Child, Element, Inner, LEAF_MAX, LEAF_MIN, Leaf, MemberPtr, member, name_of,
};
use super::tree::{HEIGHT_MAX, Path, Place, Step, Tree};
use crate::damaged::damaged;
use copies::Copies;
use pobj::{PPtr, Result, Tx};

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
        // What one change touches in general: two leaves, and the node above.
        let (leaves, inners) = (Copies::with_capacity(2), Copies::with_capacity(1));
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

    /// Adds to the counts that these steps go by.
    fn add_to_counts(&mut self, steps: &[Step], by: i64) -> Result<()> {
        for step in steps {
            let (node, index) = (step.node()?, step.index());
            if self.inners.has(node) {
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
        for _ in 0..HEIGHT_MAX + 2 {
            let path = self.down(&bound)?;
            let at = self.leaf(path.leaf)?.search(self.tx, path.len, &bound)?;
            if self.put(&Place { path, at }, element)? {
                return Ok(());
            }
        }
        Err(damaged("a sorted set: a tree's height"))
    }

    /// Inserts an element which is not there, at the place where it belongs; `name` is its
    /// member's. O(log n).
    pub(super) fn insert_at(&mut self, place: &Place, element: Element, name: &[u8]) -> Result<()> {
        if self.put(place, element)? {
            Ok(())
        } else {
            self.insert(element, name)
        }
    }

    /// Puts an element at a place; false if only a node above has been split to that end.
    fn put(&mut self, place: &Place, element: Element) -> Result<bool> {
        let Place { path, at } = place;
        let done = if path.len == LEAF_MAX {
            self.put_into_full(path, *at, element)?
        } else {
            self.leaf_mut(path.leaf)?.insert(*at, path.len, element)?;
            self.add_to_counts(path.steps(), 1)?;
            true
        };
        self.tree.len += u64::from(done);
        Ok(done)
    }

    /// Removes the element of this score and name, which must be there. O(log n).
    pub(super) fn remove(&mut self, score: f64, name: &[u8]) -> Result<Element> {
        let missing = || damaged("a sorted set: an element is missing from the tree");
        if self.tree.len == 0 {
            return Err(missing());
        }
        let bound = Bound::After(score, name);
        let path = self.down(&bound)?;
        let after = self.leaf(path.leaf)?.search(self.tx, path.len, &bound)?;
        let at = after.checked_sub(1).ok_or_else(missing)?;
        let element = self.leaf(path.leaf)?.element(at)?;
        if name_of(self.tx, element.member)? != name {
            return Err(missing());
        }
        self.remove_at(&Place { path, at })?;
        Ok(element)
    }

    /// Removes the element at a place. O(log n).
    pub(super) fn remove_at(&mut self, place: &Place) -> Result<()> {
        let Place { path, at } = place;
        self.tree.len = self.tree.len.wrapping_sub(1);
        self.add_to_counts(path.steps(), -1)?;
        if path.len == 1 {
            return self.drop_leaf(path);
        }
        let leaf = self.leaf_mut(path.leaf)?;
        leaf.remove(*at, path.len)?;
        if *at == 0 {
            let first = leaf.element(0)?;
            self.set_first(path.steps(), first)?;
        }
        if path.len - 1 < LEAF_MIN {
            self.refill_leaf(path)?;
        }
        Ok(())
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
}

fn children(node: &Inner) -> Result<Vec<Child>> {
    Ok((0..node.len()?).map(|i| node.child(i)).collect())
}
