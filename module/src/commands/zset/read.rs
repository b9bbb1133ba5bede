//! Commands that look at single elements, counts, or random elements.

use super::spec::{self, By};
use super::{Shape, TY, integer};
use crate::behaviour::Behaviour;
use crate::commands::sample;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use std::collections::HashSet;
use store::structures::sample::{Choice, Chosen};
use store::structures::{Root, zset};

/// `PM.ZCARD key`
pub(super) fn zcard(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
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
pub(super) fn zscore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    reply_score(
        ctx,
        key.read(|pool, root| zset::score(pool, root, args[2].bytes()))?,
    );
    Ok(())
}

/// `PM.ZMSCORE key member [member ...]`
pub(super) fn zmscore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let names = args.from(2);
    key.read(|pool, root| {
        let score = |name: &Arg<'_>| zset::score(pool, root, name.bytes());
        let scores = names.iter().map(score).collect::<store::Result<Vec<_>>>()?;
        ctx.reply_array(scores.len());
        scores.into_iter().for_each(|score| reply_score(ctx, score));
        Ok(())
    })
}

/// `PM.ZRANK key member [WITHSCORE]`
pub(super) fn zrank(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_rank(ctx, args, |rank, _| rank)
}

/// `PM.ZREVRANK key member [WITHSCORE]`
pub(super) fn zrevrank(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_rank(ctx, args, |rank, len| len - 1 - rank)
}

fn reply_rank(ctx: &Ctx, args: Args<'_>, seen: fn(u64, u64) -> u64) -> Result<(), CmdError> {
    let with_score = match args.from(3) {
        [] => false,
        [word] if word.is(b"WITHSCORE") => true,
        [_] if Behaviour::RankTakesWithscore.here() => return Err(CmdError::Syntax),
        _ => return Err(CmdError::WrongArity),
    };
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let name = args[2].bytes();
    let found = key.read(|pool, root| {
        let Some(rank) = zset::rank(pool, root, name)? else {
            return Ok(None);
        };
        let score = if with_score {
            zset::score(pool, root, name)?
        } else {
            None
        };
        Ok(Some((seen(rank, zset::len(root)), score)))
    })?;
    match found {
        Some((rank, Some(score))) => {
            ctx.reply_array(2);
            ctx.reply_integer(rank as i64);
            ctx.reply_double(score);
        }
        Some((rank, None)) => ctx.reply_integer(rank as i64),
        None if with_score => ctx.reply_null_array(),
        None => ctx.reply_null(),
    }
    Ok(())
}

/// `PM.ZCOUNT key min max`
pub(super) fn zcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    count(ctx, args, By::Score)
}

/// `PM.ZLEXCOUNT key min max`
pub(super) fn zlexcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    count(ctx, args, By::Name)
}

fn count(ctx: &Ctx, args: Args<'_>, by: By) -> Result<(), CmdError> {
    let span = spec::parse(ctx, by, args[2], args[3])?;
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let range = key.read(|pool, root| span.resolve(pool, root, 0, false))?;
    ctx.reply_integer((range.end - range.start) as i64);
    Ok(())
}

/// `PM.ZRANDMEMBER key [count [WITHSCORES]]`
pub(super) fn zrandmember(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Some(count) = args.get(2) else {
        let key = PmKey::open_read(ctx, args[1], TY)?;
        return key.read(|pool, root| {
            if root == Root::EMPTY {
                ctx.reply_null();
            } else {
                ctx.reply_bulk(zset::at_rank(pool, root, random_rank(root))?.0);
            }
            Ok(())
        });
    };
    let count = match integer(count)? {
        i64::MIN => return Err(sample::LEAST_COUNT),
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
        // As natively, from the end on.
        let all = || zset::walk(pool, root, len.saturating_sub(1), true)?.some(len);
        let at = |rank| zset::at_rank(pool, root, rank);
        let chosen = match Choice::of(count, len) {
            Choice::All => Chosen::These(all()?),
            Choice::Some(count) => {
                let ranks = distinct_ranks(len, count).into_iter();
                Chosen::These(ranks.map(at).collect::<store::Result<_>>()?)
            }
            Choice::Repeated(count) if count >= len => Chosen::Repeated(count as usize, all()?),
            Choice::Repeated(count) => {
                let ranks = (0..count).map(|_| random_rank(root));
                Chosen::These(ranks.map(at).collect::<store::Result<_>>()?)
            }
        };
        shape.begin(ctx, chosen.len());
        sample::reply(ctx, chosen, |(name, score)| shape.element(ctx, name, score));
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
