//! The persistent data structures, one file (or folder) per type. They know nothing of Redis.
//!
//! A value hangs from a [`Root`]: two words that the caller keeps for it. A structure's functions
//! take the root by reference, change it in DRAM, and collect every other change in the
//! transaction; the caller writes the root back where it belongs, in the same transaction. So a
//! structure never knows whether its root lies in a new record or an old one, and each change is
//! one atomic step.
//!
//! The contract of every structure
//! * The empty value is `Root::EMPTY` and owns no memory; a function that removes the last element
//!   frees everything and leaves `Root::EMPTY`. (A string is the exception: it may be empty and
//!   there.)
//! * Reads go to the pool, or through the transaction, which shows the pool as it was at its begin
//!   or at its last `step`. A function reads what it needs first and writes then; whoever calls
//!   several functions on one value in one transaction calls `tx.step()` between them.
//! * Nothing read is trusted: lengths and pointers are checked by `pobj` and against each other,
//!   and a contradiction is `pobj::Error::Damaged`, never a panic, an endless loop or a huge
//!   allocation.
//!
//! # Errors
//! Functions that read fail with [`Damaged`](Error::Damaged) if what hangs from the root is not
//! what this code writes, as far as they look at it. Functions that change a value, through a
//! [`Tx`](pobj::Tx), fail with [`Full`](Error::Full), too, if the pool has no room for what they
//! allocate, or for the undo log of their steps, and with [`TooLarge`](Error::TooLarge) if no
//! object can hold an element, or no table so many. The transaction is to be dropped then: nothing
//! has happened. The root in DRAM is of no use any more.

pub mod bitfields;
pub mod encoding;
mod field;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod limits;
pub mod list;
pub mod mover;
mod packed;
pub mod sample;
pub mod set;
pub mod string;
mod structure;
pub mod table;
pub mod zset;

pub use structure::{Element, Shape, Show, Structure};

use crate::damaged::damaged;
use crate::value::ValueType;
use bytemuck::{Pod, Zeroable};
use pobj::{Error, PPtr, Pool, Result};
use static_assertions::const_assert_eq;

/// The two words from which a value hangs.
///
/// The top byte of `form` is the encoding, which each type numbers from 1 on; the rest and `value`
/// are the type's own. All zero is the empty value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Root {
    /// A number, or a pointer's offset: the type's own.
    pub value: u64,
    /// The encoding in the top byte; below, 56 bits of the type's own (a length, a count).
    pub form: u64,
}
const_assert_eq!(size_of::<Root>(), 16);

impl Root {
    /// The empty value.
    pub const EMPTY: Root = Root { value: 0, form: 0 };
    const REST: u64 = (1 << 56) - 1;

    /// A root of this encoding; `rest` is below 2^56.
    pub fn new(encoding: u8, rest: u64, value: u64) -> Root {
        debug_assert!(rest <= Self::REST);
        Root {
            value,
            form: u64::from(encoding) << 56 | rest,
        }
    }

    /// The encoding's number; 0 for the empty value.
    pub fn encoding(self) -> u8 {
        (self.form >> 56) as u8
    }

    /// Why a root of this encoding is none of the type `ty`.
    #[cold]
    #[inline(never)]
    pub(crate) fn unknown(self, ty: ValueType) -> Error {
        let (name, encoding) = (ty.name().to_string_lossy(), self.encoding());
        damaged(&format!("a {name} of unknown encoding {encoding}"))
    }

    /// The 56 bits of `form` that are the type's own.
    pub fn rest(self) -> u64 {
        self.form & Self::REST
    }
}

/// For how many elements to make room at first, of a value that counts so many: a damaged count is
/// no reason for more.
pub(crate) fn room_at_first(count: u64) -> usize {
    count.min(4096) as usize
}

/// All elements of a walk over a value, which are `count`. O(count).
///
/// Who tells somebody how many elements follow has them first: a damaged count must not be told, as
/// the elements would be taken for something else where they end.
///
/// # Errors
/// `Damaged` if there are fewer or more; what the walk fails with.
pub fn whole<T>(count: u64, walk: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut elements = Vec::with_capacity(room_at_first(count));
    for element in walk {
        elements.push(element?);
        if elements.len() as u64 > count {
            break;
        }
    }
    if elements.len() as u64 == count {
        Ok(elements)
    } else {
        Err(damaged(&format!(
            "a value that counts {count} elements does not have as many"
        )))
    }
}

/// The type of values of this name.
#[inline]
pub fn of(ty: ValueType) -> &'static dyn Structure {
    match ty {
        ValueType::String => &string::Type,
        ValueType::List => &list::Type,
        ValueType::Hash => &hash::Type,
        ValueType::Set => &set::Type,
        ValueType::ZSet => &zset::Type,
    }
}

/// Whether a value has no elements, but memory that is yet to be reclaimed: its key ends, but not
/// by freeing it.
#[inline]
pub fn is_over(ty: ValueType, root: Root) -> bool {
    ty == ValueType::ZSet && zset::is_over(root)
}

/// Whether a value that lives has memory to be reclaimed by [`Structure::clean`].
#[inline]
pub fn has_garbage(ty: ValueType, root: Root) -> bool {
    ty == ValueType::ZSet && zset::has_garbage(root)
}

/// Whether a value has elements that expire, or may have.
#[inline]
pub fn may_expire(ty: ValueType, root: Root) -> bool {
    ty == ValueType::Hash && hash::may_expire(root)
}

/// The table in which the value keeps its fields or members, for [`table::prefetch_bucket`]: as the
/// words there lie, without a check, and maybe older than the last commit. O(1).
#[inline]
pub fn table_to_prefetch(pool: &Pool, ty: ValueType, root: Root) -> Option<u64> {
    match ty {
        ValueType::Hash if matches!(root.encoding(), hash::TABLE | hash::TABLE_EXPIRING) => {
            Some(root.value)
        }
        ValueType::Set if root.encoding() == set::TABLE => Some(root.value),
        ValueType::ZSet => zset::table_to_prefetch(pool, root),
        _ => None,
    }
}

/// What is told of every object that a value owns.
pub type Owns<'a> = &'a mut dyn FnMut(PPtr<u8>);
