//! Changes of whole keys: they are created, copied, renamed, moved to another database or place,
//! and flushed.

use crate::Store;
use crate::inline::Inline;
use crate::layout::RECORD;
use crate::record::{self, RecordPtr};
use crate::structures::{self, Root};
use crate::value::ValueType;
use pobj::{Result, Tx};

impl Store {
    /// Makes a live record in database `db` whose value `f` builds, for a key that is shown from
    /// now on; `f` may use `inline` bytes of the record. Durable on return, or with the group.
    ///
    /// # Errors
    /// Those of `f`, and `Full`; nothing is made then.
    pub fn make(
        &mut self,
        ty: ValueType,
        key: &[u8],
        db: i32,
        inline: u64,
        expire_at: i64,
        f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
    ) -> Result<RecordPtr> {
        let creation = self.creation(db, expire_at)?;
        let mut tx = self.pool.begin();
        let mut root = Root::EMPTY;
        let record = record::create(&mut tx, (key, ty, creation), inline, |tx, area| {
            root = f(tx, area)?;
            Ok(root)
        })?;
        tx.commit()?;
        self.count_new_key(creation.space, ty, key);
        if structures::may_expire(ty, root) {
            self.expiring.found(record);
        }
        Ok(record)
    }

    /// Makes a copy of a record, expire time included, for another key, which is shown from now on.
    /// Durable on return, or with the group. O(value).
    ///
    /// # Errors
    /// `Damaged`, `Full`; nothing is made then.
    pub fn copy(&mut self, source: RecordPtr, key: &[u8], db: i32) -> Result<RecordPtr> {
        let head = *record::get(&self.pool, source)?;
        let (ty, root, from) = (
            head.value_type()?,
            head.root,
            record::inline(&self.pool, source)?,
        );
        let structure = structures::of(ty);
        let inline = structure.inline_used(root);
        self.make(ty, key, db, inline, head.expire_at, |tx, to| {
            structure.copy(tx, root, from, to)
        })
    }

    /// Gives a record another key, in one atomic step; the new record, which counts in place of the
    /// old one. Durable on return, or with the group. O(key and inline value).
    ///
    /// # Errors
    /// `Damaged`, `Full`; nothing has changed then.
    pub fn rename(&mut self, old: RecordPtr, key: &[u8], db: i32) -> Result<RecordPtr> {
        let head = *record::get(&self.pool, old)?;
        let (ty, from) = (head.value_type()?, record::inline(&self.pool, old)?);
        let creation = self.creation(db, head.expire_at)?;
        let needs = structures::of(ty).inline_used(head.root);
        let was = (head.space, record::key(&self.pool, old)?.to_vec());
        let mut tx = self.pool.begin();
        // Only inline bytes move; everything else hangs from the root, which moves as it is.
        let record = record::create(&mut tx, (key, ty, creation), needs, |tx, area| {
            tx.fill_from(area.fresh()?, from.at, needs)?;
            Ok(head.root)
        })?;
        tx.free_older(old)?;
        tx.commit()?;
        self.garbage.with_garbage.retain(|&other| other != old);
        self.expiring.moved(old, record);
        self.note_garbage(Some(record), ty, Root::EMPTY, head.root);
        self.uncount_old_key(was.0, ty, &was.1);
        self.count_new_key(creation.space, ty, key);
        Ok(record)
    }

    /// Moves a key to another database, where it is created anew, and counts. Durable on return, or
    /// with the group.
    ///
    /// # Errors
    /// `Full`; nothing has changed then.
    pub fn move_to(&mut self, record: RecordPtr, db: i32) -> Result<()> {
        let space = self.dbs.space(&mut self.pool, db)?;
        let created = self.dbs.tick(&mut self.pool)?;
        let head = *record::get(&self.pool, record)?;
        let (ty, key) = (
            head.value_type()?,
            record::key(&self.pool, record)?.to_vec(),
        );
        let mut tx = self.pool.begin();
        record::set_space(&mut tx, record, space, created)?;
        tx.commit()?;
        self.uncount_old_key(head.space, ty, &key);
        self.count_new_key(space, ty, &key);
        Ok(())
    }

    /// Sets when a key expires, in Unix milliseconds, or [`KEY_NEVER`](crate::expiry::KEY_NEVER).
    /// Durable on return, or with the group.
    ///
    /// # Errors
    /// `Full`; nothing has changed then.
    pub fn set_expire(&mut self, record: RecordPtr, at: i64) -> Result<()> {
        if record::get(&self.pool, record)?.expire_at == at {
            return Ok(());
        }
        let mut tx = self.pool.begin();
        record::set_expire(&mut tx, record, at)?;
        tx.commit()
    }

    /// The keys of a database, or of all, end with this, those that are not shown, too: durable on
    /// return, or with the group. O(databases).
    ///
    /// # Errors
    /// `Full`; nothing has changed then.
    pub fn flush(&mut self, db: Option<i32>) -> Result<()> {
        self.keep_group();
        self.dbs.flush(&mut self.pool, db)?;
        self.forget_flushed(db);
        let space = db.and_then(|db| self.dbs.space_of(db));
        if db.is_none() || space.is_some() {
            self.slots.forget_counts(space);
        }
        self.start_sweep();
        Ok(())
    }

    /// Moves those of the records that lie in the way of an evacuation, with their keys and inline
    /// values, as one atomic step; where each is now, if it has moved. They must be of living keys.
    ///
    /// # Errors
    /// `Full` if there is no room: then nothing has moved.
    pub fn move_records(&mut self, records: &[RecordPtr]) -> Result<Vec<Option<RecordPtr>>> {
        let mut tx = self.pool.begin();
        let mut moved = Vec::with_capacity(records.len());
        let mut totals = self.compaction.totals;
        for &record in records {
            let to = tx.relocate(record.cast(), RECORD)?;
            if let Some(to) = to {
                totals.records += 1;
                totals.bytes += tx.capacity(to.ptr())?;
            }
            moved.push(to.map(|to| to.ptr().cast()));
        }
        tx.commit()?;
        self.compaction.totals = totals;
        for (&old, new) in records.iter().zip(&moved) {
            if let Some(new) = *new {
                self.garbage.moved(old, new);
                self.expiring.moved(old, new);
            }
        }
        Ok(moved)
    }
}
