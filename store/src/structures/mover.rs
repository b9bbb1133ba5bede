//! Moving the objects of a value out of the way of an evacuation (`pobj::Pool::begin_evacuation`):
//! [`Structure::relocate`](super::Structure::relocate).
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

use super::Root;
use crate::layout::DATA;
use pobj::{Fresh, PPtr, Result, Tx};

/// What moving an object costs of a [`Mover`]'s budget, besides its bytes; looking at one costs 1.
const MOVE_COST: u64 = 8;
/// Bytes that cost 1.
const BYTES_A_UNIT: u64 = 64;

/// How far [`Structure::relocate`](super::Structure::relocate) has come with a value. The default
/// is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The part of the value: the type's own.
    pub phase: u8,
    /// The place in that part: the type's own.
    pub at: u64,
}

/// A batch in which objects move.
pub struct Mover<'t, 'p> {
    /// The transaction.
    pub tx: &'t mut Tx<'p>,
    left: u64,
    moved: u64,
}

impl<'t, 'p> Mover<'t, 'p> {
    /// A batch of about `budget` objects to be looked at, or fewer if some are moved.
    pub fn new(tx: &'t mut Tx<'p>, budget: u64) -> Mover<'t, 'p> {
        Mover {
            tx,
            left: budget,
            moved: 0,
        }
    }

    /// True if the batch is large enough.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Bytes of the objects that were moved.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// What is left of the budget.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes so many looks from the budget.
    pub fn spend(&mut self, looks: u64) {
        self.left = self.left.saturating_sub(looks);
    }

    /// Moves an object if it is in the way: where it is then. The caller changes what points to it.
    ///
    /// # Errors
    /// `Damaged` if no allocated object starts there.
    pub fn shift(&mut self, object: PPtr<u8>) -> Result<Option<Fresh>> {
        self.spend(1);
        let target = self.tx.relocate(object, DATA)?;
        if let Some(target) = target {
            let size = self.tx.capacity(target.ptr())?;
            self.spend(MOVE_COST + size / BYTES_A_UNIT);
            self.moved += size;
        }
        Ok(target)
    }

    /// Moves an object to which a word of the pool points, by its offset; whether it has moved.
    pub(crate) fn shift_at(&mut self, link: PPtr<u64>, object: PPtr<u8>) -> Result<bool> {
        match self.shift(object)? {
            Some(target) => {
                self.tx.set(link, target.offset())?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Moves the object to which a root's value points; whether it has moved.
    pub(crate) fn shift_root(&mut self, root: &mut Root) -> Result<bool> {
        let Some(object) = PPtr::new(root.value) else {
            return Ok(false);
        };
        match self.shift(object)? {
            Some(target) => {
                root.value = target.offset();
                Ok(true)
            }
            None => Ok(false),
        }
    }
}
