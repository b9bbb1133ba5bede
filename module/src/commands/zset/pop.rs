//! ZPOPMIN, ZPOPMAX, ZMPOP.

use super::{Shape, TY};
use crate::commands::announce::announce_and_replicate;
use crate::commands::at_least;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString};
use std::ffi::CStr;
use store::structures::zset;

/// The end that elements are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The lowest scores.
    Min,
    /// The highest scores.
    Max,
}

impl End {
    fn event(self) -> &'static CStr {
        match self {
            End::Min => c"zpopmin",
            End::Max => c"zpopmax",
        }
    }

    /// The command that takes a number of elements from this end.
    fn command(self) -> &'static CStr {
        match self {
            End::Min => c"PM.ZPOPMIN",
            End::Max => c"PM.ZPOPMAX",
        }
    }

    /// `MIN` or `MAX`.
    fn parse(arg: Arg<'_>) -> Option<End> {
        if arg.is(b"MIN") {
            Some(End::Min)
        } else if arg.is(b"MAX") {
            Some(End::Max)
        } else {
            None
        }
    }
}

/// `PM.ZPOPMIN key [count]`
pub(super) fn zpopmin(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop_one_key(ctx, args, End::Min)
}

/// `PM.ZPOPMAX key [count]`
pub(super) fn zpopmax(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop_one_key(ctx, args, End::Max)
}

fn pop_one_key(ctx: &Ctx, args: Args<'_>, end: End) -> Result<(), CmdError> {
    if args.len() > 3 {
        return Err(CmdError::Syntax);
    }
    let count = match args.get(2) {
        Some(count) => Some(at_least(
            count,
            0,
            "ERR value is out of range, must be positive",
        )?),
        None => None,
    };
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    if !key.exists() || count == Some(0) {
        ctx.reply_array(0);
        return Ok(());
    }
    let shape = match count {
        Some(_) => Shape::with_scores(ctx, true),
        None => Shape::Flat,
    };
    let popped = take(&mut key, end, count.unwrap_or(1))?;
    announce_and_replicate(
        ctx,
        &key,
        (Class::ZSET, end.event()),
        (end.command(), args.from(1)),
    );
    shape.begin(ctx, popped.len());
    popped
        .iter()
        .for_each(|(name, score)| shape.element(ctx, name, *score));
    Ok(())
}

/// Takes up to `count` elements, at least one, from one end of a sorted set that is there.
pub(super) fn take(
    key: &mut PmKey<'_>,
    end: End,
    count: u64,
) -> Result<Vec<(Vec<u8>, f64)>, CmdError> {
    if count == 1 {
        let popped = key.edit(|tx, root| zset::pop(tx, root, end == End::Max))?;
        return Ok(popped.into_iter().collect());
    }
    let (taken, len) = key.read(|pool, root| {
        let len = zset::len(root);
        let taken = zset::from_end(pool, root, count.min(len), end == End::Max)?;
        Ok((taken, len))
    })?;
    let count = taken.len() as u64;
    let ranks = match end {
        End::Min => 0..count,
        End::Max => len - count..len,
    };
    key.remove(count == len, |tx, root| zset::remove_range(tx, root, ranks))?;
    Ok(taken)
}

/// What ZMPOP and BZMPOP take.
pub(super) struct Request<'a> {
    /// The keys, to be looked at in this order.
    pub keys: &'a [Arg<'a>],
    /// The end.
    pub end: End,
    /// Most elements.
    pub count: u64,
}

impl<'a> Request<'a> {
    /// Parses `numkeys key [key ...] MIN|MAX [COUNT count]`.
    pub(super) fn parse(args: &'a [Arg<'a>]) -> Result<Request<'a>, CmdError> {
        let (numkeys, rest) = args.split_first().ok_or(CmdError::Syntax)?;
        let numkeys = at_least(*numkeys, 1, "ERR numkeys should be greater than 0")?;
        let numkeys = usize::try_from(numkeys).unwrap_or(usize::MAX);
        let (keys, rest) = rest.split_at_checked(numkeys).ok_or(CmdError::Syntax)?;
        let (end, mut rest) = rest.split_first().ok_or(CmdError::Syntax)?;
        let end = End::parse(*end).ok_or(CmdError::Syntax)?;
        let mut count = None;
        while let Some((option, more)) = rest.split_first() {
            let (value, more) = more.split_first().ok_or(CmdError::Syntax)?;
            if count.is_some() || !option.is(b"COUNT") {
                return Err(CmdError::Syntax);
            }
            count = Some(at_least(*value, 1, "ERR count should be greater than 0")?);
            rest = more;
        }
        Ok(Request {
            keys,
            end,
            count: count.unwrap_or(1),
        })
    }
}

/// `PM.ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]`
pub(super) fn zmpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let request = Request::parse(args.from(1))?;
    if !request.serve_any(ctx)? {
        ctx.reply_null_array();
    }
    Ok(())
}

impl Request<'_> {
    /// Takes from the first key that holds a sorted set, and replies; false if none does.
    pub(super) fn serve_any(&self, ctx: &Ctx) -> Result<bool, CmdError> {
        for &name in self.keys {
            if self.serve(ctx, name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes from a key, and replies; false if there is nothing.
    pub(super) fn serve(&self, ctx: &Ctx, name: Arg<'_>) -> Result<bool, CmdError> {
        let mut key = PmKey::open_write(ctx, name, TY)?;
        if !key.exists() {
            return Ok(false);
        }
        let popped = take(&mut key, self.end, self.count)?;
        let count = OwnedString::new(popped.len().to_string().as_bytes());
        announce_and_replicate(
            ctx,
            &key,
            (Class::ZSET, self.end.event()),
            (self.end.command(), &[name, count.arg()]),
        );
        ctx.reply_array(2);
        ctx.reply_arg(name);
        Shape::Pairs.begin(ctx, popped.len());
        for (name, score) in &popped {
            Shape::Pairs.element(ctx, name, *score);
        }
        Ok(true)
    }
}

/// Takes one element from a key, and replies with the key, the name and the score; false if there
/// is nothing.
pub(super) fn serve_one(ctx: &Ctx, name: Arg<'_>, end: End) -> Result<bool, CmdError> {
    let mut key = PmKey::open_write(ctx, name, TY)?;
    if !key.exists() {
        return Ok(false);
    }
    let popped = take(&mut key, end, 1)?;
    announce_and_replicate(
        ctx,
        &key,
        (Class::ZSET, end.event()),
        (end.command(), &[name]),
    );
    ctx.reply_array(1 + 2 * popped.len());
    ctx.reply_arg(name);
    for (name, score) in &popped {
        Shape::Flat.element(ctx, name, *score);
    }
    Ok(true)
}
