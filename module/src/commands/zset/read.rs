//! Commands that look at single elements, counts, or random elements.

use super::spec::{By, Spec};
use super::{Shape, TY, integer};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Ctx};
use crate::structures::{Root, zset};
use pobj::Pool;
use std::collections::HashSet;

/// `PM.ZCARD key`
pub fn zcard(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    ctx.reply_integer(key.read(|_, root| Ok(zset::len(root)))? as i64);
    Ok(())
}

fn reply_score(ctx: &Ctx, score: Option<f64>) {
    match score {
        Some(score) => ctx.reply_double(score),
        None => ctx.reply_null(),
    }
}

/// `PM.ZSCORE key member`
pub fn zscore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    reply_score(
        ctx,
        key.read(|pool, root| zset::score(pool, root, args[2].bytes()))?,
    );
    Ok(())
}

/// `PM.ZMSCORE key member [member ...]`
pub fn zmscore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let names = args.from(2);
    key.read(|pool, root| {
        ctx.reply_array(names.len());
        for name in names {
            reply_score(ctx, zset::score(pool, root, name.bytes())?);
        }
        Ok(())
    })
}

/// `PM.ZRANK key member`
pub fn zrank(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_rank(ctx, args, |rank, _| rank)
}

/// `PM.ZREVRANK key member`
pub fn zrevrank(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_rank(ctx, args, |rank, len| len - 1 - rank)
}

fn reply_rank(ctx: &Ctx, args: Args<'_>, seen: fn(u64, u64) -> u64) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let rank = key.read(|pool, root| {
        let rank = zset::rank(pool, root, args[2].bytes())?;
        Ok(rank.map(|rank| seen(rank, zset::len(root))))
    })?;
    match rank {
        Some(rank) => ctx.reply_integer(rank as i64),
        None => ctx.reply_null(),
    }
    Ok(())
}

/// `PM.ZCOUNT key min max`
pub fn zcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    count(ctx, args, By::Score)
}

/// `PM.ZLEXCOUNT key min max`
pub fn zlexcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    count(ctx, args, By::Name)
}

fn count(ctx: &Ctx, args: Args<'_>, by: By) -> Result<(), CmdError> {
    let spec = Spec::parse(by, args[2], args[3])?;
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let range = key.read(|pool, root| spec.resolve(pool, root, 0, false))?;
    ctx.reply_integer((range.end - range.start) as i64);
    Ok(())
}

/// `PM.ZRANDMEMBER key [count [WITHSCORES]]`
pub fn zrandmember(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Some(count) = args.get(2) else {
        let key = PmKey::open_read(ctx, args[1], TY)?;
        return key.read(|pool, root| {
            if root == Root::EMPTY {
                ctx.reply_null();
            } else {
                reply_ranks(ctx, pool, root, Shape::Names, [random_rank(root)])?;
            }
            Ok(())
        });
    };
    let count = match integer(count)? {
        i64::MIN => {
            return Err(CmdError::text_only(
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ));
        }
        count => count,
    };
    let with_scores = match args.from(3) {
        [] => false,
        [option] if option.is(b"WITHSCORES") => true,
        _ => return Err(CmdError::Syntax),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CmdError::OutOfRange);
    }
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let shape = Shape::with_scores(ctx, with_scores);
    key.read(|pool, root| {
        let len = zset::len(root);
        if len == 0 || count == 0 {
            ctx.reply_array(0);
        } else if let Ok(count) = u64::try_from(count) {
            let ranks = distinct_ranks(len, count.min(len));
            shape.begin(ctx, ranks.len());
            reply_ranks(ctx, pool, root, shape, ranks)?;
        } else {
            let count = count.unsigned_abs() as usize;
            shape.begin(ctx, count);
            reply_ranks(
                ctx,
                pool,
                root,
                shape,
                (0..count).map(|_| random_rank(root)),
            )?;
        }
        Ok(())
    })
}

fn random_rank(root: Root) -> u64 {
    fastrand::u64(..zset::len(root).max(1))
}

/// Different ranks below `len`, `count` of them, each such choice being as likely. O(count).
fn distinct_ranks(len: u64, count: u64) -> Vec<u64> {
    // Floyd's sampling: the i-th pick is new, or stands for the highest rank it could be.
    let mut picked = HashSet::with_capacity(count as usize);
    (len - count..len)
        .map(|top| {
            let rank = fastrand::u64(..=top);
            let rank = if picked.contains(&rank) { top } else { rank };
            picked.insert(rank);
            rank
        })
        .collect()
}

fn reply_ranks(
    ctx: &Ctx,
    pool: &Pool,
    root: Root,
    shape: Shape,
    ranks: impl IntoIterator<Item = u64>,
) -> pobj::Result<()> {
    for rank in ranks {
        let (name, score) = zset::walk(pool, root, rank, false)?
            .step()?
            .unwrap_or((b"", 0.0));
        shape.element(ctx, name, score);
    }
    Ok(())
}
