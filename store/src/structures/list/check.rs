//! Whether a list is sound: what `mod.rs` promises, checked entry by entry.

use super::child::Child;
use super::chunk::{CHUNK_MAX, Chunk};
use super::entry;
use super::entry::{Entry, Value};
use super::handle::{Form, List};
use super::tree::{Tree, children};
use crate::damaged::damaged;
use crate::structures::{Owns, Root};
use pobj::{Pool, Result};

/// Checks a list, and shows `owns` every object of it. O(n).
///
/// # Errors
/// `Damaged` at the first invariant that does not hold.
pub(super) fn check(pool: &Pool, root: Root, owns: Owns<'_>) -> Result<()> {
    let list = List::open(pool, root)?;
    if let Some((header, _)) = list.stored {
        owns(header.cast());
    }
    match list.form {
        Form::Empty => Ok(()),
        Form::Single(chunk) => check_chunk(pool, chunk, owns).map(drop),
        Form::Deep { head, tree, tail } => {
            for chunk in [head, tail] {
                let chunk =
                    chunk.ok_or_else(|| damaged("list: a list of many chunks misses an end"))?;
                check_chunk(pool, chunk, owns)?;
            }
            check_tree(pool, tree, owns)
        }
    }
}

fn check_tree(pool: &Pool, tree: Tree, owns: Owns<'_>) -> Result<()> {
    if tree.is_empty() {
        return if tree == Tree::default() {
            Ok(())
        } else {
            Err(damaged("list: an empty tree that counts"))
        };
    }
    let top = Child {
        at: tree.root,
        word: tree.count,
    };
    check_node(pool, top, tree.levels, owns)
}

/// Checks what is below a node, whose parent says that it has `at.word` elements.
fn check_node(pool: &Pool, at: Child, level: u64, owns: Owns<'_>) -> Result<()> {
    let node = at.node()?;
    owns(node);
    let mut count = 0;
    for &child in children(pool, node, level)? {
        count += match level {
            1 => check_chunk(pool, Chunk::of(child)?, owns)?,
            _ => {
                check_node(pool, child, level - 1, owns)?;
                child.word
            }
        };
    }
    if count == at.word {
        Ok(())
    } else {
        Err(damaged("list: a node's count"))
    }
}

/// Checks a chunk from both ends; its number of entries.
fn check_chunk(pool: &Pool, chunk: Chunk, owns: Owns<'_>) -> Result<u64> {
    owns(chunk.at);
    if u64::from(chunk.span.end) > pool.capacity(chunk.at)? || chunk.used() > CHUNK_MAX {
        return Err(damaged("list: a chunk's span"));
    }
    let forwards = chunk.entries(pool)?.collect::<Result<Vec<Entry<'_>>>>()?;
    let backwards = entry::Entries(chunk.bytes(pool)?)
        .rev()
        .map(|entry| Ok(entry?.raw))
        .collect::<Result<Vec<_>>>()?;
    let same = forwards
        .iter()
        .map(|entry| entry.raw)
        .eq(backwards.into_iter().rev());
    if !same || forwards.len() as u64 != chunk.count() {
        return Err(damaged("list: a chunk's entries"));
    }
    for entry in &forwards {
        if let Value::Object(at, _) = entry.value {
            entry.value.bytes(pool)?;
            owns(at);
        }
    }
    Ok(chunk.count())
}
