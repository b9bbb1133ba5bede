//! The Set: members.
//!
//! | encoding | is | value | rest |
//! |---|---|---|---|
//! | 1 integers | few integers (`limits`), as 8 bytes each, ascending | the object | count, bytes |
//! | 2 packed | few short members (`limits`), in order of insertion (`packed`) | the object | count, bytes |
//! | 3 table | a hash table of entries (`table`) | the directory | count |
//!
//! ```text
//! entry    0  4  length of the member
//!          4     the member
//! ```
//!
//! A set goes from one encoding to a later one when it outgrows the first, and never goes back. A
//! member is an integer if it is written as Redis would write it (`number::parse_i64`), whatever
//! the encoding.
//!
//! Fences: one member added or removed costs 1; 2 with more than 1 KiB of fresh bytes. Several at
//! once cost the same as long as they fit one log record.

mod algebra;
mod change;
mod structure;

pub use algebra::{Operation, Outcome, Source, evaluate};
pub use change::{add, build, copy, pop, remove, transfer};
pub use structure::Type;

use super::{Root, packed, sample, table, whole};
use crate::damaged::damaged;
use crate::number::parse_i64;
use crate::value::ValueType;
use pobj::{Pool, Result};

const INTEGERS: u8 = 1;
const PACKED: u8 = 2;
pub(super) const TABLE: u8 = 3;
/// Where an entry's member begins.
const KEY_AT: u64 = 4;

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Member<'p> {
    /// An integer, in a set of integers.
    Integer(i64),
    /// Any member, in another set.
    Bytes(&'p [u8]),
}

impl<'p> Member<'p> {
    /// The one form that this member has, whichever set it was found in.
    pub fn normal(self) -> Member<'p> {
        match self {
            Member::Bytes(bytes) => parse_i64(bytes).map_or(self, Member::Integer),
            Member::Integer(_) => self,
        }
    }

    /// The member's bytes; `digits` is where an integer is written out.
    #[inline]
    pub fn bytes<'d>(self, digits: &'d mut itoa::Buffer) -> &'d [u8]
    where
        'p: 'd,
    {
        match self {
            Member::Integer(n) => digits.format(n).as_bytes(),
            Member::Bytes(bytes) => bytes,
        }
    }
}

/// Number of members. O(1).
#[inline]
pub fn len(root: Root) -> u64 {
    match root.encoding() {
        TABLE => table::len(root),
        _ => packed::count(root),
    }
}

/// The numbers of a set of integers.
fn integers(pool: &Pool, root: Root) -> Result<&[i64]> {
    let bytes = packed::bytes(pool, root)?;
    bytemuck::try_cast_slice(bytes)
        .map_err(|_| damaged("a set of integers: its length is no multiple"))
}

/// Whether `member` is in the set. O(1); O(log n) of integers; O(n) of a packed set.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn contains(pool: &Pool, root: Root, member: &[u8]) -> Result<bool> {
    match root.encoding() {
        0 => Ok(false),
        INTEGERS => match parse_i64(member) {
            Some(n) => Ok(integers(pool, root)?.binary_search(&n).is_ok()),
            None => Ok(false),
        },
        PACKED => Ok(find_packed(packed::bytes(pool, root)?, member)?.is_some()),
        TABLE => {
            let hash = table::hash(pool, member);
            Ok(table::find::<KEY_AT>(pool, root, member, hash)?.is_some())
        }
        _ => Err(root.unknown(ValueType::Set)),
    }
}

/// [`contains`] of a member of another set.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn contains_member(pool: &Pool, root: Root, member: Member<'_>) -> Result<bool> {
    match member {
        Member::Integer(n) if root.encoding() == INTEGERS => {
            Ok(integers(pool, root)?.binary_search(&n).is_ok())
        }
        _ => contains(pool, root, member.bytes(&mut itoa::Buffer::new())),
    }
}

/// Where a member's item begins.
fn find_packed(bytes: &[u8], wanted: &[u8]) -> Result<Option<usize>> {
    let mut rest = bytes;
    while let Some((item, behind)) = packed::first(rest) {
        if packed::is_same(item, wanted) {
            return Ok(Some(bytes.len() - rest.len()));
        }
        rest = behind;
    }
    match rest {
        [] => Ok(None),
        _ => Err(packed::overrun()),
    }
}

/// All members, each once: integers ascending, a packed set's in order of insertion, else in no
/// particular order. O(n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn members(pool: &Pool, root: Root) -> Result<Members<'_>> {
    let walk = match root.encoding() {
        0 => Walk::Integers([].iter()),
        INTEGERS => Walk::Integers(integers(pool, root)?.iter()),
        PACKED => Walk::Packed(packed::items(packed::bytes(pool, root)?)),
        TABLE => Walk::Table(table::entries(pool, root)?),
        _ => return Err(root.unknown(ValueType::Set)),
    };
    Ok(Members { pool, walk })
}

/// See [`members`].
pub struct Members<'p> {
    pool: &'p Pool,
    walk: Walk<'p>,
}

enum Walk<'p> {
    Integers(std::slice::Iter<'p, i64>),
    Packed(packed::Items<'p>),
    Table(table::Entries<'p>),
}

impl<'p> Iterator for Members<'p> {
    type Item = Result<Member<'p>>;

    fn next(&mut self) -> Option<Result<Member<'p>>> {
        match &mut self.walk {
            Walk::Integers(numbers) => numbers.next().map(|&n| Ok(Member::Integer(n))),
            Walk::Packed(items) => items.next().map(|item| item.map(Member::Bytes)),
            Walk::Table(entries) => {
                let pool = self.pool;
                entries.next().map(|entry| member(pool, entry?))
            }
        }
    }
}

/// An entry's member.
fn member(pool: &Pool, entry: table::EntryPtr) -> Result<Member<'_>> {
    table::key::<KEY_AT>(pool, entry).map(Member::Bytes)
}

/// Calls `visit` with some members from `cursor` on, and gives the next cursor; 0 is the start, and
/// the end. See `table::scan`.
///
/// # Errors
/// [`Damaged`](crate::structures#errors). Those of `visit`, too.
pub fn scan<'p>(
    pool: &'p Pool,
    root: Root,
    cursor: u64,
    mut visit: impl FnMut(Member<'p>),
) -> Result<u64> {
    if root.encoding() == TABLE {
        return table::scan(pool, root, cursor, |entry| {
            visit(member(pool, entry)?);
            Ok(())
        });
    }
    for member in members(pool, root)? {
        visit(member?);
    }
    Ok(0)
}

/// A member of a set that is not empty, each with the same probability. O(1); O(n) of a packed set.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn random(pool: &Pool, root: Root) -> Result<Member<'_>> {
    if root.encoding() == TABLE {
        return member(pool, table::random(pool, root)?.entry);
    }
    let nth = fastrand::u64(..len(root).max(1)) as usize;
    let found = match root.encoding() {
        INTEGERS => integers(pool, root)?
            .get(nth)
            .map(|&n| Ok(Member::Integer(n))),
        _ => members(pool, root)?.nth(nth),
    };
    found.unwrap_or_else(|| Err(damaged("a set: fewer members than it counts")))
}

/// All members at once. O(n).
///
/// # Errors
/// `Damaged` if there are not as many as the set counts.
pub fn all(pool: &Pool, root: Root) -> Result<Vec<Member<'_>>> {
    whole(len(root), members(pool, root)?)
}

/// `count` different members, fewer than there are, each such choice being as likely.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn some(pool: &Pool, root: Root, count: u64) -> Result<Vec<Member<'_>>> {
    let members = || members(pool, root);
    sample::distinct(count, len(root), members, || random(pool, root))
}
