//! Start-up: Redis's keyspace is filled from the pool's records.
//!
//! It runs once, at the first end of the event loop's turn: Redis has loaded its own files by then, and
//! no client has been served. About 1.5 µs a key, most of it Redis's own dictionary growing.

use super::callbacks::PLACEHOLDER;
use super::record::{self, NEVER, RecordPtr};
use super::{ENGINE, Engine, count_shown};
use crate::redis::{Ctx, Kind, Level, Mode, OwnedString, log};
use crate::structures;
use pobj::{Cursor, Error, Result};
use std::time::{Duration, Instant};

/// How often progress is logged.
const PROGRESS: Duration = Duration::from_secs(2);
/// Records between looks at the clock.
const CLOCK_EVERY: u64 = 1024;

/// What filling found.
#[derive(Default)]
struct Tally {
    records: u64,
    keys: u64,
    flushed: u64,
    damaged: u64,
    homeless: u64,
    overwritten: u64,
}

/// A record that is to become a key.
struct Found {
    record: RecordPtr,
    addr: usize,
    db: i32,
    name: OwnedString,
    expire_at: i64,
    birth: u64,
    ty: crate::value::ValueType,
}

enum Next {
    End,
    Skip(Cursor),
    Key(Cursor, Found),
}

/// Fills the keyspace of the whole server.
pub fn fill(ctx: &Ctx) {
    let start = Instant::now();
    let mut reported = start;
    let mut tally = Tally::default();
    let mut cursor = Cursor::default();
    let home = ctx.db();
    loop {
        let next = ENGINE.with(|engine| engine.next_key(cursor, &mut tally));
        match next {
            Ok(Next::Skip(after)) => cursor = after,
            Ok(Next::Key(after, found)) => {
                cursor = after;
                show(ctx, found, &mut tally);
            }
            Ok(Next::End) => break,
            Err(refused) => {
                log(
                    Level::Warning,
                    &format!("the keyspace cannot be filled: {refused:?}"),
                );
                return;
            }
        }
        tally.records += 1;
        if tally.records.is_multiple_of(CLOCK_EVERY) && reported.elapsed() >= PROGRESS {
            reported = Instant::now();
            log(
                Level::Notice,
                &format!(
                    "filling the keyspace from the pool: {} keys so far",
                    tally.keys
                ),
            );
        }
    }
    remove_placeholders(ctx);
    ctx.select_db(home);
    let bytes = ENGINE.with(|engine| {
        engine.homeless = tally.homeless;
        engine.reloading = false;
        engine.serve(tally.flushed > 0);
        engine.pool.usage().used
    });
    log(
        Level::Notice,
        &format!(
            "the pool holds {} keys in {} bytes; they were in the keyspace after {:.3} seconds",
            tally.keys,
            bytes.unwrap_or(0),
            start.elapsed().as_secs_f64()
        ),
    );
    tally.report();
    super::cluster::report_foreign_slots(ctx);
}

impl Tally {
    fn report(&self) {
        let warn = |count: u64, what: &str| {
            if count > 0 {
                log(Level::Warning, &format!("{count} {what}"));
            }
        };
        warn(
            self.damaged,
            "records of the pool are damaged and were left out",
        );
        warn(
            self.homeless,
            "keys of the pool belong to databases this server does not have; they stay in the pool",
        );
        warn(
            self.overwritten,
            "native keys that Redis loaded gave way to PM keys of the same name, which are newer",
        );
    }
}

impl Engine {
    /// The keyspace shows the pool's keys from now on. `flushed` tells whether there are records that a
    /// flush has ended.
    pub fn serve(&mut self, flushed: bool) {
        self.filled = true;
        if flushed {
            self.start_sweep();
        }
    }

    /// The record at `cursor`, as a key to be.
    fn next_key(&mut self, cursor: Cursor, tally: &mut Tally) -> Next {
        let Some((object, after)) = self.pool.next_object(pobj::Kind::Record, cursor) else {
            return Next::End;
        };
        match self.found(object.cast(), tally) {
            Ok(Some(found)) => Next::Key(after, found),
            Ok(None) => Next::Skip(after),
            Err(error) => {
                tally.damaged += 1;
                if tally.damaged <= 10 {
                    log(
                        Level::Warning,
                        &format!("a record at {:#x}: {error}", object.offset()),
                    );
                }
                Next::Skip(after)
            }
        }
    }

    fn found(&mut self, record: RecordPtr, tally: &mut Tally) -> Result<Option<Found>> {
        record::verify(&self.pool, record)?;
        let head = record::get(&self.pool, record)?;
        if !self.dbs.is_live(head) {
            match head.birth {
                0 => self.dead.push_back(record),
                _ => tally.flushed += 1,
            }
            return Ok(None);
        }
        if structures::has_waste(head.value_type()?, head.root) {
            self.wasting.push_back(record);
        }
        let db = self.dbs.db_of(head.space).ok_or_else(|| {
            Error::Damaged("a record of a database that the pool does not have".into())
        })?;
        Ok(Some(Found {
            record,
            addr: self.pool.address_of(record),
            db,
            name: OwnedString::new(record::key(&self.pool, record)?),
            expire_at: head.expire_at,
            birth: head.birth,
            ty: head.value_type()?,
        }))
    }
}

/// Puts one record into the keyspace.
fn show(ctx: &Ctx, found: Found, tally: &mut Tally) {
    if ctx.db() != found.db && !ctx.select_db(found.db) {
        tally.homeless += 1;
        count_shown(found.record);
        return;
    }
    let mut key = ctx.open(found.name.arg(), Mode::Write);
    match key.kind() {
        Kind::Absent => {}
        Kind::Pm(_, PLACEHOLDER) => {}
        Kind::Other => tally.overwritten += 1,
        Kind::Pm(_, addr) => {
            // Two records of one key: a crash came between a copy and the end of its original.
            if addr == found.addr {
                // Taken over from a file just now, and counted; or a reload has left it here.
                if ENGINE.with(|engine| engine.reloading) == Ok(true) {
                    count_shown(found.record);
                }
                tally.keys += 1;
                return;
            }
            if older(addr, found.birth) {
                tally.keys -= 1;
            } else {
                super::bury_quietly(found.record);
                return;
            }
        }
    }
    key.set_value(found.ty.into(), found.addr);
    count_shown(found.record);
    if found.expire_at != NEVER {
        key.set_expire_at_ms(Some(found.expire_at));
    }
    tally.keys += 1;
}

/// Removes the keys that a file has of the pool, and the pool does not have any more.
fn remove_placeholders(ctx: &Ctx) {
    let left = || ENGINE.with(|engine| engine.placeholders).unwrap_or(0);
    let found = left();
    let mut db = 0;
    while left() > 0 && ctx.select_db(db) {
        let mut names = Vec::new();
        ctx.scan(|name, kind| {
            if let Kind::Pm(_, PLACEHOLDER) = kind {
                names.push(OwnedString::new(name.bytes()));
            }
        });
        for name in names {
            let mut key = ctx.open(name.arg(), Mode::Write);
            if let Kind::Pm(_, PLACEHOLDER) = key.kind() {
                key.delete();
            }
        }
        db += 1;
    }
    let gone = found - left();
    if gone > 0 {
        log(
            Level::Notice,
            &format!(
                "{gone} PM keys in the loaded file are not in the pool any more, and stay gone"
            ),
        );
    }
}

/// True if the record at `addr` was born before `birth`.
fn older(addr: usize, birth: u64) -> bool {
    let own = ENGINE.with(|engine| {
        let record = engine.record_at(addr)?;
        record::get(&engine.pool, record)
            .ok()
            .map(|head| head.birth)
    });
    own.ok().flatten().is_none_or(|own| own < birth)
}
