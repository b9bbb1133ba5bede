//! The string: a number in the root, bytes in the key's record, or bytes in an object of their own.
//!
//! ```text
//! encoding     rest of form   value
//! 1 Int        0              the number, an i64
//! 2 Inline     length         0; the bytes lie at the start of the record's inline area
//! 3 External   length         offset of an object that starts with the bytes
//! ```
//!
//! * A text that is a canonical 64-bit number may be Int or bytes; readers see no difference.
//! * Length never exceeds the inline area or the object. What lies behind it there is unused:
//!   growing into it is a fill, as no committed state can reach those bytes.
//! * Values up to `INLINE_MAX` bytes are Inline if the record has the room (it is made to measure
//!   for its first value), longer ones External. An appended-to string is External with room to
//!   grow.
//!
//! Each function collects one batch; the caller's commit is the commit point, and the root its last
//! word. One fence each, two above 1 KiB of fresh bytes, more only for objects beyond a slab page:
//!
//! | change | is |
//! |---|---|
//! | number to number | the root |
//! | short bytes over bytes in the same place | logged bytes, the length if it differs |
//! | short bytes over a number | fill of the inline area, the root |
//! | long bytes | fill of a new object, the root, free of the old one |
//! | append, with room | fill of the room, the length |
//! | append, without | fill of a larger object, the root, free of the old one |
//! | a few bytes within | logged bytes, the length if it differs |

mod structure;

pub use structure::Type;

use super::Root;
use crate::damaged::damaged;
use crate::inline::Inline;
use crate::layout::DATA;
use crate::number::parse_i64;
use crate::value::ValueType;
use pobj::{Error, Fresh, PPtr, Pool, Result, Tx};
use std::ops::Range;

const INT: u8 = 1;
const INLINE: u8 = 2;
const EXTERNAL: u8 = 3;

/// The longest bytes that are kept in the record, and the longest that are overwritten in place.
const INLINE_MAX: u64 = 512;
/// A longer patch over a good part of a string is written by copying the string, not by logging it.
const PATCH_MAX: u64 = 8 << 10;
/// Up to this length a growing string doubles; from there on it gains so much at a time, or
/// [a share](GROWTH_SHARE) of its length if that is more: so all its copies together are no longer
/// than some times its length.
const GROWTH: u64 = 1 << 20;
const GROWTH_SHARE: u64 = 8;

/// A string's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The number's decimal digits.
    Int(i64),
    /// These bytes.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The shorter form of `text`. O(1), as only 20 bytes are looked at.
    #[inline]
    pub fn of(text: &'a [u8]) -> Value<'a> {
        match parse_i64(text) {
            Some(n) => Value::Int(n),
            None => Value::Bytes(text),
        }
    }

    /// The text; a number's is written to `digits`.
    #[inline]
    pub fn text<'b>(self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Value::Int(n) => digits.format(n).as_bytes(),
            Value::Bytes(bytes) => bytes,
        }
    }

    /// The text's length in bytes.
    pub fn text_len(self) -> u64 {
        self.text(&mut itoa::Buffer::new()).len() as u64
    }

    /// Inline bytes that a record made for this value should have.
    #[inline]
    pub fn inline_len(self) -> u64 {
        match self {
            Value::Bytes(bytes) if bytes.len() as u64 <= INLINE_MAX => bytes.len() as u64,
            _ => 0,
        }
    }
}

/// Inline bytes that a record made for a string of `len` bytes should have.
pub const fn inline_len(len: u64) -> u64 {
    if len <= INLINE_MAX { len } else { 0 }
}

/// Where the bytes of a string are, and how many may be.
#[derive(Clone, Copy)]
struct Place {
    at: PPtr<u8>,
    len: u64,
    capacity: u64,
}

/// A root, understood and checked.
#[derive(Clone, Copy)]
enum Form {
    Empty,
    Int(i64),
    Inline(Place),
    External(Place),
}

impl Form {
    #[inline]
    fn of(pool: &Pool, root: Root, inline: Inline) -> Result<Form> {
        let len = root.rest();
        let place = |at, capacity| {
            if len <= capacity {
                Ok(Place { at, len, capacity })
            } else {
                Err(damaged(TOO_LONG))
            }
        };
        match root.encoding() {
            INT => Ok(Form::Int(root.value as i64)),
            INLINE => place(inline.at, inline.capacity(pool)?).map(Form::Inline),
            EXTERNAL => {
                let at = object(root)?;
                place(at, pool.capacity(at)?).map(Form::External)
            }
            0 if root == Root::EMPTY => Ok(Form::Empty),
            _ => Err(root.unknown(ValueType::String)),
        }
    }

    /// The text's length in bytes.
    fn len(self) -> u64 {
        match self {
            Form::Empty => 0,
            Form::Int(n) => Value::Int(n).text_len(),
            Form::Inline(place) | Form::External(place) => place.len,
        }
    }
}

const TOO_LONG: &str = "a string is longer than its memory";

#[inline]
fn object(root: Root) -> Result<PPtr<u8>> {
    PPtr::new(root.value).ok_or_else(|| damaged("a string without its object"))
}

fn external(object: PPtr<u8>, len: u64) -> Root {
    Root::new(EXTERNAL, len, object.offset())
}

/// The string's value; `None` for the empty root. O(1).
///
/// # Errors
/// `Damaged` if the root contradicts the memory it points to.
#[inline]
pub fn read(pool: &Pool, root: Root, inline: Inline) -> Result<Option<Value<'_>>> {
    let (at, capacity) = match root.encoding() {
        INT => return Ok(Some(Value::Int(root.value as i64))),
        INLINE => (inline.at, inline.capacity(pool)?),
        EXTERNAL => {
            let at = object(root)?;
            (at, pool.capacity(at)?)
        }
        0 if root == Root::EMPTY => return Ok(None),
        _ => return Err(root.unknown(ValueType::String)),
    };
    let len = root.rest();
    if len > capacity {
        return Err(damaged(TOO_LONG));
    }
    Ok(Some(Value::Bytes(pool.bytes(at, len)?)))
}

/// Gives the string a new value, as one batch. The root may be empty: then `inline` belongs to a
/// fresh record. O(length).
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn set(tx: &mut Tx<'_>, root: &mut Root, inline: Inline, value: Value<'_>) -> Result<()> {
    let bytes = match value {
        Value::Int(n) => {
            if root.encoding() != INT {
                destroy(tx, *root)?;
            }
            *root = Root::new(INT, 0, n as u64);
            return Ok(());
        }
        Value::Bytes(bytes) => bytes,
    };
    let len = bytes.len() as u64;
    let form = Form::of(tx, *root, inline)?;
    let room = match form {
        _ if len > INLINE_MAX => 0,
        Form::Inline(place) => place.capacity,
        _ => inline.capacity(tx)?,
    };
    if len <= room {
        match form {
            Form::Inline(_) if len == 0 => {}
            Form::Inline(_) => tx.write(inline.at, bytes)?,
            Form::Empty => inline.fill(tx, bytes)?,
            Form::Int(_) | Form::External(_) => {
                tx.fill_spare(inline.at, bytes)?;
                destroy(tx, *root)?;
            }
        }
        *root = Root::new(INLINE, len, 0);
        return Ok(());
    }
    if let Form::External(place) = form
        && (1..=INLINE_MAX).contains(&len)
        && (len..=2 * INLINE_MAX).contains(&place.capacity)
    {
        tx.write(place.at, bytes)?;
        *root = external(place.at, len);
        return Ok(());
    }
    // What is not longer than what it replaces finds room in a full pool, too.
    if matches!(form, Form::External(place) if len <= place.capacity) {
        tx.moves();
    }
    let object = tx.alloc(len, DATA)?;
    tx.fill(object, bytes)?;
    destroy(tx, *root)?;
    *root = external(object.ptr(), len);
    Ok(())
}

/// Adds bytes at the end of the string, as one batch. O(length of the suffix), amortised.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn append(tx: &mut Tx<'_>, root: &mut Root, inline: Inline, suffix: &[u8]) -> Result<()> {
    let len = Form::of(tx, *root, inline)?.len();
    if !suffix.is_empty() {
        set_range(tx, root, inline, len, suffix)?;
    }
    Ok(())
}

/// Puts bytes, at least one, at `offset`, after zeros if the string ends before it, and returns the
/// new length, as one batch. The root may be empty, as in [`set`]. O(length of the new bytes),
/// amortised, or of the string for a patch of more than 8 KiB.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn set_range(
    tx: &mut Tx<'_>,
    root: &mut Root,
    inline: Inline,
    offset: u64,
    bytes: &[u8],
) -> Result<u64> {
    let form = Form::of(tx, *root, inline)?;
    let end = offset + bytes.len() as u64;
    let len = end.max(form.len());
    match form {
        Form::Inline(place) | Form::External(place)
            if len <= place.capacity && logs_well(place.len, offset, end) =>
        {
            patch(tx, place, offset, bytes)?;
            *root = Root::new(root.encoding(), len, root.value);
        }
        Form::Empty | Form::Int(_) if len <= INLINE_MAX && len <= inline.capacity(tx)? => {
            let mut text = [0; INLINE_MAX as usize];
            if let Form::Int(n) = form {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(n).as_bytes();
                text[..digits.len()].copy_from_slice(digits);
            }
            text[offset as usize..end as usize].copy_from_slice(bytes);
            let text = &text[..len as usize];
            match form {
                Form::Empty => inline.fill(tx, text)?,
                _ => tx.fill_spare(inline.at, text)?,
            }
            *root = Root::new(INLINE, len, 0);
        }
        _ => *root = rebuild(tx, *root, form, offset, bytes)?,
    }
    Ok(len)
}

/// Gives the string a text that differs from the old one in a few places, as one batch. O(length).
///
/// The bytes that differ are logged where they lie, if there is room and they are not too many;
/// otherwise this is [`set`].
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn rewrite(tx: &mut Tx<'_>, root: &mut Root, inline: Inline, text: &[u8]) -> Result<()> {
    let (Form::Inline(place) | Form::External(place)) = Form::of(tx, *root, inline)? else {
        return set(tx, root, inline, Value::Bytes(text));
    };
    let len = text.len() as u64;
    let (common, beyond) = text.split_at(place.len.min(len) as usize);
    let (mut at, mut logged) = (0, 0);
    while let Some(run) = difference(tx.bytes(place.at, common.len() as u64)?, common, at) {
        logged += run.len() as u64;
        at = run.end;
    }
    if len > place.capacity || logged > PATCH_MAX {
        return set(tx, root, inline, Value::Bytes(text));
    }
    at = 0;
    while let Some(run) = difference(tx.bytes(place.at, common.len() as u64)?, common, at) {
        at = run.end;
        tx.write(place.at.at(run.start as u64), &common[run])?;
    }
    if !beyond.is_empty() {
        tx.fill_spare(place.at.at(place.len), beyond)?;
    }
    *root = Root::new(root.encoding(), len, root.value);
    Ok(())
}

/// Makes the string one of bytes that has a byte at `last`, zeros where there was none; whether it
/// has grown. The transaction shows it then. O(grown bytes) in general.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn reach(tx: &mut Tx<'_>, root: &mut Root, inline: Inline, last: u64) -> Result<bool> {
    let value = read(tx, *root, inline)?;
    let mut digits = itoa::Buffer::new();
    let text = value.map_or(&b""[..], |value| value.text(&mut digits));
    let byte = text.get(last as usize).copied();
    if byte.is_none() || matches!(value, Some(Value::Int(_))) {
        set_range(tx, root, inline, last, &[byte.unwrap_or(0)])?;
        tx.step()?;
    }
    Ok(byte.is_none())
}

/// Writes bytes at several places, one after the other; see [`set_range`]. If it `goes_on`, the
/// transaction shows them then.
pub(crate) fn set_ranges<'b>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    inline: Inline,
    ranges: impl Iterator<Item = (u64, &'b [u8])>,
    goes_on: bool,
) -> Result<()> {
    for (at, bytes) in ranges {
        set_range(tx, root, inline, at, bytes)?;
    }
    if goes_on { tx.step() } else { Ok(()) }
}

/// Writes bytes at several places within the string, as one batch: they are logged.
///
/// # Errors
/// `Damaged` if the string is a number, or ends before one of the places does.
pub(crate) fn overwrite<'b>(
    tx: &mut Tx<'_>,
    root: Root,
    inline: Inline,
    ranges: impl Iterator<Item = (u64, &'b [u8])>,
) -> Result<()> {
    let (Form::Inline(place) | Form::External(place)) = Form::of(tx, root, inline)? else {
        return Err(damaged("a number in the place of bytes"));
    };
    for (at, bytes) in ranges {
        if at + bytes.len() as u64 > place.len {
            return Err(damaged("a string is shorter than what it holds"));
        }
        tx.write(place.at.at(at), bytes)?;
    }
    Ok(())
}

/// The next run of bytes from `at` on in which two texts of equal length differ. Runs with few
/// equal bytes between them count as one.
fn difference(old: &[u8], new: &[u8], at: usize) -> Option<Range<usize>> {
    /// About what a logged write costs beside its bytes.
    const GAP_MAX: usize = 16;
    let differs = |i: &usize| old[*i] != new[*i];
    let start = (at..old.len()).find(differs)?;
    let mut end = start + 1;
    while let Some(next) = (end..old.len().min(end + GAP_MAX)).find(differs) {
        end = next + 1;
    }
    Some(start..end)
}

/// Whether the part of a patch that hits the string's bytes is better logged than copied around.
fn logs_well(len: u64, offset: u64, end: u64) -> bool {
    let overwritten = len.min(end).saturating_sub(offset);
    overwritten <= PATCH_MAX || overwritten < len / 2
}

/// Writes bytes where there is room: logged up to the string's end, filled from there on.
fn patch(tx: &mut Tx<'_>, place: Place, offset: u64, bytes: &[u8]) -> Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let inside = place.len.saturating_sub(offset).min(bytes.len() as u64) as usize;
    let (inside, beyond) = bytes.split_at(inside);
    if !inside.is_empty() {
        tx.write(place.at.at(offset), inside)?;
    }
    let mut at = place.len;
    while at < offset {
        let gap = (offset - at).min(ZEROS.len() as u64);
        tx.fill_spare(place.at.at(at), &ZEROS[..gap as usize])?;
        at += gap;
    }
    if !beyond.is_empty() {
        tx.fill_spare(place.at.at(offset + inside.len() as u64), beyond)?;
    }
    Ok(())
}

/// Puts the string, changed, in a new object, which has room to grow if the string has just grown.
fn rebuild(tx: &mut Tx<'_>, root: Root, form: Form, offset: u64, bytes: &[u8]) -> Result<Root> {
    let (old_len, end) = (form.len(), offset + bytes.len() as u64);
    let len = end.max(old_len);
    let object = match form {
        Form::Empty => tx.alloc(len, DATA)?,
        _ if end <= old_len => tx.alloc(len, DATA)?,
        _ => allocate_roomy(tx, len)?,
    };
    let (head, tail) = (old_len.min(offset), end.min(old_len));
    match form {
        Form::Empty => {}
        Form::Int(n) => {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(n).as_bytes();
            tx.fill(object, &digits[..head as usize])?;
            tx.fill(object.at(tail), &digits[tail as usize..])?;
        }
        Form::Inline(place) | Form::External(place) => {
            tx.fill_from(object, place.at, head)?;
            tx.fill_from(object.at(tail), place.at.at(tail), old_len - tail)?;
        }
    }
    tx.fill_zeros(object.at(head), offset - head)?;
    tx.fill(object.at(offset), bytes)?;
    destroy(tx, root)?;
    Ok(external(object.ptr(), len))
}

/// An object for a string of `len` bytes that grows, as roomy as the pool allows.
fn allocate_roomy(tx: &mut Tx<'_>, len: u64) -> Result<Fresh> {
    let (share, least) = (len / GROWTH_SHARE, len.min(GROWTH));
    let growths = [(share > least).then_some(share), Some(least)];
    for growth in growths.into_iter().flatten() {
        match tx.alloc(len + growth, DATA) {
            Err(Error::Full(_)) => {}
            other => return other,
        }
    }
    tx.alloc(len, DATA)
}

/// Frees what the string owns outside its record. O(1).
fn destroy(tx: &mut Tx<'_>, root: Root) -> Result<()> {
    match root.encoding() {
        EXTERNAL => tx.free(object(root)?),
        _ => Ok(()),
    }
}
