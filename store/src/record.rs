//! A key's record: where everything about one key begins on media.
//!
//! ```text
//!  0  1  type       ValueType
//!  1  1  reserved   zero
//!  2  2  space      number of the key space, which a database shows (see `dbs`)
//!  4  4  check      low half of XXH3-64 of the key, seeded with the pool, mixed with type and length
//!  8  8  created    when the key was created, in ticks of the pool's own clock; 0: dead
//! 16  8  expire at  Unix milliseconds; -1: never
//! 24 16  root       the value's two words (see `structures::Root`)
//! 40  4  key length bytes
//! 44  4  reserved   zero
//! 48     the key, then from the next multiple of 8 the value's inline area, up to the object's end
//! ```
//!
//! A record is live while it was created later than the last flush of its space. It is written
//! once, as fresh bytes; later only space, creation tick, expire time, root and the inline area
//! change, logged.

use crate::damaged::damaged;
use crate::expiry::KEY_NEVER;
use crate::inline::Inline;
use crate::layout::RECORD;
use crate::structures::Root;
use crate::value::ValueType;
use bytemuck::{Pod, Zeroable};
use pobj::{Error, Fresh, PPtr, Pool, Reader, Result, Tx, field};
use static_assertions::const_assert_eq;
use std::mem::{offset_of, size_of};

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    ty: u8,
    reserved: u8,
    /// Number of the key space.
    pub space: u16,
    check: u32,
    /// When the key was created, in ticks of the pool's own clock; 0 if it is dead.
    pub created: u64,
    /// Unix milliseconds, or [`KEY_NEVER`].
    pub expire_at: i64,
    /// The value's root.
    pub root: Root,
    key_len: u32,
    reserved2: u32,
}
const_assert_eq!(size_of::<Record>(), 48);
const_assert_eq!(offset_of!(Record, root), 24);

/// A pointer to a record.
pub type RecordPtr = PPtr<Record>;

/// Bytes of a record before the key.
pub const HEAD: u64 = size_of::<Record>() as u64;

fn inline_start(key_len: usize) -> u64 {
    HEAD + (key_len as u64).next_multiple_of(8)
}

/// The circumstances of a key's creation.
#[derive(Clone, Copy, Debug)]
pub struct Creation {
    /// Number of the key space.
    pub space: u16,
    /// When, in ticks of the pool's own clock; 0 for a record that is no key's.
    pub tick: u64,
    /// Unix milliseconds, or [`KEY_NEVER`].
    pub expire_at: i64,
}

impl Creation {
    /// That of a record that is no key's, from its beginning on.
    pub const NONE: Creation = Creation {
        space: 0,
        tick: 0,
        expire_at: KEY_NEVER,
    };

    /// That of the first key in the first key space.
    pub const FIRST: Creation = Creation {
        tick: 1,
        ..Creation::NONE
    };
}

/// Makes the record of a new key whose value `f` builds, and which may use `inline` bytes of the
/// record at least. An empty value gets no record.
pub(crate) fn create_unless_empty(
    tx: &mut Tx<'_>,
    key: (&[u8], ValueType, Creation),
    inline: u64,
    f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
) -> Result<Option<RecordPtr>> {
    let (record, area) = reserve(tx, key.0, inline)?;
    let root = f(tx, area)?;
    if root == Root::EMPTY {
        tx.free(record.ptr())?;
        return Ok(None);
    }
    fill(tx, record, key, root)?;
    Ok(Some(record.ptr()))
}

/// [`create_unless_empty`] of a record whose value may also be empty.
///
/// # Errors
/// `Full`; `TooLarge` if no object can hold the key; those of `f`.
pub fn create(
    tx: &mut Tx<'_>,
    key: (&[u8], ValueType, Creation),
    inline: u64,
    f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
) -> Result<RecordPtr> {
    let (record, area) = reserve(tx, key.0, inline)?;
    let root = f(tx, area)?;
    fill(tx, record, key, root)?;
    Ok(record.ptr())
}

/// Reserves a record for `key` with at least `inline` bytes of inline area.
fn reserve(tx: &mut Tx<'_>, key: &[u8], inline: u64) -> Result<(Fresh<Record>, Inline)> {
    let start = inline_start(key.len());
    let record = tx.alloc(start + inline, RECORD)?;
    let at = record.at(start);
    let inline = Inline {
        at: at.ptr(),
        record: record.ptr(),
        fresh: Some(at),
    };
    Ok((record.cast(), inline))
}

/// Fills a reserved record.
fn fill(
    tx: &mut Tx<'_>,
    record: Fresh<Record>,
    (key, ty, creation): (&[u8], ValueType, Creation),
    root: Root,
) -> Result<()> {
    let key_len = u32::try_from(key.len()).map_err(|_| Error::TooLarge(key.len() as u64))?;
    let head = Record {
        ty: ty as u8,
        reserved: 0,
        space: creation.space,
        check: check(tx, ty as u8, key),
        created: creation.tick,
        expire_at: creation.expire_at,
        root,
        key_len,
        reserved2: 0,
    };
    const ZEROS: [u8; 8] = [0; 8];
    let padding = &ZEROS[..(inline_start(key.len()) - HEAD) as usize - key.len()];
    tx.fill_parts(record.cast(), [bytemuck::bytes_of(&head), key, padding])
}

/// The hash of a key with a value of type `ty` in this pool, as its record has it.
pub fn hash(pool: &Pool, ty: ValueType, key: &[u8]) -> u32 {
    check(pool, ty as u8, key)
}

fn check(pool: &Pool, ty: u8, key: &[u8]) -> u32 {
    let seed = pool.seed()[1] ^ u64::from(ty) << 56 ^ key.len() as u64;
    xxhash_rust::xxh3::xxh3_64_with_seed(key, seed) as u32
}

impl Record {
    /// What [`hash`] says of its key, if it is not damaged.
    #[inline]
    pub fn check(&self) -> u32 {
        self.check
    }

    /// The inline area of the record, which is at `record`.
    #[inline]
    pub fn inline(&self, record: RecordPtr) -> Inline {
        Inline {
            at: record.at(inline_start(self.key_len as usize)),
            record: record.cast(),
            fresh: None,
        }
    }

    /// The value's type.
    ///
    /// # Errors
    /// `Damaged` if there is no such type.
    #[inline]
    pub fn value_type(&self) -> Result<ValueType> {
        ValueType::from_byte(self.ty).ok_or_else(|| damaged("a record of unknown type"))
    }
}

/// The record's fixed part. O(1).
///
/// # Errors
/// `Damaged` if it is outside the pool.
#[inline]
pub fn get(pool: &Pool, record: RecordPtr) -> Result<&Record> {
    pool.get(record)
}

/// The record's key. O(1).
///
/// # Errors
/// `Damaged` if the record or its key is outside the pool.
pub fn key(pool: &Pool, record: RecordPtr) -> Result<&[u8]> {
    let len = pool.get(record)?.key_len;
    pool.bytes(record.at(HEAD), u64::from(len))
}

/// [`key`], as several threads see it; `None` if it is not inside the pool.
#[inline]
pub(crate) fn key_seen<'m>(
    reader: Reader<'m>,
    record: RecordPtr,
    head: &Record,
) -> Option<&'m [u8]> {
    reader.bytes(record.at(HEAD), u64::from(head.key_len))
}

/// The record's root and inline area. O(1).
///
/// # Errors
/// As of [`get`].
#[inline]
pub fn value(pool: &Pool, record: RecordPtr) -> Result<(Root, Inline)> {
    let head = pool.get(record)?;
    Ok((head.root, head.inline(record)))
}

/// The record's inline area. O(1).
///
/// # Errors
/// As of [`get`].
#[inline]
pub fn inline(pool: &Pool, record: RecordPtr) -> Result<Inline> {
    Ok(pool.get(record)?.inline(record))
}

/// Checks all that can be checked of a record without its value: O(length of the key).
///
/// # Errors
/// `Damaged` if anything of it is not what this code writes.
pub fn verify(pool: &Pool, record: RecordPtr) -> Result<()> {
    let head = pool.get(record)?;
    head.value_type()?;
    inline(pool, record)?.capacity(pool)?;
    if check(pool, head.ty, key(pool, record)?) != head.check {
        return Err(damaged("a record's key does not match its check"));
    }
    Ok(())
}

/// Marks the record as dead: from the commit on the key is gone, and its memory can be reclaimed.
///
/// # Errors
/// `Damaged` if it is not in an allocated object.
pub fn kill(tx: &mut Tx<'_>, record: RecordPtr) -> Result<()> {
    tx.set(field!(record, Record, created), 0)
}

/// Sets the expire time.
///
/// # Errors
/// As of [`kill`].
pub fn set_expire(tx: &mut Tx<'_>, record: RecordPtr, at: i64) -> Result<()> {
    tx.set(field!(record, Record, expire_at), at)
}

/// Moves the record to another key space, where it is created anew: that space may have been
/// flushed since the record was made.
pub(crate) fn set_space(
    tx: &mut Tx<'_>,
    record: RecordPtr,
    space: u16,
    created: u64,
) -> Result<()> {
    tx.set(field!(record, Record, space), space)?;
    tx.set(field!(record, Record, created), created)
}

/// Writes the words of the root that differ.
///
/// # Errors
/// As of [`kill`].
#[inline]
pub fn set_root(tx: &mut Tx<'_>, record: RecordPtr, old: Root, new: Root) -> Result<()> {
    let at = field!(record, Record, root);
    match (old.value != new.value, old.form != new.form) {
        (true, true) => tx.set(at, new),
        (true, false) => tx.set(field!(at, Root, value), new.value),
        (false, true) => tx.set(field!(at, Root, form), new.form),
        (false, false) => Ok(()),
    }
}
