//! Sorted sets as a type of values.

use super::{
    build, check, copy, destroy, dismantle_part, garbage, head, large, len, node, relocate, small,
    sort, walk,
};
use crate::inline::Inline;
use crate::structures::encoding::Known;
use crate::structures::limits::AllLimits;
use crate::structures::mover::{Cursor, Mover};
use crate::structures::structure::{Element, Shape, Show, Structure};
use crate::structures::{Owns, Root};
use pobj::{PPtr, Pool, Result, Tx};

/// Sorted sets.
pub struct Type;

impl Structure for Type {
    fn len(&self, _pool: &Pool, root: Root) -> Result<u64> {
        Ok(len(root))
    }

    fn each(&self, pool: &Pool, root: Root, _inline: Inline, show: Show<'_>) -> Result<()> {
        let mut walk = walk(pool, root, 0, false)?;
        while let Some((name, score)) = walk.step()? {
            if !show(Element::Scored(name, score))? {
                break;
            }
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        Shape::Scored
    }

    fn build(
        &self,
        tx: &mut Tx<'_>,
        limits: AllLimits,
        _inline: Inline,
        elements: &[Element<'_>],
    ) -> Result<Root> {
        let elements = elements.iter().map(Element::scored);
        let mut elements = elements.collect::<Result<Vec<_>>>()?;
        sort(&mut elements);
        build(tx, limits.zset, &elements)
    }

    fn is_small(&self, root: Root) -> bool {
        const FEW: u64 = 64;
        !garbage::has_garbage(root) && (root.encoding() != head::PLAIN || len(root) <= FEW)
    }

    fn destroy(&self, tx: &mut Tx<'_>, root: Root) -> Result<()> {
        destroy(tx, root)
    }

    fn dismantle(&self, tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
        dismantle_part(tx, root, budget)
    }

    fn clean(&self, tx: &mut Tx<'_>, root: &mut Root) -> Result<()> {
        garbage::clean(tx, root).map(drop)
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
        match root.encoding() {
            small::ENCODING => pool.capacity(node::there(PPtr::<u8>::new(root.value))?),
            head::PLAIN | head::WITH_GARBAGE => large::memory(pool, root),
            _ => Ok(0),
        }
    }

    fn encoding(&self, _pool: &Pool, root: Root, _known: Known) -> Result<&'static str> {
        Ok(match root.encoding() {
            small::ENCODING => "listpack",
            _ => "skiplist",
        })
    }
}
