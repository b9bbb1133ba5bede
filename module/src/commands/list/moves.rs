//! Moves between lists, each one atomic step: LMOVE, RPOPLPUSH, and what BLMOVE shares with them.

use super::{popped, pushed, side};
use crate::error::CmdError;
use crate::keyspace::{PmKey, edit2};
use crate::redis::{Arg, Args, Class, Ctx};
use std::ffi::CStr;
use store::structures::list::{self, Element, Side};
use store::value::ValueType;

/// `PM.LMOVE source destination LEFT|RIGHT LEFT|RIGHT`
pub(super) fn lmove(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let route = Route::parse(args.from(1))?;
    if !route.go(ctx)? {
        ctx.reply_null();
    }
    Ok(())
}

/// `PM.RPOPLPUSH source destination`
pub(super) fn rpoplpush(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if !Route::rpoplpush(args.from(1)).go(ctx)? {
        ctx.reply_null();
    }
    Ok(())
}

/// From where to where an element moves.
pub(super) struct Route<'a> {
    /// The list it comes from.
    pub source: Arg<'a>,
    target: Arg<'a>,
    from: Side,
    to: Side,
    command: &'static CStr,
    /// The command's arguments.
    args: &'a [Arg<'a>],
}

impl<'a> Route<'a> {
    /// Reads `source destination LEFT|RIGHT LEFT|RIGHT`, and leaves what follows alone.
    pub(super) fn parse(args: &'a [Arg<'a>]) -> Result<Route<'a>, CmdError> {
        let args = &args[..4];
        Ok(Route {
            source: args[0],
            target: args[1],
            from: side(args[2])?,
            to: side(args[3])?,
            command: c"PM.LMOVE",
            args,
        })
    }

    /// Reads `source destination`, and leaves what follows alone.
    pub(super) fn rpoplpush(args: &'a [Arg<'a>]) -> Route<'a> {
        let args = &args[..2];
        Route {
            source: args[0],
            target: args[1],
            from: Side::Right,
            to: Side::Left,
            command: c"PM.RPOPLPUSH",
            args,
        }
    }

    /// Moves an element, tells of it, replicates and replies with it; false if the source is not
    /// there.
    pub(super) fn go(&self, ctx: &Ctx) -> Result<bool, CmdError> {
        let (from, to) = (self.from, self.to);
        let mut source = PmKey::open_write(ctx, self.source, ValueType::List)?;
        if !source.exists() {
            return Ok(false);
        }
        let mut element = Element::default();
        let moved = if self.source.bytes() == self.target.bytes() {
            source.edit(|tx, root| list::rotate(tx, root, from, to, &mut element))?
        } else {
            let mut target = PmKey::open_write(ctx, self.target, ValueType::List)?;
            edit2(&mut source, &mut target, |tx, source, target| {
                list::transfer(tx, source, from, target, to, &mut element)
            })?
        };
        if !moved {
            return Ok(false);
        }
        ctx.signal_modified(self.target);
        ctx.notify(Class::LIST, pushed(to), self.target);
        ctx.notify(Class::LIST, popped(from), self.source);
        if !source.exists() {
            ctx.notify(Class::GENERIC, c"del", self.source);
        }
        if !ctx.serves_what_was_told() {
            source.signal();
        }
        ctx.replicate(self.command, self.args);
        ctx.reply_bulk(&element);
        Ok(true)
    }
}
