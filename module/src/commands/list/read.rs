//! LLEN, LINDEX, LRANGE, LPOS.

use super::{at_least, count_from_either_end, from_start, integer, range};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use store::structures::list::{self, Side};
use store::value::ValueType;

/// `PM.LLEN key`
pub(super) fn llen(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], ValueType::List)?;
    let len = key.read(list::len)?;
    ctx.reply_integer(len as i64);
    Ok(())
}

/// `PM.LINDEX key index`
pub(super) fn lindex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], ValueType::List)?;
    if !key.exists() {
        ctx.reply_null();
        return Ok(());
    }
    let index = integer(args[2])?;
    key.read(|pool, root| {
        let index = match index {
            0.. => Ok(index as u64),
            _ => u64::try_from(from_start(index, list::len(pool, root)?)),
        };
        let element = match index {
            Ok(index) => list::get(pool, root, index)?,
            Err(_) => None,
        };
        match element {
            Some(element) => ctx.reply_bulk(element),
            None => ctx.reply_null(),
        }
        Ok(())
    })
}

/// `PM.LRANGE key start stop`
pub(super) fn lrange(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (start, stop) = (integer(args[2])?, integer(args[3])?);
    let key = PmKey::open_read(ctx, args[1], ValueType::List)?;
    key.read(|pool, root| {
        let (skip, count) = range(start, stop, list::len(pool, root)?);
        let elements = list::some(pool, root, Side::Left, skip, count)?;
        ctx.reply_array(elements.len());
        for element in elements {
            ctx.reply_bulk(element);
        }
        Ok(())
    })
}

/// What LPOS is asked for.
struct Search {
    from: Side,
    /// The first match that counts, from 1 on.
    rank: i64,
    /// How many matches, 0 for all; without COUNT one, which is not in an array.
    count: Option<u64>,
    /// How many elements to look at, 0 for all.
    max_len: u64,
}

impl Search {
    fn parse(mut options: &[Arg<'_>]) -> Result<Search, CmdError> {
        let (mut rank, mut count, mut max_len) = (1, None, 0);
        while let [option, rest @ ..] = options {
            let [value, rest @ ..] = rest else {
                return Err(CmdError::Syntax);
            };
            if option.is(b"rank") {
                rank = count_from_either_end(*value)?;
                if rank == 0 {
                    return Err(CmdError::text_only(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second \
                         ... or use negative to start from the end of the list",
                    ));
                }
            } else if option.is(b"count") {
                count = Some(at_least(*value, 0, "ERR COUNT can't be negative")?);
            } else if option.is(b"maxlen") {
                max_len = at_least(*value, 0, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CmdError::Syntax);
            }
            options = rest;
        }
        let from = if rank < 0 { Side::Right } else { Side::Left };
        // The least rank has no opposite: to Redis it is below all matches, like 1, and those from
        // there on are never as many as COUNT says.
        let (rank, count) = match rank.checked_abs() {
            Some(rank) => (rank, count),
            None => (1, count.map(|_| 0)),
        };
        Ok(Search {
            from,
            rank,
            count,
            max_len,
        })
    }
}

/// `PM.LPOS key element [RANK rank] [COUNT matches] [MAXLEN len]`
pub(super) fn lpos(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let search = Search::parse(args.from(3))?;
    let key = PmKey::open_read(ctx, args[1], ValueType::List)?;
    let found = key.read(|pool, root| {
        let len = list::len(pool, root)?;
        let (mut found, mut seen, mut matches) = (Vec::new(), 0, 0);
        list::each(pool, root, search.from, 0, |value| {
            if value.equals(pool, args[2].bytes())? {
                matches += 1;
                if matches >= search.rank {
                    found.push(match search.from {
                        Side::Left => seen,
                        Side::Right => len - 1 - seen,
                    });
                }
            }
            seen += 1;
            let enough = !found.is_empty() && found.len() as u64 == search.count.unwrap_or(1);
            Ok(!enough && seen != search.max_len)
        })?;
        Ok(found)
    })?;
    match search.count {
        None if found.is_empty() => ctx.reply_null(),
        None => {}
        Some(_) => ctx.reply_array(found.len()),
    }
    for index in found {
        ctx.reply_integer(index as i64);
    }
    Ok(())
}
