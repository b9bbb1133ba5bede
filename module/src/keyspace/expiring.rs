//! Removing the fields of hashes whose time has come.
//!
//! Which these are, the store knows (`store::expiring`). Only a master removes; a replica waits for
//! its master's HDEL, and keys of a hash slot that is being imported wait for the slot. Each batch
//! of fields is one durable step, then the event `hexpired`, and HDEL to the replicas. It takes at
//! most 250 µs of a millisecond.

use super::cycles::Timer;
use super::key::PmKey;
use super::{ENGINE, Engine, apply, fill};
use crate::error::CmdError;
use crate::limits;
use crate::redis::{
    Arg, Class, Ctx, FilterArgs, OwnedString, may_replicate, server_flags, spares_replicas,
};
use crate::report;
use std::time::{Duration, Instant};
use store::expiring::{ExpiredFields, Look};
use store::structures::Root;
use store::structures::hash;
use store::value::ValueType;

/// How long removing may take of one tick.
const BUDGET: Duration = Duration::from_micros(250);
/// From one tick to the next, while there is something to remove.
const TICK: Duration = Duration::from_millis(1);
/// What a failure here means.
const NOT_IN_THE_BACKGROUND: &str = "a hash's fields do not expire in the background any more";
/// When to try again what has failed, or waits, in milliseconds.
const RETRY_MS: i64 = 1000;

/// How removing goes on.
#[derive(Default)]
pub(crate) struct Removing {
    /// It is switched off, as DEBUG SET-ACTIVE-EXPIRE has it.
    off: bool,
}

impl Engine {
    /// Looks at the hash that is due first.
    fn look_at_expiring(&mut self, now: i64) -> Look {
        if !self.life.shows_keys() {
            return Look::Nothing;
        }
        self.store.look_at_expiring(now).unwrap_or_else(|error| {
            report::failure(NOT_IN_THE_BACKGROUND, &error);
            Look::Seen
        })
    }

    /// Whether these fields stay for now, as the slot of their key is being imported: then they are
    /// looked at again later.
    fn waits_for_slot(&mut self, expired: &ExpiredFields, now: i64) -> bool {
        let waits = self.is_arriving(&expired.key);
        if waits {
            let again = now + RETRY_MS;
            self.store.expiring.try_again(expired.record, again);
        }
        waits
    }
}

impl PmKey<'_> {
    /// Tells that fields of the hash, whose root was `was`, have got these expire times. They have
    /// them already: a failure is reported.
    pub fn note_expiry<'f>(&self, was: Root, times: impl Iterator<Item = (&'f [u8], i64)>) {
        let noted = super::with_engine(|engine| {
            let Some(record) = self.record(engine)? else {
                return Ok(());
            };
            Ok(engine.store.note_expiry(record, was, times)?)
        });
        if let Err(error) = noted {
            report::failure(NOT_IN_THE_BACKGROUND, error.text(""));
        }
    }

    /// Whether there may be fields of the hash whose time has come at `now`. O(1).
    pub fn may_have_expired(&self, now: i64) -> std::result::Result<bool, CmdError> {
        super::with_engine(|engine| {
            let Some(record) = self.record(engine)? else {
                return Ok(false);
            };
            Ok(engine.store.may_have_expired(record, now))
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

/// Whether the pool takes changes: none while nothing can be made durable, nor in a transaction
/// that has failed. Commands that read and, by the way, change something leave that then.
pub fn takes_changes() -> bool {
    let takes = |engine: &mut Engine| {
        let pool = &engine.store.pool;
        pool.failure().is_none() && !pool.refuses_group()
    };
    ENGINE.with(takes) == Ok(true)
}

/// Removes fields of a hash, whose time has come, as one atomic, durable step. True if the key has
/// gone with them.
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
    apply("a change of settings", |engine| {
        engine.removing.off = on.bytes() == b"0"
    });
}

/// Removes fields whose time has come, of all hashes, for about [`BUDGET`]; and again in a while,
/// if there are more.
pub(super) fn remove_some(ctx: &Ctx) {
    let start = Instant::now();
    let home = ctx.keep_db();
    let idle = |engine: &mut Engine| engine.store.expiring.is_empty() || engine.removing.off;
    if ENGINE.with(idle) != Ok(false) || server_flags().replica() || spares_replicas() {
        return;
    }
    let now = ctx.now_ms();
    let mut more = true;
    while more && start.elapsed() < BUDGET {
        match ENGINE.with(|engine| engine.look_at_expiring(now)) {
            Ok(Look::Seen) => {}
            Ok(Look::Found(expired)) => {
                let waits = |engine: &mut Engine| engine.waits_for_slot(&expired, now);
                if ENGINE.with(waits) != Ok(true) {
                    remove(ctx, &expired);
                }
            }
            Ok(Look::Nothing) | Err(_) => more = false,
        }
    }
    drop(home);
    if more {
        apply("expired fields", |engine| {
            let events = &mut engine.event_loop;
            events.once(ctx, Timer::Expiring, TICK, remove_some);
        });
    }
}

fn remove(ctx: &Ctx, expired: &ExpiredFields) {
    let name = OwnedString::new(&expired.key);
    fill::show_unnamed(name.arg());
    // Keys of a database that the server does not have are nobody's to see.
    if ctx.db() != expired.db && !ctx.select_db(expired.db) {
        return;
    }
    let fields = expired.fields.iter().map(Vec::as_slice);
    if let Err(error) = remove_expired(ctx, name.arg(), fields, Telling::All) {
        report::failure("expired fields stay for now", error.text(""));
        apply("expired fields", |engine| {
            let again = ctx.now_ms() + RETRY_MS;
            engine.store.expiring.try_again(expired.record, again);
        });
    }
}
