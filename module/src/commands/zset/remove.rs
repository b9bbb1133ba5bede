//! ZREM and the ZREMRANGEBY family.

use super::TY;
use super::spec::{self, By};
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Class, Ctx};
use std::ffi::CStr;
use store::structures::zset;

/// `PM.ZREM key member [member ...]`
pub(super) fn zrem(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let removed = if key.exists() {
        key.edit(|tx, root| zset::remove(tx, root, args.from(2).iter().map(|arg| arg.bytes())))?
    } else {
        0
    };
    if removed > 0 {
        announce_and_replicate(
            ctx,
            &key,
            (Class::ZSET, c"zrem"),
            (c"PM.ZREM", args.from(1)),
        );
    }
    ctx.reply_integer(removed as i64);
    Ok(())
}

/// `PM.ZREMRANGEBYRANK key start stop`
pub(super) fn zremrangebyrank(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    remove_range(
        ctx,
        args,
        By::Rank,
        c"PM.ZREMRANGEBYRANK",
        c"zremrangebyrank",
    )
}

/// `PM.ZREMRANGEBYSCORE key min max`
pub(super) fn zremrangebyscore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    remove_range(
        ctx,
        args,
        By::Score,
        c"PM.ZREMRANGEBYSCORE",
        c"zremrangebyscore",
    )
}

/// `PM.ZREMRANGEBYLEX key min max`
pub(super) fn zremrangebylex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    remove_range(ctx, args, By::Name, c"PM.ZREMRANGEBYLEX", c"zremrangebylex")
}

fn remove_range(
    ctx: &Ctx,
    args: Args<'_>,
    by: By,
    command: &CStr,
    event: &CStr,
) -> Result<(), CmdError> {
    let span = spec::parse(ctx, by, args[2], args[3])?;
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let (ranks, len) =
        key.read(|pool, root| Ok((span.resolve(pool, root, 0, false)?, zset::len(root))))?;
    let removed = ranks.end - ranks.start;
    if removed > 0 {
        key.remove(removed == len, |tx, root| {
            zset::remove_range(tx, root, ranks)
        })?;
        announce_and_replicate(ctx, &key, (Class::ZSET, event), (command, args.from(1)));
    }
    ctx.reply_integer(removed as i64);
    Ok(())
}
