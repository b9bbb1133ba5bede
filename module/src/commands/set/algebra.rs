//! SINTER, SUNION, SDIFF, SINTERCARD, and the forms that store.
//!
//! The sources are PM sets and native sets. A set is a set: whichever kind its members come from,
//! the answer is the native command's. The result of a form that stores is a PM set, in place of
//! whatever the destination held.

use super::TY;
use crate::commands::announce::{announce_and_replicate, clear};
use crate::commands::at_least;
use crate::error::CmdError;
use crate::keyspace::{PmKey, read_all};
use crate::limits;
use crate::redis::{Arg, Args, Class, Collection, Ctx, Mode};
use std::collections::HashSet;
use std::ffi::CStr;
use store::content::Item;
use store::structures::set::{self, Member, Operation, Outcome, Source};

/// `PM.SINTER key [key ...]`
pub(super) fn sinter(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(ctx, args, Operation::Inter)
}

/// `PM.SUNION key [key ...]`
pub(super) fn sunion(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(ctx, args, Operation::Union)
}

/// `PM.SDIFF key [key ...]`
pub(super) fn sdiff(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(ctx, args, Operation::Diff)
}

/// `PM.SINTERSTORE destination key [key ...]`
pub(super) fn sinterstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    store(
        ctx,
        args,
        Operation::Inter,
        c"PM.SINTERSTORE",
        c"sinterstore",
    )
}

/// `PM.SUNIONSTORE destination key [key ...]`
pub(super) fn sunionstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    store(
        ctx,
        args,
        Operation::Union,
        c"PM.SUNIONSTORE",
        c"sunionstore",
    )
}

/// `PM.SDIFFSTORE destination key [key ...]`
pub(super) fn sdiffstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    store(ctx, args, Operation::Diff, c"PM.SDIFFSTORE", c"sdiffstore")
}

/// `PM.SINTERCARD numkeys key [key ...] [LIMIT limit]`
pub(super) fn sintercard(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let numkeys = at_least(args[1], 1, "ERR numkeys should be greater than 0")?;
    let numkeys = usize::try_from(numkeys).unwrap_or(usize::MAX);
    let (names, mut options) =
        args.from(2)
            .split_at_checked(numkeys)
            .ok_or(CmdError::text_only(
                "ERR Number of keys can't be greater than number of args",
            ))?;
    let mut limit = 0;
    while let [option, value, rest @ ..] = options
        && option.is(b"LIMIT")
    {
        limit = at_least(*value, 0, "ERR LIMIT can't be negative")?;
        options = rest;
    }
    if !options.is_empty() {
        return Err(CmdError::Syntax);
    }
    let sources = Sources::open(ctx, names)?;
    let limit = if limit == 0 { u64::MAX } else { limit };
    let count = sources.evaluate(Operation::Inter, |result| {
        let mut count = 0;
        for member in result {
            member?;
            count += 1;
            if count == limit {
                break;
            }
        }
        Ok(count)
    })?;
    ctx.reply_integer(count as i64);
    Ok(())
}

fn reply(ctx: &Ctx, args: Args<'_>, operation: Operation) -> Result<(), CmdError> {
    let sources = Sources::open(ctx, args.from(1))?;
    sources.evaluate(operation, |result| {
        let members = result.collect::<store::Result<Vec<_>>>()?;
        ctx.reply_collection(Collection::Set, members.len());
        let mut digits = itoa::Buffer::new();
        for member in members {
            ctx.reply_bulk(member.bytes(&mut digits));
        }
        Ok(())
    })
}

fn store(
    ctx: &Ctx,
    args: Args<'_>,
    operation: Operation,
    command: &CStr,
    event: &CStr,
) -> Result<(), CmdError> {
    let sources = Sources::open(ctx, args.from(2))?;
    let members = sources.evaluate(operation, |result| {
        let text = |member: Member<'_>| member.bytes(&mut itoa::Buffer::new()).to_vec();
        result
            .map(|member| member.map(text))
            .collect::<store::Result<Vec<_>>>()
    })?;
    drop(sources);
    let mut destination = PmKey::open_any(ctx, args[1], TY);
    if !members.is_empty() {
        destination.put(|tx| set::build(tx, limits::set(), members.iter().map(Vec::as_slice)))?;
        announce_and_replicate(
            ctx,
            &destination,
            (Class::SET, event),
            (command, args.from(1)),
        );
    } else {
        clear(ctx, &mut destination, (command, args.from(1)));
    }
    ctx.reply_integer(members.len() as i64);
    Ok(())
}

/// The opened sources: the PM sets, and the members of the native ones.
struct Sources<'a> {
    keys: Vec<PmKey<'a>>,
    natives: Vec<HashSet<Vec<u8>>>,
    /// Which of the two the sources are, in their order.
    order: Vec<Place>,
}

#[derive(Clone, Copy)]
enum Place {
    Pm(usize),
    Native(usize),
}

impl<'a> Sources<'a> {
    fn open(ctx: &'a Ctx, names: &[Arg<'a>]) -> Result<Sources<'a>, CmdError> {
        let (mut keys, mut natives) = (Vec::with_capacity(names.len()), Vec::new());
        let mut order = Vec::with_capacity(names.len());
        for &name in names {
            order.push(match PmKey::open_read(ctx, name, TY) {
                Ok(key) => {
                    keys.push(key);
                    Place::Pm(keys.len() - 1)
                }
                Err(CmdError::WrongType) => {
                    natives.push(native(ctx, name)?);
                    Place::Native(natives.len() - 1)
                }
                Err(error) => return Err(error),
            });
        }
        Ok(Sources {
            keys,
            natives,
            order,
        })
    }

    /// Hands the members of the result to `f`.
    fn evaluate<R>(
        &self,
        operation: Operation,
        f: impl FnOnce(Outcome<'_>) -> store::Result<R>,
    ) -> Result<R, CmdError> {
        read_all(&self.keys, |pool, roots| {
            let source = |place: &Place| match *place {
                Place::Pm(at) => Source::Stored(roots[at]),
                Place::Native(at) => Source::Given(&self.natives[at]),
            };
            let sources = self.order.iter().map(source).collect();
            set::evaluate(pool, sources, operation, f)
        })
    }
}

/// The members of a native set.
///
/// # Errors
/// `WrongType` if the key holds anything else.
fn native(ctx: &Ctx, name: Arg<'_>) -> Result<HashSet<Vec<u8>>, CmdError> {
    // Not by a command of the server's, which would be one more access, and seen.
    if ctx.open(name, Mode::Quiet).native_type() != Some(TY) {
        return Err(CmdError::WrongType);
    }
    let (content, _) = ctx.native_value(name)?.ok_or(CmdError::WrongType)?;
    let members = content.elements.into_iter().map(|item| match item {
        Item::Bytes(member) => Ok(member),
        _ => Err(CmdError::WrongType),
    });
    members.collect()
}
