//! Changes of values, each one atomic, durable step, in which the record that holds the value's
//! root is created, changed or freed, too.
//!
//! The hot ones do not return their outcome within a `Result`: that lies on the stack, and reading
//! it back right after the commit would wait for the flushes.

use crate::Store;
use crate::inline::Inline;
use crate::place::{Outcome, Place, put_record};
use crate::reclaim::retire_value;
use crate::record::{self, Creation, RecordPtr};
use crate::structures::Root;
use crate::value::ValueType;
use pobj::{Result, Tx};

/// What happens to one of several keys.
pub enum Plan {
    /// Its value is changed, and expires at this time, in Unix milliseconds or
    /// [`KEY_NEVER`](crate::expiry::KEY_NEVER).
    Edit(RecordPtr, i64),
    /// It gets a new value; that of another record, of another type, goes.
    Make(Creation, ValueType, Option<RecordPtr>),
}

impl Store {
    /// Changes a value. Its key comes to be if there was none and the root is not empty afterwards;
    /// it goes if the root is empty afterwards. `done` gets what `f` gives, and what became of the
    /// key.
    ///
    /// # Errors
    /// Those of `f`, `Full`; nothing has changed then.
    #[inline]
    pub fn edit<R>(
        &mut self,
        place: &Place<'_>,
        done: &mut Option<(R, Outcome)>,
        f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<R>,
    ) -> Result<()> {
        let mut tx = self.pool.begin();
        let old = place.root(&tx)?;
        let mut root = old;
        let result = f(&mut tx, &mut root)?;
        let outcome = place.write(&mut tx, old, root)?;
        tx.commit()?;
        self.note_garbage(place.record, place.ty, old, root);
        *done = Some((result, outcome));
        Ok(())
    }

    /// [`Store::edit`] by an `f` that also gives parts of the value up, which may be too large to
    /// be freed at once: they are reclaimed in the background.
    ///
    /// # Errors
    /// As there.
    pub fn edit_leaving<R, const N: usize>(
        &mut self,
        place: &Place<'_>,
        done: &mut Option<(R, Outcome)>,
        f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<(R, [Root; N])>,
    ) -> Result<()> {
        let (ty, mut dead) = (place.ty, [None; N]);
        self.edit(place, done, |tx, root| {
            tx.removes();
            let (result, parts) = f(tx, root)?;
            for (record, part) in dead.iter_mut().zip(parts) {
                *record = retire_value(tx, ty, part)?;
            }
            Ok(result)
        })?;
        self.reclaim_later(dead.into_iter().flatten());
        Ok(())
    }

    /// Changes the values of two different keys as one step; see [`Store::edit`].
    ///
    /// # Errors
    /// As there.
    pub fn edit2<R>(
        &mut self,
        places: [Place<'_>; 2],
        f: impl FnOnce(&mut Tx<'_>, &mut Root, &mut Root) -> Result<R>,
    ) -> Result<(R, [Outcome; 2])> {
        let mut tx = self.pool.begin();
        tx.moves();
        let old = [places[0].root(&tx)?, places[1].root(&tx)?];
        let mut new = old;
        let [one, two] = &mut new;
        let result = f(&mut tx, one, two)?;
        let outcomes = [
            places[0].write(&mut tx, old[0], new[0])?,
            places[1].write(&mut tx, old[1], new[1])?,
        ];
        tx.commit()?;
        for ((place, old), new) in places.iter().zip(old).zip(new) {
            self.note_garbage(place.record, place.ty, old, new);
        }
        Ok((result, outcomes))
    }

    /// Changes an existing value that may use its record's inline area, and its expire time if one
    /// is given. `done` gets what `f` gives, and the expire time before. The root must not become
    /// empty.
    ///
    /// # Errors
    /// Those of `f`, `Full`; nothing has changed then.
    #[inline]
    pub fn edit_inline<R>(
        &mut self,
        record: RecordPtr,
        expire_at: Option<i64>,
        done: &mut Option<(R, i64)>,
        f: impl FnOnce(&mut Tx<'_>, &mut Root, Inline) -> Result<R>,
    ) -> Result<()> {
        let mut tx = self.pool.begin();
        let edited = edit_in(&mut tx, record, expire_at, f)?;
        tx.commit()?;
        *done = Some(edited);
        Ok(())
    }

    /// Puts a new value under a key, in place of that of the record `old`, if there is one, which
    /// the caller frees afterwards. `f` builds the value and may use `inline` bytes of the new
    /// record; an empty root deletes the key. `outcome` gets what became of the key.
    ///
    /// # Errors
    /// Those of `f`, `Full`; nothing has changed then.
    #[inline]
    pub fn put(
        &mut self,
        key: (&[u8], ValueType, Creation),
        old: Option<RecordPtr>,
        inline: u64,
        outcome: &mut Outcome,
        f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
    ) -> Result<()> {
        let mut tx = self.pool.begin();
        if old.is_some() {
            // The old value's room comes back at once.
            tx.moves();
        }
        let made = put_record(&mut tx, key, inline, f)?;
        if let Some(old) = old {
            record::kill(&mut tx, old)?;
        }
        tx.commit()?;
        *outcome = made;
        Ok(())
    }

    /// Gives each of several *different* keys a value, all as one step. `f` sets the `i`-th value:
    /// as in [`Store::edit_inline`] if there is one, else from an empty root, with a fresh record's
    /// inline area of at least `inline(i)` bytes. What became of each.
    ///
    /// # Errors
    /// Those of `f`, `Full`; nothing has changed then.
    pub fn put_all<'k>(
        &mut self,
        plans: impl Iterator<Item = (&'k [u8], Plan)>,
        inline: impl Fn(usize) -> u64,
        mut f: impl FnMut(usize, &mut Tx<'_>, &mut Root, Inline) -> Result<()>,
    ) -> Result<Vec<Outcome>> {
        let mut tx = self.pool.begin();
        let mut outcomes = Vec::new();
        for (i, (key, plan)) in plans.enumerate() {
            let outcome = match plan {
                Plan::Edit(record, expire_at) => {
                    edit_in(&mut tx, record, Some(expire_at), |tx, root, area| {
                        f(i, tx, root, area)
                    })?;
                    Outcome::Nothing
                }
                Plan::Make(creation, ty, old) => {
                    if let Some(old) = old {
                        tx.moves();
                        record::kill(&mut tx, old)?;
                    }
                    put_record(&mut tx, (key, ty, creation), inline(i), |tx, area| {
                        let mut root = Root::EMPTY;
                        f(i, tx, &mut root, area)?;
                        Ok(root)
                    })?
                }
            };
            outcomes.push(outcome);
        }
        tx.commit()?;
        Ok(outcomes)
    }
}

/// Changes a value in its record, and when it expires if that is given: what `f` gives, and the
/// expire time before.
#[inline]
fn edit_in<R>(
    tx: &mut Tx<'_>,
    record: RecordPtr,
    expire_at: Option<i64>,
    f: impl FnOnce(&mut Tx<'_>, &mut Root, Inline) -> Result<R>,
) -> Result<(R, i64)> {
    let head = record::get(tx, record)?;
    let (old, old_expire) = (head.root, head.expire_at);
    let inline = head.inline(record);
    let mut root = old;
    let result = f(tx, &mut root, inline)?;
    record::set_root(tx, record, old, root)?;
    if let Some(at) = expire_at.filter(|&at| at != old_expire) {
        record::set_expire(tx, record, at)?;
    }
    Ok((result, old_expire))
}
