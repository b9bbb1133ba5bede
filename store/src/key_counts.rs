//! How many keys there are of each type.

use super::value::ValueType;

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
