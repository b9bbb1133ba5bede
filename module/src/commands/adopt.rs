//! PM.ADOPT: makes native keys PM keys.

use crate::error::CmdError;
use crate::keyspace::adopt::{adopt, job};
use crate::redis::{Args, Collection, Ctx};

/// `PM.ADOPT KEYS key [key ...]`: those that are native, of a type that we have; how many these
/// were. Each for itself: an error tells of the first that could not, and what was before it is
/// adopted.
pub(super) fn keys(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut adopted = 0;
    for &name in args.from(2) {
        adopted += i64::from(adopt(ctx, name)?);
    }
    ctx.reply_integer(adopted);
    Ok(())
}

/// `PM.ADOPT MATCH pattern`: keys of the selected database, in the background.
pub(super) fn matching(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    begin(ctx, Some(args[2].bytes().to_vec()))
}

/// `PM.ADOPT ALL`: keys of all databases, in the background.
pub(super) fn all(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    // The native command that is about all databases, too.
    if !ctx.may_use_all_databases(args, Some(b"FLUSHALL")) {
        return Err(CmdError::NoDatabase);
    }
    begin(ctx, None)
}

fn begin(ctx: &Ctx, pattern: Option<Vec<u8>>) -> Result<(), CmdError> {
    if job::begin(ctx, pattern) {
        ctx.reply_ok();
        Ok(())
    } else {
        Err(CmdError::text_only("ERR keys are being adopted already"))
    }
}

/// `PM.ADOPT STOP`
pub(super) fn stop(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    job::stop();
    ctx.reply_ok();
    Ok(())
}

/// `PM.ADOPT STATUS`: a map.
pub(super) fn status(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    let progress = job::progress();
    let figures = [
        (&b"keys"[..], progress.keys),
        (b"looked-at", progress.looked_at),
        (b"adopted", progress.adopted),
        (b"refused", progress.refused),
    ];
    ctx.reply_collection(Collection::Map, 2 + figures.len());
    ctx.reply_bulk(b"state");
    ctx.reply_bulk(if progress.running {
        b"running"
    } else {
        b"idle"
    });
    for (name, figure) in figures {
        ctx.reply_bulk(name);
        ctx.reply_integer(i64::try_from(figure).unwrap_or(i64::MAX));
    }
    ctx.reply_bulk(b"why");
    ctx.reply_bulk(progress.why.unwrap_or_default().as_bytes());
    Ok(())
}
