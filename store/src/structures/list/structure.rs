//! Lists as a type of values.

use super::{Side, check, copy, each, len, listpack, memory, push, release, relocate};
use crate::inline::Inline;
use crate::structures::encoding::Known;
use crate::structures::limits::AllLimits;
use crate::structures::mover::{Cursor, Mover};
use crate::structures::structure::{Element, Shape, Show, Structure};
use crate::structures::{Owns, Root};
use pobj::{Pool, Result, Tx};

/// Lists.
pub struct Type;

impl Structure for Type {
    fn len(&self, pool: &Pool, root: Root) -> Result<u64> {
        len(pool, root)
    }

    fn each(&self, pool: &Pool, root: Root, _inline: Inline, show: Show<'_>) -> Result<()> {
        each(pool, root, Side::Left, 0, |value| {
            show(Element::Bytes(value.bytes(pool)?))
        })
    }

    fn shape(&self) -> Shape {
        Shape::Sequence
    }

    fn build(
        &self,
        tx: &mut Tx<'_>,
        _limits: AllLimits,
        _inline: Inline,
        elements: &[Element<'_>],
    ) -> Result<Root> {
        let mut root = Root::EMPTY;
        let elements = elements.iter().map(Element::name);
        push(tx, &mut root, Side::Right, elements)?;
        Ok(root)
    }

    fn is_small(&self, root: Root) -> bool {
        release::is_small(root)
    }

    fn destroy(&self, tx: &mut Tx<'_>, root: Root) -> Result<()> {
        release::destroy(tx, root)
    }

    fn dismantle(&self, tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
        release::dismantle(tx, root, budget)
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
        relocate::relocate(mover, root, cursor)
    }

    fn check(&self, pool: &Pool, root: Root, _inline: Inline, owns: Owns<'_>) -> Result<()> {
        check::check(pool, root, owns)
    }

    fn memory(&self, pool: &Pool, root: Root) -> Result<u64> {
        memory(pool, root)
    }

    fn encoding(&self, pool: &Pool, root: Root, known: Known) -> Result<&'static str> {
        Ok(match known.listpack_lists {
            Some(max) if listpack::would_be_one(pool, root, max)? => "listpack",
            _ => "quicklist",
        })
    }
}
