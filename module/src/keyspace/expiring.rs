//! Hashes with fields that expire: when to look at which of them, and removing the fields whose time has
//! come.
//!
//! Everything here is in DRAM; a start lists the records of such hashes by their encoding, without a look
//! at their values, and what is not known of one is found by looking at it once in the background.
//!
//! *When to look.* Each hash has a moment at which to look at it next, no later than the first expire time
//! among its fields. A packed hash is looked at as a whole. A table has an [`Agenda`] of the fields that
//! expire next, and a horizon up to which it is complete. When the horizon has come, a pass over the whole
//! table, a few buckets at a time, makes the next agenda. An agenda has room for a sixteenth of the fields
//! (and for 1,024), so a pass looks at some sixteen fields for each one that it schedules, and a hash of a
//! million fields takes some 2 MB of DRAM at most.
//!
//! *Removing.* Only a master removes; a replica waits for its master's HDEL. Each batch of fields is one
//! durable step, then the event `hexpired`, and HDEL to the replicas. It takes at most 250 µs of a
//! millisecond.

use super::key::PmKey;
use super::record::{self, Record, RecordPtr};
use super::{ENGINE, Engine, fill};
use crate::error::CmdError;
use crate::limits;
use crate::redis::{
    Arg, Class, Ctx, FilterArgs, Level, OwnedString, log, may_replicate, server_flags,
    spares_replicas,
};
use crate::structures::Root;
use crate::structures::hash::{self, NEVER};
use crate::value::ValueType;
use pobj::{Pool, Result};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// Fields removed in one step.
const BATCH: usize = 32;
/// Buckets of a table looked at in one step.
const BUCKETS: usize = 16;
/// Fields on the agenda of a table at least.
const AGENDA_MIN: u64 = 1024;
/// One of so many fields of a large table is on its agenda.
const AGENDA_SHARE: u64 = 16;
/// How long removing may take of one tick.
const BUDGET: Duration = Duration::from_micros(250);
/// From one tick to the next, while there is something to remove.
const TICK: Duration = Duration::from_millis(1);
/// When to try again what has failed, in milliseconds.
const RETRY_MS: i64 = 1000;
/// A moment before all others: the hash is to be looked at now.
const NOW: i64 = i64::MIN;

/// All hashes of which fields may expire.
#[derive(Default)]
pub(crate) struct Expiring {
    /// By the offsets of their records.
    hashes: HashMap<u64, Plan>,
    /// When to look at which; the same as in `hashes`.
    order: BTreeSet<(i64, u64)>,
    /// Removing is switched off, as DEBUG SET-ACTIVE-EXPIRE has it.
    off: bool,
    /// A timer for removing runs.
    ticks: bool,
}

/// What is planned for one hash.
struct Plan {
    /// When to look at it.
    due: i64,
    /// Which fields a table will lose next; without one they are to be found.
    agenda: Option<Box<Work>>,
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
        let first = self.fields.first().map_or(NEVER, |&(at, _)| at);
        first.min(self.horizon)
    }

    /// Whether no field of the table expires, as far as is known here.
    fn is_over(&self) -> bool {
        self.fields.is_empty() && self.horizon == NEVER
    }
}

impl Expiring {
    /// A hash of which fields may expire has come to be, or has been found.
    pub(super) fn found(&mut self, record: RecordPtr) {
        self.plan(record.offset(), NOW, None);
    }

    /// The record is gone, or its value.
    #[inline]
    pub(super) fn forget(&mut self, record: RecordPtr) {
        if !self.hashes.is_empty() {
            self.take(record.offset());
        }
    }

    /// A hash has another record.
    pub(crate) fn moved(&mut self, old: RecordPtr, new: RecordPtr) {
        if let Some(plan) = self.take(old.offset()) {
            self.plan(new.offset(), plan.due, plan.agenda);
        }
    }

    fn take(&mut self, offset: u64) -> Option<Plan> {
        let plan = self.hashes.remove(&offset)?;
        self.order.remove(&(plan.due, offset));
        Some(plan)
    }

    /// Forgets what does not live any more.
    pub(super) fn retain(&mut self, lives: impl Fn(RecordPtr) -> bool) {
        let lives = |&offset: &u64| RecordPtr::new(offset).is_some_and(&lives);
        self.hashes.retain(|offset, _| lives(offset));
        self.order.retain(|(_, offset)| lives(offset));
    }

    fn plan(&mut self, offset: u64, due: i64, agenda: Option<Box<Work>>) {
        if let Some(old) = self.hashes.insert(offset, Plan { due, agenda }) {
            self.order.remove(&(old.due, offset));
        }
        self.order.insert((due, offset));
    }

    /// Fields of a hash, which was `was` before and is `root` now, have got expire times.
    fn note<'a>(
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
            due: if is_first { NEVER } else { NOW },
            agenda: (is_first && hash::is_table(root)).then(|| Work::from(NEVER)),
        });
        let len = hash::len(root);
        for (name, expire_at) in times.filter(|&(_, at)| at != NEVER) {
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
        self.plan(offset, plan.due, plan.agenda);
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

    /// Looks at a part of a table: names of fields whose time has come, or none if there are none yet.
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
            agenda: Agenda::empty(NEVER),
        });
        let len = hash::len(root);
        for _ in 0..BUCKETS {
            let agenda = &mut pass.agenda;
            pass.cursor = hash::scan(pool, root, pass.cursor, |field| {
                if field.expire_at < now {
                    names.insert(field.name.to_vec());
                } else if field.expire_at != NEVER {
                    agenda.add(field.expire_at, hash::place(pool, field.name), len);
                }
            })?;
            if pass.cursor == 0 || names.len() >= BATCH {
                break;
            }
        }
        if pass.cursor == 0 {
            self.agenda = std::mem::replace(&mut pass.agenda, Agenda::empty(NEVER));
            self.pass = None;
        }
        Ok(())
    }
}

/// Fields to be removed.
struct Lapsed {
    record: RecordPtr,
    db: i32,
    key: Vec<u8>,
    fields: Vec<Vec<u8>>,
}

/// What came of a look at a hash.
enum Look {
    /// No hash is due.
    Nothing,
    /// There was nothing to remove.
    Seen,
    /// There is.
    Found(Lapsed),
}

impl Engine {
    /// Looks at the hash that is due first.
    fn look_at_expiring(&mut self, now: i64) -> Look {
        let Some(&(due, offset)) = self.expiring.order.first() else {
            return Look::Nothing;
        };
        if due >= now || self.pool.is_held() || !self.filled {
            return Look::Nothing;
        }
        let Some(record) = RecordPtr::new(offset) else {
            return Look::Nothing;
        };
        let looked = self.look_at(record, now);
        looked.unwrap_or_else(|error| {
            log(
                Level::Warning,
                &format!("a hash's fields do not expire in the background any more: {error}"),
            );
            self.expiring.forget(record);
            Look::Seen
        })
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
            let (names, due) = lapsed_in_packed(&self.pool, root, now)?;
            (names, due, None)
        };
        if due != NEVER {
            self.expiring.plan(record.offset(), due, agenda);
        }
        if names.is_empty() {
            return Ok(Look::Seen);
        }
        Ok(Look::Found(Lapsed {
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
            && head.value_type()? == ValueType::Hash
            && hash::may_expire(head.root);
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
fn lapsed_in_packed(pool: &Pool, root: Root, now: i64) -> Result<(HashSet<Vec<u8>>, i64)> {
    let (mut names, mut next) = (HashSet::new(), NEVER);
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

impl PmKey<'_> {
    /// Tells that fields of the hash, whose root was `was`, have got these expire times.
    pub fn note_expiry<'f>(
        &self,
        was: Root,
        times: impl Iterator<Item = (&'f [u8], i64)>,
    ) -> std::result::Result<(), CmdError> {
        super::with_engine(|engine| {
            let Some(record) = self.record(engine)? else {
                return Ok(());
            };
            let root = record::get(&engine.pool, record)?.root;
            if hash::may_expire(root) {
                let Engine { pool, expiring, .. } = engine;
                expiring.note(pool, record, (was, root), times);
            }
            Ok(())
        })
    }
}

/// Who is told what of fields that are removed because their time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// WATCH and tracking, the events `hexpired`, and `del` if the key goes; the replicas.
    All,
    /// The replicas only: the command tells the rest.
    Replicas,
}

/// Removes fields of a hash, whose time has come, as one atomic, durable step. True if the key has gone
/// with them.
pub fn remove_expired<'f>(
    ctx: &Ctx,
    name: Arg<'_>,
    fields: impl ExactSizeIterator<Item = &'f [u8]> + Clone,
    telling: Telling,
) -> std::result::Result<bool, CmdError> {
    let mut key = PmKey::open_write(ctx, name, ValueType::Hash)?;
    if !key.exists() {
        return Ok(false);
    }
    let removed = key.edit(|tx, root| hash::remove(tx, root, fields.clone()))?;
    if removed == 0 {
        return Ok(false);
    }
    if may_replicate(ctx) {
        let strings: Vec<OwnedString> = fields.map(OwnedString::new).collect();
        let args = std::iter::once(name).chain(strings.iter().map(OwnedString::arg));
        ctx.replicate(c"PM.HDEL", &args.collect::<Vec<_>>());
    }
    if telling == Telling::All {
        key.signal();
        ctx.notify(Class::HASH, c"hexpired", name);
        if !key.exists() {
            ctx.notify(Class::GENERIC, c"del", name);
        }
    }
    Ok(!key.exists())
}

/// DEBUG SET-ACTIVE-EXPIRE, where the server allows DEBUG, concerns fields as it does keys.
pub(super) fn follow_debug(args: &FilterArgs<'_>) {
    let is_it = args
        .get(1)
        .is_some_and(|word| word.is(b"SET-ACTIVE-EXPIRE"));
    let Some(on) = args.get(2).filter(|_| is_it && limits::allows_debug()) else {
        return;
    };
    let _ = ENGINE.with(|engine| engine.expiring.off = on.bytes() == b"0");
}

/// Removes fields whose time has come, of all hashes, for about [`BUDGET`]; and again in a while, if there
/// are more.
pub(super) fn remove_some(ctx: &Ctx) {
    let start = Instant::now();
    let home = ctx.db();
    let idle = |engine: &mut Engine| engine.expiring.order.is_empty() || engine.expiring.off;
    if ENGINE.with(idle) != Ok(false) || server_flags().replica() || spares_replicas() {
        return;
    }
    let now = ctx.now_ms();
    let mut more = true;
    while more && start.elapsed() < BUDGET {
        match ENGINE.with(|engine| engine.look_at_expiring(now)) {
            Ok(Look::Seen) => {}
            Ok(Look::Found(lapsed)) => remove(ctx, &lapsed),
            Ok(Look::Nothing) | Err(_) => more = false,
        }
    }
    ctx.select_db(home);
    let starts = more
        && ENGINE.with(|engine| !std::mem::replace(&mut engine.expiring.ticks, true)) == Ok(true);
    if starts {
        ctx.start_timer(TICK, 0, |ctx: &Ctx, _| {
            let _ = ENGINE.with(|engine| engine.expiring.ticks = false);
            remove_some(ctx);
        });
    }
}

fn remove(ctx: &Ctx, lapsed: &Lapsed) {
    let name = OwnedString::new(&lapsed.key);
    fill::show_unnamed(name.arg());
    // Keys of a database that the server does not have are nobody's to see.
    if ctx.db() != lapsed.db && !ctx.select_db(lapsed.db) {
        return;
    }
    let fields = lapsed.fields.iter().map(Vec::as_slice);
    if let Err(error) = remove_expired(ctx, name.arg(), fields, Telling::All) {
        log(
            Level::Warning,
            &format!("expired fields stay for now: {}", error.text("")),
        );
        let _ = ENGINE.with(|engine| {
            let again = ctx.now_ms() + RETRY_MS;
            engine.expiring.plan(lapsed.record.offset(), again, None);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agenda_keeps_the_first_fields_and_knows_how_far_it_reaches() {
        let mut agenda = Agenda::empty(NEVER);
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
}
