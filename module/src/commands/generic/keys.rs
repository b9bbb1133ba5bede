//! Commands about keys that are named.

use super::is_native;
use crate::error::CmdError;
use crate::keyspace;
use crate::redis::{Arg, Args, Class, Ctx, Kind, Mode, Propagate};
use std::ffi::CString;
use store::number::parse_i64;

/// What a handler gives.
pub(super) type Done = Result<(), CmdError>;

/// The native command whose counterpart is running: `EXPIRE` in PM.EXPIRE.
fn native(ctx: &Ctx) -> Result<CString, CmdError> {
    let name = ctx.command_name().to_uppercase();
    let native = name.strip_prefix("PM.").ok_or(CmdError::Internal)?;
    CString::new(native).map_err(|_| CmdError::Internal)
}

/// `PM.DEL key [key ...]`, `PM.UNLINK key [key ...]`: all keys but native ones, as one step.
/// Nothing of a value is freed here, so both take as long.
pub(super) fn delete_all(ctx: &Ctx, args: Args<'_>) -> Done {
    if args.len() > 2 {
        keyspace::begin_group();
    }
    let mut gone: Vec<Arg<'_>> = Vec::new();
    for &name in args.from(1) {
        let mut key = ctx.open(name, Mode::Write);
        if matches!(key.kind(), Kind::Pm(..)) {
            key.delete();
            key.signal_modified();
            ctx.notify(Class::GENERIC, c"del", name);
            gone.push(name);
        }
    }
    if !gone.is_empty() {
        ctx.replicate(&native(ctx)?, &gone);
    }
    ctx.reply_integer(gone.len() as i64);
    Ok(())
}

/// `PM.EXISTS key [key ...]`: native keys do not exist, and count neither as hits nor as misses.
pub(super) fn exist(ctx: &Ctx, args: Args<'_>) -> Done {
    count(ctx, args, Mode::Peek)
}

/// `PM.TOUCH key [key ...]`: likewise.
pub(super) fn touch(ctx: &Ctx, args: Args<'_>) -> Done {
    count(ctx, args, Mode::Read)
}

/// How many of the keys are PM keys; each is counted as often as it is named.
fn count(ctx: &Ctx, args: Args<'_>, mode: Mode) -> Done {
    let keys = args.from(1).iter().copied();
    let others = keys.filter(|&key| ctx.open(key, Mode::Quiet).kind() != Kind::Other);
    let found = others.filter(|&key| matches!(ctx.open(key, mode).kind(), Kind::Pm(..)));
    ctx.reply_integer(found.count() as i64);
    Ok(())
}

/// `PM.TYPE key`
pub(super) fn type_of(ctx: &Ctx, args: Args<'_>) -> Done {
    // What is not ours is the server's to look at, and to count.
    if ctx.is_plain() && !matches!(ctx.open(args[1], Mode::Quiet).kind(), Kind::Pm(..)) {
        return Err(CmdError::Native);
    }
    ctx.reply_simple(match ctx.open(args[1], Mode::Peek).kind() {
        Kind::Pm(ty, _) => ty.name(),
        _ => c"none",
    });
    Ok(())
}

/// PERSIST, and EXPIRE and its like: 0 without the key.
pub(super) fn change_one(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, Propagate::Replicas, || {
        ctx.reply_integer(0);
        Ok(())
    })
}

/// `PM.TTL key`
pub(super) fn ttl(ctx: &Ctx, args: Args<'_>) -> Done {
    tell_time(ctx, args, |at| to_seconds((at - ctx.now_ms()).max(0)))
}

/// `PM.PTTL key`
pub(super) fn pttl(ctx: &Ctx, args: Args<'_>) -> Done {
    tell_time(ctx, args, |at| (at - ctx.now_ms()).max(0))
}

/// `PM.EXPIRETIME key`
pub(super) fn expiretime(ctx: &Ctx, args: Args<'_>) -> Done {
    tell_time(ctx, args, to_seconds)
}

/// `PM.PEXPIRETIME key`
pub(super) fn pexpiretime(ctx: &Ctx, args: Args<'_>) -> Done {
    tell_time(ctx, args, |at| at)
}

/// Milliseconds, zero or more, as the nearest number of seconds.
fn to_seconds(ms: i64) -> i64 {
    // As natively, where the sum is beyond what the type holds for the last half second of all.
    ((ms as u64 + 500) / 1000) as i64
}

/// Replies what `show` makes of the key's expire time in Unix milliseconds; -1 without one, -2
/// without the key.
fn tell_time(ctx: &Ctx, args: Args<'_>, show: impl FnOnce(i64) -> i64) -> Done {
    const NO_KEY: i64 = -2;
    const NO_TIME: i64 = -1;
    if is_native(ctx, args[1]) {
        ctx.reply_integer(NO_KEY);
        return Ok(());
    }
    let key = ctx.open(args[1], Mode::Peek);
    ctx.reply_integer(match key.kind() {
        Kind::Pm(..) => key.expire_at_ms().map_or(NO_TIME, show),
        _ => NO_KEY,
    });
    Ok(())
}

/// `PM.RENAME key newkey`, `PM.RENAMENX key newkey`
pub(super) fn rename(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, Propagate::Replicas, || Err(CmdError::NoSuchKey))
}

/// Runs the native command unless its first key is native.
pub(super) fn on_first(
    ctx: &Ctx,
    args: Args<'_>,
    to: Propagate,
    absent: impl FnOnce() -> Done,
) -> Done {
    if is_native(ctx, args[1]) {
        return absent();
    }
    ctx.forward(&native(ctx)?, args.from(1), to);
    Ok(())
}

/// Runs the native command, whatever its key holds: for what it refuses before it looks.
pub(super) fn run_native(ctx: &Ctx, args: Args<'_>) -> Done {
    ctx.forward(&native(ctx)?, args.from(1), Propagate::Replicas);
    Ok(())
}

/// `PM.COPY source destination [DB destination-db] [REPLACE]`
pub(super) fn copy(ctx: &Ctx, args: Args<'_>) -> Done {
    let (dbs, object) = databases(args);
    if !ctx.may_use_databases(args, Some(b"COPY"), &dbs, object) {
        return Err(CmdError::NoDatabase);
    }
    if is_native(ctx, args[1]) {
        ctx.reply_integer(0);
        return Ok(());
    }
    keyspace::copying(|why| ctx.forward_explained(c"COPY", args.from(1), Propagate::Replicas, why))
}

/// The databases that COPY's options name, and the last of these words.
fn databases<'a>(args: Args<'a>) -> (Vec<i32>, Option<Arg<'a>>) {
    let mut dbs = Vec::new();
    let (mut words, mut last) = (args.from(3), None);
    while let [word, rest @ ..] = words {
        words = rest;
        if word.is(b"DB")
            && let [db, rest @ ..] = rest
        {
            dbs.extend(database(*db));
            (words, last) = (rest, Some(*db));
        }
    }
    (dbs, last)
}

/// The number of a database; what is none is for the native command to complain of.
pub(super) fn database(word: Arg<'_>) -> Option<i32> {
    parse_i64(word.bytes()).and_then(|db| i32::try_from(db).ok())
}
