//! The bytes of a packed hash: its fields, one behind the other.
//!
//! ```text
//! field    0  1  length of the name
//!          1     the name
//!             1  length of the value; its highest bit is set if the field expires
//!             8  then: the expire time in Unix milliseconds
//!                the value
//! ```

use super::Field;
use crate::damaged::damaged;
use crate::expiry::FIELD_NEVER;
use crate::structures::limits::HASH_ITEM_MAX;
use pobj::{Error, Result};
use std::ops::Range;

/// Set in the length of a value that an expire time precedes.
const EXPIRES: u8 = 0x80;
/// Bytes of an expire time.
const TIME: usize = 8;

/// The fields in `bytes`, in their order; nothing after an error.
pub(super) fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

/// See [`fields`].
#[derive(Clone)]
pub(super) struct Fields<'p> {
    rest: &'p [u8],
}

impl<'p> Iterator for Fields<'p> {
    type Item = Result<Field<'p>>;

    #[inline]
    fn next(&mut self) -> Option<Result<Field<'p>>> {
        if self.rest.is_empty() {
            return None;
        }
        match take(self.rest) {
            Some((field, rest)) => {
                self.rest = rest;
                Some(Ok(field))
            }
            None => {
                self.rest = &[];
                Some(Err(overrun()))
            }
        }
    }
}

/// The first field, and what follows it.
#[inline]
fn take(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(len))?;
    let (&len, mut rest) = rest.split_first()?;
    let mut expire_at = FIELD_NEVER;
    if len & EXPIRES != 0 {
        let (time, after) = rest.split_first_chunk()?;
        (expire_at, rest) = (i64::from_le_bytes(*time), after);
    }
    let (value, rest) = rest.split_at_checked(usize::from(len & !EXPIRES))?;
    let field = Field {
        name,
        value,
        expire_at,
    };
    Some((field, rest))
}

/// The field of this name, and where it is. O(n).
#[inline]
pub(super) fn find<'p>(bytes: &'p [u8], name: &[u8]) -> Result<Option<(Field<'p>, Range<usize>)>> {
    // What stands before the length of the value: the last byte of the name, and of an empty one
    // its length.
    let last = name.last().copied().unwrap_or(0);
    let mut at = 0;
    while let Some(&len) = bytes.get(at) {
        let end = at + usize::from(len);
        let value_len = *bytes.get(end + 1).ok_or_else(overrun)?;
        if bytes[end] == last && is_same(&bytes[at + 1..end + 1], name) {
            let (field, rest) = take(&bytes[at..]).ok_or_else(overrun)?;
            return Ok(Some((field, at..bytes.len() - rest.len())));
        }
        let value = match value_len & EXPIRES {
            0 => usize::from(value_len),
            _ => expiring(value_len),
        };
        at = end + 2 + value;
    }
    if at == bytes.len() {
        Ok(None)
    } else {
        Err(overrun())
    }
}

/// Whether names are the same. Those that differ, though not in their last bytes, mostly do so near
/// them, as those that someone has numbered.
#[inline(never)]
fn is_same(name: &[u8], wanted: &[u8]) -> bool {
    match (name.last_chunk::<4>(), wanted.last_chunk()) {
        (Some(end), Some(wanted_end)) if end != wanted_end => false,
        _ => name == wanted,
    }
}

/// Bytes of an expire time and the value behind it. Mostly there is none: so it is kept out of the
/// way of the others.
#[cold]
#[inline(never)]
fn expiring(value_len: u8) -> usize {
    TIME + usize::from(value_len & !EXPIRES)
}

#[cold]
#[inline(never)]
fn overrun() -> Error {
    damaged("a packed hash: a field overruns it")
}

/// Bytes that a field takes.
#[inline]
pub(crate) fn len_of(field: &Field<'_>) -> usize {
    let time = if field.expire_at == FIELD_NEVER {
        0
    } else {
        TIME
    };
    2 + field.name.len() + time + field.value.len()
}

/// Appends a field, of whose name and value neither is longer than `limits::HASH_ITEM_MAX`.
pub(super) fn push(out: &mut Vec<u8>, field: &Field<'_>) {
    debug_assert!(field.name.len().max(field.value.len()) <= HASH_ITEM_MAX);
    out.push(field.name.len() as u8);
    out.extend_from_slice(field.name);
    if field.expire_at == FIELD_NEVER {
        out.push(field.value.len() as u8);
    } else {
        out.push(field.value.len() as u8 | EXPIRES);
        out.extend_from_slice(&field.expire_at.to_le_bytes());
    }
    out.extend_from_slice(field.value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_with_their_expire_times_and_overruns_are_errors() {
        let wanted = [
            (b"".as_slice(), b"".as_slice(), FIELD_NEVER),
            (b"a", &[7; 64], 5),
            (&[9; 64], b"", i64::MIN),
        ];
        let wanted = wanted.map(|(name, value, expire_at)| Field {
            name,
            value,
            expire_at,
        });
        let (mut bytes, mut len) = (Vec::new(), 0);
        for field in &wanted {
            push(&mut bytes, field);
            len += len_of(field);
            assert_eq!(bytes.len(), len);
        }
        let back: Vec<_> = fields(&bytes).map(|field| field.unwrap()).collect();
        assert_eq!(back, wanted);
        let (field, place) = find(&bytes, b"a").unwrap().unwrap();
        assert_eq!((field, place), (wanted[1], 2..2 + len_of(&wanted[1])));
        for (field, place) in [(wanted[0], 0..2), (wanted[2], 2 + len_of(&wanted[1])..len)] {
            assert_eq!(find(&bytes, field.name).unwrap(), Some((field, place)));
        }
        assert_eq!(find(&bytes, b"b").unwrap(), None);
        for end in 1..bytes.len() {
            let cut: Vec<_> = fields(&bytes[..end]).collect();
            let ends = [2, 2 + len_of(&wanted[1])];
            let is_whole = ends.contains(&end);
            assert_eq!(cut.iter().any(Result::is_err), !is_whole, "{end}");
            assert_eq!(find(&bytes[..end], b"b").is_err(), !is_whole, "{end}");
        }
    }
}
