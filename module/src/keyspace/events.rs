//! What happens to keys and databases behind the PM commands' back.
//!
//! | what | how the pool hears of it |
//! |---|---|
//! | DEL, UNLINK, expiry, eviction, overwriting | `free` (see `callbacks`) |
//! | EXPIRE, PERSIST and their family | the events `expire`, `persist` |
//! | RENAME | the event `rename_to`: a record with the new key replaces the old one |
//! | MOVE | the event `move_to` |
//! | COPY, RESTORE | `copy` and `rdb_load` make the record; the events bring the expire time |
//! | FLUSHDB, FLUSHALL, a full sync | the server event before it |
//! | SWAPDB | the server event after it |
//!
//! Commands that take several such steps are one group in the pool: [`before_command`] opens it, and
//! the next command, or the end of the event loop's turn, makes it durable, before replies are sent.

use super::record::{self, NEVER, RecordPtr};
use super::{ENGINE, Engine};
use crate::redis::{
    Arg, Class, Ctx, Event, EventKind, FilterArgs, Kind, Level, Loading, Mode, log, server_flags,
};
use pobj::Result;
use std::ffi::CStr;
use std::time::Duration;

/// How long the memory of dead records may take of one turn of the event loop, and of one cron.
const RECLAIM_TURN: Duration = Duration::from_micros(100);
const RECLAIM_CRON: Duration = Duration::from_millis(2);

/// Subscribes to everything. Only while the module is being loaded.
pub fn subscribe(ctx: &Ctx) {
    ctx.subscribe_keyspace(Class::GENERIC, on_key_event);
    for kind in [
        EventKind::FlushDb,
        EventKind::SwapDb,
        EventKind::EventLoop,
        EventKind::Loading,
        EventKind::CronLoop,
        EventKind::ForkChild,
    ] {
        ctx.subscribe(kind, on_event);
    }
    ctx.filter_commands(before_command);
}

/// Runs `f`; a failure leaves the pool behind what Redis shows, which only the log can tell.
fn durable(what: &str, f: impl FnOnce(&mut Engine) -> Result<()>) {
    match ENGINE.with(f) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log(Level::Warning, &format!("{what} is not durable: {error}")),
        Err(refused) => log(
            Level::Warning,
            &format!("{what} is not durable: {refused:?}"),
        ),
    }
}

fn on_event(ctx: &Ctx, event: Event) {
    match event {
        Event::BeforeSleep => before_sleep(ctx),
        Event::Cron { .. } => durable("reclaiming", |engine| {
            engine.reclaim(RECLAIM_CRON);
            Ok(())
        }),
        Event::LoadingStarted(from) => durable("the start of loading", |engine| {
            engine.loading_starts(from);
            Ok(())
        }),
        Event::FlushStarted { db } => durable("a flush", |engine| {
            engine.flushing = true;
            engine.dbs.flush(&mut engine.pool, db)?;
            engine.start_sweep();
            Ok(())
        }),
        Event::FlushEnded { .. } => durable("a flush", |engine| {
            engine.flushing = false;
            Ok(())
        }),
        Event::ForkChildBorn => durable("a snapshot", |engine| {
            engine.pool.begin_snapshot();
            Ok(())
        }),
        Event::ForkChildDied => durable("the end of a snapshot", |engine| {
            engine.pool.end_snapshot();
            Ok(())
        }),
        Event::SwapDb(a, b) => durable("SWAPDB", |engine| engine.dbs.swap(&mut engine.pool, a, b)),
        _ => {}
    }
}

/// The end of a turn of the event loop: replies are sent after this.
fn before_sleep(ctx: &Ctx) {
    let filled = ENGINE.with(|engine| engine.filled).unwrap_or(true);
    if !filled {
        super::fill::fill(ctx);
    }
    durable("the last commands", |engine| {
        if engine.pool.is_held() {
            engine.pool.release()?;
        }
        engine.reclaim(RECLAIM_TURN);
        Ok(())
    });
}

/// Before each command of a client or a script: the group of the command before it is over, and a
/// command of several steps begins one.
fn before_command(args: &FilterArgs<'_>) {
    let Some(name) = args.get(0) else { return };
    let groups = begins_group(name.bytes(), args.len());
    durable("the last commands", |engine| {
        if engine.pool.is_held() {
            // A script's own commands belong to its group.
            if server_flags().in_multi_or_script() {
                return Ok(());
            }
            engine.pool.release()?;
        }
        if groups && engine.filled {
            engine.pool.hold();
        }
        Ok(())
    });
}

/// True for native commands that can change several PM keys, or one in several steps.
fn begins_group(name: &[u8], argc: usize) -> bool {
    const ALWAYS: [&[u8]; 13] = [
        b"exec",
        b"eval",
        b"evalsha",
        b"fcall",
        b"eval_ro",
        b"evalsha_ro",
        b"fcall_ro",
        b"rename",
        b"renamenx",
        b"copy",
        b"move",
        b"restore",
        b"restore-asking",
    ];
    const IF_MANY: [&[u8]; 3] = [b"del", b"unlink", b"mset"];
    let is = |words: &[&[u8]]| words.iter().any(|word| name.eq_ignore_ascii_case(word));
    name.len() <= 14 && (is(&ALWAYS) || argc > 2 && is(&IF_MANY))
}

impl Engine {
    fn loading_starts(&mut self, from: Loading) {
        // A full sync replaces what there is. At start the pool is the truth, unless it is empty: then
        // a backup is being restored. Later (DEBUG RELOAD) a flush came before.
        self.take_loaded = from == Loading::Replication
            || self.filled
            || self
                .pool
                .next_object(pobj::Kind::Record, Default::default())
                .is_none();
    }
}

/// An event of a key of the context's database.
fn on_key_event(ctx: &Ctx, _class: Class, event: &CStr, name: Arg<'_>) {
    match event.to_bytes() {
        b"expire" | b"persist" | b"restore" | b"copy_to" => follow_expire(ctx, name),
        b"rename_to" => follow_rename(ctx, name),
        b"move_to" => follow_move(ctx, name),
        _ => {}
    }
}

/// The record of a key that holds one of our values, and its expire time.
fn record_of(ctx: &Ctx, name: Arg<'_>) -> Option<(RecordPtr, i64)> {
    let key = ctx.open(name, Mode::Peek);
    let Kind::Pm(_, addr) = key.kind() else {
        return None;
    };
    let expire_at = key.expire_at_ms().unwrap_or(NEVER);
    ENGINE
        .with(|engine| engine.record_at(addr))
        .ok()
        .flatten()
        .map(|record| (record, expire_at))
}

fn follow_expire(ctx: &Ctx, name: Arg<'_>) {
    let Some((record, expire_at)) = record_of(ctx, name) else {
        return;
    };
    durable("an expire time", |engine| {
        if record::get(&engine.pool, record)?.expire_at == expire_at {
            return Ok(());
        }
        let mut tx = engine.pool.begin();
        record::set_expire(&mut tx, record, expire_at)?;
        tx.commit()
    });
}

fn follow_move(ctx: &Ctx, name: Arg<'_>) {
    let Some((record, _)) = record_of(ctx, name) else {
        return;
    };
    let db = ctx.db();
    durable("MOVE", |engine| {
        let space = engine.dbs.space(&mut engine.pool, db)?;
        let mut tx = engine.pool.begin();
        record::set_space(&mut tx, record, space)?;
        tx.commit()
    });
}

fn follow_rename(ctx: &Ctx, name: Arg<'_>) {
    let mut key = ctx.open(name, Mode::Write);
    let Kind::Pm(ty, addr) = key.kind() else {
        return;
    };
    let db = ctx.db();
    let renamed = ENGINE.with(|engine| -> Result<Option<usize>> {
        let Some(record) = engine.record_at(addr) else {
            return Ok(None);
        };
        let record = engine.rename(record, name.bytes(), db)?;
        Ok(Some(engine.pool.address_of(record)))
    });
    match renamed {
        Ok(Ok(Some(addr))) => key.replace_value(ty, addr),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => log(Level::Warning, &format!("RENAME is not durable: {error}")),
        Err(refused) => log(
            Level::Warning,
            &format!("RENAME is not durable: {refused:?}"),
        ),
    }
}
