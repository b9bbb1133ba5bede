//! How many keys there are, of each type, database and hash slot.

use crate::Store;
use crate::record::{self, RecordPtr};
use crate::value::ValueType;
use pobj::Result;

/// Keys, counted by the type of their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts([u64; ValueType::ALL.len()]);

impl KeyCounts {
    /// Those of one type.
    #[inline]
    pub fn of(&self, ty: ValueType) -> u64 {
        self.0[ty.index()]
    }

    /// All of them.
    #[inline]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// One more of a type, or one less.
    #[inline]
    pub fn count(&mut self, ty: ValueType, by: i32) {
        let keys = &mut self.0[ty.index()];
        *keys = keys.saturating_add_signed(by.into());
    }

    /// These, and others.
    pub fn add(&mut self, others: KeyCounts) {
        for (keys, more) in self.0.iter_mut().zip(others.0) {
            *keys += more;
        }
    }

    /// These without others that were among them.
    pub fn subtract(&mut self, others: KeyCounts) {
        for (keys, less) in self.0.iter_mut().zip(others.0) {
            *keys = keys.saturating_sub(less);
        }
    }
}

impl Store {
    /// Counts a key of this key space, type and name that has come into Redis's keyspace.
    #[inline]
    pub fn count_new_key(&mut self, space: u16, ty: ValueType, name: &[u8]) {
        self.dbs.count_key(space, ty);
        self.slots.count(space, ty, name, 1);
    }

    /// Counts a key of this key space, type and name that is there no more.
    pub(crate) fn uncount_old_key(&mut self, space: u16, ty: ValueType, name: &[u8]) {
        self.dbs.uncount_key(space, ty);
        self.slots.count(space, ty, name, -1);
    }

    /// Counts the key of a record that has left Redis's keyspace.
    #[inline]
    pub(crate) fn uncount_key(&mut self, record: RecordPtr) -> Result<()> {
        let head = record::get(&self.pool, record)?;
        let (space, ty) = (head.space, head.value_type()?);
        self.dbs.uncount_key(space, ty);
        if self.slots.counts_keys() {
            self.slots
                .count(space, ty, record::key(&self.pool, record)?, -1);
        }
        Ok(())
    }
}
