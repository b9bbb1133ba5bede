//! A group that cannot go on fails as a whole.
//!
//! A command of EXEC or a script that finds no room, whatever was tried, is the end of its group:
//! the pool goes back to where it was before, Redis's keyspace follows, and further commands of the
//! group that change PM keys are refused. What was said about the part that had been done is then
//! false, and still in the server's buffers:
//!
//! * A script has not replied yet: it gets the error.
//! * In EXEC, replies that report changes have been composed. They cannot be withdrawn, so the
//!   client's connection is closed.
//! * The replicas are sent what had been done, as one transaction. At its end they are told to roll
//!   it back, too.
//! * A node that is being given hash slots is sent commands that name keys, and transactions not as
//!   such: the slots stay here.
//!
//! What native commands of the group have done stays, as the server rolls nothing back: native keys
//! are as they are. What such a command does to PM keys after the failure is no change of theirs
//! (see `afterwards`). A group that has flushed or swapped databases is not rolled back, nor one of
//! which a part had to be made durable already; then only the command that finds no room is
//! refused.

use crate::error::CmdError;
use crate::keyspace::failure::{of_command, of_refused_group};
use crate::keyspace::following::end_server;
use crate::keyspace::{ENGINE, apply, follow_flush};
use crate::redis::{Ctx, Kind, Mode, OwnedString, cut_transaction, refuse_writes, server_flags};
use crate::report;
use pobj::Result;
use std::collections::HashSet;
use store::expiry::KEY_NEVER;
use store::group::{KeyAt, Undone};

/// The error of a command in a group that has found no room.
const UNDONE: CmdError = CmdError::text_only(
    "OOM the persistent memory pool has no room for all of this transaction or script: nothing of it is done.",
);

/// A command has found no room: the error that it is to reply with.
pub(in crate::keyspace) fn refuse(ctx: &Ctx) -> CmdError {
    let flags = server_flags();
    if !flags.in_multi_or_script() {
        return CmdError::PoolFull;
    }
    let outcome = ENGINE.with(|engine| -> Result<Outcome> {
        let store = &mut engine.store;
        if !store.pool.in_group() || store.group_stays() {
            return Ok(Outcome::Stays);
        }
        if store.pool.has_steps() {
            return store.roll_back_group().map(Outcome::Undone);
        }
        if store.pool.refuses_group() {
            return Ok(Outcome::Again);
        }
        store.pool.refuse_group();
        engine.afterwards = Default::default();
        Ok(Outcome::Nothing)
    });
    let is_refused = |outcome: &Outcome| !matches!(outcome, Outcome::Stays);
    if matches!(&outcome, Ok(Ok(outcome)) if is_refused(outcome)) {
        // Those that delete whole keys need no room: the pool would let them.
        refuse_writes();
    }
    match outcome {
        Ok(Ok(Outcome::Undone(undone))) => {
            of_command(&CmdError::PoolFull);
            follow(ctx, &undone);
            retract(ctx, flags.in_multi());
            note_whether_told(true);
            UNDONE
        }
        Ok(Ok(Outcome::Nothing)) => {
            of_command(&CmdError::PoolFull);
            UNDONE
        }
        Ok(Ok(Outcome::Again)) => {
            of_refused_group();
            UNDONE
        }
        Ok(Ok(Outcome::Stays)) | Err(_) => CmdError::PoolFull,
        Ok(Err(error)) => {
            report::failure(
                "a transaction found no room in the pool, and remains partly done",
                &error,
            );
            CmdError::PoolFull
        }
    }
}

/// [`refuse`] for a native command that has found no room, in a callback of the server's: the error
/// is the server's, and tells of no cause.
pub(in crate::keyspace) fn refuse_native(db: i32) {
    of_command(&Ctx::with_own(db, refuse));
}

fn note_whether_told(is_told: bool) {
    apply("a failed transaction", |engine| {
        engine.afterwards = Default::default();
        engine.afterwards.is_told = is_told;
    });
}

/// Whether the open group was taken back, so that it may change nothing more.
pub(in crate::keyspace) fn refuses() -> bool {
    ENGINE.with(|engine| engine.store.pool.refuses_group()) == Ok(true)
}

/// What becomes of a group, one command of which finds no room.
enum Outcome {
    /// Only the command is refused.
    Stays,
    /// Nothing had been done, and nothing will be.
    Nothing,
    /// The group had failed before.
    Again,
    /// What had been done is not done any more.
    Undone(Undone),
}

/// Brings Redis's keyspace to where the pool is again.
fn follow(ctx: &Ctx, undone: &Undone) {
    let _home = ctx.keep_db();
    follow_flush(|| {
        let stay: HashSet<_> = undone.now.iter().map(|key| (key.db, &key.name)).collect();
        let gone = undone.before.iter();
        for key in gone.filter(|key| !stay.contains(&(key.db, &key.name))) {
            take_away(ctx, key.db, &key.name, key.addr);
        }
        for key in &undone.now {
            bring_back(ctx, key);
        }
    });
}

/// A key that was not there before the group, if it is still the one whose record is at this
/// address.
pub(in crate::keyspace) fn take_away(ctx: &Ctx, db: i32, name: &[u8], record: usize) {
    let name = OwnedString::new(name);
    if !ctx.select_db(db) {
        return;
    }
    let mut key = ctx.open(name.arg(), Mode::Quiet);
    if matches!(key.kind(), Kind::Pm(_, addr) if addr == record) {
        key.delete();
        key.signal_modified();
    }
}

/// A key that is as it was before the group.
pub(in crate::keyspace) fn bring_back(ctx: &Ctx, now: &KeyAt) {
    let name = OwnedString::new(&now.name);
    if !ctx.select_db(now.db) {
        return;
    }
    let ty = now.ty;
    let mut key = ctx.open(name.arg(), Mode::Quiet);
    match key.kind() {
        Kind::Pm(_, addr) if addr == now.addr => {}
        Kind::Pm(found, _) if found == ty => key.replace_value(ty, now.addr),
        Kind::Pm(..) | Kind::Absent => key.set_value(ty, now.addr),
        Kind::Other => {
            ctx.forget_in_aof(name.arg());
            key.set_value(ty, now.addr);
        }
    }
    let expire_at = (now.expire_at != KEY_NEVER).then_some(now.expire_at);
    if key.expire_at_ms() != expire_at {
        key.set_expire_at_ms(expire_at);
    }
    key.signal_modified();
}

/// Sees to it that nobody takes for done what the group had done.
pub(in crate::keyspace) fn retract(ctx: &Ctx, in_exec: bool) {
    if ctx.end_exports() {
        report::warn(
            "hash slots stay here that were about to move: their new owner could not take a transaction back",
        );
    }
    let word = OwnedString::new(b"ABANDON");
    ctx.replicate(c"PM.POOL", &[word.arg()]);
    let mut line = "a transaction or script found no room in the pool: nothing of it is done";
    if in_exec {
        cut_transaction(ctx);
        line = "a transaction found no room in the pool: nothing of it is done, and its connection is cut";
    }
    report::warn(line);
}

/// The master has taken back what it has sent of the running transaction. If that was all of a
/// single command, it is not in one here, and nothing was done.
pub fn follow_undo(ctx: &Ctx) {
    if !server_flags().in_multi() {
        return;
    }
    let outcome = ENGINE.with(|engine| {
        let store = &mut engine.store;
        if store.pool.in_group() && !store.group_stays() {
            store.roll_back_group().map(Some)
        } else {
            Ok(None)
        }
    });
    match outcome {
        Ok(Ok(Some(undone))) => {
            follow(ctx, &undone);
            note_whether_told(true);
        }
        other => {
            let why = match other {
                Ok(Err(error)) => error.to_string(),
                _ => "it is durable here".to_owned(),
            };
            end_server(&format!(
                "the master has taken back a transaction that its pool had no room for, and this replica cannot: {why}. The \
                 server ends rather than follow with changes that its master does not have. Remove its pool: it will \
                 sync again"
            ));
        }
    }
}
