//! Hashes with fields that expire: when to look at which of them, and which fields have expired.
//!
//! Everything here is in DRAM; a start lists the records of such hashes by their encoding, without
//! a look at their values, and what is not known of one is found by looking at it once in the
//! background. What a flush or the loss of a slot has ended is passed over; the sweep that reclaims
//! its memory takes it from the list.
//!
//! *When to look.* Each hash has a time at which to look at it next, no later than the first expire
//! time among its fields. A packed hash is looked at as a whole. A table has an [`Agenda`] of the
//! fields that expire next, and a horizon up to which it is complete. When the horizon has come, a
//! pass over the whole table, a few buckets at a time, makes the next agenda. An agenda has room
//! for a sixteenth of the fields (and for 1,024), so a pass looks at some sixteen fields for each
//! one that it schedules, and a hash of a million fields takes some 2 MB of DRAM at most.

use crate::Store;
use crate::expiry::FIELD_NEVER;
use crate::record::{self, Record, RecordPtr};
use crate::structures::hash;
use crate::structures::{self, Root};
use pobj::{Pool, Result};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Fields removed in one step.
const BATCH: usize = 32;
/// Buckets of a table looked at in one step.
const BUCKETS: usize = 16;
/// Fields on the agenda of a table at least.
const AGENDA_MIN: u64 = 1024;
/// One of so many fields of a large table is on its agenda.
const AGENDA_SHARE: u64 = 16;
/// A time before all others: the hash is to be looked at now.
const NOW: i64 = i64::MIN;

/// All hashes of which fields may expire.
#[derive(Default)]
pub struct Expiring {
    /// By the offsets of their records.
    hashes: HashMap<u64, Plan>,
    /// When to look at which; the same as in `hashes`.
    order: BTreeSet<(i64, u64)>,
}

/// What is planned for one hash.
struct Plan {
    /// When to look at it.
    due: i64,
    /// Which fields a table will lose next; without one they are to be found.
    agenda: Option<Box<Work>>,
    /// The time to look is later than it should be, as removing has failed.
    late: bool,
}

/// The agenda of a table, and the next one in the making.
struct Work {
    agenda: Agenda,
    pass: Option<Pass>,
}

/// A walk over a table that makes an agenda.
struct Pass {
    cursor: u64,
    agenda: Agenda,
}

/// The fields of a table that expire first: expire times, and places (`hash::place`).
///
/// Every field that expires before the horizon is here. What is here may have changed since.
struct Agenda {
    fields: BTreeSet<(i64, u64)>,
    horizon: i64,
}

impl Agenda {
    /// An agenda of a table of which no field expires before `horizon`.
    fn empty(horizon: i64) -> Agenda {
        Agenda {
            fields: BTreeSet::new(),
            horizon,
        }
    }

    /// Adds a field of a table of `len` fields, if it belongs here.
    fn add(&mut self, expire_at: i64, place: u64, len: u64) {
        if expire_at >= self.horizon {
            return;
        }
        self.fields.insert((expire_at, place));
        if self.fields.len() as u64 > (len / AGENDA_SHARE).max(AGENDA_MIN)
            && let Some((last, _)) = self.fields.pop_last()
        {
            self.horizon = last;
        }
    }

    /// When to look at the table.
    fn due(&self) -> i64 {
        let first = self.fields.first().map_or(FIELD_NEVER, |&(at, _)| at);
        first.min(self.horizon)
    }

    /// Whether no field of the table expires, as far as is known here.
    fn is_over(&self) -> bool {
        self.fields.is_empty() && self.horizon == FIELD_NEVER
    }
}

impl Expiring {
    /// A hash of which fields may expire has come to be, or has been found.
    pub(crate) fn found(&mut self, record: RecordPtr) {
        self.plan(record.offset(), NOW, None);
    }

    /// The record is gone, or its value.
    #[inline]
    pub(crate) fn forget(&mut self, record: RecordPtr) {
        if !self.hashes.is_empty() {
            self.take(record.offset());
        }
    }

    /// A hash has another record.
    pub(crate) fn moved(&mut self, old: RecordPtr, new: RecordPtr) {
        if let Some(plan) = self.take(old.offset()) {
            self.put(new.offset(), plan);
        }
    }

    fn take(&mut self, offset: u64) -> Option<Plan> {
        let plan = self.hashes.remove(&offset)?;
        self.order.remove(&(plan.due, offset));
        Some(plan)
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// A hash with fields that may expire is looked at again at this time, in Unix milliseconds.
    pub fn try_again(&mut self, record: RecordPtr, at: i64) {
        let offset = record.offset();
        self.plan(offset, at, None);
        if let Some(plan) = self.hashes.get_mut(&offset) {
            plan.late = true;
        }
    }

    /// Whether the time of fields of a hash may have come at `now`: not before it is to be looked
    /// at, and if nothing is known of it.
    fn may_have_expired(&self, record: RecordPtr, now: i64) -> bool {
        let plan = self.hashes.get(&record.offset());
        plan.is_none_or(|plan| plan.late || plan.due < now)
    }

    fn plan(&mut self, offset: u64, due: i64, agenda: Option<Box<Work>>) {
        let plan = Plan {
            due,
            agenda,
            late: false,
        };
        self.put(offset, plan);
    }

    fn put(&mut self, offset: u64, plan: Plan) {
        let due = plan.due;
        if let Some(old) = self.hashes.insert(offset, plan) {
            self.order.remove(&(old.due, offset));
        }
        self.order.insert((due, offset));
    }

    /// Fields of a hash, which was `was` before and is `root` now, have got expire times.
    pub(crate) fn note<'a>(
        &mut self,
        pool: &Pool,
        record: RecordPtr,
        (was, root): (Root, Root),
        times: impl Iterator<Item = (&'a [u8], i64)>,
    ) {
        let offset = record.offset();
        let is_first = !hash::may_expire(was);
        let known = self.take(offset).filter(|_| !is_first);
        let mut plan = known.unwrap_or_else(|| Plan {
            due: if is_first { FIELD_NEVER } else { NOW },
            agenda: (is_first && hash::is_table(root)).then(|| Work::from(FIELD_NEVER)),
            late: false,
        });
        let len = hash::len(root);
        for (name, expire_at) in times.filter(|&(_, at)| at != FIELD_NEVER) {
            match &mut plan.agenda {
                Some(work) => {
                    let place = hash::place(pool, name);
                    work.agenda.add(expire_at, place, len);
                    if let Some(pass) = &mut work.pass {
                        pass.agenda.add(expire_at, place, len);
                    }
                }
                None => plan.due = plan.due.min(expire_at),
            }
        }
        if let Some(work) = &plan.agenda {
            plan.due = work.due();
        }
        self.put(offset, plan);
    }
}

impl Work {
    /// For a table of which no field expires before `horizon`.
    fn from(horizon: i64) -> Box<Work> {
        Box::new(Work {
            agenda: Agenda::empty(horizon),
            pass: None,
        })
    }

    fn due(&self) -> i64 {
        match self.pass {
            Some(_) => NOW,
            None => self.agenda.due(),
        }
    }

    /// Looks at a part of a table: names of fields whose time has come, or none if there are none
    /// yet.
    fn look(&mut self, pool: &Pool, root: Root, now: i64) -> Result<HashSet<Vec<u8>>> {
        let mut names = HashSet::new();
        while names.len() < BATCH
            && let Some(&(at, place)) = self.agenda.fields.first()
            && at < now
        {
            self.agenda.fields.pop_first();
            hash::of_hash(pool, root, place, |field| {
                if field.expire_at < now {
                    names.insert(field.name.to_vec());
                }
            })?;
        }
        if names.is_empty() && self.agenda.horizon < now {
            self.walk(pool, root, now, &mut names)?;
        }
        Ok(names)
    }

    /// Goes on with a pass, or begins one.
    fn walk(
        &mut self,
        pool: &Pool,
        root: Root,
        now: i64,
        names: &mut HashSet<Vec<u8>>,
    ) -> Result<()> {
        let pass = self.pass.get_or_insert_with(|| Pass {
            cursor: 0,
            agenda: Agenda::empty(FIELD_NEVER),
        });
        let len = hash::len(root);
        for _ in 0..BUCKETS {
            let agenda = &mut pass.agenda;
            pass.cursor = hash::scan(pool, root, pass.cursor, |field| {
                if field.expire_at < now {
                    names.insert(field.name.to_vec());
                } else if field.expire_at != FIELD_NEVER {
                    agenda.add(field.expire_at, hash::place(pool, field.name), len);
                }
            })?;
            if pass.cursor == 0 || names.len() >= BATCH {
                break;
            }
        }
        if pass.cursor == 0 {
            self.agenda = std::mem::replace(&mut pass.agenda, Agenda::empty(FIELD_NEVER));
            self.pass = None;
        }
        Ok(())
    }
}

/// Fields to be removed, of one hash.
#[derive(Debug)]
pub struct ExpiredFields {
    /// The record of the hash.
    pub record: RecordPtr,
    /// The database it is in.
    pub db: i32,
    /// Its key.
    pub key: Vec<u8>,
    /// The names of the fields.
    pub fields: Vec<Vec<u8>>,
}

/// What came of a look at a hash.
#[derive(Debug)]
pub enum Look {
    /// No hash is due.
    Nothing,
    /// There was nothing to remove.
    Seen,
    /// There is.
    Found(ExpiredFields),
}

impl Store {
    /// Looks at the hash that is due first, if it is due now, in Unix milliseconds; not while a
    /// group is open. A bounded number of its fields.
    ///
    /// # Errors
    /// `Damaged`: the hash is not looked at any more.
    pub fn look_at_expiring(&mut self, now: i64) -> Result<Look> {
        let Some(&(due, offset)) = self.expiring.order.first() else {
            return Ok(Look::Nothing);
        };
        if due >= now || self.pool.in_group() {
            return Ok(Look::Nothing);
        }
        let Some(record) = RecordPtr::new(offset) else {
            return Ok(Look::Nothing);
        };
        self.look_at(record, now)
            .inspect_err(|_| self.expiring.forget(record))
    }

    /// Fields of the hash of a record, whose root was `was`, have got these expire times.
    ///
    /// # Errors
    /// `Damaged` if the record is none.
    pub fn note_expiry<'f>(
        &mut self,
        record: RecordPtr,
        was: Root,
        times: impl Iterator<Item = (&'f [u8], i64)>,
    ) -> Result<()> {
        let root = record::get(&self.pool, record)?.root;
        if hash::may_expire(root) {
            self.expiring.note(&self.pool, record, (was, root), times);
        }
        Ok(())
    }

    /// Whether there may be fields of the hash of a record whose time has come at `now`, in Unix
    /// milliseconds. No field is looked at. O(1).
    pub fn may_have_expired(&self, record: RecordPtr, now: i64) -> bool {
        self.expiring.may_have_expired(record, now)
    }

    fn look_at(&mut self, record: RecordPtr, now: i64) -> Result<Look> {
        let plan = self.expiring.take(record.offset());
        let Some((head, db)) = self.living_hash(record)? else {
            return Ok(Look::Seen);
        };
        let root = head.root;
        let (names, due, agenda) = if hash::is_table(root) {
            let agenda = plan.and_then(|plan| plan.agenda);
            let mut work = agenda.unwrap_or_else(|| Work::from(NOW));
            let names = work.look(&self.pool, root, now)?;
            let is_over = work.pass.is_none() && work.agenda.is_over();
            if is_over && names.is_empty() {
                self.end_expiry(record, root)?;
                return Ok(Look::Seen);
            }
            // What is over is seen once more, without the names.
            let due = if is_over { NOW } else { work.due() };
            (names, due, Some(work))
        } else {
            let (names, due) = expired_in_packed(&self.pool, root, now)?;
            (names, due, None)
        };
        if due != FIELD_NEVER {
            self.expiring.plan(record.offset(), due, agenda);
        }
        if names.is_empty() {
            return Ok(Look::Seen);
        }
        Ok(Look::Found(ExpiredFields {
            record,
            db,
            key: record::key(&self.pool, record)?.to_vec(),
            fields: names.into_iter().collect(),
        }))
    }

    /// The head of a record and its database, if it is a living hash of which fields may expire.
    fn living_hash(&self, record: RecordPtr) -> Result<Option<(Record, i32)>> {
        if self.pool.capacity(record).is_err() {
            return Ok(None);
        }
        let head = *record::get(&self.pool, record)?;
        let is_one = self.dbs.is_live(&head)
            && structures::may_expire(head.value_type()?, head.root)
            && !self.slots.is_trimmed(&self.pool, record, head.created)?;
        Ok(self
            .dbs
            .db_of(head.space)
            .filter(|_| is_one)
            .map(|db| (head, db)))
    }

    /// No field of a table expires any more.
    fn end_expiry(&mut self, record: RecordPtr, root: Root) -> Result<()> {
        let mut tx = self.pool.begin();
        record::set_root(&mut tx, record, root, hash::without_expiry(root))?;
        tx.commit()
    }
}

/// The names of a packed hash's fields whose time has come, and when that of the next one comes.
fn expired_in_packed(pool: &Pool, root: Root, now: i64) -> Result<(HashSet<Vec<u8>>, i64)> {
    let (mut names, mut next) = (HashSet::new(), FIELD_NEVER);
    for field in hash::fields(pool, root)? {
        let field = field?;
        if field.expire_at < now {
            names.insert(field.name.to_vec());
        } else {
            next = next.min(field.expire_at);
        }
    }
    Ok((names, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agenda_keeps_the_first_fields_and_knows_how_far_it_reaches() {
        let mut agenda = Agenda::empty(FIELD_NEVER);
        assert!(agenda.is_over());
        let count = 2 * AGENDA_MIN;
        for n in 0..count {
            agenda.add((n * 7919 % count) as i64, n, 10);
        }
        assert_eq!(agenda.fields.len() as u64, AGENDA_MIN);
        assert_eq!(agenda.horizon, AGENDA_MIN as i64);
        assert_eq!(agenda.due(), 0);
        agenda.add(agenda.horizon, 1, 10);
        assert_eq!(agenda.fields.len() as u64, AGENDA_MIN, "beyond the horizon");
        agenda.fields.clear();
        assert_eq!(agenda.due(), AGENDA_MIN as i64);
        assert!(!agenda.is_over(), "there may be more behind the horizon");
    }

    #[test]
    fn fields_may_have_expired_once_their_hash_is_to_be_looked_at() {
        let (record, other) = (RecordPtr::new(4096).unwrap(), RecordPtr::new(8192).unwrap());
        let mut expiring = Expiring::default();
        assert!(expiring.may_have_expired(record, 0), "nothing is known");
        expiring.found(record);
        assert!(expiring.may_have_expired(record, 0));
        expiring.plan(record.offset(), 100, None);
        assert!(!expiring.may_have_expired(record, i64::MIN));
        assert!(!expiring.may_have_expired(record, 100));
        assert!(expiring.may_have_expired(record, 101));
        expiring.moved(record, other);
        assert!(!expiring.may_have_expired(other, 100));
        // What has failed may be due already.
        expiring.try_again(other, 200);
        assert!(expiring.may_have_expired(other, 0));
        expiring.moved(other, record);
        assert!(expiring.may_have_expired(record, 0));
    }
}
