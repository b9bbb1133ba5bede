//! FLUSHDB and FLUSHALL of PM keys.
//!
//! In the pool a flush is one step, whatever the number of keys. In Redis's keyspace it is Redis's
//! own, on a background thread if so asked, where there are no native keys; else PM keys are
//! deleted there one after the other.

use crate::error::CmdError;
use crate::keyspace::arriving::slots_arrive;
use crate::keyspace::{self, fill};
use crate::redis::{Args, Ctx, Kind, Mode, OwnedString, Reply, translates_stream};
use crate::report;

/// `FLUSHDB [ASYNC | SYNC]`
pub(super) fn flushdb(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    check(args)?;
    keep_slots(ctx);
    show_all_if_told();
    let db = ctx.db();
    let keys = keyspace::shown_keys_of(db)?;
    keyspace::flush(Some(db))?;
    let gone = empty(ctx, args, keys);
    match &gone {
        Some(names) if translates_stream() => replicate_deletions(ctx, names),
        _ => ctx.replicate(c"PM.FLUSHDB", args.from(1)),
    }
    if gone.is_some() {
        tell_trackers(ctx);
    }
    ctx.reply_ok();
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`
pub(super) fn flushall(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    check(args)?;
    if !ctx.may_use_all_databases(args, Some(b"FLUSHALL")) {
        return Err(CmdError::NoDatabase);
    }
    keep_slots(ctx);
    show_all_if_told();
    let home = ctx.keep_db();
    let dbs = keyspace::dbs_with_keys()?.into_iter();
    let shown = dbs.map(|(db, _)| Ok((db, keyspace::shown_keys_of(db)?)));
    let dbs: Vec<(i32, u64)> = shown.collect::<Result<_, CmdError>>()?;
    keyspace::flush(None)?;
    let mut is_told = false;
    for (db, keys) in dbs {
        if ctx.select_db(db) {
            let gone = empty(ctx, args, keys);
            is_told |= gone.is_none();
            match gone {
                _ if !translates_stream() => {}
                Some(names) => replicate_deletions(ctx, &names),
                None => ctx.replicate(c"PM.FLUSHDB", args.from(1)),
            }
        }
    }
    drop(home);
    if !translates_stream() {
        ctx.replicate(c"PM.FLUSHALL", args.from(1));
    }
    if !is_told {
        tell_trackers(ctx);
    }
    ctx.reply_ok();
    Ok(())
}

/// As with native flushes, hash slots that are about to move stay where they are: of those that
/// leave, their new owner is sent only what names keys; of those that come, keys would be missing.
fn keep_slots(ctx: &Ctx) {
    let exports_ended = ctx.end_exports();
    let imports_ended = slots_arrive() && ctx.end_imports();
    if exports_ended || imports_ended {
        report::notice(
            "hash slots stay where they are that were about to move, as PM keys are flushed",
        );
    }
}

/// Replicas without the module are told of the keys, which have to be in the keyspace for that.
fn show_all_if_told() {
    if translates_stream() {
        fill::complete();
    }
}

/// Tells replicas without the module of keys that have gone beside native ones, which stay.
fn replicate_deletions(ctx: &Ctx, names: &[OwnedString]) {
    const AT_ONCE: usize = 1000;
    for names in names.chunks(AT_ONCE) {
        let names: Vec<_> = names.iter().map(OwnedString::arg).collect();
        ctx.replicate(c"DEL", &names);
    }
}

fn check(args: Args<'_>) -> Result<(), CmdError> {
    match args.from(1) {
        [] => Ok(()),
        [mode] if mode.is(b"SYNC") || mode.is(b"ASYNC") => Ok(()),
        _ => Err(CmdError::Syntax),
    }
}

/// Removes the PM keys of the selected database, so many, which have ended in the pool, from
/// Redis's keyspace. Their names, unless the whole database was flushed.
fn empty(ctx: &Ctx, args: Args<'_>, keys: u64) -> Option<Vec<OwnedString>> {
    if ctx.db_size() == keys {
        let words: Vec<&[u8]> = args.from(1).iter().map(|arg| arg.bytes()).collect();
        if ctx.call(c"FLUSHDB", &words).is_some() {
            return None;
        }
    }
    let mut ours = Vec::new();
    ctx.scan(|name, kind| {
        if let Kind::Pm(..) = kind {
            ours.push(OwnedString::new(name.bytes()));
        }
    });
    keyspace::follow_flush(|| {
        for name in &ours {
            let mut key = ctx.open(name.arg(), Mode::Write);
            if let Kind::Pm(..) = key.kind() {
                key.delete();
                key.signal_modified();
            }
        }
    });
    Some(ours)
}

/// Tells all clients that track keys to forget what they know, as a flush does, those among them
/// that want to hear nothing of their own changes, too: a module can do so only by a flush, and
/// flushes a database that is empty, if there is one.
fn tell_trackers(ctx: &Ctx) {
    let some = match ctx.call(c"INFO", &[b"clients"]) {
        Some(Reply::Text(text)) => !String::from_utf8_lossy(&text)
            .lines()
            .any(|line| line.trim_end() == "tracking_clients:0"),
        _ => false,
    };
    if !some {
        return;
    }
    let Ok(ours) = keyspace::dbs_with_keys() else {
        return;
    };
    let _home = ctx.keep_db();
    let is_ours = |db| ours.iter().any(|&(own, _)| own == db);
    let empty = (0..)
        .take_while(|&db| ctx.select_db(db))
        .find(|&db| ctx.db_size() == 0 && !is_ours(db));
    if let Some(db) = empty
        && ctx.select_db(db)
    {
        ctx.call(c"FLUSHDB", &[b"ASYNC"]);
    }
}
