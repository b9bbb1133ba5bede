//! Moving the objects of a value out of the way of an evacuation (`pobj::Pool::begin_evacuation`).
//!
//! Each type goes through its objects from the root down, from a [`Cursor`] on. One call is one
//! batch, so one atomic step that leaves a sound value: for each object that moves, its copy, the
//! words that point to it, and the free of the old one. Nothing else changes, and no root but for
//! where it points.
//!
//! * An object and what hangs from it do not move in the same batch, unless the copy is made with
//!   the new pointers: else a word of the old object would be written that the batch frees. So a
//!   call that has moved an object ends, and the next one begins at the same place.
//! * What an evacuation has passed stays out of its way, as allocations avoid it. A value may
//!   change between two calls, and what had not been passed yet may then lie behind the cursor: it
//!   stays where it is, which is sound, until the next evacuation.

use super::mover::{Cursor, Mover};
use super::{Root, hash, list, set, string, zset};
use crate::value::ValueType;
use pobj::Result;

/// Moves some of a value's objects, from `cursor` on, as far as the mover's budget goes; the cursor
/// for the next call, or `None` at the end. The caller makes each call one transaction and writes
/// the root back in it.
///
/// # Errors
/// `Full` if there is no room to move to: then the transaction must be dropped.
pub fn relocate(
    mover: &mut Mover<'_, '_>,
    ty: ValueType,
    root: &mut Root,
    cursor: Cursor,
) -> Result<Option<Cursor>> {
    match ty {
        ValueType::String => string::relocate(mover, root).map(|()| None),
        ValueType::List => list::relocate(mover, root, cursor),
        ValueType::Hash => hash::relocate(mover, root, cursor),
        ValueType::Set => set::relocate(mover, root, cursor),
        ValueType::ZSet => zset::relocate(mover, root, cursor),
    }
}
