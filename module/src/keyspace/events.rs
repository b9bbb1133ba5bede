//! What happens to keys and databases behind the PM commands' back.
//!
//! | what | how the pool hears of it |
//! |---|---|
//! | DEL, UNLINK, expiry, eviction, overwriting | `free` (see `callbacks`) |
//! | EXPIRE, PERSIST and their family | the events `expire`, `persist` |
//! | RENAME | the event `rename_to`: a record with the new key replaces the old one |
//! | MOVE | the event `move_to` |
//! | COPY, RESTORE, loading | `copy` and `rdb_load` make the record; the events bring the expire time |
//! | FLUSHDB, FLUSHALL, a full sync | the server event before it |
//! | hash slots that move to another node | `free` of each key, or the server event before it (see `cluster`) |
//! | SWAPDB | the server event after it |
//!
//! Where a command takes several such steps, they are one group (see `groups`).
//!
//! While Redis loads its own files and the pool is the truth, none of this is about the pool's
//! keys: those are not in the keyspace yet, and what an AOF tells of them is in the pool already.

use super::groups::afterwards;
use super::{
    ENGINE, Engine, acknowledge, adopt, aof, apply, before_command, beside, cluster, compact,
    cycles, durable, evict, expiring, fill, followed, fullness, groups, loading, memory, room,
    saving, set_expires, undurable,
};
use crate::redis::{
    Arg, Class, Ctx, Event, EventKind, Key, Kind, Loading, Mode, OwnedString, Persistence,
    is_own_event, look_closer, server_flags,
};
use std::ffi::CStr;
use store::expiry::KEY_NEVER;
use store::record::{self, RecordPtr};

/// Subscribes to everything. Only while the module is being loaded.
pub fn subscribe(ctx: &Ctx) {
    ctx.subscribe_keyspace(Class::GENERIC | Class::LOADED, on_key_event);
    for kind in [
        EventKind::FlushDb,
        EventKind::SwapDb,
        EventKind::CronLoop,
        EventKind::Loading,
        EventKind::ForkChild,
        EventKind::Persistence,
        EventKind::Role,
        EventKind::ReplicaChange,
        EventKind::Shutdown,
    ] {
        ctx.subscribe(kind, on_event);
    }
    apply("the setup", |engine| {
        engine.event_loop.tell(on_event);
        engine.watch_cycles();
    });
    before_command::subscribe(ctx);
    cluster::subscribe(ctx);
}

/// An event of the server.
pub(crate) fn on_event(ctx: &Ctx, event: Event) {
    match event {
        Event::BeforeSleep => return before_sleep(ctx),
        Event::AfterSleep => return groups::cycle_begins(),
        Event::LoadingStarted(from) => {
            look_closer(true);
            durable("the start of loading", |engine| {
                match from {
                    Loading::Replication => engine.files.begin_masters(),
                    Loading::Rdb | Loading::Aof => engine.files.begin(),
                }
                loading::starts(engine, from)
            });
        }
        Event::LoadingEnded { complete } => {
            durable("the end of loading", |engine| {
                loading::ends(engine, complete)
            });
            if ENGINE.with(|engine| engine.life.reloads()) == Ok(true) {
                fill::fill(ctx);
            }
            if complete {
                beside::note_new_rdb();
            } else {
                beside::note_none();
            }
        }
        Event::Persistence(what) => {
            if matches!(
                what,
                Persistence::SyncRdbStarted | Persistence::SyncAofStarted
            ) {
                fill::complete();
            }
            saving::follow(ctx, what);
        }
        Event::Cron { .. } => {
            cluster::unmark_arrivals();
            expiring::remove_some(ctx);
            evict::evict_early(ctx);
        }
        // A full sync that failed is not to be tried again: what came of it is what there is.
        Event::BecameMaster => {
            acknowledge::follow_role(true);
            undurable::follow_promotion();
            cluster::follow_promotion();
            durable("the end of a full sync", |engine| {
                if engine.life.shows_keys() {
                    loading::end_take_over(engine)
                } else {
                    Ok(())
                }
            });
        }
        Event::BecameReplica => acknowledge::follow_role(false),
        Event::FlushStarted { db } => {
            followed("a flush", |engine| {
                let ends = engine.is_shown();
                engine.pending.end_keys(ends);
                engine.flush(db)
            });
        }
        Event::FlushEnded { .. } => apply("a flush", |engine| engine.pending.end_keys(false)),
        Event::ForkChildBorn => durable("a snapshot", |engine| {
            engine.store.pool.begin_snapshot();
            engine.files.begin();
            engine.files.aof_knows_pool = false;
            engine.note_fork()
        }),
        Event::ForkChildDied => {
            apply("the end of a snapshot", |engine| {
                engine.store.pool.end_snapshot()
            });
            // What the child has left is known by the fork, unless it was seen.
            if beside::note_new_rdb() {
                durable("the end of a snapshot", Engine::forget_fork);
            }
        }
        Event::ConfigChanged => {
            acknowledge::follow_settings(ctx);
            memory::follow_settings();
        }
        Event::Shutdown => return end(),
        Event::SwapDb(a, b) => {
            followed("SWAPDB", |engine| {
                if engine.is_shown() {
                    engine.store.keep_group();
                    engine.afterwards.swap(a, b);
                    engine.store.dbs.swap(&mut engine.store.pool, a, b)
                } else {
                    Ok(())
                }
            });
        }
        _ => {}
    }
    cycles::look_again();
    if let Event::Cron { .. } = event {
        durable("a look at the pool's file", |engine| {
            engine.tend();
            engine.tell_of_memory();
            engine.beat();
            engine.event_loop.forget_held_back();
            if engine.life.shows_keys() && engine.filling.is_none() {
                engine.store.pool.begin_huge_pages();
            }
            Ok(())
        });
        aof::tell_of_pool(ctx);
        fullness::look();
        compact::look(ctx);
    }
}

/// The server ends. In the midst of a script, which SHUTDOWN NOSAVE then ends, the pool is left
/// open: the next start takes back what the script has done so far.
fn end() {
    let stays_open = server_flags().in_multi_or_script()
        && ENGINE.with(|engine| engine.store.pool.in_group()) != Ok(false);
    if stays_open {
        return;
    }
    // A child whose end the server has not waited for may have left an RDB, too.
    beside::note_new_rdb();
    durable("the end", Engine::leave_pool);
}

/// The end of an event-loop cycle: replies are sent after this.
fn before_sleep(ctx: &Ctx) {
    let filled = ENGINE
        .with(|engine| engine.life.shows_keys())
        .unwrap_or(true);
    if !filled {
        cluster::end_interrupted_imports(ctx);
        loading::end_loading(ctx);
        fill::fill(ctx);
        adopt::job::begin_at_start(ctx);
    }
    groups::cycle_ends();
    fill::cycle_ends();
    room::reclaim_some(ctx);
    cycles::rest_later(ctx);
}

impl Engine {
    /// True if what Redis does to its keys and databases is done to the pool's: the keyspace shows
    /// them, or the pool takes over what is being loaded.
    pub(super) fn is_shown(&self) -> bool {
        self.life.shows_keys() || self.life.takes_over()
    }
}

/// An event of a key of the context's database.
fn on_key_event(ctx: &Ctx, _class: Class, event: &CStr, name: Arg<'_>) {
    let is_of_set = set_expires::is_of_set(name);
    match event.to_bytes() {
        // What our own commands tell of, they have done to the pool first.
        b"expire" | b"persist" if is_of_set || is_own_event(event) => {}
        b"expire" | b"persist" => follow_expire(ctx, name),
        b"restore" => {
            aof::drop_marker(ctx, name.bytes());
            follow_expire(ctx, name);
        }
        b"loaded" => follow_load(ctx, name),
        b"copy_to" => {
            follow_expire(ctx, name);
            take_place(ctx, name);
        }
        b"rename_to" => {
            follow_rename(ctx, name);
            take_place(ctx, name);
        }
        b"move_to" => follow_move(ctx, name),
        _ => {}
    }
}

/// A PM key may have taken the place of a native key, by a command that means nothing to an AOF
/// which does not know the PM key.
fn take_place(ctx: &Ctx, name: Arg<'_>) {
    if record_of(ctx, name).is_some() {
        ctx.forget_in_aof(name);
    }
}

/// The record of a key that holds one of our values, and its expire time.
fn record_of(ctx: &Ctx, name: Arg<'_>) -> Option<(RecordPtr, i64)> {
    record_in(&ctx.open(name, Mode::Unseen))
}

/// The same of an open key.
fn record_in(key: &Key<'_>) -> Option<(RecordPtr, i64)> {
    let Kind::Pm(_, addr) = key.kind() else {
        return None;
    };
    let expire_at = key.expire_at_ms().unwrap_or(KEY_NEVER);
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
    let mut before = None;
    followed("an expire time", |engine| {
        if engine.store.pool.refuses_group() {
            before = Some(record::get(&engine.store.pool, record)?.expire_at);
            return Ok(());
        }
        engine.store.set_expire(record, expire_at)
    });
    // At once: at the end of the group the key might have expired.
    if let Some(before) = before.filter(|&before| before != expire_at) {
        let before = (before != KEY_NEVER).then_some(before);
        ctx.open(name, Mode::Quiet).set_expire_at_ms(before);
        afterwards::tell();
    }
}

/// A key was loaded from a file, native ones too. Its name is on Redis's stack, and nothing may
/// keep it.
fn follow_load(ctx: &Ctx, name: Arg<'_>) {
    aof::drop_marker(ctx, name.bytes());
    if ENGINE.with(|engine| engine.is_shown()) == Ok(true) {
        let name = OwnedString::new(name.bytes());
        follow_expire(ctx, name.arg());
    }
}

fn follow_move(ctx: &Ctx, name: Arg<'_>) {
    let key = ctx.open(name, Mode::Unseen);
    let (Some((record, _)), Some(db)) = (record_in(&key), key.db()) else {
        return;
    };
    drop(key);
    let strays = |engine: &mut Engine| engine.strays_afterwards(record, db, name.bytes());
    if ENGINE.with(strays) == Ok(true) {
        return afterwards::tell();
    }
    followed("MOVE", |engine| engine.store.move_to(record, db));
}

fn follow_rename(ctx: &Ctx, name: Arg<'_>) {
    let mut key = ctx.open(name, Mode::Quiet);
    let (Kind::Pm(ty, _), Some((record, _))) = (key.kind(), record_in(&key)) else {
        return;
    };
    let db = key.db().unwrap_or_else(|| ctx.db());
    let strays = |engine: &mut Engine| engine.strays_afterwards(record, db, name.bytes());
    if ENGINE.with(strays) == Ok(true) {
        drop(key);
        return afterwards::tell();
    }
    let renamed = followed("RENAME", |engine| {
        let record = engine.store.rename(record, name.bytes(), db)?;
        Ok(engine.store.pool.address_of(record))
    });
    if let Some(addr) = renamed {
        key.replace_value(ty, addr);
    }
}
