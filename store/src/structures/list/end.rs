//! The chunk at one end of a list, without the rest: nearly all pushes and pops stay within it, so
//! that one word changes.

use super::Side;
use super::child::Child;
use super::chunk::Chunk;
use super::handle::{DEEP, Header, SINGLE};
use crate::damaged::damaged;
use crate::structures::Root;
use pobj::{PPtr, Pool, Result, Tx, field};

/// The chunk at one end. Both functions are inlined so that the spans stay in registers: what is
/// written to the stack in halves and read as a whole has to wait for the flushes before it.
pub(super) struct End {
    pub chunk: Chunk,
    /// Where its span is kept; in the root, if not in a header.
    span: Option<PPtr<u64>>,
    /// Number of elements in other chunks.
    others: u64,
}

impl End {
    /// The end of a list; `None` if the list is empty.
    #[inline(always)]
    pub(super) fn open(pool: &Pool, root: Root, side: Side) -> Result<Option<End>> {
        match root.encoding() {
            SINGLE => {
                let child = Child {
                    at: root.value,
                    word: root.rest(),
                };
                Ok(Some(End {
                    chunk: Chunk::of(child)?,
                    span: None,
                    others: 0,
                }))
            }
            DEEP => {
                let at = PPtr::new(root.value).ok_or_else(|| damaged("list: a null header"))?;
                let header: &Header = pool.get(at)?;
                let (near, far, place) = match side {
                    Side::Left => (header.head, header.tail, field!(at, Header, head)),
                    Side::Right => (header.tail, header.head, field!(at, Header, tail)),
                };
                Ok(Some(End {
                    chunk: Chunk::of(near)?,
                    span: Some(field!(place, Child, word)),
                    others: far.elements().saturating_add(header.tree.count),
                }))
            }
            _ => Ok(None),
        }
    }

    /// Writes back what has become of the chunk, which must not be empty; the list's length.
    #[inline(always)]
    pub(super) fn close(self, tx: &mut Tx<'_>, root: &mut Root, chunk: Chunk) -> Result<u64> {
        let word = chunk.span.word();
        match self.span {
            Some(at) => tx.set(at, word)?,
            None => *root = Root::new(SINGLE, word, root.value),
        }
        Ok(self.others.saturating_add(chunk.count()))
    }
}
