//! Copies of nodes in DRAM, of which at the end the words that differ are written.

use crate::layout::DATA;
use crate::structures::zset::node::Inner;
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
pub(super) struct Copies<T>(Vec<Copy<T>>);

impl<T: Persistent> Copies<T> {
    /// No copies yet, and room for some.
    pub(super) fn with_capacity(copies: usize) -> Copies<T> {
        Copies(Vec::with_capacity(copies))
    }

    /// Whether there is a copy of the node.
    pub(super) fn has(&self, at: PPtr<T>) -> bool {
        self.find(at).is_some()
    }

    fn find(&self, at: PPtr<T>) -> Option<usize> {
        self.0.iter().position(|copy| copy.at == at)
    }

    /// The node as it is to be.
    pub(super) fn get<'a>(&'a self, pool: &'a Pool, at: PPtr<T>) -> Result<&'a T> {
        match self.find(at) {
            Some(i) => Ok(&self.0[i].node),
            None => pool.get(at),
        }
    }

    /// The copy, and whether it was made only now.
    pub(super) fn get_mut(&mut self, pool: &Pool, at: PPtr<T>) -> Result<(&mut T, bool)> {
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

    /// Adds a new node.
    pub(super) fn create(&mut self, tx: &mut Tx<'_>, node: T) -> Result<PPtr<T>> {
        let fresh: Fresh<T> = tx.alloc(size_of::<T>() as u64, DATA)?.cast();
        self.0.push(Copy {
            at: fresh.ptr(),
            node,
            fresh: Some(fresh),
        });
        Ok(fresh.ptr())
    }

    /// Frees a node.
    pub(super) fn free(&mut self, tx: &mut Tx<'_>, at: PPtr<T>) -> Result<()> {
        self.0.retain(|copy| copy.at != at);
        tx.free(at)
    }

    /// Writes what differs from the pool, and new nodes.
    pub(super) fn write(&self, tx: &mut Tx<'_>) -> Result<()> {
        for copy in &self.0 {
            match copy.fresh {
                Some(fresh) => tx.fill_value(fresh, &copy.node)?,
                None => write_difference(tx, copy.at, &copy.node)?,
            }
        }
        Ok(())
    }
}

/// Most words of a node.
const WORDS: usize = size_of::<Inner>() / 8;

/// A bit for each word of a node.
type Marks = [u64; WORDS.div_ceil(64)];

/// Words compared at once; their marks are in one word.
const BLOCK: usize = 8;

/// Marks the words that differ, and lone ones between two such: a record of its own is longer.
fn differences(old: &[u64], new: &[u64]) -> Marks {
    let mut marks = Marks::default();
    let ((old, old_rest), (new, new_rest)) = (old.as_chunks::<BLOCK>(), new.as_chunks::<BLOCK>());
    let mut mark = |block: usize, old: &[u64], new: &[u64]| {
        let words = new.iter().zip(old).enumerate();
        let bits = words.fold(0, |bits, (i, (new, old))| bits | u64::from(new != old) << i);
        marks[block * BLOCK / 64] |= bits << (block * BLOCK % 64);
    };
    for (block, (old, new)) in old.iter().zip(new).enumerate() {
        if old != new {
            mark(block, old, new);
        }
    }
    mark(new.len(), old_rest, new_rest);
    marks.map(|bits| bits | (bits << 1 & bits >> 1))
}

/// Writes the words of `node` that differ from the pool's, neighbours together.
fn write_difference<T: Persistent>(tx: &mut Tx<'_>, at: PPtr<T>, node: &T) -> Result<()> {
    let new: &[u64] = bytemuck::cast_slice(bytemuck::bytes_of(node));
    let old = bytemuck::cast_slice(bytemuck::bytes_of(tx.get(at)?));
    for (i, mut left) in differences(old, new).into_iter().enumerate() {
        while left != 0 {
            let first = left.trailing_zeros();
            let count = (left >> first).trailing_ones();
            left &= u64::MAX.checked_shl(first + count).unwrap_or(0);
            let start = 64 * i + first as usize;
            let words = &new[start..start + count as usize];
            tx.write(at.at(8 * start as u64), bytemuck::cast_slice(words))?;
        }
    }
    Ok(())
}
