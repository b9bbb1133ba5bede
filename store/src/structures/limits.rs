//! Up to which size a value is kept in one packed object: what the server's settings say, but no
//! more than the structure is made for.
//!
//! A value that is packed already stays so when a limit is lowered, until an element is added; one
//! that is not never becomes so again. That is Redis's own way.

use super::packed;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most elements that a packed sorted set is made for.
pub const ZSET_COUNT_MAX: usize = 128;
/// Most bytes of a name in it.
pub const ZSET_NAME_MAX: usize = 64;

/// A number that may be lowered.
pub struct Limit {
    most: u64,
    value: AtomicU64,
}

impl Limit {
    const fn new(most: u64) -> Limit {
        Limit {
            most,
            value: AtomicU64::new(most),
        }
    }

    /// The limit.
    #[inline]
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Sets the limit; a number beyond what the structure is made for sets it to that.
    pub fn set(&self, value: u64) {
        self.value.store(value.min(self.most), Ordering::Relaxed);
    }
}

/// The limits of one type.
pub struct Limits {
    /// Most elements.
    pub elements: Limit,
    /// Most bytes of an element: a member, a field or a value.
    pub element_len: Limit,
}

const fn packed_limits() -> Limits {
    Limits {
        elements: Limit::new(packed::COUNT_MAX),
        element_len: Limit::new(packed::ITEM_MAX as u64),
    }
}

/// Hashes.
pub static HASH: Limits = packed_limits();
/// Sets of anything but integers.
pub static SET: Limits = packed_limits();
/// Sets of integers: most elements.
pub static INTEGERS: Limit = Limit::new(packed::BYTES_MAX as u64 / 8);
/// Sorted sets.
pub static ZSET: Limits = Limits {
    elements: Limit::new(ZSET_COUNT_MAX as u64),
    element_len: Limit::new(ZSET_NAME_MAX as u64),
};

impl Limits {
    /// Whether an element of this length can be added to so many others.
    #[inline]
    pub fn admit(&self, others: u64, element_len: usize) -> bool {
        others < self.elements.get() && element_len as u64 <= self.element_len.get()
    }
}
