//! FLUSHDB and FLUSHALL of PM keys.
//!
//! In the pool a flush is one step, whatever the number of keys. In Redis's keyspace it is Redis's own,
//! on a background thread if so asked, where there are no native keys; else PM keys are deleted there
//! one after the other.

use crate::error::CmdError;
use crate::keyspace;
use crate::redis::{Args, Ctx, Kind, Mode, OwnedString};

/// `FLUSHDB [ASYNC | SYNC]`
pub fn flushdb(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    check(args)?;
    let db = ctx.db();
    let keys = keyspace::shown_keys_of(db)?;
    keyspace::flush(Some(db))?;
    empty(ctx, args, keys)?;
    ctx.replicate(c"PM.FLUSHDB", args.from(1));
    ctx.reply_ok();
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`
pub fn flushall(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    check(args)?;
    let home = ctx.db();
    let dbs = keyspace::dbs_with_keys()?.into_iter();
    let shown = dbs.map(|(db, _)| Ok((db, keyspace::shown_keys_of(db)?)));
    let dbs: Vec<(i32, u64)> = shown.collect::<Result<_, CmdError>>()?;
    keyspace::flush(None)?;
    for (db, keys) in dbs {
        if ctx.select_db(db) {
            empty(ctx, args, keys)?;
        }
    }
    ctx.select_db(home);
    ctx.replicate(c"PM.FLUSHALL", args.from(1));
    ctx.reply_ok();
    Ok(())
}

fn check(args: Args<'_>) -> Result<(), CmdError> {
    match args.from(1) {
        [] => Ok(()),
        [mode] if mode.is(b"SYNC") || mode.is(b"ASYNC") => Ok(()),
        _ => Err(CmdError::Syntax),
    }
}

/// Removes the PM keys of the selected database, so many, which have ended in the pool, from Redis's
/// keyspace.
fn empty(ctx: &Ctx, args: Args<'_>, keys: u64) -> Result<(), CmdError> {
    if ctx.db_size() == keys {
        let words: Vec<&[u8]> = args.from(1).iter().map(|arg| arg.bytes()).collect();
        if ctx.call(c"FLUSHDB", &words).is_some() {
            return Ok(());
        }
    }
    let mut ours = Vec::new();
    ctx.scan(|name, kind| {
        if let Kind::Pm(..) = kind {
            ours.push(OwnedString::new(name.bytes()));
        }
    });
    keyspace::follow_flush(true)?;
    for name in ours {
        let mut key = ctx.open(name.arg(), Mode::Write);
        if let Kind::Pm(..) = key.kind() {
            key.delete();
            key.signal_modified();
        }
    }
    keyspace::follow_flush(false)
}
