//! Strings as a type of values.

use super::{EXTERNAL, Form, INLINE, INT, Value, destroy, external, inline_len, object, read, set};
use crate::inline::Inline;
use crate::layout::DATA;
use crate::structures::encoding::Known;
use crate::structures::limits::AllLimits;
use crate::structures::mover::{Cursor, Mover};
use crate::structures::structure::{Element, Shape, Show, Structure};
use crate::structures::{Owns, Root};
use pobj::{Error, Pool, Result, Tx};

/// Strings.
pub struct Type;

impl Structure for Type {
    fn len(&self, _pool: &Pool, _root: Root) -> Result<u64> {
        Ok(1)
    }

    fn each(&self, pool: &Pool, root: Root, inline: Inline, show: Show<'_>) -> Result<()> {
        let mut digits = itoa::Buffer::new();
        let value = read(pool, root, inline)?;
        show(Element::Bytes(
            value.map_or(b"", |value| value.text(&mut digits)),
        ))
        .map(drop)
    }

    fn shape(&self) -> Shape {
        Shape::One
    }

    fn build(
        &self,
        tx: &mut Tx<'_>,
        _limits: AllLimits,
        inline: Inline,
        elements: &[Element<'_>],
    ) -> Result<Root> {
        let [value] = elements else {
            return Err(Error::State("a string of several elements".into()));
        };
        let mut root = Root::EMPTY;
        set(tx, &mut root, inline, Value::of(value.name()))?;
        Ok(root)
    }

    fn inline_for(&self, first: &Element<'_>) -> u64 {
        Value::of(first.name()).inline_len()
    }

    fn is_small(&self, _root: Root) -> bool {
        true
    }

    fn destroy(&self, tx: &mut Tx<'_>, root: Root) -> Result<()> {
        destroy(tx, root)
    }

    fn dismantle(&self, tx: &mut Tx<'_>, root: &mut Root, _budget: usize) -> Result<bool> {
        destroy(tx, *root)?;
        *root = Root::EMPTY;
        Ok(true)
    }

    fn copy(&self, tx: &mut Tx<'_>, root: Root, source: Inline, target: Inline) -> Result<Root> {
        match Form::of(tx, root, source)? {
            Form::Empty | Form::Int(_) => Ok(root),
            Form::Inline(place) | Form::External(place) => {
                if inline_len(place.len) == place.len && place.len <= target.capacity(tx)? {
                    tx.fill_from(target.fresh()?, place.at, place.len)?;
                    return Ok(Root::new(INLINE, place.len, 0));
                }
                let object = tx.alloc(place.len, DATA)?;
                tx.fill_from(object, place.at, place.len)?;
                Ok(external(object.ptr(), place.len))
            }
        }
    }

    fn inline_used(&self, root: Root) -> u64 {
        match root.encoding() {
            INLINE => root.rest(),
            _ => 0,
        }
    }

    fn relocate(
        &self,
        mover: &mut Mover<'_, '_>,
        root: &mut Root,
        _cursor: Cursor,
    ) -> Result<Option<Cursor>> {
        if root.encoding() == EXTERNAL {
            mover.shift_root(root)?;
        }
        Ok(None)
    }

    fn check(&self, pool: &Pool, root: Root, inline: Inline, owns: Owns<'_>) -> Result<()> {
        if let Form::External(place) = Form::of(pool, root, inline)? {
            owns(place.at);
        }
        Ok(())
    }

    fn memory(&self, pool: &Pool, root: Root) -> Result<u64> {
        match root.encoding() {
            EXTERNAL => pool.capacity(object(root)?),
            _ => Ok(0),
        }
    }

    fn encoding(&self, _pool: &Pool, root: Root, known: Known) -> Result<&'static str> {
        let len = root.rest() as i64;
        let is_in_gap = |(from, to)| (from..=to).contains(&len);
        Ok(match root.encoding() {
            INT => "int",
            _ if known.embedded_gap.is_some_and(is_in_gap) => "raw",
            _ if len <= known.embedded_max => "embstr",
            _ => "raw",
        })
    }
}
