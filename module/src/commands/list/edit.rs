//! Changes in the middle: LSET, LINSERT, LREM, LTRIM.

use super::{count_from_either_end, from_start, integer, range};
use crate::behaviour::Behaviour;
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Class, Ctx};
use store::structures::list::{self, Side};
use store::value::ValueType;

/// `PM.LSET key index element`
pub(super) fn lset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], ValueType::List)?;
    if !key.exists() {
        return Err(CmdError::NoSuchKey);
    }
    let index = match integer(args[2])? {
        index if Behaviour::IndexIsTruncated.here() => i64::from(index as i32),
        index => index,
    };
    let found = key.edit(|tx, root| {
        let len = list::len(tx, *root)?;
        match u64::try_from(from_start(index, len)) {
            Ok(index) if index < len => {
                list::set(tx, root, index, args[3].bytes())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    })?;
    if !found {
        return Err(CmdError::IndexOutOfRange);
    }
    announce_and_replicate(
        ctx,
        &key,
        (Class::LIST, c"lset"),
        (c"PM.LSET", args.from(1)),
    );
    ctx.reply_ok();
    Ok(())
}

/// `PM.LINSERT key BEFORE|AFTER pivot element`
pub(super) fn linsert(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let after = if args[2].is(b"after") {
        1
    } else if args[2].is(b"before") {
        0
    } else {
        return Err(CmdError::Syntax);
    };
    let mut key = PmKey::open_write(ctx, args[1], ValueType::List)?;
    if !key.exists() {
        ctx.reply_integer(0);
        return Ok(());
    }
    let len = key.edit(|tx, root| {
        let (mut index, mut found) = (0, false);
        list::each(tx, *root, Side::Left, 0, |value| {
            found = value.equals(tx, args[3].bytes())?;
            index += u64::from(!found);
            Ok(!found)
        })?;
        if found {
            list::insert(tx, root, index + after, args[4].bytes()).map(Some)
        } else {
            Ok(None)
        }
    })?;
    let Some(len) = len else {
        ctx.reply_integer(-1);
        return Ok(());
    };
    announce_and_replicate(
        ctx,
        &key,
        (Class::LIST, c"linsert"),
        (c"PM.LINSERT", args.from(1)),
    );
    ctx.reply_integer(len as i64);
    Ok(())
}

/// `PM.LREM key count element`
pub(super) fn lrem(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let count = count_from_either_end(args[2])?;
    let mut key = PmKey::open_write(ctx, args[1], ValueType::List)?;
    if !key.exists() {
        ctx.reply_integer(0);
        return Ok(());
    }
    let (side, limit) = match count {
        0 => (Side::Left, u64::MAX),
        1.. => (Side::Left, count as u64),
        _ => (Side::Right, count.unsigned_abs()),
    };
    let removed = key.edit(|tx, root| list::remove(tx, root, side, args[3].bytes(), limit))?;
    if removed > 0 {
        key.signal();
        ctx.notify(Class::LIST, c"lrem", args[1]);
        if !key.exists() {
            ctx.notify(Class::GENERIC, c"del", args[1]);
        }
        ctx.replicate(c"PM.LREM", args.from(1));
    }
    ctx.reply_integer(removed as i64);
    Ok(())
}

/// `PM.LTRIM key start stop`
pub(super) fn ltrim(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (start, stop) = (integer(args[2])?, integer(args[3])?);
    let mut key = PmKey::open_write(ctx, args[1], ValueType::List)?;
    if !key.exists() {
        ctx.reply_ok();
        return Ok(());
    }
    let dropped = key.edit_leaving(|tx, root| {
        let len = list::len(tx, *root)?;
        let (first, kept) = range(start, stop, len);
        list::trim(tx, root, first, kept)
    })?;
    ctx.notify(Class::LIST, c"ltrim", args[1]);
    if !key.exists() {
        ctx.notify(Class::GENERIC, c"del", args[1]);
    }
    if dropped > 0 || !Behaviour::TrimOfNothingIsNoChange.here() {
        key.signal();
    }
    if dropped > 0 {
        ctx.replicate(c"PM.LTRIM", args.from(1));
    }
    ctx.reply_ok();
    Ok(())
}
