//! Sets as a type of values.

use super::{INTEGERS, KEY_AT, PACKED, TABLE, build, copy, integers, len, members};
use crate::damaged::damaged;
use crate::inline::Inline;
use crate::structures::encoding::Known;
use crate::structures::limits::AllLimits;
use crate::structures::mover::{Cursor, Mover};
use crate::structures::structure::{Element, Shape, Show, Structure};
use crate::structures::table::{self, BATCH};
use crate::structures::{Owns, Root, packed};
use pobj::{Pool, Result, Tx};
use std::collections::HashSet;

/// Sets.
pub struct Type;

impl Structure for Type {
    fn len(&self, _pool: &Pool, root: Root) -> Result<u64> {
        Ok(len(root))
    }

    fn each(&self, pool: &Pool, root: Root, _inline: Inline, show: Show<'_>) -> Result<()> {
        let mut digits = itoa::Buffer::new();
        for member in members(pool, root)? {
            if !show(Element::Bytes(member?.bytes(&mut digits)))? {
                break;
            }
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        Shape::Members
    }

    fn build(
        &self,
        tx: &mut Tx<'_>,
        limits: AllLimits,
        _inline: Inline,
        elements: &[Element<'_>],
    ) -> Result<Root> {
        build(tx, limits.set, elements.iter().map(Element::name))
    }

    fn is_small(&self, root: Root) -> bool {
        root.encoding() != TABLE || table::len(root) <= BATCH as u64
    }

    fn destroy(&self, tx: &mut Tx<'_>, mut root: Root) -> Result<()> {
        self.dismantle(tx, &mut root, usize::MAX).map(drop)
    }

    fn dismantle(&self, tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
        match root.encoding() {
            0 => {}
            TABLE => return table::dismantle(tx, root, budget),
            _ => tx.free(packed::place(*root)?.0)?,
        }
        *root = Root::EMPTY;
        Ok(true)
    }

    fn copy(&self, tx: &mut Tx<'_>, root: Root, _source: Inline, _target: Inline) -> Result<Root> {
        copy(tx, root)
    }

    fn relocate(
        &self,
        mover: &mut Mover<'_, '_>,
        root: &mut Root,
        cursor: Cursor,
    ) -> Result<Option<Cursor>> {
        match root.encoding() {
            INTEGERS | PACKED => mover.shift_root(root).map(|_| None),
            TABLE => table::relocate_alone(mover, root, cursor),
            _ => Ok(None),
        }
    }

    fn check(&self, pool: &Pool, root: Root, _inline: Inline, owns: Owns<'_>) -> Result<()> {
        let sound = match root.encoding() {
            0 => true,
            TABLE => return table::check::<KEY_AT>(pool, root, owns),
            _ => {
                owns(packed::place(root)?.0);
                let members = members(pool, root)?.collect::<Result<HashSet<_>>>()?;
                let ordered =
                    root.encoding() != INTEGERS || integers(pool, root)?.is_sorted_by(|a, b| a < b);
                ordered && members.len() as u64 == packed::count(root)
            }
        };
        if sound {
            Ok(())
        } else {
            Err(damaged("a packed set: its members"))
        }
    }

    /// Those of a table's entries are estimated. O(n).
    fn memory(&self, pool: &Pool, root: Root) -> Result<u64> {
        match root.encoding() {
            0 => Ok(0),
            TABLE => Ok(table::memory(pool, root)? + table::entries_memory(pool, root)?),
            _ => pool.capacity(packed::place(root)?.0),
        }
    }

    fn encoding(&self, _pool: &Pool, root: Root, known: Known) -> Result<&'static str> {
        Ok(match root.encoding() {
            INTEGERS => "intset",
            PACKED if known.listpack_sets => "listpack",
            _ => "hashtable",
        })
    }
}
