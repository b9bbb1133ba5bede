//! Entries of a hash's table: a field, its value, and when the field expires, if it does.
//!
//! ```text
//! entry    0  4  length of the field
//!          4  4  length of the value; all ones if a tail follows the field
//!          8     the field
//!                the tail: 8 bytes expire time in Unix milliseconds, 4 bytes length of the value
//!                the value
//! ```
//!
//! Only an entry whose field has once been given an expire time has a tail. In a tail, the expire
//! time [`FIELD_NEVER`] is that of a field that does not expire any more. Nothing in a tail is
//! aligned.

use super::{Field, Pair};
use crate::damaged::damaged;
use crate::expiry::FIELD_NEVER;
use crate::layout::DATA;
use crate::structures::packed;
use crate::structures::table::{self, EntryPtr};
use pobj::{Error, Pool, Result, Tx};

/// Where an entry's field begins.
pub(crate) const KEY_AT: u64 = 8;
/// Bytes of a tail.
const TAIL: u64 = 12;
/// What stands for the length of the value in an entry that has a tail.
const HAS_TAIL: u32 = u32::MAX;
/// Longest value that is overwritten in place.
const LOGGED_MAX: usize = 512;

/// Where the parts of an entry are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    field_len: u64,
    value_len: u64,
    /// Bytes before the value.
    value_at: u64,
    /// When the field expires, or [`FIELD_NEVER`].
    pub expire_at: i64,
}

impl Parts {
    fn has_tail(&self) -> bool {
        self.value_at != KEY_AT + self.field_len
    }
}

/// The parts of an entry. O(1).
#[inline]
pub(super) fn parts(pool: &Pool, entry: EntryPtr) -> Result<Parts> {
    let [field_len, value_len] = *pool.get(entry.cast::<[u32; 2]>())?;
    let field_len = u64::from(field_len);
    if value_len == HAS_TAIL {
        return parts_with_tail(pool, entry, field_len);
    }
    Ok(Parts {
        field_len,
        value_len: u64::from(value_len),
        value_at: KEY_AT + field_len,
        expire_at: FIELD_NEVER,
    })
}

#[cold]
fn parts_with_tail(pool: &Pool, entry: EntryPtr, field_len: u64) -> Result<Parts> {
    let tail = pool.bytes(entry.at(KEY_AT + field_len), TAIL)?;
    let damaged = || damaged("a hash: an entry's tail");
    let (time, len) = tail.split_first_chunk().ok_or_else(damaged)?;
    let len = *len.first_chunk().ok_or_else(damaged)?;
    Ok(Parts {
        field_len,
        value_len: u64::from(u32::from_le_bytes(len)),
        value_at: KEY_AT + field_len + TAIL,
        expire_at: i64::from_le_bytes(*time),
    })
}

/// An entry's value.
#[inline]
pub(super) fn value<'p>(pool: &'p Pool, entry: EntryPtr, parts: &Parts) -> Result<&'p [u8]> {
    pool.bytes(entry.at(parts.value_at), parts.value_len)
}

/// An entry's field, value and expire time.
pub(super) fn field(pool: &Pool, entry: EntryPtr) -> Result<Field<'_>> {
    let parts = parts(pool, entry)?;
    let end = parts.value_at + parts.value_len;
    let bytes = pool.bytes(entry.at(KEY_AT), end - KEY_AT)?;
    let (front, value) = bytes.split_at((parts.value_at - KEY_AT) as usize);
    Ok(Field {
        name: &front[..parts.field_len as usize],
        value,
        expire_at: parts.expire_at,
    })
}

/// Makes an entry, which has a tail if the field expires.
///
/// # Errors
/// `TooLarge` if a length is not less than 4 GiB; those of the allocation.
pub(super) fn create(tx: &mut Tx<'_>, field: Pair<'_>, expire_at: i64) -> Result<EntryPtr> {
    let (name, value) = field;
    let mut size = KEY_AT + name.len() as u64 + value.len() as u64;
    let length = |bytes: &[u8]| match u32::try_from(bytes.len()) {
        Ok(len) if len != HAS_TAIL => Ok(len),
        _ => Err(Error::TooLarge(size)),
    };
    let mut head = [length(name)?, length(value)?];
    let (mut tail, mut tail_len) = ([0; TAIL as usize], 0);
    if expire_at != FIELD_NEVER {
        tail = tail_of(expire_at, head[1]);
        (head[1], tail_len) = (HAS_TAIL, tail.len());
        size += TAIL;
    }
    let tail = &tail[..tail_len];
    let head = bytemuck::bytes_of(&head);
    let entry = tx.alloc(size, DATA)?;
    if size <= packed::JOIN_MAX as u64 {
        let fill = |bytes: &[u8]| tx.fill(entry, bytes);
        match tail {
            [] => packed::join([head, name, value], fill)?,
            _ => packed::join([head, name, tail, value], fill)?,
        }
        return Ok(entry.ptr());
    }
    tx.fill(entry, head)?;
    tx.fill(entry.at(KEY_AT), name)?;
    tx.fill(entry.at(KEY_AT + name.len() as u64), tail)?;
    tx.fill(entry.at(size - value.len() as u64), value)?;
    Ok(entry.ptr())
}

fn tail_of(expire_at: i64, value_len: u32) -> [u8; TAIL as usize] {
    let mut tail = [0; TAIL as usize];
    tail[..8].copy_from_slice(&expire_at.to_le_bytes());
    tail[8..].copy_from_slice(&value_len.to_le_bytes());
    tail
}

/// Overwrites the value of an entry of `name` and sets its expire time; gives another entry where
/// that cannot be done in place.
pub(super) fn overwrite(
    tx: &mut Tx<'_>,
    entry: EntryPtr,
    old: &Parts,
    (name, value): Pair<'_>,
    expire_at: i64,
) -> Result<Option<EntryPtr>> {
    if value.len() > LOGGED_MAX || expire_at != FIELD_NEVER && !old.has_tail() {
        return create(tx, (name, value), expire_at).map(Some);
    }
    if old.value_len != value.len() as u64 {
        let size = old.value_at + value.len() as u64;
        let room = tx.capacity(entry)?;
        if size > room || 2 * size + 64 < room {
            return create(tx, (name, value), expire_at).map(Some);
        }
        if !old.has_tail() {
            tx.set(entry.at::<u32>(4), value.len() as u32)?;
        }
    }
    if old.has_tail() {
        let tail = tail_of(expire_at, value.len() as u32);
        tx.write(entry.at(old.value_at - TAIL), &[&tail, value].concat())?;
    } else {
        tx.write(entry.at(old.value_at), value)?;
    }
    Ok(None)
}

/// Sets the expire time of an entry; gives another entry if this one has no tail.
pub(super) fn set_expire(
    tx: &mut Tx<'_>,
    entry: EntryPtr,
    expire_at: i64,
) -> Result<Option<EntryPtr>> {
    let old = parts(tx, entry)?;
    if old.expire_at == expire_at {
        return Ok(None);
    }
    if old.has_tail() {
        tx.write(entry.at(old.value_at - TAIL), &expire_at.to_le_bytes())?;
        return Ok(None);
    }
    let name = table::key::<KEY_AT>(tx, entry)?.to_vec();
    let value = value(tx, entry, &old)?.to_vec();
    create(tx, (&name, &value), expire_at).map(Some)
}
