//! Keys that are not shown yet: what a start finds in the pool, until the layer above has taken it.
//!
//! A start [surveys](survey) all records; an [index] of them, in DRAM, is what is left to be shown.
//! Keys are taken out of it by name as they are asked for ([`Store::take_unshown`]), or one after
//! the other ([`Store::next_unshown`]).
//!
//! Invariants
//! * A living key is shown, or its record is in the index, never both. So before a record that is
//!   not shown is freed, it is taken out of the index ([`Store::forget_unshown`]).
//! * Two records can have one key: a crash came between a copy and the end of its original. The
//!   younger one counts, whichever is met first, and no other comes to light when it ends
//!   ([`Store::let_go`]).
//! * What is counted of keys ([`Dbs::keys`](crate::dbs::Dbs::keys)) is all of them from the survey
//!   on.

mod index;
mod survey;

use crate::Store;
use crate::damaged::damaged;
use crate::key_counts::KeyCounts;
use crate::reclaim::Garbage;
use crate::record::{self, RecordPtr};
use crate::value::ValueType;
use index::Index;
use pobj::{Error, Result};
use std::collections::BTreeSet;

/// What is known of the keys that are not shown.
pub(crate) struct Unshown {
    index: Index,
    /// The types of the records in the index.
    types: Vec<ValueType>,
    /// Living keys of each key space that are not shown.
    to_come: Vec<u64>,
}

/// What a survey of the pool has found.
#[derive(Debug, Default)]
pub struct Surveyed {
    /// How many keys are of slots that are another node's, where no such key outlives the start.
    pub foreign: u64,
    /// The slots of these keys, which are to be given up.
    pub foreign_slots: BTreeSet<u16>,
    /// Records that cannot be what they are to be.
    pub damaged: Vec<(RecordPtr, Error)>,
}

/// A key that is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct UnshownKey {
    /// Its record.
    pub record: RecordPtr,
    /// The record's address.
    pub addr: usize,
    /// The key space it is in.
    pub space: u16,
    /// The database that shows this key space.
    pub db: i32,
    /// Unix milliseconds, or [`KEY_NEVER`](crate::expiry::KEY_NEVER).
    pub expire_at: i64,
    /// When it was made.
    pub created: u64,
    /// The type of its value.
    pub ty: ValueType,
}

impl Store {
    /// Surveys the pool, which shows nothing yet: from here on keys can be taken to be shown, and
    /// what is to be reclaimed is known. `is_visible` tells of each key space whether somebody
    /// shows it, `forbidden` which slots, if any, are another node's and hold no keys that outlive
    /// the start. O(records).
    pub fn survey(&mut self, is_visible: &[bool], forbidden: &[bool]) -> Surveyed {
        self.trust_slots();
        let survey = self.look_at_all(is_visible, forbidden);
        if survey.has_flushed {
            self.start_sweep();
        }
        let damaged = survey.damaged.into_iter().map(|record| {
            let error = match record::verify(&self.pool, record) {
                Err(error) => error,
                Ok(()) => damaged("it is of a database that the pool does not have"),
            };
            (record, error)
        });
        let damaged: Vec<_> = damaged.collect();
        self.left_out = damaged.len() as u64;
        survey.index.sort_ahead();
        self.dbs.note_unmapped(survey.unmapped);
        let surveyed = Surveyed {
            foreign: survey.foreign,
            foreign_slots: survey.foreign_slots,
            damaged,
        };
        self.unshown = Some(Unshown {
            index: survey.index,
            types: survey.types,
            to_come: survey.to_show.iter().map(KeyCounts::total).collect(),
        });
        surveyed
    }

    /// Whoever shows keys shows none any more, until the next survey. That finds what is to be
    /// reclaimed, too.
    pub fn hide(&mut self) {
        self.unshown = None;
        self.garbage = Garbage::default();
        self.dbs.forget_counts();
        self.slots.forget_counts(None);
    }

    /// Records in the index: keys that are not shown, and some that have ended since.
    pub fn left_unshown(&self) -> u64 {
        self.unshown
            .as_ref()
            .map_or(0, |unshown| unshown.index.left())
    }

    /// Living keys that are not shown.
    pub fn to_come(&self) -> u64 {
        self.unshown
            .as_ref()
            .map_or(0, |unshown| unshown.to_come.iter().sum())
    }

    /// Living keys of database `db` that are not shown.
    pub fn unshown(&self, db: i32) -> u64 {
        let Some(unshown) = &self.unshown else {
            return 0;
        };
        let space = self.dbs.space_of(db).map(usize::from);
        let to_come = space.and_then(|space| unshown.to_come.get(space));
        to_come.copied().unwrap_or(0)
    }

    /// Takes any record out of the index. O(1) on average.
    pub fn next_unshown(&mut self) -> Option<RecordPtr> {
        let next = self.unshown.as_mut()?.index.next()?;
        if let Some(soon) = next.soon {
            self.pool.prefetch(soon);
        }
        Some(next.record)
    }

    /// Takes the records of this key, of one key space or of all, out of the index.
    pub fn take_unshown(&mut self, name: &[u8], space: Option<u16>) -> Vec<RecordPtr> {
        let mut found = Vec::new();
        let (pool, Some(unshown)) = (&self.pool, &mut self.unshown) else {
            return found;
        };
        for &ty in &unshown.types {
            unshown.index.take(record::hash(pool, ty, name), |record| {
                let is_it = record::key(pool, record).is_ok_and(|key| key == name)
                    && record::get(pool, record)
                        .is_ok_and(|head| space.is_none_or(|space| space == head.space));
                if is_it {
                    found.push(record);
                }
                is_it
            });
        }
        found
    }

    /// What is to be shown of a record that has just left the index; nothing if it was flushed.
    ///
    /// # Errors
    /// `Damaged`: it cannot be shown, and is not counted any more.
    pub fn found(&mut self, record: RecordPtr) -> Result<Option<UnshownKey>> {
        let head = *record::get(&self.pool, record)?;
        if !self.dbs.is_live(&head) {
            return Ok(None);
        }
        if let Some(unshown) = &mut self.unshown
            && let Some(to_come) = unshown.to_come.get_mut(usize::from(head.space))
        {
            *to_come = to_come.saturating_sub(1);
        }
        let found: Result<UnshownKey> = (|| {
            record::verify(&self.pool, record)?;
            let db = self.dbs.db_of(head.space);
            Ok(UnshownKey {
                record,
                addr: self.pool.address_of(record),
                space: head.space,
                db: db.ok_or_else(|| damaged("its database is not there"))?,
                expire_at: head.expire_at,
                created: head.created,
                ty: head.value_type()?,
            })
        })();
        found
            .inspect_err(|_| {
                self.left_out += 1;
                // A record of unknown type was not counted.
                if let Ok(ty) = head.value_type() {
                    self.dbs.uncount_key(head.space, ty);
                }
            })
            .map(Some)
    }

    /// Ends the index if all records have left it; false if some have not, or there was none.
    pub fn all_are_shown(&mut self) -> bool {
        self.unshown
            .take_if(|unshown| unshown.index.left() == 0)
            .is_some()
    }

    /// A record will be freed, which may not be shown.
    pub fn forget_unshown(&mut self, record: RecordPtr) {
        if let Some(unshown) = &mut self.unshown
            && let Ok(head) = record::get(&self.pool, record)
        {
            (unshown.index).take(head.check(), |unshown| unshown == record);
        }
    }

    /// Whether a record that was found takes the place of another one with which its key is shown
    /// already: of two records of one key the younger one counts.
    pub fn displaces(&self, found: &UnshownKey, shown: RecordPtr) -> bool {
        record::get(&self.pool, shown).map_or(true, |head| head.created < found.created)
    }

    /// A record that was found is shown from now on, for the key of this name.
    pub fn note_shown(&mut self, found: &UnshownKey, name: &[u8]) {
        self.slots.count(found.space, found.ty, name, 1);
    }

    /// A record that was found is not shown, as a younger one of its key is: it is gone, and counts
    /// no more. Durable on return, or with the group.
    ///
    /// # Errors
    /// As of [`Store::retire`]; it counts no more all the same.
    pub fn leave_out(&mut self, found: &UnshownKey) -> Result<()> {
        self.dbs.uncount_key(found.space, found.ty);
        self.retire(found.record)
    }

    /// Redis's keyspace has let go of a key for good: the key counts no more, and its record is
    /// gone with any other one of it. If `is_ended`, a commit has freed the record already, or
    /// marked it as dead; its bytes are still what they were. Durable on return, or with the group.
    ///
    /// # Errors
    /// `Damaged` if one of the records was not what it is to be: the others are gone.
    pub fn let_go(&mut self, record: RecordPtr, is_ended: bool) -> Result<()> {
        self.uncount_key(record)?;
        let duplicates = self.retire_duplicates(record);
        if is_ended {
            self.expiring.forget(record);
        } else {
            self.retire(record)?;
        }
        duplicates
    }

    /// A key is gone; so is any other record of it. Durable on return, or with the group.
    ///
    /// # Errors
    /// `Damaged` if one of them was not what it is to be: the others are gone.
    pub(crate) fn retire_duplicates(&mut self, record: RecordPtr) -> Result<()> {
        if self.unshown.is_none() {
            return Ok(());
        }
        let space = record::get(&self.pool, record)?.space;
        let name = record::key(&self.pool, record)?.to_vec();
        let mut outcome = Ok(());
        for duplicate in self.take_unshown(&name, Some(space)) {
            match self.found(duplicate) {
                Ok(None) => {}
                Ok(Some(found)) => self.leave_out(&found)?,
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// The keys of a database, or of all, have ended.
    pub(crate) fn forget_flushed(&mut self, db: Option<i32>) {
        let Some(unshown) = &mut self.unshown else {
            return;
        };
        match db {
            None => unshown.to_come.fill(0),
            Some(db) => {
                let space = self.dbs.space_of(db).map(usize::from);
                if let Some(to_come) = space.and_then(|space| unshown.to_come.get_mut(space)) {
                    *to_come = 0;
                }
            }
        }
        if self.to_come() == 0 {
            self.unshown = None;
        }
    }
}
