//! Fields that expire: setting the times, and finding those whose time has come.

use super::entry::{self, KEY_AT};
use super::form::with_expiry;
use super::write::remove;
use super::{Field, PACKED, PACKED_EXPIRING, Root, TABLE, TABLE_EXPIRING, pack};
use crate::expiry::FIELD_NEVER;
use crate::structures::packed;
use crate::structures::table::{self, BATCH, Editor};
use crate::value::ValueType;
use pobj::{Pool, Result, Tx};
use std::collections::HashMap;

/// Sets the expire times of some fields, all different; [`FIELD_NEVER`] takes one away. Fields that
/// are not there are passed over. O(fields); O(n) of a packed hash.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn expire(tx: &mut Tx<'_>, root: &mut Root, times: &[(&[u8], i64)]) -> Result<()> {
    match root.encoding() {
        0 => Ok(()),
        PACKED | PACKED_EXPIRING => expire_packed(tx, root, times),
        TABLE | TABLE_EXPIRING => expire_in_table(tx, root, times),
        _ => Err(root.unknown(ValueType::Hash)),
    }
}

/// Gives fields other expire times ([`expire`]), and removes others.
pub(crate) fn expire_and_remove(
    tx: &mut Tx<'_>,
    root: &mut Root,
    times: &[(&[u8], i64)],
    removed: &[&[u8]],
) -> Result<()> {
    if !times.is_empty() {
        expire(tx, root, times)?;
    }
    if !removed.is_empty() {
        if !times.is_empty() {
            tx.step()?;
        }
        remove(tx, root, removed.iter().copied())?;
    }
    Ok(())
}

fn expire_packed(tx: &mut Tx<'_>, root: &mut Root, times: &[(&[u8], i64)]) -> Result<()> {
    let times: HashMap<&[u8], i64> = times.iter().copied().collect();
    let old = packed::place(*root)?;
    let bytes = packed::bytes(tx, *root)?.to_vec();
    let mut new = Vec::with_capacity(bytes.len());
    for field in pack::fields(&bytes) {
        let mut field = field?;
        if let Some(&expire_at) = times.get(field.name) {
            field.expire_at = expire_at;
        }
        pack::push(&mut new, &field);
    }
    if new == bytes {
        return Ok(());
    }
    let object = packed::store(tx, Some(old), &new)?;
    *root = packed::root(PACKED_EXPIRING, packed::count(*root), object, new.len());
    Ok(())
}

fn expire_in_table(tx: &mut Tx<'_>, root: &mut Root, times: &[(&[u8], i64)]) -> Result<()> {
    for (index, batch) in times.chunks(BATCH).enumerate() {
        if index > 0 {
            tx.step()?;
        }
        let (mut editor, mut expires) = (Editor::<KEY_AT>::begin(tx, root)?, false);
        for &(name, expire_at) in batch {
            let hash = table::hash(editor.tx, name);
            let Some(place) = editor.find(name, hash)? else {
                continue;
            };
            expires |= expire_at != FIELD_NEVER;
            if let Some(fresh) = entry::set_expire(editor.tx, place.entry, expire_at)? {
                editor.replace(place, fresh, hash)?;
                editor.tx.free(place.entry)?;
            }
        }
        editor.finish()?;
        if expires {
            *root = with_expiry(*root);
        }
    }
    Ok(())
}

/// What [`of_hash`] finds a field by, also when the table has changed. O(1).
pub fn place(pool: &Pool, name: &[u8]) -> u64 {
    table::hash(pool, name)
}

/// Calls `visit` with the field of a table at a [`place`], if it is there, and few others. O(1).
///
/// # Errors
/// [`Damaged`](crate::structures#errors). Those of `visit`, too.
pub fn of_hash<'p>(
    pool: &'p Pool,
    root: Root,
    place: u64,
    mut visit: impl FnMut(Field<'p>),
) -> Result<()> {
    table::alike(pool, root, place, |found| {
        visit(entry::field(pool, found)?);
        Ok(())
    })
}
