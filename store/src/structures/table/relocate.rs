//! Moving a table's objects: the directory, the buckets, the entries.

use super::directory::Directory;
use super::slot::{self, LINE_SLOTS, Word};
use super::{EntryPtr, bucket};
use crate::structures::Root;
use crate::structures::mover::{Cursor, Mover};
use pobj::Result;

/// What is told of each entry that moves: from where, and to where.
pub type Moved<'a> = &'a mut dyn FnMut(&mut Mover<'_, '_>, EntryPtr, EntryPtr) -> Result<()>;

/// Moves some objects of a table, from the bucket at `cursor` on, as `scan` goes; 0 is the start.
/// The next cursor, or `None` at the end. `moved` changes what else points to an entry.
///
/// # Errors
/// [`Damaged`](crate::structures#errors). Those of `moved`, too.
pub fn relocate(
    mover: &mut Mover<'_, '_>,
    root: &mut Root,
    mut cursor: u64,
    moved: Moved<'_>,
) -> Result<Option<u64>> {
    if mover.shift_root(root)? {
        return Ok(Some(cursor));
    }
    let directory = Directory::open(mover.tx, root.value)?;
    loop {
        let (index, next) = slot::scan_step(cursor, directory.buckets);
        if directory.relocate_pages(mover, index)?
            || !relocate_bucket(mover, &directory, index, moved)?
        {
            return Ok(Some(cursor));
        }
        cursor = next;
        if cursor == 0 {
            return Ok(None);
        }
        if mover.is_spent() {
            return Ok(Some(cursor));
        }
    }
}

/// [`relocate`] of a table to whose entries nothing else points, as a value's own walk.
pub(crate) fn relocate_alone(
    mover: &mut Mover<'_, '_>,
    root: &mut Root,
    cursor: Cursor,
) -> Result<Option<Cursor>> {
    let next = relocate(mover, root, cursor.at, &mut |_, _, _| Ok(()))?;
    Ok(next.map(|at| Cursor { at, ..cursor }))
}

/// Moves a bucket and its entries; false if some are left.
fn relocate_bucket(
    mover: &mut Mover<'_, '_>,
    directory: &Directory,
    index: u64,
    moved: Moved<'_>,
) -> Result<bool> {
    let old = directory.bucket(mover.tx, index)?;
    let mut words = old.words(mover.tx)?.to_vec();
    let (mut complete, mut changed) = (true, false);
    for word in &mut words {
        let Some(entry) = Word(*word).target() else {
            continue;
        };
        if changed && mover.is_spent() {
            complete = false;
            break;
        }
        if let Some(target) = mover.shift(entry)? {
            *word = Word(*word).moved(target.ptr())?.0;
            moved(mover, entry, target.ptr())?;
            changed = true;
        }
    }
    match mover.shift(old.at.cast())? {
        Some(target) => {
            if changed {
                mover.tx.fill(target, bytemuck::cast_slice(&words))?;
            }
            let word = Word::of_bucket(target.ptr(), old.slots / LINE_SLOTS)?;
            directory.set_bucket(mover.tx, index, word)?;
        }
        None if changed => bucket::write_in_place(mover.tx, old, &words)?,
        None => {}
    }
    Ok(complete)
}
