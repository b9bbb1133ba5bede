//! Freeing elements: those dropped from an end of a list, or the whole list.

use super::Side;
use super::child::Child;
use super::chunk::Chunk;
use super::handle::{DEEP, Form, Header, List, write_changes};
use super::tree::Tree;
use crate::damaged::damaged;
use crate::layout::DATA;
use crate::structures::Root;
use pobj::{Result, Tx};

/// What [`drop_end`] frees at once, in elements; more is left to the caller.
const FREE_MAX: u64 = 512;

/// Drops the `n` elements at one end, or all if there are fewer. Up to some hundred are freed here.
/// Of more, the root of what is to be freed yet is returned, for [`dismantle`]: nothing else refers
/// to it. O(log n) apart from the frees.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn drop_end(tx: &mut Tx<'_>, root: &mut Root, side: Side, n: u64) -> Result<Root> {
    let mut list = List::open(tx, *root)?;
    let len = list.len();
    if n == 0 || len == 0 {
        return Ok(Root::EMPTY);
    }
    if n >= len {
        let all = std::mem::replace(root, Root::EMPTY);
        return free_some(tx, all, len);
    }
    let (tree, near) = match &mut list.form {
        Form::Deep { head, tree, tail } => match side {
            Side::Left => (tree, head),
            Side::Right => (tree, tail),
        },
        Form::Single(chunk) => {
            chunk.drop_entries(tx, side, n as usize)?;
            list.close(tx, root)?;
            return Ok(Root::EMPTY);
        }
        Form::Empty => return Ok(Root::EMPTY),
    };
    let first = near.ok_or_else(|| damaged("list: an end without a chunk"))?;
    if n < first.count() {
        near.as_mut()
            .expect("just seen")
            .drop_entries(tx, side, n as usize)?;
        list.close(tx, root)?;
        return Ok(Root::EMPTY);
    }
    *near = None;
    let rest = n - first.count();
    let gone = if rest < tree.count {
        if rest == 0 {
            Tree::default()
        } else {
            list.dirty = true;
            tree.cut(tx, side, rest)?
        }
    } else {
        let rest = rest - tree.count;
        let gone = std::mem::take(tree);
        let far = list
            .end_mut(side.other())
            .ok_or_else(|| damaged("list: an end without a chunk"))?;
        far.drop_entries(tx, side, rest as usize)?;
        gone
    };
    list.close(tx, root)?;
    let mut gone_root = Root::EMPTY;
    let form = Form::Deep {
        head: Some(first),
        tree: gone,
        tail: None,
    };
    if n <= FREE_MAX {
        destroy_form(tx, &form)?;
    } else {
        let gone = List {
            form,
            dirty: false,
            stored: None,
        };
        gone.close_detached(tx, &mut gone_root)?;
    }
    Ok(gone_root)
}

fn free_some(tx: &mut Tx<'_>, root: Root, len: u64) -> Result<Root> {
    if len > FREE_MAX && !is_small(root) {
        return Ok(root);
    }
    destroy(tx, root)?;
    Ok(Root::EMPTY)
}

impl List {
    /// Writes a part that was cut off, which may lack an end.
    fn close_detached(self, tx: &mut Tx<'_>, root: &mut Root) -> Result<()> {
        let Form::Deep { head, tree, tail } = self.form else {
            return Ok(());
        };
        let child = |chunk: Option<Chunk>| chunk.map_or(Child::default(), Chunk::child);
        let header = Header {
            head: child(head),
            tail: child(tail),
            tree,
            reserved: 0,
        };
        let at = tx.alloc_value(&header, DATA)?;
        *root = Root::new(DEEP, 0, at.offset());
        Ok(())
    }
}

fn destroy_form(tx: &mut Tx<'_>, form: &Form) -> Result<()> {
    match *form {
        Form::Empty => Ok(()),
        Form::Single(chunk) => chunk.destroy(tx).map(drop),
        Form::Deep { head, tree, tail } => {
            for chunk in [head, tail].into_iter().flatten() {
                chunk.destroy(tx)?;
            }
            tree.destroy(tx)
        }
    }
}

/// Whether the list is one chunk.
pub(super) fn is_small(root: Root) -> bool {
    root.encoding() != DEEP
}

/// Frees everything. O(n).
pub(super) fn destroy(tx: &mut Tx<'_>, root: Root) -> Result<()> {
    let list = List::open(tx, root)?;
    if let Some((at, _)) = list.stored {
        tx.free(at)?;
    }
    destroy_form(tx, &list.form)
}

/// Frees, in about `budget` frees, chunks of a list, or of a part of one, that nobody can reach any
/// more; true when nothing is left. See `Structure::dismantle`.
pub(super) fn dismantle(tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
    let mut list = List::open(tx, *root)?;
    let Some((at, old)) = list.stored else {
        destroy(tx, *root)?;
        *root = Root::EMPTY;
        return Ok(true);
    };
    let Form::Deep { head, tree, tail } = &mut list.form else {
        return Ok(true);
    };
    if !tree.is_empty() {
        tree.dismantle(tx, budget.max(1))?;
        write_changes(tx, at, &old, &Header { tree: *tree, ..old })?;
        return Ok(false);
    }
    for chunk in [head, tail].into_iter().flatten() {
        chunk.destroy(tx)?;
    }
    tx.free(at)?;
    *root = Root::EMPTY;
    Ok(true)
}
