//! Up to which size a value is kept in one packed object: what the server's settings say, but no
//! more than the structure allows, which these types enforce. Functions that add elements take the
//! limits of their type as an argument.
//!
//! A value that is packed already stays so when a limit is lowered, until an element is added, or a
//! field of a hash set; one that is not never becomes so again. That is Redis's own way.

use super::packed;

/// Most elements that a packed sorted set is made for.
pub(crate) const ZSET_COUNT_MAX: usize = 128;
/// Most bytes of a field's name or value in a packed hash: what the length of a value can tell.
pub(crate) const HASH_ITEM_MAX: usize = 127;
/// Most bytes of a name in a packed sorted set.
pub(crate) const ZSET_NAME_MAX: usize = 64;

const COUNT_MAX: usize = packed::COUNT_MAX as usize;

/// The limits of one type, whose packed form is made for so many elements of so many bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits<const COUNT_MAX: usize, const LEN_MAX: usize> {
    elements: u64,
    element_len: u64,
}

/// The limits of hashes; an element is a field's name or its value.
pub type HashLimits = Limits<COUNT_MAX, HASH_ITEM_MAX>;
/// The limits of sets of anything but integers.
pub type MemberLimits = Limits<COUNT_MAX, { packed::ITEM_MAX }>;
/// The limits of sets of integers.
pub type IntegerLimits = Limits<COUNT_MAX, { size_of::<i64>() }>;
/// The limits of sorted sets; an element is a name.
pub type ZSetLimits = Limits<ZSET_COUNT_MAX, ZSET_NAME_MAX>;

impl<const COUNT_MAX: usize, const LEN_MAX: usize> Limits<COUNT_MAX, LEN_MAX> {
    /// Most elements, and most bytes of one; a number beyond what the structure is made for stands
    /// for that.
    #[inline]
    pub const fn new(elements: u64, element_len: u64) -> Self {
        const fn least(number: u64, most: usize) -> u64 {
            if number < most as u64 {
                number
            } else {
                most as u64
            }
        }
        Limits {
            elements: least(elements, COUNT_MAX),
            element_len: least(element_len, LEN_MAX),
        }
    }

    /// Most elements.
    #[inline]
    pub const fn elements(self) -> u64 {
        self.elements
    }

    /// Most bytes of an element.
    #[inline]
    pub const fn element_len(self) -> u64 {
        self.element_len
    }

    /// Whether an element of this length can be added to so many others.
    #[inline]
    pub const fn admit(self, others: u64, element_len: usize) -> bool {
        others < self.elements && element_len as u64 <= self.element_len
    }
}

/// The limits of sets, of both packed forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLimits {
    /// Of sets of integers.
    pub integers: IntegerLimits,
    /// Of sets of anything else.
    pub members: MemberLimits,
}

/// The limits of all types that have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllLimits {
    /// Of hashes.
    pub hash: HashLimits,
    /// Of sets.
    pub set: SetLimits,
    /// Of sorted sets.
    pub zset: ZSetLimits,
}

impl AllLimits {
    /// Those of Redis 7.0, and of sets, 7.2, for who has no server to ask.
    pub const DEFAULT: AllLimits = AllLimits {
        hash: Limits::new(512, 64),
        set: SetLimits {
            integers: Limits::new(512, u64::MAX),
            members: Limits::new(128, 64),
        },
        zset: Limits::new(128, 64),
    };
}

const _: () = {
    // Each field with its two lengths and its expire time.
    assert!(COUNT_MAX * (2 + 8 + 2 * HASH_ITEM_MAX) <= packed::BYTES_MAX);
    assert!(COUNT_MAX * (1 + packed::ITEM_MAX) <= packed::BYTES_MAX);
    assert!(COUNT_MAX * size_of::<i64>() <= packed::BYTES_MAX);
    // What is appended is joined before.
    assert!(2 + 2 * HASH_ITEM_MAX <= packed::JOIN_MAX && packed::ITEM_MAX < packed::JOIN_MAX);
};
