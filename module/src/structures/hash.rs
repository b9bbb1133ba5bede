//! The Hash: fields with values.
//!
//! | encoding | is | value | rest |
//! |---|---|---|---|
//! | 1 packed | up to 128 fields, none of whose names and values is longer than 64 bytes, in order of insertion: field, value, field, value (`packed`) | the object | count, bytes |
//! | 2 table | a hash table of entries (`table`) | the directory | count |
//!
//! ```text
//! entry    0  4  length of the field
//!          4  4  length of the value
//!          8     the field, then the value
//! ```
//!
//! A packed hash becomes a table when it outgrows the limits, and never goes back. A value of up to 512
//! bytes that fits its entry is overwritten in place, logged; else the entry is replaced.
//!
//! Fences: one field set, changed or removed costs 1; 2 with more than 1 KiB of fresh bytes. Several
//! fields at once cost the same as long as they fit one log record.

use super::relocate::{Cursor, Mover};
use super::table::{self, BATCH, Editor, EntryPtr, Lookup};
use super::{Owns, Root, limits, packed};
use pobj::{Error, Kind, Pool, Result, Tx};
use std::collections::HashSet;

const PACKED: u8 = 1;
pub(super) const TABLE: u8 = 2;
/// Where an entry's field begins.
const KEY_AT: u64 = 8;
/// Longest value that is overwritten in place.
const LOGGED_MAX: usize = 512;

/// A field and its value.
pub type Pair<'p> = (&'p [u8], &'p [u8]);

/// Number of fields. O(1).
#[inline]
pub fn len(root: Root) -> u64 {
    match root.encoding() {
        TABLE => table::len(root),
        _ => packed::count(root),
    }
}

fn unknown(root: Root) -> Error {
    Error::Damaged(format!("a hash of unknown encoding {}", root.encoding()))
}

/// Where a lookup found a field, or where it should go; good until the value changes.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    at: At,
    /// Length of the value, if the field is there.
    old_len: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Empty,
    Packed { value_at: usize },
    Table(Lookup),
}

/// Looks a field up: its spot, and its value if it is there. O(1); O(n) of a packed hash.
#[inline]
pub fn find<'p>(pool: &'p Pool, root: Root, field: &[u8]) -> Result<(Spot, Option<&'p [u8]>)> {
    let (at, value) = match root.encoding() {
        0 => (At::Empty, None),
        PACKED => find_packed(packed::bytes(pool, root)?, field)?,
        TABLE => {
            let hash = table::hash(pool, field);
            let lookup = table::look_up::<KEY_AT>(pool, root, field, hash)?;
            let value = match lookup.found {
                Some(found) => Some(value(pool, found.entry)?),
                None => None,
            };
            (At::Table(lookup), value)
        }
        _ => return Err(unknown(root)),
    };
    Ok((
        Spot {
            at,
            old_len: value.map(<[u8]>::len),
        },
        value,
    ))
}

fn find_packed<'p>(bytes: &'p [u8], wanted: &[u8]) -> Result<(At, Option<&'p [u8]>)> {
    let mut items = packed::items(bytes);
    while let Some(field) = items.next() {
        let found = field? == wanted;
        let value = items.next().ok_or_else(odd)??;
        if found {
            let value_at = bytes.len() - items.rest().len() - value.len();
            return Ok((At::Packed { value_at }, Some(value)));
        }
    }
    Ok((
        At::Packed {
            value_at: bytes.len(),
        },
        None,
    ))
}

fn odd() -> Error {
    Error::Damaged("a packed hash: a field without a value".to_owned())
}

/// The value of a field. O(1); O(n) of a packed hash.
#[inline]
pub fn get<'p>(pool: &'p Pool, root: Root, field: &[u8]) -> Result<Option<&'p [u8]>> {
    Ok(find(pool, root, field)?.1)
}

/// An entry's value.
fn value(pool: &Pool, entry: EntryPtr) -> Result<&[u8]> {
    let [field_len, value_len] = *pool.get(entry.cast::<[u32; 2]>())?;
    pool.bytes(
        entry.at(KEY_AT + u64::from(field_len)),
        u64::from(value_len),
    )
}

fn pair(pool: &Pool, entry: EntryPtr) -> Result<Pair<'_>> {
    let [field_len, value_len] = *pool.get(entry.cast::<[u32; 2]>())?;
    let bytes = pool.bytes(
        entry.at(KEY_AT),
        u64::from(field_len) + u64::from(value_len),
    )?;
    Ok(bytes.split_at(field_len as usize))
}

/// All fields with their values, each once: in order of insertion while the hash is packed, else in
/// no particular order. O(n).
pub fn pairs(pool: &Pool, root: Root) -> Result<Pairs<'_>> {
    let walk = match root.encoding() {
        0 => Walk::Packed(packed::items(&[])),
        PACKED => Walk::Packed(packed::items(packed::bytes(pool, root)?)),
        TABLE => Walk::Table(table::entries(pool, root)?),
        _ => return Err(unknown(root)),
    };
    Ok(Pairs { pool, walk })
}

/// See [`pairs`].
pub struct Pairs<'p> {
    pool: &'p Pool,
    walk: Walk<'p>,
}

enum Walk<'p> {
    Packed(packed::Items<'p>),
    Table(table::Entries<'p>),
}

impl<'p> Iterator for Pairs<'p> {
    type Item = Result<Pair<'p>>;

    fn next(&mut self) -> Option<Result<Pair<'p>>> {
        match &mut self.walk {
            Walk::Packed(items) => packed_pair(items),
            Walk::Table(entries) => {
                let pool = self.pool;
                entries
                    .next()
                    .map(|entry| entry.and_then(|entry| pair(pool, entry)))
            }
        }
    }
}

fn packed_pair<'p>(items: &mut packed::Items<'p>) -> Option<Result<Pair<'p>>> {
    let field = items.next()?;
    Some(field.and_then(|field| Ok((field, items.next().ok_or_else(odd)??))))
}

/// Calls `visit` with some fields and their values from `cursor` on, and gives the next cursor; 0 is
/// the start, and the end. See `table::scan`.
pub fn scan<'p>(
    pool: &'p Pool,
    root: Root,
    cursor: u64,
    mut visit: impl FnMut(Pair<'p>),
) -> Result<u64> {
    if root.encoding() == TABLE {
        return table::scan(pool, root, cursor, |entry| {
            visit(pair(pool, entry)?);
            Ok(())
        });
    }
    for pair in pairs(pool, root)? {
        visit(pair?);
    }
    Ok(0)
}

/// A field of a hash that is not empty, each with the same probability, and its value. O(1); O(n) of
/// a packed hash.
pub fn random(pool: &Pool, root: Root) -> Result<Pair<'_>> {
    if root.encoding() == TABLE {
        return pair(pool, table::random(pool, root)?.entry);
    }
    let nth = fastrand::u64(..len(root).max(1)) as usize;
    pairs(pool, root)?.nth(nth).unwrap_or_else(|| Err(odd()))
}

/// Sets the field that [`find`] has just found at `spot`; true if it is new. O(1).
pub fn put(
    tx: &mut Tx<'_>,
    root: &mut Root,
    spot: Spot,
    field: &[u8],
    value: &[u8],
) -> Result<bool> {
    match spot.at {
        At::Packed { value_at } if spot.old_len == Some(value.len()) => {
            let (object, _) = packed::place(*root)?;
            tx.write(object.at(value_at as u64), value)?;
        }
        At::Packed { .. } if spot.old_len.is_none() && append(tx, root, field, value)? => {}
        At::Empty | At::Packed { .. } => {
            set_several(tx, root, std::iter::once((field, value)))?;
        }
        At::Table(lookup) => match (lookup.found, spot.old_len) {
            (Some(found), Some(old_len)) => {
                if let Some(entry) = overwrite(tx, found.entry, field, old_len, value)? {
                    let hash = table::hash(tx, field);
                    table::replace(tx, found, entry, hash)?;
                    tx.free(found.entry)?;
                }
            }
            _ => {
                let entry = new_entry(tx, field, value)?;
                table::insert::<KEY_AT>(tx, root, &lookup, entry)?;
            }
        },
    }
    Ok(spot.old_len.is_none())
}

/// Appends a field to a packed hash if it can take one more in place.
fn append(tx: &mut Tx<'_>, root: &mut Root, field: &[u8], value: &[u8]) -> Result<bool> {
    if !limits::HASH.admit(len(*root), field.len().max(value.len())) {
        return Ok(false);
    }
    let lens = [[field.len() as u8], [value.len() as u8]];
    packed::append(tx, root, [&lens[0], field, &lens[1], value])
}

/// Sets fields, of which a later one wins; gives the number of new ones. O(fields).
pub fn set<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    mut pairs: impl ExactSizeIterator<Item = Pair<'a>>,
) -> Result<u64> {
    if pairs.len() != 1 {
        return set_several(tx, root, pairs);
    }
    let Some((field, value)) = pairs.next() else {
        return Ok(0);
    };
    let (spot, _) = find(tx, *root, field)?;
    put(tx, root, spot, field, value).map(u64::from)
}

fn set_several<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    pairs: impl Iterator<Item = Pair<'a>>,
) -> Result<u64> {
    let mut pairs = pairs.peekable();
    match root.encoding() {
        0 | PACKED => {}
        TABLE => return set_in_table(tx, root, pairs),
        _ => return Err(unknown(*root)),
    }
    let old = (*root != Root::EMPTY)
        .then(|| packed::place(*root))
        .transpose()?;
    let mut bytes = match old {
        Some(_) => packed::bytes(tx, *root)?.to_vec(),
        None => Vec::new(),
    };
    let before = len(*root);
    let mut count = before;
    while let Some(&(field, value)) = pairs.peek() {
        let (at, found) = find_packed(&bytes, field)?;
        let (At::Packed { value_at }, found) = (at, found.map(<[u8]>::len)) else {
            break;
        };
        let longest = field.len().max(value.len());
        let len = bytes.len() + 2 + field.len() + value.len();
        let others = if found.is_some() { 0 } else { count };
        if len > packed::BYTES_MAX || !limits::HASH.admit(others, longest) {
            break;
        }
        match found {
            Some(old_len) => {
                bytes[value_at - 1] = value.len() as u8;
                bytes.splice(value_at..value_at + old_len, value.iter().copied());
            }
            None => {
                packed::push(&mut bytes, field);
                packed::push(&mut bytes, value);
                count += 1;
            }
        }
        pairs.next();
    }
    if pairs.peek().is_none() {
        let object = packed::store(tx, old, &bytes)?;
        *root = packed::root(PACKED, count, object, bytes.len());
        return Ok(count - before);
    }
    if let Some((object, _)) = old {
        tx.free(object)?;
    }
    *root = table::create(tx, TABLE)?;
    let mut items = packed::items(&bytes);
    let packed = std::iter::from_fn(|| packed_pair(&mut items)).collect::<Result<Vec<_>>>()?;
    if !packed.is_empty() {
        set_in_table(tx, root, packed.into_iter().peekable())?;
        tx.step()?;
    }
    Ok(count - before + set_in_table(tx, root, pairs)?)
}

/// Sets fields, of which there are some.
fn set_in_table<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    mut pairs: std::iter::Peekable<impl Iterator<Item = Pair<'a>>>,
) -> Result<u64> {
    let mut added = 0;
    loop {
        let mut editor = Editor::<KEY_AT>::begin(tx, root)?;
        let mut changed: Vec<EntryPtr> = Vec::with_capacity(BATCH);
        while changed.len() < BATCH
            && let Some(&(field, value)) = pairs.peek()
        {
            let hash = table::hash(editor.tx, field);
            let entry = match editor.find(field, hash)? {
                // The same field again: its entry is to be read as the last change left it.
                Some(place) if changed.contains(&place.entry) => break,
                Some(place) => {
                    let old_len = self::value(editor.tx, place.entry)?.len();
                    match overwrite(editor.tx, place.entry, field, old_len, value)? {
                        Some(entry) => {
                            editor.replace(place, entry, hash)?;
                            editor.tx.free(place.entry)?;
                            entry
                        }
                        None => place.entry,
                    }
                }
                None => {
                    let entry = new_entry(editor.tx, field, value)?;
                    editor.insert(entry, hash)?;
                    added += 1;
                    entry
                }
            };
            changed.push(entry);
            pairs.next();
        }
        editor.finish()?;
        if pairs.peek().is_none() {
            return Ok(added);
        }
        tx.step()?;
    }
}

/// Makes an entry.
fn new_entry(tx: &mut Tx<'_>, field: &[u8], value: &[u8]) -> Result<EntryPtr> {
    let size = KEY_AT + field.len() as u64 + value.len() as u64;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Error::TooLarge(size));
    let head = [length(field)?, length(value)?];
    let entry = tx.alloc(size, Kind::Data)?;
    if size <= packed::JOIN_MAX as u64 {
        let parts = [bytemuck::cast_slice(&head), field, value];
        packed::join(parts, |bytes| tx.fill(entry, bytes))?;
        return Ok(entry);
    }
    tx.fill(entry, bytemuck::cast_slice(&head))?;
    tx.fill(entry.at(KEY_AT), field)?;
    tx.fill(entry.at(KEY_AT + field.len() as u64), value)?;
    Ok(entry)
}

/// Overwrites an entry's value, `old_len` bytes; gives another entry where that cannot be done in place.
fn overwrite(
    tx: &mut Tx<'_>,
    entry: EntryPtr,
    field: &[u8],
    old_len: usize,
    new: &[u8],
) -> Result<Option<EntryPtr>> {
    if new.len() > LOGGED_MAX {
        return new_entry(tx, field, new).map(Some);
    }
    if old_len != new.len() {
        let size = KEY_AT + field.len() as u64 + new.len() as u64;
        let room = tx.capacity(entry)?;
        if size > room || 2 * size + 64 < room {
            return new_entry(tx, field, new).map(Some);
        }
        tx.set(entry.at::<u32>(4), new.len() as u32)?;
    }
    tx.write(entry.at(KEY_AT + field.len() as u64), new)?;
    Ok(None)
}

/// Removes fields; gives the number of those that were there. O(fields); O(n) of a packed hash.
pub fn remove<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    mut fields: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<u64> {
    tx.removes();
    match root.encoding() {
        0 => Ok(0),
        PACKED => remove_packed(tx, root, fields),
        TABLE if fields.len() == 1 => match fields.next() {
            Some(field) => table::remove_key::<KEY_AT>(tx, root, field).map(u64::from),
            None => Ok(0),
        },
        TABLE => table::remove_keys::<KEY_AT>(tx, root, fields),
        _ => Err(unknown(*root)),
    }
}

fn remove_packed<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    fields: impl Iterator<Item = &'a [u8]>,
) -> Result<u64> {
    let old = packed::place(*root)?;
    let mut bytes = packed::bytes(tx, *root)?.to_vec();
    let before = packed::count(*root);
    let mut count = before;
    for field in fields {
        if let (At::Packed { value_at }, Some(value)) = find_packed(&bytes, field)? {
            let end = value_at + value.len();
            bytes.drain(value_at - 2 - field.len()..end);
            count = count.saturating_sub(1);
        }
    }
    if bytes.is_empty() {
        tx.free(old.0)?;
        *root = Root::EMPTY;
    } else if count != before {
        let object = packed::store(tx, Some(old), &bytes)?;
        *root = packed::root(PACKED, count, object, bytes.len());
    }
    Ok(before - count)
}

/// A hash of fields that all differ. O(fields); a large one takes steps, and fewer than [`set`] does.
pub fn build<'a>(tx: &mut Tx<'_>, pairs: impl ExactSizeIterator<Item = Pair<'a>>) -> Result<Root> {
    if pairs.len() as u64 <= packed::COUNT_MAX {
        let mut root = Root::EMPTY;
        set(tx, &mut root, pairs)?;
        return Ok(root);
    }
    let mut builder = table::Builder::with_capacity(pairs.len());
    for (field, value) in pairs {
        let entry = new_entry(tx, field, value)?;
        let hash = table::hash(tx, field);
        builder.push(tx, entry, hash)?;
    }
    builder.finish(tx, TABLE)
}

/// A copy of the hash. O(n).
pub fn copy(tx: &mut Tx<'_>, source: Root) -> Result<Root> {
    let mut pairs = Vec::new();
    for pair in self::pairs(tx, source)? {
        let (field, value) = pair?;
        pairs.push((field.to_vec(), value.to_vec()));
    }
    build(
        tx,
        pairs
            .iter()
            .map(|(field, value)| (field.as_slice(), value.as_slice())),
    )
}

/// Frees a part of a hash that nobody reaches any more; see `structures::dismantle`.
pub fn dismantle(tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
    match root.encoding() {
        PACKED => tx.free(packed::place(*root)?.0)?,
        TABLE => return table::dismantle(tx, root, budget),
        _ => {}
    }
    *root = Root::EMPTY;
    Ok(true)
}

/// Moves some of the hash's objects; see `structures::relocate`.
pub fn relocate(
    mover: &mut Mover<'_, '_>,
    root: &mut Root,
    cursor: Cursor,
) -> Result<Option<Cursor>> {
    match root.encoding() {
        PACKED => mover.shift_root(root).map(|_| None),
        TABLE => relocate_table(mover, root, cursor),
        _ => Ok(None),
    }
}

/// Moves some objects of a table to whose entries nothing else points.
pub(super) fn relocate_table(
    mover: &mut Mover<'_, '_>,
    root: &mut Root,
    cursor: Cursor,
) -> Result<Option<Cursor>> {
    let next = table::relocate(mover, root, cursor.at, &mut |_, _, _| Ok(()))?;
    Ok(next.map(|at| Cursor { at, ..cursor }))
}

/// Whether freeing it takes few steps.
pub fn is_small(root: Root) -> bool {
    root.encoding() != TABLE || table::len(root) <= BATCH as u64
}

/// Checks a hash, and shows `owns` every object of it. O(n).
pub fn check(pool: &Pool, root: Root, owns: Owns<'_>) -> Result<()> {
    match root.encoding() {
        TABLE => {
            table::check::<KEY_AT>(pool, root, owns)?;
            pairs(pool, root)?.try_for_each(|pair| pair.map(drop))
        }
        0 => Ok(()),
        _ => {
            owns(packed::place(root)?.0);
            let fields = pairs(pool, root)?.map(|pair| Ok(pair?.0));
            let fields = fields.collect::<Result<HashSet<_>>>()?;
            match fields.len() as u64 == packed::count(root) {
                true => Ok(()),
                false => Err(Error::Damaged("a packed hash: its fields".to_owned())),
            }
        }
    }
}

/// Bytes of the pool that the hash takes; those of a table's entries are estimated. O(n).
pub fn memory(pool: &Pool, root: Root) -> Result<u64> {
    match root.encoding() {
        PACKED => pool.capacity(packed::place(root)?.0),
        TABLE => Ok(table::memory(pool, root)? + table::entries_memory(pool, root)?),
        _ => Ok(0),
    }
}
