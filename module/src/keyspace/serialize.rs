//! Values in RDB files: RDB, DUMP, RESTORE, MIGRATE, full sync.
//!
//! The form is the module's own, versioned by [`VERSION`], and independent of the pool's layout:
//!
//! ```text
//! head     bit 0: a marker instead of a value; bit 1: the run and the position of the
//!          pool's LSN follow (see `lsn`); bit 2: a hash of which fields expire;
//!          bit 3: a marker that stands for others, too, whose number follows;
//!          bit 4: a marker, and where in the pool the record is
//! string   the bytes
//! list     the number of elements, each element's bytes
//! zset     the number of elements, each one's name and score, ascending
//! hash     the number of fields, each field's bytes and its value's, and with bit 2 of
//!          the head its expire time in Unix milliseconds, or the largest number
//! set      the number of members, each member's bytes
//! ```
//!
//! Version 1 had no head, and always a value; version 2 had no bit 2. Bit 3 is in version 4, which
//! only markers have that stand for others (see `abridge`): all else stays as older modules read
//! it. A value that turns out to be damaged while it is written ends the child that writes it; the
//! server itself looks first (`verify`). What is read is not trusted: a value is built in one
//! transaction, which a malformed payload aborts without a trace.

use crate::redis::{Digest, IoError, RdbBytes, RdbReader, RdbWriter};
use pobj::{Error, Pool, Result};
use store::content::{Content, Item};
use store::expiry::FIELD_NEVER;
use store::inline::Inline;
use store::lsn::RunLsn;
use store::number::double_to_text;
use store::rdb::{number, push_number};
use store::record::RecordPtr;
use store::structures::{self, Element, Root, Shape, zset};
use store::value::ValueType;

/// The version written with each value.
pub const VERSION: i32 = 3;

/// The parts of a head.
const MARKER: u64 = 1;
const LSN: u64 = 2;
const TIMES: u64 = 4;
const OTHERS: u64 = 8;
const PLACE: u64 = 16;

/// The version of a marker that stands for others.
pub const ABRIDGED: i32 = 4;

/// The last version whose heads have no [`TIMES`].
const WITHOUT_TIMES: i32 = 2;

/// A key as read from a file.
pub struct Payload {
    /// The LSN of the pool from which the file was made, with one of its keys.
    pub lsn: Option<RunLsn>,
    /// The value; `None` for a marker.
    pub value: Option<Content<RdbBytes>>,
    /// How many other markers this one stands for.
    pub others: u64,
}

/// What is to be written of one key.
pub struct Form {
    /// The LSN of the pool goes before it.
    pub lsn: Option<RunLsn>,
    /// Its value stays in the pool.
    pub is_marker: bool,
    /// Where its record is, if that is told, too.
    pub place: Option<RecordPtr>,
}

impl Form {
    /// A marker alone.
    pub fn marker() -> Form {
        Form {
            lsn: None,
            is_marker: true,
            place: None,
        }
    }
}

/// Writes the head of a key, after which its value follows unless it is a marker; `times` says
/// whether it is that of a hash of which fields may expire.
pub fn save_head(io: &mut RdbWriter<'_>, form: &Form, times: bool) {
    let place = form.place.map(|record| record.offset());
    let head = if form.is_marker {
        MARKER | if place.is_some() { PLACE } else { 0 }
    } else if times {
        TIMES
    } else {
        0
    };
    match form.lsn {
        None => io.save_unsigned(head),
        Some(lsn) => {
            io.save_unsigned(head | LSN);
            io.save_unsigned(lsn.run);
            io.save_unsigned(lsn.number);
        }
    }
    if let Some(place) = place {
        io.save_unsigned(place);
    }
}

/// Writes a value.
pub fn save(
    io: &mut RdbWriter<'_>,
    pool: &Pool,
    ty: ValueType,
    root: Root,
    inline: Inline,
) -> Result<()> {
    let structure = structures::of(ty);
    let len = structure.len(pool, root)?;
    if structure.shape() != Shape::One {
        io.save_unsigned(len);
    }
    let (mut saved, times) = (Counted::of(len), structures::may_expire(ty, root));
    structure.each(pool, root, inline, &mut |element| {
        saved.one()?;
        match element {
            Element::Bytes(bytes) => io.save_bytes(bytes),
            Element::Scored(name, score) => {
                io.save_bytes(name);
                io.save_double(score);
            }
            Element::Field(field) => {
                io.save_bytes(field.name);
                io.save_bytes(field.value);
                if times {
                    io.save_signed(field.expire_at);
                }
            }
        }
        Ok(!io.failed())
    })?;
    saved.end_unless(io.failed())
}

/// Writes what [`load`] refuses, in place of a payload that cannot be made.
pub fn save_nothing(io: &mut RdbWriter<'_>) {
    io.save_unsigned(u64::MAX);
}

/// Looks whether all of a value can be read, and is as many elements as it counts. O(n).
///
/// # Errors
/// `Damaged` if not.
pub fn verify(pool: &Pool, ty: ValueType, root: Root, inline: Inline) -> Result<()> {
    let structure = structures::of(ty);
    let mut seen = Counted::of(structure.len(pool, root)?);
    structure.each(pool, root, inline, &mut |_| seen.one().map(|()| true))?;
    seen.end()
}

/// Elements that are as many as was said before.
struct Counted {
    left: u64,
}

impl Counted {
    fn of(count: u64) -> Counted {
        Counted { left: count }
    }

    fn one(&mut self) -> Result<()> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::Damaged(
                "a value has more elements than it counts".into(),
            )),
        }
    }

    fn end(&self) -> Result<()> {
        match self.left {
            0 => Ok(()),
            _ => Err(Error::Damaged(
                "a value has fewer elements than it counts".into(),
            )),
        }
    }

    /// What was given up because its stream has failed need not be whole.
    fn end_unless(&self, failed: bool) -> Result<()> {
        if failed { Ok(()) } else { self.end() }
    }
}

/// Reads a key; `None` if the payload is malformed or newer than [`VERSION`].
pub fn load(io: &mut RdbReader<'_>, ty: ValueType, version: i32) -> Option<Payload> {
    let head = match version {
        1 => 0,
        WITHOUT_TIMES | VERSION | ABRIDGED => io.load_unsigned().ok()?,
        _ => return None,
    };
    let times = head & TIMES != 0;
    let has_fields = structures::of(ty).shape() == Shape::Fields;
    let is_odd = times && (version == WITHOUT_TIMES || !has_fields || head & MARKER != 0);
    let stands_for_others = head & OTHERS != 0;
    let is_odder = stands_for_others && (version != ABRIDGED || head & MARKER == 0);
    let has_place = head & PLACE != 0;
    let is_oddest = has_place && head & MARKER == 0;
    if head > MARKER | LSN | TIMES | OTHERS | PLACE || is_odd || is_odder || is_oddest {
        return None;
    }
    let lsn = match head & LSN {
        0 => None,
        _ => Some(RunLsn {
            run: io.load_unsigned().ok()?,
            number: io.load_unsigned().ok()?,
        }),
    };
    let others = if stands_for_others {
        io.load_unsigned().ok()?
    } else {
        0
    };
    if has_place {
        io.load_unsigned().ok()?;
    }
    let value = match head & MARKER {
        0 => Some(load_value(io, ty, times)?),
        _ => None,
    };
    Some(Payload { lsn, value, others })
}

/// An unsigned number as a part of a module's value, and the end of the value, in a file.
const UNSIGNED: u8 = 2;
const END: u8 = 0;

/// True for the bytes, in a file, of a marker without an LSN.
pub fn is_marker(bytes: &[u8]) -> bool {
    bytes == [UNSIGNED, MARKER as u8, END]
}

/// The bytes of a marker with an LSN, which has to be `lsn`, as one that stands for so many others;
/// `None` if these are not the bytes of such a marker.
pub fn for_others(bytes: &[u8], lsn: RunLsn, others: u64) -> Option<Vec<u8>> {
    let lsn_bytes = bytes.strip_prefix(&[UNSIGNED, (MARKER | LSN) as u8, UNSIGNED])?;
    let (run, rest) = number(lsn_bytes)?;
    let (number, rest) = number(rest.strip_prefix(&[UNSIGNED])?)?;
    if rest != [END] || (RunLsn { run, number }) != lsn {
        return None;
    }
    Some(marker_for_others(lsn, others))
}

/// The bytes, in a file, of a marker with an LSN that stands for so many others.
pub fn marker_for_others(lsn: RunLsn, others: u64) -> Vec<u8> {
    let mut marker = Vec::new();
    for part in [MARKER | LSN | OTHERS, lsn.run, lsn.number, others] {
        marker.push(UNSIGNED);
        push_number(&mut marker, part);
    }
    marker.push(END);
    marker
}

/// The record that a marker, of which these are the bytes in a file, tells of.
pub fn place_of(bytes: &[u8]) -> Option<RecordPtr> {
    let mut rest = bytes;
    let mut next = || {
        let (number, after) = number(rest.strip_prefix(&[UNSIGNED])?)?;
        rest = after;
        Some(number)
    };
    let head = next()?;
    if head & LSN != 0 {
        next()?;
        next()?;
    }
    if head & !LSN == MARKER | PLACE {
        RecordPtr::new(next()?)
    } else {
        None
    }
}

fn load_value(io: &mut RdbReader<'_>, ty: ValueType, times: bool) -> Option<Content<RdbBytes>> {
    let elements = match structures::of(ty).shape() {
        Shape::One => vec![Item::Bytes(io.load_bytes().ok()?)],
        Shape::Sequence | Shape::Members => load_some(io, |io| io.load_bytes().map(Item::Bytes))?,
        Shape::Fields => load_some(io, |io| {
            let (name, value) = (io.load_bytes()?, io.load_bytes()?);
            let expire_at = if times {
                io.load_signed()?
            } else {
                FIELD_NEVER
            };
            Ok(Item::Field(name, value, expire_at))
        })?,
        Shape::Scored => {
            let elements = load_some(io, |io| Ok((io.load_bytes()?, io.load_double()?)))?;
            if !zset::is_sound(elements.iter().map(|(name, score)| (&**name, *score))) {
                return None;
            }
            let items = elements.into_iter();
            items
                .map(|(name, score)| Item::Scored(name, score))
                .collect()
        }
    };
    Some(Content { ty, elements })
}

/// Reads a number, which is not 0, and as many elements.
fn load_some<'io, T>(
    io: &mut RdbReader<'io>,
    mut load: impl FnMut(&mut RdbReader<'io>) -> Result<T, IoError>,
) -> Option<Vec<T>> {
    let len = io.load_unsigned().ok().filter(|&len| len > 0)?;
    (0..len).map(|_| load(io)).collect::<Result<_, _>>().ok()
}

/// Adds a value's content to a digest, the same for every encoding.
pub fn digest(
    digest: &mut Digest<'_>,
    pool: &Pool,
    ty: ValueType,
    root: Root,
    inline: Inline,
) -> Result<()> {
    let structure = structures::of(ty);
    let is_sequence = !structure.shape().differ();
    structure.each(pool, root, inline, &mut |element| {
        match element {
            Element::Bytes(bytes) => digest.add_bytes(bytes),
            Element::Scored(name, score) => {
                digest.add_bytes(name);
                digest.add_bytes(double_to_text(score).as_bytes());
            }
            Element::Field(field) => {
                digest.add_bytes(field.name);
                digest.add_bytes(field.value);
                if field.expire_at != FIELD_NEVER {
                    digest.add_bytes(&field.expire_at.to_le_bytes());
                }
            }
        }
        if !is_sequence {
            digest.end_sequence();
        }
        Ok(true)
    })?;
    if is_sequence {
        digest.end_sequence();
    }
    Ok(())
}
