//! ZRANGE, its older siblings, and ZRANGESTORE.

use super::spec::{self, By};
use super::{Shape, TY, integer};
use crate::behaviour::Behaviour;
use crate::commands::announce::{announce_and_replicate, clear};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::limits;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use std::ffi::CStr;
use std::ops::Range;
use store::structures::zset::{self, Skip, Span};

/// What the name of a command leaves open, and its options say.
#[derive(Clone, Copy)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    /// The result is stored, and so has scores anyway.
    store: bool,
}

/// A parsed command.
struct Query<'a> {
    span: Span<'a>,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    /// Negative: all.
    limit: i64,
}

impl<'a> Query<'a> {
    /// Parses `min max [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`.
    fn parse(ctx: &Ctx, args: &[Arg<'a>], form: Form) -> Result<Query<'a>, CmdError> {
        let Form {
            mut by,
            mut reverse,
            store,
        } = form;
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut at = 2;
        while let Some(arg) = args.get(at) {
            match () {
                _ if !store && arg.is(b"WITHSCORES") => with_scores = true,
                _ if arg.is(b"LIMIT") && args.len() - at > 2 => {
                    (offset, limit) = (integer(args[at + 1])?, integer(args[at + 2])?);
                    at += 2;
                }
                _ if reverse.is_none() && arg.is(b"REV") => reverse = Some(true),
                _ if by.is_none() && arg.is(b"BYLEX") => by = Some(By::Name),
                _ if by.is_none() && arg.is(b"BYSCORE") => by = Some(By::Score),
                _ => return Err(CmdError::Syntax),
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(CmdError::text_only(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Name {
            return Err(CmdError::text_only(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (min, max) = if reverse && by != By::Rank {
            (args[1], args[0])
        } else {
            (args[0], args[1])
        };
        let span = spec::parse(ctx, by, min, max)?;
        // With ranks the offset says nothing, as no limit goes with it.
        let offset = if by == By::Rank { 0 } else { offset };
        Ok(Query {
            span,
            reverse,
            with_scores,
            offset,
            limit,
        })
    }

    /// What the offset leaves out: if it is negative all, as Redis counts it down to zero, or all
    /// but as many as it says, where the server counts it from the end.
    fn skip(&self) -> Skip {
        match u64::try_from(self.offset) {
            Ok(offset) => Skip::First(offset),
            Err(_) if Behaviour::NegativeOffsetIsFromEnd.here() => {
                Skip::AllBut(self.offset.unsigned_abs())
            }
            Err(_) => Skip::First(u64::MAX),
        }
    }

    /// How many of the elements of these ranks the result has.
    fn count(&self, found: &Range<u64>) -> u64 {
        let found = found.end - found.start;
        u64::try_from(self.limit).unwrap_or(u64::MAX).min(found)
    }

    /// Whether as much is left out of every sorted set of these elements, however it is kept.
    fn skips_alike(&self) -> bool {
        matches!(self.skip(), Skip::First(_))
    }
}

/// `PM.ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
pub(super) fn zrange(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(
        ctx,
        args,
        Form {
            by: None,
            reverse: None,
            store: false,
        },
    )
}

/// `PM.ZREVRANGE key start stop [WITHSCORES]`
pub(super) fn zrevrange(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(
        ctx,
        args,
        Form {
            by: Some(By::Rank),
            reverse: Some(true),
            store: false,
        },
    )
}

/// `PM.ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
pub(super) fn zrangebyscore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(
        ctx,
        args,
        Form {
            by: Some(By::Score),
            reverse: Some(false),
            store: false,
        },
    )
}

/// `PM.ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
pub(super) fn zrevrangebyscore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(
        ctx,
        args,
        Form {
            by: Some(By::Score),
            reverse: Some(true),
            store: false,
        },
    )
}

/// `PM.ZRANGEBYLEX key min max [LIMIT offset count]`
pub(super) fn zrangebylex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(
        ctx,
        args,
        Form {
            by: Some(By::Name),
            reverse: Some(false),
            store: false,
        },
    )
}

/// `PM.ZREVRANGEBYLEX key max min [LIMIT offset count]`
pub(super) fn zrevrangebylex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(
        ctx,
        args,
        Form {
            by: Some(By::Name),
            reverse: Some(true),
            store: false,
        },
    )
}

fn reply(ctx: &Ctx, args: Args<'_>, form: Form) -> Result<(), CmdError> {
    let query = Query::parse(ctx, args.from(2), form)?;
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let shape = Shape::with_scores(ctx, query.with_scores);
    key.read(|pool, root| {
        let (mut walk, ranks) = zset::select(pool, root, query.span, query.skip(), query.reverse)?;
        let elements = walk.some(query.count(&ranks))?;
        shape.begin(ctx, elements.len());
        match shape {
            Shape::Names => elements.iter().for_each(|(name, _)| ctx.reply_bulk(name)),
            _ => elements
                .iter()
                .for_each(|&(name, score)| shape.element(ctx, name, score)),
        }
        Ok(())
    })
}

/// `PM.ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]`
pub(super) fn zrangestore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let query = Query::parse(
        ctx,
        args.from(3),
        Form {
            by: None,
            reverse: None,
            store: true,
        },
    )?;
    let (mut elements, place) = {
        let source = PmKey::open_read(ctx, args[2], TY)?;
        source.read(|pool, root| {
            let (mut walk, ranks) =
                zset::select(pool, root, query.span, query.skip(), query.reverse)?;
            let elements = walk.some(query.count(&ranks))?;
            let place = match query.reverse {
                _ if query.skips_alike() && query.span.is_told_by_content(pool, root)? => None,
                true => Some(zset::len(root) - ranks.end),
                false => Some(ranks.start),
            };
            let elements = (elements.into_iter()).map(|(name, score)| (name.to_vec(), score));
            Ok((elements.collect::<Vec<_>>(), place))
        })?
    };
    // Redis knows how many elements there will be only if the range is one of ranks.
    let limits = limits::zset();
    if elements.len() as u64 <= limits.elements() || !matches!(query.span, Span::Ranks(..)) {
        zset::plain_while_packed(limits, &mut elements);
    }
    if query.reverse {
        elements.reverse();
    }
    let (command, event) = (c"PM.ZRANGESTORE", c"zrangestore");
    let Some(place) = place.filter(|_| may_replicate(ctx)) else {
        return store(ctx, args[1], event, &elements, (command, args.from(1)));
    };
    let range = at_place(place, elements.len(), query.reverse);
    let mut words = args.from(1)[..2].to_vec();
    words.extend(range.iter().map(OwnedString::arg));
    store(ctx, args[1], event, &elements, (command, &words))
}

/// The words for as many elements from a place on, seen from the end if `reverse`: for replicas,
/// which might find others by the words of the command. It is one of scores, as one of ranks would
/// keep a minus zero of a large result.
fn at_place(place: u64, count: usize, reverse: bool) -> Vec<OwnedString> {
    let (place, count) = (place.to_string(), count.to_string());
    let words: &[&str] = if reverse {
        &["+inf", "-inf", "BYSCORE", "REV", "LIMIT", &place, &count]
    } else {
        &["-inf", "+inf", "BYSCORE", "LIMIT", &place, &count]
    };
    let words = words.iter().map(|word| OwnedString::new(word.as_bytes()));
    words.collect()
}

/// Stores elements in ascending order under a key, whatever is there, tells of it, sends replicas
/// the command with its words, and replies with the number of elements.
pub(crate) fn store(
    ctx: &Ctx,
    target: Arg<'_>,
    event: &CStr,
    elements: &[(Vec<u8>, f64)],
    command: (&CStr, &[Arg<'_>]),
) -> Result<(), CmdError> {
    let mut key = PmKey::open_any(ctx, target, TY);
    if elements.is_empty() {
        clear(ctx, &mut key, command);
    } else {
        let borrowed: Vec<(&[u8], f64)> = elements
            .iter()
            .map(|(name, score)| (name.as_slice(), *score))
            .collect();
        key.put(|tx| zset::build(tx, limits::zset(), &borrowed))?;
        announce_and_replicate(ctx, &key, (Class::ZSET, event), command);
    }
    ctx.reply_integer(elements.len() as i64);
    Ok(())
}
