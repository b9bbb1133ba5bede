//! Up to which size a value is kept in one packed object: what the server's settings say, but no
//! more than the structure is made for. Without a server, the defaults are those of Redis 7.0, and
//! of sets, 7.2.
//!
//! A value that is packed already stays so when a limit is lowered, until an element is added, or a
//! field of a hash set; one that is not never becomes so again. That is Redis's own way.

use super::packed;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most elements that a packed sorted set is made for.
pub const ZSET_COUNT_MAX: usize = 128;
/// Most bytes of a field's name or value in a packed hash: what the length of a value can tell.
pub const HASH_ITEM_MAX: usize = 127;
/// Most bytes of a name in a packed sorted set.
pub const ZSET_NAME_MAX: usize = 64;

/// A number that may be changed.
pub struct Limit {
    most: u64,
    value: AtomicU64,
}

impl Limit {
    const fn new(value: usize, most: usize) -> Limit {
        Limit {
            most: most as u64,
            value: AtomicU64::new(value as u64),
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

const COUNT_MAX: usize = packed::COUNT_MAX as usize;

/// Hashes.
pub static HASH: Limits = Limits {
    elements: Limit::new(512, COUNT_MAX),
    element_len: Limit::new(64, HASH_ITEM_MAX),
};
/// Sets of anything but integers.
pub static SET: Limits = Limits {
    elements: Limit::new(128, COUNT_MAX),
    element_len: Limit::new(64, packed::ITEM_MAX),
};
/// Sets of integers: most elements.
pub static INTEGERS: Limit = Limit::new(512, COUNT_MAX);
/// Sorted sets.
pub static ZSET: Limits = Limits {
    elements: Limit::new(ZSET_COUNT_MAX, ZSET_COUNT_MAX),
    element_len: Limit::new(ZSET_NAME_MAX, ZSET_NAME_MAX),
};

const _: () = {
    // Each field with its two lengths and its expire time.
    assert!(COUNT_MAX * (2 + 8 + 2 * HASH_ITEM_MAX) <= packed::BYTES_MAX);
    assert!(COUNT_MAX * (1 + packed::ITEM_MAX) <= packed::BYTES_MAX);
    assert!(COUNT_MAX * size_of::<i64>() <= packed::BYTES_MAX);
    // What is appended is joined before.
    assert!(2 + 2 * HASH_ITEM_MAX <= packed::JOIN_MAX && packed::ITEM_MAX < packed::JOIN_MAX);
};

impl Limits {
    /// Whether an element of this length can be added to so many others.
    #[inline]
    pub fn admit(&self, others: u64, element_len: usize) -> bool {
        others < self.elements.get() && element_len as u64 <= self.element_len.get()
    }
}
