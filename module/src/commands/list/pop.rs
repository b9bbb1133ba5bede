//! LPOP, RPOP, LMPOP, and the pops that the blocking commands share with them.

use super::{at_least, popped, side};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use std::ffi::CStr;
use store::number::parse_i64;
use store::structures::list::{self, Element, Side};
use store::value::ValueType;

/// `PM.LPOP key [count]`
pub(super) fn lpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop(ctx, args, Side::Left)
}

/// `PM.RPOP key [count]`
pub(super) fn rpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop(ctx, args, Side::Right)
}

fn pop(ctx: &Ctx, args: Args<'_>, side: Side) -> Result<(), CmdError> {
    if args.len() > 3 {
        return Err(CmdError::WrongArity);
    }
    let count = args
        .get(2)
        .map(|arg| parse_i64(arg.bytes()).and_then(|n| u64::try_from(n).ok()));
    let count = count
        .map(|count| count.ok_or(CmdError::NotPositive))
        .transpose()?;
    let mut key = PmKey::open_write(ctx, args[1], ValueType::List)?;
    match count {
        None => {
            if !pop_one(ctx, &mut key, side, |element| ctx.reply_bulk(element))? {
                ctx.reply_null();
                return Ok(());
            }
            key.signal();
        }
        Some(_) if !key.exists() => {
            ctx.reply_null_array();
            return Ok(());
        }
        Some(0) => {
            ctx.reply_array(0);
            return Ok(());
        }
        Some(count) => pop_some(ctx, &mut key, side, count)?.reply(ctx),
    }
    ctx.replicate(pm_command(side), args.from(1));
    Ok(())
}

/// The command by which a pop replicates.
pub(super) fn pm_command(side: Side) -> &'static CStr {
    match side {
        Side::Left => c"PM.LPOP",
        Side::Right => c"PM.RPOP",
    }
}

/// Takes one element out, replies with it by `reply` and publishes that; false if there is no list.
/// Those who watch the key are left to be told.
#[inline]
pub(super) fn pop_one(
    ctx: &Ctx,
    key: &mut PmKey<'_>,
    side: Side,
    reply: impl FnOnce(&[u8]),
) -> Result<bool, CmdError> {
    let mut element = Element::default();
    if !key.exists() || !key.edit(|tx, root| list::pop(tx, root, side, &mut element))? {
        return Ok(false);
    }
    reply(&element);
    publish(ctx, key, side);
    Ok(true)
}

/// Elements that were taken out together.
#[derive(Default)]
pub(super) struct Elements {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Elements {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Replies with all of them.
    pub(super) fn reply(&self, ctx: &Ctx) {
        ctx.reply_array(self.len());
        let mut start = 0;
        for &end in &self.ends {
            ctx.reply_bulk(&self.bytes[start..end]);
            start = end;
        }
    }
}

/// Takes up to `count` elements out of an existing list and tells of it.
pub(super) fn pop_some(
    ctx: &Ctx,
    key: &mut PmKey<'_>,
    side: Side,
    count: u64,
) -> Result<Elements, CmdError> {
    let elements = key.edit_leaving(|tx, root| {
        let mut elements = Elements::default();
        let count = count.min(list::len(tx, *root)?);
        for element in list::some(tx, *root, side, 0, count)? {
            elements.bytes.extend_from_slice(element);
            elements.ends.push(elements.bytes.len());
        }
        let rest = list::drop_end(tx, root, side, count)?;
        Ok((elements, [rest]))
    })?;
    publish(ctx, key, side);
    key.signal();
    Ok(elements)
}

fn publish(ctx: &Ctx, key: &PmKey<'_>, side: Side) {
    ctx.notify(Class::LIST, popped(side), key.name());
    if !key.exists() {
        ctx.notify(Class::GENERIC, c"del", key.name());
    }
}

/// What LMPOP and BLMPOP are asked for.
pub(super) struct Many<'a> {
    /// The keys to look at, in order.
    pub keys: &'a [Arg<'a>],
    /// Where to pop.
    pub side: Side,
    /// At most so many elements, 1 at least.
    pub count: u64,
}

impl<'a> Many<'a> {
    /// Reads `numkeys key [key ...] LEFT|RIGHT [COUNT count]`.
    pub(super) fn parse(args: &'a [Arg<'a>]) -> Result<Many<'a>, CmdError> {
        let numkeys = at_least(args[0], 1, "ERR numkeys should be greater than 0")?;
        let keys = usize::try_from(numkeys)
            .ok()
            .and_then(|n| args[1..].split_at_checked(n));
        let (keys, rest) = keys.ok_or(CmdError::Syntax)?;
        let (&first, mut options) = rest.split_first().ok_or(CmdError::Syntax)?;
        let side = side(first)?;
        let mut count = None;
        while let [option, value, rest @ ..] = options {
            if count.is_some() || !option.is(b"count") {
                return Err(CmdError::Syntax);
            }
            count = Some(at_least(*value, 1, "ERR count should be greater than 0")?);
            options = rest;
        }
        match options {
            [] => Ok(Many {
                keys,
                side,
                count: count.unwrap_or(1),
            }),
            _ => Err(CmdError::Syntax),
        }
    }

    /// Pops from `name`, replies and replicates; false if there is no list.
    pub(super) fn pop_from(&self, ctx: &Ctx, name: Arg<'_>) -> Result<bool, CmdError> {
        let mut key = PmKey::open_write(ctx, name, ValueType::List)?;
        if !key.exists() {
            return Ok(false);
        }
        let elements = pop_some(ctx, &mut key, self.side, self.count)?;
        ctx.reply_array(2);
        ctx.reply_arg(name);
        elements.reply(ctx);
        if may_replicate(ctx) {
            let count = OwnedString::new(elements.len().to_string().as_bytes());
            ctx.replicate(pm_command(self.side), &[name, count.arg()]);
        }
        Ok(true)
    }
}

/// `PM.LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]`
pub(super) fn lmpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let many = Many::parse(args.from(1))?;
    for &key in many.keys {
        if many.pop_from(ctx, key)? {
            return Ok(());
        }
    }
    ctx.reply_null_array();
    Ok(())
}
