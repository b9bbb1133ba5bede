//! What every type of value can do besides its commands: all operations on a value that do not
//! depend on its type.
//!
//! A new type is a file with a `Type` that is one of these, its row in
//! [`ValueType`](crate::value::ValueType), and one in [`structures::of`](super::of). What commands
//! do stays plain functions, and so does what each write asks of a root
//! ([`is_over`](super::is_over), [`has_garbage`](super::has_garbage),
//! [`may_expire`](super::may_expire)).

use super::encoding::Known;
use super::field::Field;
use super::limits::AllLimits;
use super::mover::{Cursor, Mover};
use super::{Owns, Root};
use crate::inline::Inline;
use pobj::{Error, Pool, Result, Tx};

/// An element, as a walk over a value shows it, or as a value is made of.
#[derive(Clone, Copy, Debug)]
pub enum Element<'e> {
    /// A string's bytes, an element of a list, a member of a set.
    Bytes(&'e [u8]),
    /// An element of a sorted set, and its score.
    Scored(&'e [u8], f64),
    /// A field of a hash.
    Field(Field<'e>),
}

/// What the elements of a type are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One, of bytes.
    One,
    /// Bytes, in an order that counts.
    Sequence,
    /// Bytes that all differ.
    Members,
    /// Bytes that all differ, with scores.
    Scored,
    /// Fields whose names all differ.
    Fields,
}

impl Shape {
    /// Whether no two elements are the same, in an order that does not count.
    pub fn differ(self) -> bool {
        !matches!(self, Shape::One | Shape::Sequence)
    }
}

impl<'e> Element<'e> {
    /// The bytes that tell it from others.
    pub fn name(&self) -> &'e [u8] {
        match self {
            Element::Bytes(bytes) | Element::Scored(bytes, _) => bytes,
            Element::Field(field) => field.name,
        }
    }

    pub(super) fn scored(&self) -> Result<(&'e [u8], f64)> {
        match self {
            Element::Scored(name, score) => Ok((name, *score)),
            _ => Err(of_another_type()),
        }
    }

    pub(super) fn field(&self) -> Result<Field<'e>> {
        match self {
            Element::Field(field) => Ok(*field),
            _ => Err(of_another_type()),
        }
    }
}

#[cold]
fn of_another_type() -> Error {
    Error::State("an element of another type".into())
}

/// What a walk does with each element; false ends the walk.
pub type Show<'s> = &'s mut dyn FnMut(Element<'_>) -> Result<bool>;

/// A type of values.
pub trait Structure: Sync {
    /// How many elements a value has; a string is one. O(1).
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    fn len(&self, pool: &Pool, root: Root) -> Result<u64>;

    /// Shows the elements, each once, in an order that is the type's own. O(n).
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors). Those of `show`, too.
    fn each(&self, pool: &Pool, root: Root, inline: Inline, show: Show<'_>) -> Result<()>;

    /// What the elements are.
    fn shape(&self) -> Shape;

    /// Makes a value of elements of the type's shape, at least one, in the order in which they came
    /// to be, which differ where they have to; no score is not a number. `inline` is the area of
    /// the fresh record, of as many bytes as [`Structure::inline_for`] said. O(n), and O(n log n)
    /// of scored ones that are not in order.
    ///
    /// # Errors
    /// `State` for elements of another shape, or none; `Full`.
    fn build(
        &self,
        tx: &mut Tx<'_>,
        limits: AllLimits,
        inline: Inline,
        elements: &[Element<'_>],
    ) -> Result<Root>;

    /// Bytes of its record that a value uses whose first element is this one.
    fn inline_for(&self, _first: &Element<'_>) -> u64 {
        0
    }

    /// Whether destroying the value takes few enough steps to do it at once (a handful of frees).
    fn is_small(&self, root: Root) -> bool;

    /// Frees everything the value owns, in one batch. For values that [`Structure::is_small`] calls
    /// small.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    fn destroy(&self, tx: &mut Tx<'_>, root: Root) -> Result<()>;

    /// Frees a part of a value that nobody can reach any more, in at most about `budget` frees, and
    /// leaves in `root` what is still to be freed; true when nothing is left. The caller makes each
    /// call one transaction and writes the root back in it.
    ///
    /// # Errors
    /// [`Damaged`, `Full`](crate::structures#errors).
    fn dismantle(&self, tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool>;

    /// Reclaims some of the memory of a value that has garbage, some dozen frees; the caller makes
    /// each call one transaction and writes the root back in it. The value's elements stay.
    ///
    /// # Errors
    /// [`Damaged`, `Full`](crate::structures#errors).
    fn clean(&self, _tx: &mut Tx<'_>, _root: &mut Root) -> Result<()> {
        Ok(())
    }

    /// Copies a value whose record has the inline area `source` into a fresh record with the area
    /// `target`. O(n).
    ///
    /// # Errors
    /// [`Damaged`, `Full`](crate::structures#errors).
    fn copy(&self, tx: &mut Tx<'_>, root: Root, source: Inline, target: Inline) -> Result<Root>;

    /// Bytes of its record that a value uses, and that a record should have to which it is copied
    /// or moved.
    fn inline_used(&self, _root: Root) -> u64 {
        0
    }

    /// Moves some of a value's objects, from `cursor` on, as far as the mover's budget goes (see
    /// [`mover`](super::mover)); the cursor for the next call, or `None` at the end. The caller
    /// makes each call one transaction and writes the root back in it.
    ///
    /// # Errors
    /// `Full` if there is no room to move to: then the transaction must be dropped.
    fn relocate(
        &self,
        mover: &mut Mover<'_, '_>,
        root: &mut Root,
        cursor: Cursor,
    ) -> Result<Option<Cursor>>;

    /// Checks all that can be checked of a value, down to the last element, and shows `owns` every
    /// object that it owns besides its record. `inline` is the record's area. O(n), for tests and
    /// tools.
    ///
    /// # Errors
    /// `Damaged` at the first thing that is not as it must be.
    fn check(&self, pool: &Pool, root: Root, inline: Inline, owns: Owns<'_>) -> Result<()>;

    /// Bytes of the pool that the value takes, besides its record.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    fn memory(&self, pool: &Pool, root: Root) -> Result<u64>;

    /// What OBJECT ENCODING calls the value's encoding.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    fn encoding(&self, pool: &Pool, root: Root, known: Known) -> Result<&'static str>;
}
