//! What is written to the AOF about keys that become PM keys, or native ones again.
//!
//! An AOF has native keys only: what PM commands do is in the pool. So that it restores exactly the
//! native keys that there were,
//!
//! * it is told when a native key goes by a PM command (`Ctx::forget_in_aof`);
//! * it is told of a PM key when a native command puts a native value in its place, before it gets
//!   that command: `SET k v XX` needs a key to be there, `SET k v KEEPTTL` its expire time;
//! * the markers that its base has of PM keys are dropped as they are loaded: the keys may be gone
//!   by the time of a later command, which must not meet a value of another type then;
//! * it is told of the pool, by a number, if that has keys. So an AOF beside another pool, or
//!   beside a new one because the pool was lost, is noticed.

use super::rest::writes_are_paused;
use super::startup::Startup;
use super::{ENGINE, Engine, PLACEHOLDER, apply};
use crate::redis::{Ctx, Kind, Mode, OwnedString, server_flags};
use store::expiry::KEY_NEVER;
use store::record;

/// A key whose value Redis is about to let go of.
pub(super) struct Leaving {
    pub(super) addr: usize,
    db: i32,
    name: Vec<u8>,
}

/// What the AOF has to know of a PM key, if a native one has taken its place.
pub(super) struct Displaced {
    db: i32,
    name: Vec<u8>,
    expire_at: Option<i64>,
}

impl Engine {
    /// Redis is about to let go of the value at `addr`, and may free it next.
    pub(super) fn note_leaving(&mut self, addr: usize, db: i32, name: &[u8]) {
        let flags = server_flags();
        let concerns_aof = self.life.shows_keys()
            && !self.pending.keys_have_ended()
            && flags.aof()
            && !flags.loading();
        let leaving = || Leaving {
            addr,
            db,
            name: name.to_vec(),
        };
        self.pending.leave_leaving(concerns_aof.then(leaving));
    }

    /// The value at `addr` is freed, its record is still as it was: what the AOF may have to know.
    pub(super) fn displaced(&mut self, addr: usize) -> Option<Displaced> {
        let leaving = self.pending.take_leaving(addr)?;
        let record = self.record_at(addr)?;
        let expire_at = record::get(&self.store.pool, record).ok()?.expire_at;
        Some(Displaced {
            db: leaving.db,
            name: leaving.name,
            expire_at: (expire_at != KEY_NEVER).then_some(expire_at),
        })
    }
}

/// Tells the AOF of a PM key, if a native value has just taken its place.
pub(super) fn tell_of(displaced: &Displaced) {
    Ctx::with_own(displaced.db, |ctx| {
        let name = OwnedString::new(&displaced.name);
        let is_overwritten = ctx.open(name.arg(), Mode::Unseen).kind() == Kind::Other;
        if is_overwritten {
            ctx.stand_in_aof(name.arg(), displaced.expire_at);
        }
    });
}

/// A key was loaded, or restored by a command in an AOF: drops it again, if it is the marker of a
/// PM key there. Its name may be on Redis's stack, where nothing may keep it.
pub(super) fn drop_marker(ctx: &Ctx, name: &[u8]) {
    let is_marker = ENGINE.with(|engine| engine.pending.take_marker());
    if is_marker != Ok(true) {
        return;
    }
    let name = OwnedString::new(name);
    let mut key = ctx.open(name.arg(), Mode::Write);
    if let Kind::Pm(_, PLACEHOLDER) = key.kind() {
        key.delete();
    }
}

/// Has the AOF tell of the pool, once, if it has keys; again after each fork, which may be the
/// beginning of a new AOF. While writes are paused, nothing may be propagated: then it waits.
pub(super) fn tell_of_pool(ctx: &Ctx) {
    let flags = server_flags();
    if !flags.aof() || flags.loading() || writes_are_paused() {
        return;
    }
    let tells = ENGINE.with(|engine| {
        let has_keys = engine.life.shows_keys()
            && (0..engine.store.dbs.count()).any(|db| engine.store.dbs.keys(db) > 0);
        (has_keys && !std::mem::replace(&mut engine.files.aof_knows_pool, true))
            .then(|| engine.pool_number())
    });
    if let Ok(Some(number)) = tells {
        ctx.tell_aof(c"PM.POOL", &[b"SEEN", number.as_bytes()]);
    }
}

/// The AOF that is being loaded tells of a pool that had keys.
pub fn note_pool(number: &[u8]) {
    apply("a look at the AOF", |engine| {
        if let Some(startup) = &mut engine.files.startup {
            startup.aof_pool = Some(number.to_vec());
        }
    });
}

impl Engine {
    /// A number by which this pool is told from others, as text.
    fn pool_number(&self) -> String {
        format!("{:016x}", self.pool_id())
    }

    /// The same as a number.
    pub(super) fn pool_id(&self) -> u64 {
        self.store.pool.seed()[0]
    }

    /// True if the AOF tells of another pool last.
    pub(super) fn aof_is_of_another_pool(&self, startup: &Startup) -> bool {
        let own = self.pool_number();
        startup
            .aof_pool
            .as_ref()
            .is_some_and(|pool| *pool != own.as_bytes())
    }
}
