//! The part of a record that its value may use.

use crate::damaged::damaged;
use pobj::{Fresh, PPtr, Pool, Result, Tx};

/// Space in a record that its value may use, up to the end of the record.
#[derive(Clone, Copy, Debug)]
pub struct Inline {
    /// Where it starts.
    pub at: PPtr<u8>,
    /// The record.
    pub(crate) record: PPtr<u8>,
    /// The same space, if the running transaction makes the record.
    pub(crate) fresh: Option<Fresh>,
}

impl Inline {
    /// Fills the space, from its beginning on, for a value that had none of it.
    ///
    /// # Errors
    /// `Damaged` if the space is not in an allocated object, or has less room.
    #[inline]
    pub fn fill(self, tx: &mut Tx<'_>, bytes: &[u8]) -> Result<()> {
        match self.fresh {
            Some(fresh) => tx.fill(fresh, bytes),
            None => tx.fill_spare(self.at, bytes),
        }
    }

    /// The space of a record that is being made, for a value that is new.
    ///
    /// # Errors
    /// `Damaged` if the record is there already: then it has no value.
    #[inline]
    pub fn fresh(self) -> Result<Fresh> {
        let lacks = || damaged("a record without a value");
        self.fresh.ok_or_else(lacks)
    }

    /// Its bytes. O(1), but it reads what the allocator knows of the record: not for those who need
    /// no room.
    ///
    /// # Errors
    /// `Damaged` if no allocated object starts at the record, or if it is shorter than its key
    /// says.
    #[inline]
    pub fn capacity(self, pool: &Pool) -> Result<u64> {
        let start = self.at.offset() - self.record.offset();
        let capacity = pool.capacity(self.record)?.checked_sub(start);
        capacity.ok_or_else(|| damaged("a record's key is longer than the record"))
    }
}
