//! The Hash: fields with values, each of which may have a time at which it expires.
//!
//! | encoding | is | value | rest |
//! |---|---|---|---|
//! | 1 packed | few fields (`limits`) with short names and values, in order of insertion (`pack`, in a `packed` object) | the object | count, bytes |
//! | 2 table | a hash table (`table`) of entries (`entry`) | the directory | count |
//! | 3 packed, expiring | as 1, but fields may expire | | |
//! | 4 table, expiring | as 2, but fields may expire | | |
//!
//! A packed hash becomes a table when it outgrows the limits, and never goes back. A hash gets
//! encoding 3 or 4 with the first expire time of a field; a table loses it again when no field
//! expires any more. What has no expire time is the same bytes in either, so a table changes by a
//! byte of its root. A value of up to 512 bytes that fits its entry is overwritten in place,
//! logged; else the entry is replaced.
//!
//! The functions here know no clock: a field whose time has come is there until it is removed.
//!
//! Fences: one field set, changed or removed costs 1; 2 with more than 1 KiB of fresh bytes; one
//! expire time set or changed 1. Several fields at once cost the same as long as they fit one log
//! record.
//!
//! | file | what |
//! |---|---|
//! | `pack`, `entry` | the bytes of a packed hash; those of a table's entries |
//! | `write` | setting and removing fields, whole hashes |
//! | `expiry` | setting expire times, looking for fields whose time has come |
//! | `plan` | expire times and removals that depend on what is there |
//! | `visible` | fields of a hash of which others have expired |

mod entry;
mod expiry;
mod form;
mod pack;
mod plan;
mod structure;
mod visible;
mod write;

use crate::damaged::damaged;
use crate::expiry::FIELD_NEVER;
use expiry::expire_and_remove;
pub use expiry::{expire, of_hash, place};
pub use form::{may_expire, without_expiry};
pub use plan::{Done, Plan};
pub use structure::{Type, check};
pub use visible::Visible;
pub use write::{build, copy, put, remove, replace_expiring, set, set_expiring};

pub use super::field::{Field, Pair};
use super::table::{self, Lookup};
use super::{Root, packed};
use crate::value::ValueType;
use entry::KEY_AT;
use pobj::{Pool, Result};

const PACKED: u8 = 1;
pub(super) const TABLE: u8 = 2;
const PACKED_EXPIRING: u8 = 3;
pub(super) const TABLE_EXPIRING: u8 = 4;

/// Number of fields. O(1).
#[inline]
pub fn len(root: Root) -> u64 {
    match root.encoding() {
        TABLE | TABLE_EXPIRING => table::len(root),
        _ => packed::count(root),
    }
}

/// Whether it is a table. O(1).
#[inline]
pub fn is_table(root: Root) -> bool {
    matches!(root.encoding(), TABLE | TABLE_EXPIRING)
}

/// Where a lookup found a field, or where it should go; good until the value changes.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    at: At,
    /// Length of the value, if the field is there.
    old_len: Option<usize>,
    /// When the field expires, if it is there and does; else [`FIELD_NEVER`].
    pub expire_at: i64,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Empty,
    Packed { value_at: usize },
    Table(Lookup),
}

/// Looks a field up: its spot, and its value if it is there. O(1); O(n) of a packed hash.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn find<'p>(pool: &'p Pool, root: Root, field: &[u8]) -> Result<(Spot, Option<&'p [u8]>)> {
    find_for::<false>(pool, root, field)
}

/// [`find`] for who is about to set the field: that of a new one in a packed hash takes less, that
/// of another one more.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn find_to_set<'p>(
    pool: &'p Pool,
    root: Root,
    field: &[u8],
) -> Result<(Spot, Option<&'p [u8]>)> {
    find_for::<true>(pool, root, field)
}

#[inline]
fn find_for<'p, const TO_SET: bool>(
    pool: &'p Pool,
    root: Root,
    field: &[u8],
) -> Result<(Spot, Option<&'p [u8]>)> {
    let (at, value, expire_at) = match root.encoding() {
        0 => (At::Empty, None, FIELD_NEVER),
        PACKED | PACKED_EXPIRING => {
            let bytes = packed::bytes(pool, root)?;
            let found = if TO_SET && packed::lacks(bytes, field) {
                None
            } else {
                pack::find(bytes, field)?
            };
            match found {
                Some((found, place)) => {
                    let value_at = place.end - found.value.len();
                    let at = At::Packed { value_at };
                    (at, Some(found.value), found.expire_at)
                }
                None => {
                    let value_at = bytes.len();
                    (At::Packed { value_at }, None, FIELD_NEVER)
                }
            }
        }
        TABLE | TABLE_EXPIRING => {
            let hash = table::hash(pool, field);
            let lookup = table::look_up::<KEY_AT>(pool, root, field, hash)?;
            match lookup.found {
                Some(found) => {
                    let parts = entry::parts(pool, found.entry)?;
                    let value = entry::value(pool, found.entry, &parts)?;
                    (At::Table(lookup), Some(value), parts.expire_at)
                }
                None => (At::Table(lookup), None, FIELD_NEVER),
            }
        }
        _ => return Err(root.unknown(ValueType::Hash)),
    };
    let old_len = value.map(<[u8]>::len);
    let spot = Spot {
        at,
        old_len,
        expire_at,
    };
    Ok((spot, value))
}

/// The value of a field. O(1); O(n) of a packed hash.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn get<'p>(pool: &'p Pool, root: Root, field: &[u8]) -> Result<Option<&'p [u8]>> {
    Ok(find(pool, root, field)?.1)
}

/// When a field expires; [`FIELD_NEVER`] also if it is not there. O(1); O(n) of a packed hash.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn expire_at(pool: &Pool, root: Root, field: &[u8]) -> Result<i64> {
    Ok(find(pool, root, field)?.0.expire_at)
}

/// All fields, each once: in order of insertion while the hash is packed, else in no particular
/// order. O(n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn fields(pool: &Pool, root: Root) -> Result<Fields<'_>> {
    let walk = match root.encoding() {
        0 => Walk::Packed(pack::fields(&[])),
        PACKED | PACKED_EXPIRING => Walk::Packed(pack::fields(packed::bytes(pool, root)?)),
        TABLE | TABLE_EXPIRING => Walk::Table(table::entries(pool, root)?),
        _ => return Err(root.unknown(ValueType::Hash)),
    };
    Ok(Fields { pool, walk })
}

/// See [`fields`].
pub struct Fields<'p> {
    pool: &'p Pool,
    walk: Walk<'p>,
}

enum Walk<'p> {
    Packed(pack::Fields<'p>),
    Table(table::Entries<'p>),
}

impl<'p> Iterator for Fields<'p> {
    type Item = Result<Field<'p>>;

    fn next(&mut self) -> Option<Result<Field<'p>>> {
        match &mut self.walk {
            Walk::Packed(fields) => fields.next(),
            Walk::Table(entries) => {
                let pool = self.pool;
                entries
                    .next()
                    .map(|entry| entry.and_then(|entry| entry::field(pool, entry)))
            }
        }
    }
}

/// [`fields`], without their expire times.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn pairs(pool: &Pool, root: Root) -> Result<impl Iterator<Item = Result<Pair<'_>>>> {
    let fields = fields(pool, root)?;
    Ok(fields.map(|field| field.map(|field| (field.name, field.value))))
}

/// Calls `visit` with some fields from `cursor` on, and gives the next cursor; 0 is the start, and
/// the end. See `table::scan`.
///
/// # Errors
/// [`Damaged`](crate::structures#errors). Those of `visit`, too.
pub fn scan<'p>(
    pool: &'p Pool,
    root: Root,
    cursor: u64,
    mut visit: impl FnMut(Field<'p>),
) -> Result<u64> {
    if is_table(root) {
        return table::scan(pool, root, cursor, |entry| {
            visit(entry::field(pool, entry)?);
            Ok(())
        });
    }
    for field in fields(pool, root)? {
        visit(field?);
    }
    Ok(0)
}

/// A field of a hash that is not empty, each with the same probability. O(1); O(n) of a packed
/// hash.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn random(pool: &Pool, root: Root) -> Result<Field<'_>> {
    if is_table(root) {
        return entry::field(pool, table::random(pool, root)?.entry);
    }
    let nth = fastrand::u64(..len(root).max(1)) as usize;
    let lacking = || Err(damaged("a packed hash: fewer fields"));
    fields(pool, root)?.nth(nth).unwrap_or_else(lacking)
}
