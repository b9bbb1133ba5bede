//! A batch in which objects of a value move; see [`relocate`](super::relocate).

use super::Root;
use pobj::{Kind, PPtr, Result, Tx};

/// What moving an object costs of a [`Mover`]'s budget, besides its bytes; looking at one costs 1.
const MOVE_COST: u64 = 8;
/// Bytes that cost 1.
const BYTES_A_UNIT: u64 = 64;

/// How far [`relocate`](super::relocate::relocate) has come with a value. The default is the start.
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
    pub fn is_spent(&self) -> bool {
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
    pub fn shift(&mut self, object: PPtr<u8>) -> Result<Option<PPtr<u8>>> {
        self.spend(1);
        let target = self.tx.relocate(object, Kind::Data)?;
        if let Some(target) = target {
            let size = self.tx.capacity(target)?;
            self.spend(MOVE_COST + size / BYTES_A_UNIT);
            self.moved += size;
        }
        Ok(target)
    }

    /// Moves an object to which a word of the pool points, by its offset; whether it has moved.
    pub fn shift_at(&mut self, link: PPtr<u64>, object: PPtr<u8>) -> Result<bool> {
        match self.shift(object)? {
            Some(target) => {
                self.tx.set(link, target.offset())?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Moves the object to which a root's value points; whether it has moved.
    pub fn shift_root(&mut self, root: &mut Root) -> Result<bool> {
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
