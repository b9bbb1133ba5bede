//! Setting and removing fields, and making whole hashes.

use super::entry::{self, KEY_AT};
use super::form::{may_expire, with_expiry};
use super::{
    At, Field, PACKED, PACKED_EXPIRING, Pair, Root, Spot, TABLE, TABLE_EXPIRING, fields,
    find_to_set, len, pack,
};
use crate::expiry::{Expiry, FIELD_NEVER};
use crate::structures::limits::HashLimits;
use crate::structures::packed;
use crate::structures::table::{self, BATCH, Editor, EntryPtr};
use crate::value::ValueType;
use pobj::{Result, Tx};
use std::iter::{self, Peekable};

/// Sets the field that [`find`](super::find) has just found at `spot`; true if it is new. An expire
/// time stays. O(1).
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn put(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: HashLimits,
    spot: Spot,
    field: &[u8],
    value: &[u8],
) -> Result<bool> {
    match spot.at {
        At::Packed { value_at }
            if spot.old_len == Some(value.len())
                && admits(limits, len(*root).saturating_sub(1), field, value) =>
        {
            let (object, _) = packed::place(*root)?;
            tx.write(object.at(value_at as u64), value)?;
        }
        At::Packed { .. } if spot.old_len.is_none() && append(tx, root, limits, field, value)? => {}
        At::Empty | At::Packed { .. } => {
            set_expiring(tx, root, limits, iter::once((field, value)), Expiry::Keep)?;
        }
        At::Table(lookup) => match lookup.found {
            Some(found) => {
                let old = entry::parts(tx, found.entry)?;
                let pair = (field, value);
                if let Some(fresh) = entry::overwrite(tx, found.entry, &old, pair, old.expire_at)? {
                    let hash = table::hash(tx, field);
                    table::replace(tx, found, fresh, hash)?;
                    tx.free(found.entry)?;
                }
            }
            None => {
                let fresh = entry::create(tx, (field, value), FIELD_NEVER)?;
                table::insert::<KEY_AT>(tx, root, &lookup, fresh)?;
            }
        },
    }
    Ok(spot.old_len.is_none())
}

/// Whether a hash with so many other fields stays packed if this field is set.
#[inline]
fn admits(limits: HashLimits, others: u64, field: &[u8], value: &[u8]) -> bool {
    limits.admit(others, field.len().max(value.len()))
}

/// Appends a field to a packed hash if it can take one more in place.
fn append(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: HashLimits,
    field: &[u8],
    value: &[u8],
) -> Result<bool> {
    if !admits(limits, len(*root), field, value) {
        return Ok(false);
    }
    let lens = [[field.len() as u8], [value.len() as u8]];
    packed::append(tx, root, [&lens[0], field, &lens[1], value])
}

/// Sets fields, of which a later one wins, and which do not expire any more; gives the number of
/// new ones. O(fields).
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn set<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: HashLimits,
    mut pairs: impl ExactSizeIterator<Item = Pair<'a>>,
) -> Result<u64> {
    if pairs.len() != 1 {
        return set_expiring(tx, root, limits, pairs, Expiry::Never);
    }
    let Some((field, value)) = pairs.next() else {
        return Ok(0);
    };
    let (spot, _) = find_to_set(tx, *root, field)?;
    if spot.expire_at != FIELD_NEVER {
        return set_expiring(tx, root, limits, iter::once((field, value)), Expiry::Never);
    }
    put(tx, root, limits, spot, field, value).map(u64::from)
}

/// [`set_expiring`] of fields of which some, the `stale` ones, count as if they were not there.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn replace_expiring<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: HashLimits,
    stale: &[&[u8]],
    pairs: impl Iterator<Item = Pair<'a>>,
    expiry: Expiry,
) -> Result<u64> {
    if !stale.is_empty() {
        tx.moves();
        remove(tx, root, stale.iter().copied())?;
        tx.step()?;
    }
    set_expiring(tx, root, limits, pairs, expiry)
}

/// [`set`] that does something else about the fields' expire times.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn set_expiring<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: HashLimits,
    pairs: impl Iterator<Item = Pair<'a>>,
    expiry: Expiry,
) -> Result<u64> {
    let mut pairs = pairs.peekable();
    match root.encoding() {
        0 | PACKED | PACKED_EXPIRING => {}
        TABLE | TABLE_EXPIRING => return set_in_table(tx, root, pairs, expiry),
        _ => return Err(root.unknown(ValueType::Hash)),
    }
    let old = (*root != Root::EMPTY)
        .then(|| packed::place(*root))
        .transpose()?;
    let mut bytes = match old {
        Some(_) => packed::bytes(tx, *root)?.to_vec(),
        None => Vec::new(),
    };
    let before = len(*root);
    let (mut count, mut expires) = (before, may_expire(*root));
    while let Some(&(name, value)) = pairs.peek() {
        let found = if packed::lacks(&bytes, name) {
            None
        } else {
            pack::find(&bytes, name)?
        };
        let is_new = found.is_none();
        let (old_expire, place) = match found {
            Some((field, place)) => (field.expire_at, place),
            None => (FIELD_NEVER, bytes.len()..bytes.len()),
        };
        let field = Field {
            name,
            value,
            expire_at: expiry.field_after(old_expire),
        };
        if !admits(limits, count - u64::from(!is_new), name, value) {
            break;
        }
        let tail = bytes.split_off(place.end);
        bytes.truncate(place.start);
        pack::push(&mut bytes, &field);
        bytes.extend(tail);
        count += u64::from(is_new);
        expires |= field.expire_at != FIELD_NEVER;
        pairs.next();
    }
    if pairs.peek().is_none() {
        let encoding = if expires { PACKED_EXPIRING } else { PACKED };
        let object = packed::store(tx, old, &bytes)?;
        *root = packed::root(encoding, count, object, bytes.len());
        return Ok(count - before);
    }
    if let Some((object, _)) = old {
        tx.free(object)?;
    }
    let packed = pack::fields(&bytes).collect::<Result<Vec<_>>>()?;
    to_table(tx, root, &packed)?;
    Ok(count - before + set_in_table(tx, root, pairs, expiry)?)
}

/// Makes the root that of a table of these fields, which all differ; takes steps.
fn to_table(tx: &mut Tx<'_>, root: &mut Root, fields: &[Field<'_>]) -> Result<()> {
    *root = match fields {
        [] => table::create(tx, TABLE)?,
        _ => build_table(tx, fields.iter().copied())?,
    };
    Ok(())
}

/// Sets fields, of which there are some.
fn set_in_table<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    mut pairs: Peekable<impl Iterator<Item = Pair<'a>>>,
    expiry: Expiry,
) -> Result<u64> {
    let mut added = 0;
    loop {
        let mut editor = Editor::<KEY_AT>::begin(tx, root)?;
        let mut changed: Vec<EntryPtr> = Vec::with_capacity(BATCH);
        while changed.len() < BATCH
            && let Some(&(field, value)) = pairs.peek()
        {
            let hash = table::hash(editor.tx, field);
            let fresh = match editor.find(field, hash)? {
                // The same field again: its entry is to be read as the last change left it.
                Some(place) if changed.contains(&place.entry) => break,
                Some(place) => {
                    let old = entry::parts(editor.tx, place.entry)?;
                    let (pair, expire_at) = ((field, value), expiry.field_after(old.expire_at));
                    match entry::overwrite(editor.tx, place.entry, &old, pair, expire_at)? {
                        Some(fresh) => {
                            editor.replace(place, fresh, hash)?;
                            editor.tx.free(place.entry)?;
                            fresh
                        }
                        None => place.entry,
                    }
                }
                None => {
                    let fresh =
                        entry::create(editor.tx, (field, value), expiry.field_after(FIELD_NEVER))?;
                    editor.insert(fresh, hash)?;
                    added += 1;
                    fresh
                }
            };
            changed.push(fresh);
            pairs.next();
        }
        editor.finish()?;
        if let Expiry::At(_) = expiry {
            *root = with_expiry(*root);
        }
        if pairs.peek().is_none() {
            return Ok(added);
        }
        tx.step()?;
    }
}

/// Removes fields; gives the number of those that were there. O(fields); O(n) of a packed hash.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn remove<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    mut fields: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<u64> {
    tx.removes();
    match root.encoding() {
        0 => Ok(0),
        PACKED | PACKED_EXPIRING => remove_packed(tx, root, fields),
        TABLE | TABLE_EXPIRING if fields.len() == 1 => match fields.next() {
            Some(field) => table::remove_key::<KEY_AT>(tx, root, field).map(u64::from),
            None => Ok(0),
        },
        TABLE | TABLE_EXPIRING => table::remove_keys::<KEY_AT>(tx, root, fields),
        _ => Err(root.unknown(ValueType::Hash)),
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
        let found = pack::find(&bytes, field)?.map(|(_, place)| place);
        if let Some(place) = found {
            bytes.drain(place);
            count = count.saturating_sub(1);
        }
    }
    if bytes.is_empty() {
        tx.free(old.0)?;
        *root = Root::EMPTY;
    } else if count != before {
        let object = packed::store(tx, Some(old), &bytes)?;
        *root = packed::root(root.encoding(), count, object, bytes.len());
    }
    Ok(before - count)
}

/// A hash of fields that all differ. O(fields); a large one takes steps, and fewer than [`set`]
/// does.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn build<'a, F: Into<Field<'a>>>(
    tx: &mut Tx<'_>,
    limits: HashLimits,
    fields: impl ExactSizeIterator<Item = F>,
) -> Result<Root> {
    let fields = fields.map(Into::into);
    if fields.len() == 0 {
        return Ok(Root::EMPTY);
    }
    if fields.len() as u64 > limits.elements() {
        return build_table(tx, fields);
    }
    let fields: Vec<Field<'a>> = fields.collect();
    if !fields
        .iter()
        .all(|field| admits(limits, 0, field.name, field.value))
    {
        return build_table(tx, fields.into_iter());
    }
    let mut bytes = Vec::with_capacity(fields.iter().map(pack::len_of).sum());
    let mut encoding = PACKED;
    for field in &fields {
        pack::push(&mut bytes, field);
        if field.expire_at != FIELD_NEVER {
            encoding = PACKED_EXPIRING;
        }
    }
    let object = packed::store(tx, None, &bytes)?;
    let count = fields.len() as u64;
    Ok(packed::root(encoding, count, object, bytes.len()))
}

fn build_table<'a>(
    tx: &mut Tx<'_>,
    fields: impl ExactSizeIterator<Item = Field<'a>>,
) -> Result<Root> {
    let (mut builder, mut expires) = (table::Builder::with_capacity(fields.len()), false);
    for field in fields {
        let fresh = entry::create(tx, (field.name, field.value), field.expire_at)?;
        expires |= field.expire_at != FIELD_NEVER;
        let hash = table::hash(tx, field.name);
        builder.push(tx, fresh, hash)?;
    }
    let encoding = if expires { TABLE_EXPIRING } else { TABLE };
    builder.finish(tx, encoding)
}

/// A copy of the hash, in its encoding, expire times included. O(n).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn copy(tx: &mut Tx<'_>, source: Root) -> Result<Root> {
    match source.encoding() {
        0 => return Ok(Root::EMPTY),
        PACKED | PACKED_EXPIRING => return packed::copy(tx, source),
        _ => {}
    }
    let mut owned = Vec::new();
    for field in fields(tx, source)? {
        let Field {
            name,
            value,
            expire_at,
        } = field?;
        owned.push((name.to_vec(), value.to_vec(), expire_at));
    }
    build_table(
        tx,
        owned.iter().map(|(name, value, expire_at)| Field {
            name,
            value,
            expire_at: *expire_at,
        }),
    )
}
