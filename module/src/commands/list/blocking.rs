//! BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.
//!
//! Each does what its non-blocking counterpart does if it can. Otherwise the client waits: whenever
//! one of its keys is created, by whichever command, Redis asks the command's `serve` function for
//! each client waiting for that key, in the order in which they came. A client that has
//! disconnected is not among them, so that nothing is popped for it.

use super::moves::Route;
use super::pop::{Many, pm_command, pop_one};
use crate::commands::wait::{serve_waiting, timeout, wait};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx, Serve};
use store::structures::list::Side;
use store::value::ValueType;

/// `PM.BLPOP key [key ...] timeout`
pub(super) fn blpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop(ctx, args, Side::Left, serve_left)
}

/// `PM.BRPOP key [key ...] timeout`
pub(super) fn brpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop(ctx, args, Side::Right, serve_right)
}

fn serve_left<'a>(ctx: &'a Ctx, args: Args<'a>, ready: Arg<'a>) -> Result<bool, CmdError> {
    serve_pop(ctx, args, ready, Side::Left)
}

fn serve_right<'a>(ctx: &'a Ctx, args: Args<'a>, ready: Arg<'a>) -> Result<bool, CmdError> {
    serve_pop(ctx, args, ready, Side::Right)
}

fn serve_pop<'a>(
    ctx: &'a Ctx,
    args: Args<'a>,
    ready: Arg<'a>,
    side: Side,
) -> Result<bool, CmdError> {
    let (_, keys) = args.from(1).split_last().ok_or(CmdError::WrongArity)?;
    Ok(is_list(ctx, ready) && serve_waiting(keys, ready, |key| pop_from(ctx, key, side))?)
}

fn pop(ctx: &Ctx, args: Args<'_>, side: Side, serve: impl Serve) -> Result<(), CmdError> {
    let (&last, keys) = args.from(1).split_last().ok_or(CmdError::WrongArity)?;
    let timeout = timeout(ctx, last)?;
    for &key in keys {
        if pop_from(ctx, key, side)? {
            return Ok(());
        }
    }
    wait(ctx, ValueType::List, keys, timeout, serve);
    Ok(())
}

/// Pops from `name`, replies and replicates; false if there is no list.
fn pop_from(ctx: &Ctx, name: Arg<'_>, side: Side) -> Result<bool, CmdError> {
    let mut key = PmKey::open_write(ctx, name, ValueType::List)?;
    let popped = pop_one(ctx, &mut key, side, |element| {
        ctx.reply_array(2);
        ctx.reply_arg(name);
        ctx.reply_bulk(element);
    })?;
    if popped {
        if !ctx.serves_what_was_told() {
            key.signal();
        }
        ctx.replicate(pm_command(side), &[name]);
    }
    Ok(popped)
}

/// `PM.BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`
pub(super) fn blmpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let many = Many::parse(args.from(2))?;
    let timeout = timeout(ctx, args[1])?;
    for &key in many.keys {
        if many.pop_from(ctx, key)? {
            return Ok(());
        }
    }
    wait(ctx, ValueType::List, many.keys, timeout, serve_many);
    Ok(())
}

fn serve_many<'a>(ctx: &'a Ctx, args: Args<'a>, ready: Arg<'a>) -> Result<bool, CmdError> {
    let many = Many::parse(args.from(2))?;
    Ok(is_list(ctx, ready) && serve_waiting(many.keys, ready, |key| many.pop_from(ctx, key))?)
}

/// `PM.BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout`
pub(super) fn blmove(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let route = Route::parse(args.from(1))?;
    go(ctx, &route, timeout(ctx, args[5])?, serve_move)
}

fn serve_move(ctx: &Ctx, args: Args<'_>, ready: Arg<'_>) -> Result<bool, CmdError> {
    Ok(is_list(ctx, ready) && Route::parse(args.from(1))?.go(ctx)?)
}

/// `PM.BRPOPLPUSH source destination timeout`
pub(super) fn brpoplpush(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let route = Route::rpoplpush(args.from(1));
    go(ctx, &route, timeout(ctx, args[3])?, serve_rpoplpush)
}

fn serve_rpoplpush(ctx: &Ctx, args: Args<'_>, ready: Arg<'_>) -> Result<bool, CmdError> {
    Ok(is_list(ctx, ready) && Route::rpoplpush(args.from(1)).go(ctx)?)
}

fn go(ctx: &Ctx, route: &Route<'_>, timeout: i64, serve: impl Serve) -> Result<(), CmdError> {
    if route.go(ctx)? {
        return Ok(());
    }
    if ctx.flags().deny_blocking() {
        ctx.reply_null();
        return Ok(());
    }
    wait(ctx, ValueType::List, &[route.source], timeout, serve);
    Ok(())
}

/// Whether a key that has come to be is a list of ours; waiting goes on if it is not.
fn is_list(ctx: &Ctx, name: Arg<'_>) -> bool {
    PmKey::open_write(ctx, name, ValueType::List).is_ok_and(|key| key.exists())
}
