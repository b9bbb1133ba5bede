//! Hashes as a type of values.

use super::entry::KEY_AT;
use super::{
    PACKED, PACKED_EXPIRING, TABLE, TABLE_EXPIRING, build, copy, fields, is_table, len, may_expire,
};
use crate::damaged::damaged;
use crate::expiry::FIELD_NEVER;
use crate::inline::Inline;
use crate::structures::encoding::Known;
use crate::structures::limits::AllLimits;
use crate::structures::mover::{Cursor, Mover};
use crate::structures::structure::{Element, Shape, Show, Structure};
use crate::structures::table::{self, BATCH};
use crate::structures::{Owns, Root, packed};
use pobj::{Pool, Result, Tx};
use std::collections::HashSet;

/// Hashes.
pub struct Type;

impl Structure for Type {
    fn len(&self, _pool: &Pool, root: Root) -> Result<u64> {
        Ok(len(root))
    }

    fn each(&self, pool: &Pool, root: Root, _inline: Inline, show: Show<'_>) -> Result<()> {
        for field in fields(pool, root)? {
            if !show(Element::Field(field?))? {
                break;
            }
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        Shape::Fields
    }

    fn build(
        &self,
        tx: &mut Tx<'_>,
        limits: AllLimits,
        _inline: Inline,
        elements: &[Element<'_>],
    ) -> Result<Root> {
        let fields = elements.iter().map(Element::field);
        let fields = fields.collect::<Result<Vec<_>>>()?;
        build(tx, limits.hash, fields.into_iter())
    }

    fn is_small(&self, root: Root) -> bool {
        !is_table(root) || table::len(root) <= BATCH as u64
    }

    fn destroy(&self, tx: &mut Tx<'_>, mut root: Root) -> Result<()> {
        self.dismantle(tx, &mut root, usize::MAX).map(drop)
    }

    fn dismantle(&self, tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
        match root.encoding() {
            PACKED | PACKED_EXPIRING => tx.free(packed::place(*root)?.0)?,
            TABLE | TABLE_EXPIRING => return table::dismantle(tx, root, budget),
            _ => {}
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
            PACKED | PACKED_EXPIRING => mover.shift_root(root).map(|_| None),
            TABLE | TABLE_EXPIRING => table::relocate_alone(mover, root, cursor),
            _ => Ok(None),
        }
    }

    fn check(&self, pool: &Pool, root: Root, _inline: Inline, owns: Owns<'_>) -> Result<()> {
        check(pool, root, owns)
    }

    /// Those of a table's entries are estimated. O(n).
    fn memory(&self, pool: &Pool, root: Root) -> Result<u64> {
        match root.encoding() {
            PACKED | PACKED_EXPIRING => pool.capacity(packed::place(root)?.0),
            TABLE | TABLE_EXPIRING => {
                Ok(table::memory(pool, root)? + table::entries_memory(pool, root)?)
            }
            _ => Ok(0),
        }
    }

    fn encoding(&self, _pool: &Pool, root: Root, known: Known) -> Result<&'static str> {
        Ok(match root.encoding() {
            PACKED => "listpack",
            PACKED_EXPIRING if known.listpacks_with_times => "listpackex",
            _ => "hashtable",
        })
    }
}

/// Checks a hash, and shows `owns` every object of it. O(n).
///
/// # Errors
/// `Damaged`, with what is wrong.
pub fn check(pool: &Pool, root: Root, owns: Owns<'_>) -> Result<()> {
    match root.encoding() {
        TABLE | TABLE_EXPIRING => table::check::<KEY_AT>(pool, root, owns)?,
        0 => return Ok(()),
        _ => owns(packed::place(root)?.0),
    }
    let mut names = HashSet::new();
    for field in fields(pool, root)? {
        let field = field?;
        if field.expire_at != FIELD_NEVER && !may_expire(root) {
            return Err(damaged(
                "a hash: a field expires, which its encoding does not say",
            ));
        }
        names.insert(field.name);
    }
    if names.len() as u64 == len(root) {
        Ok(())
    } else {
        Err(damaged("a hash: its fields"))
    }
}
