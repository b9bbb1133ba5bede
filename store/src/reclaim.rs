//! Memory of dead records: reclaimed in the background, a little at every event-loop cycle.
//!
//! A record is dead when its creation tick is 0 (its key was deleted, and its value was too large
//! to be freed at once), or not later than its space's last flush, or than the tick at which its
//! hash slot was given up. The former are listed, and found again after a crash by the
//! [survey](crate::unshown); the latter are looked for by a *sweep* over all records. Freeing one
//! is idempotent, a transaction at a time.
//!
//! | a key goes as | its record |
//! |---|---|
//! | a change leaves its value empty, or it gets another name | is freed by that step ([`edit`](crate::edit), [`keys`](crate::keys)) |
//! | it is deleted, expires, is evicted | is ended by [`Store::retire`]: freed, or dead if its value is large |
//! | another value takes its place | is dead by that step, and retired once Redis has let go of it |
//! | a flush ends it, or its hash slot is given up | is dead by its creation tick, and ended by the sweep |
//!
//! Values of living keys, too, may have memory that is to be reclaimed: a sorted set that has lost
//! a long range. Their records are listed as well, and found again after a crash by their encoding.

use crate::Store;
use crate::damaged::damaged;
use crate::layout::RECORD;
use crate::record::{self, Creation, Record, RecordPtr};
use crate::structures::{self, Root};
use crate::value::ValueType;
use pobj::{Cursor, Error, Result, Tx};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frees per transaction while a large value is taken apart.
const BATCH: usize = 64;
/// Transactions within a group that may gain nothing, as what they free is older than the group.
const TRIES_IN_GROUP: u32 = 64;
/// Records looked at between two looks at the clock.
const SWEEP: usize = 64;

/// Hangs a part of a value that nobody refers to any more on a dead record of its own, so that it
/// is reclaimed like a deleted key; `None` if there is none. After the commit the record goes to
/// [`Store::reclaim_later`]; after a crash it is found.
///
/// # Errors
/// `Full` if there is no room for the record.
pub fn retire_value(tx: &mut Tx<'_>, ty: ValueType, root: Root) -> Result<Option<RecordPtr>> {
    if root == Root::EMPTY {
        return Ok(None);
    }
    tx.removes();
    record::create(tx, (b"", ty, Creation::NONE), 0, |_, _| Ok(root)).map(Some)
}

/// Whether what keeps something from being reclaimed passes: want of room, or a disk that does not
/// take what is to be made durable. Nothing has changed then.
pub fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Full(_) | Error::NotDurable(_))
}

/// Memory that waits to be reclaimed.
#[derive(Default)]
pub(crate) struct Garbage {
    /// Dead records whose values are too large to free at once.
    pub(crate) dead: VecDeque<RecordPtr>,
    /// How many there were when the open group began.
    dead_before_group: usize,
    /// Records of living keys whose values have memory to be reclaimed.
    pub(crate) with_garbage: VecDeque<RecordPtr>,
    /// Where the search for flushed records stands; `None` when there are none.
    sweep: Option<Cursor>,
}

impl Garbage {
    /// A group begins: what is dead by now stays so if the group is rolled back.
    pub(crate) fn begin_group(&mut self) {
        self.dead_before_group = self.dead.len();
    }

    /// The open group is rolled back: what it has given up lives.
    pub(crate) fn roll_back_group(&mut self) {
        self.dead.truncate(self.dead_before_group);
    }

    /// A record is no longer known to have garbage.
    pub(crate) fn forget_garbage(&mut self, record: RecordPtr) {
        self.with_garbage.retain(|&other| other != record);
    }

    /// A record has moved.
    pub(crate) fn moved(&mut self, old: RecordPtr, new: RecordPtr) {
        for other in self.with_garbage.iter_mut().filter(|other| **other == old) {
            *other = new;
        }
    }
}

/// Ends a record whose key is gone, in the running transaction: frees it with its value, if that is
/// small. Else the record is dead, and returned: after the commit it goes to
/// [`Store::reclaim_later`].
#[inline]
fn end_record(tx: &mut Tx<'_>, record: RecordPtr, head: &Record) -> Result<Option<RecordPtr>> {
    let structure = structures::of(head.value_type()?);
    if structure.is_small(head.root) {
        structure.destroy(tx, head.root)?;
        tx.free_older(record)?;
        return Ok(None);
    }
    if head.created != 0 {
        record::kill(tx, record)?;
    }
    Ok(Some(record))
}

impl Store {
    /// The key of `record` is gone: frees it with its value, at once if that is little work, else
    /// in the background. Durable on return, or with the group.
    ///
    /// # Errors
    /// `Damaged` if the record is not what it is to be; `Full` if there is no room although
    /// [all](mod@crate::must) was given; those of [`Tx::commit`](pobj::Tx::commit). The record is
    /// not dead then.
    pub fn retire(&mut self, record: RecordPtr) -> Result<()> {
        self.must(|store| store.retire_if_room(record))
    }

    fn retire_if_room(&mut self, record: RecordPtr) -> Result<()> {
        self.expiring.forget(record);
        let head = *record::get(&self.pool, record)?;
        let mut tx = self.pool.begin();
        tx.removes();
        let dead = end_record(&mut tx, record, &head)?;
        tx.commit()?;
        if let Some(dead) = dead {
            self.garbage.dead.push_back(dead);
        }
        Ok(())
    }

    /// Adds dead records to those to be reclaimed.
    pub(crate) fn reclaim_later(&mut self, records: impl IntoIterator<Item = RecordPtr>) {
        self.garbage.dead.extend(records);
    }

    /// Lists a record whose value was changed, if there is memory to reclaim now: the record is
    /// dead, or its value has garbage.
    #[inline]
    pub(crate) fn note_garbage(
        &mut self,
        record: Option<RecordPtr>,
        ty: ValueType,
        old: Root,
        new: Root,
    ) {
        if let Some(record) = record
            && structures::has_garbage(ty, new)
        {
            self.list_garbage(record, ty, old, new);
        }
    }

    fn list_garbage(&mut self, record: RecordPtr, ty: ValueType, old: Root, new: Root) {
        if structures::is_over(ty, new) {
            self.garbage.dead.push_back(record);
        } else if !structures::has_garbage(ty, old) {
            self.garbage.with_garbage.push_back(record);
        }
    }

    /// True if there is memory to reclaim.
    pub fn has_garbage(&self) -> bool {
        self.garbage.sweep.is_some()
            || !self.garbage.dead.is_empty()
            || !self.garbage.with_garbage.is_empty()
    }

    /// What there is to reclaim: values known of, and whether more are being looked for.
    pub fn backlog(&self) -> (usize, bool) {
        let values = self.garbage.dead.len() + self.garbage.with_garbage.len();
        (values, self.garbage.sweep.is_some())
    }

    /// Starts the search for records that a flush has ended.
    pub fn start_sweep(&mut self) {
        self.garbage.sweep = Some(Cursor::default());
    }

    /// Reclaims memory for about `budget`, but not while a group is open, nor while nothing can be
    /// made durable.
    ///
    /// # Errors
    /// What keeps something from being reclaimed, which is not tried again, unless that
    /// [passes](is_passing). There may be more to reclaim then.
    pub fn reclaim(&mut self, budget: Duration) -> Result<()> {
        let start = Instant::now();
        while self.has_garbage() && !self.pool.in_group() && self.pool.failure().is_none() {
            if !self.garbage.dead.is_empty() {
                self.dismantle_some()?;
            } else if !self.garbage.with_garbage.is_empty() {
                self.clean_some()?;
            } else {
                self.sweep_some()?;
            }
            if start.elapsed() >= budget {
                break;
            }
        }
        Ok(())
    }

    /// Within a group, after a command of it has found no room: takes apart what the group has
    /// given up so far, until `enough` bytes are gained, as it can take again what it has itself
    /// made. False if that gained nothing.
    pub fn reclaim_in_group(&mut self, enough: u64) -> bool {
        let before = self.pool.usage().unused();
        let mut tries = 0;
        while tries < TRIES_IN_GROUP && self.garbage.dead.len() > self.garbage.dead_before_group {
            let Some(record) = self.garbage.dead.pop_back() else {
                break;
            };
            match self.dismantle(record) {
                Ok(true) => {}
                Ok(false) => self.garbage.dead.push_back(record),
                // Without room in the undo log: the group's end brings it.
                Err(_) => {
                    self.garbage.dead.push_back(record);
                    break;
                }
            }
            match self.pool.usage().unused().saturating_sub(before) {
                0 => tries += 1,
                gained if gained >= enough => break,
                _ => {}
            }
        }
        self.pool.usage().unused() > before
    }

    /// Takes a part of the first dead record's value apart.
    fn dismantle_some(&mut self) -> Result<()> {
        let Some(record) = self.garbage.dead.pop_front() else {
            return Ok(());
        };
        match self.dismantle(record) {
            Ok(true) => {}
            Ok(false) => self.garbage.dead.push_front(record),
            Err(error) => {
                if is_passing(&error) {
                    self.garbage.dead.push_back(record);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes a part of a dead record's value apart; true if that was the last, and the record is
    /// freed.
    ///
    /// # Errors
    /// `Damaged`, if the record is not dead, too: nothing has changed then.
    fn dismantle(&mut self, record: RecordPtr) -> Result<bool> {
        self.pool.capacity(record)?;
        let head = *record::get(&self.pool, record)?;
        if head.created != 0 {
            return Err(damaged("a value that is to be reclaimed is in use"));
        }
        let mut root = head.root;
        let mut tx = self.pool.begin();
        tx.removes();
        let done = structures::of(head.value_type()?).dismantle(&mut tx, &mut root, BATCH)?;
        if done {
            tx.free_older(record)?;
        } else {
            record::set_root(&mut tx, record, head.root, root)?;
        }
        tx.commit()?;
        if done {
            self.garbage.forget_garbage(record);
        }
        Ok(done)
    }

    /// Frees some garbage of the first living value that has some.
    fn clean_some(&mut self) -> Result<()> {
        let Some(record) = self.garbage.with_garbage.pop_front() else {
            return Ok(());
        };
        match self.clean(record) {
            Ok(true) => {}
            Ok(false) => self.garbage.with_garbage.push_front(record),
            Err(error) => {
                if is_passing(&error) {
                    self.garbage.with_garbage.push_back(record);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Frees some garbage of a value; true if that was the last.
    fn clean(&mut self, record: RecordPtr) -> Result<bool> {
        self.pool.capacity(record)?;
        let head = *record::get(&self.pool, record)?;
        let (ty, mut root) = (head.value_type()?, head.root);
        if head.created == 0 || !structures::has_garbage(ty, root) {
            return Ok(true);
        }
        let mut tx = self.pool.begin();
        tx.removes();
        structures::of(ty).clean(&mut tx, &mut root)?;
        record::set_root(&mut tx, record, head.root, root)?;
        tx.commit()?;
        Ok(!structures::has_garbage(ty, root))
    }

    /// Looks at some records, and frees those that a flush has ended. None keeps the others: what
    /// is damaged is told of at the end; for what fails and passes, they are looked at again.
    fn sweep_some(&mut self) -> Result<()> {
        let from = self.garbage.sweep;
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for _ in 0..SWEEP {
            let Some(cursor) = self.garbage.sweep else {
                break;
            };
            let next = self.pool.next_object(RECORD, cursor);
            self.garbage.sweep = next.map(|(_, cursor)| cursor);
            let Some((object, _)) = next else { break };
            let record: RecordPtr = object.cast();
            match self.is_swept(record) {
                Ok(None) => {}
                Ok(Some(head)) => {
                    self.forget_unshown(record);
                    found.push((record, head));
                }
                Err(error) => failed.push(error),
            }
        }
        if self.end_all(&found).is_err() {
            // One of them is damaged, or there is no room for all.
            let retired = found.iter().map(|&(record, _)| self.retire(record));
            failed.extend(retired.filter_map(Result::err));
        }
        if failed.iter().any(is_passing) {
            self.garbage.sweep = from;
            failed.retain(is_passing);
        }
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// The record, if a flush has ended it, or the loss of its hash slot.
    fn is_swept(&self, record: RecordPtr) -> Result<Option<Record>> {
        let head = record::get(&self.pool, record)?;
        // Those with a creation tick of 0 are listed.
        let is_ended = head.created != 0
            && (!self.dbs.is_live(head)
                || self.slots.is_trimmed(&self.pool, record, head.created)?);
        Ok(is_ended.then_some(*head))
    }

    /// Ends several records, as one step.
    fn end_all(&mut self, records: &[(RecordPtr, Record)]) -> Result<()> {
        let mut tx = self.pool.begin();
        tx.removes();
        let mut dead = Vec::new();
        for (record, head) in records {
            dead.extend(end_record(&mut tx, *record, head)?);
        }
        tx.commit()?;
        for &record in &dead {
            self.expiring.forget(record);
        }
        self.reclaim_later(dead);
        Ok(())
    }
}
