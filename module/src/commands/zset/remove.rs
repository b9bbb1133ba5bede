//! ZREM and the ZREMRANGEBY family.

use super::TY;
use super::spec::{self, By};
use crate::commands::announce::{announce, announce_and_replicate};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use std::ffi::CStr;
use std::ops::Range;
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
    let (ranks, len, has_one_outcome) = key.read(|pool, root| {
        Ok((
            span.resolve(pool, root, 0, false)?,
            zset::len(root),
            span.is_told_by_content(pool, root)?,
        ))
    })?;
    let removed = ranks.end - ranks.start;
    if removed > 0 {
        key.remove(removed == len, |tx, root| {
            zset::remove_range(tx, root, ranks.clone())
        })?;
        announce(ctx, &key, Class::ZSET, event);
        if has_one_outcome {
            ctx.replicate(command, args.from(1));
        } else {
            replicate_ranks(ctx, args[1], ranks);
        }
    }
    ctx.reply_integer(removed as i64);
    Ok(())
}

/// Replicas might find other elements between the same names: they get the ranks of those that are
/// gone.
fn replicate_ranks(ctx: &Ctx, name: Arg<'_>, ranks: Range<u64>) {
    if may_replicate(ctx) {
        let ends =
            [ranks.start, ranks.end - 1].map(|rank| OwnedString::new(rank.to_string().as_bytes()));
        ctx.replicate(c"PM.ZREMRANGEBYRANK", &[name, ends[0].arg(), ends[1].arg()]);
    }
}
