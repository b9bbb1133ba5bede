//! BZPOPMIN, BZPOPMAX, BZMPOP: each does what its non-blocking counterpart does if it can, else its
//! client waits until one of the keys has elements.

use super::TY;
use super::pop::{End, Request, serve_one};
use crate::commands::wait::{serve_waiting, timeout, wait};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx, Serve};

/// `PM.BZPOPMIN key [key ...] timeout`
pub(super) fn bzpopmin(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop(ctx, args, End::Min, serve_min)
}

/// `PM.BZPOPMAX key [key ...] timeout`
pub(super) fn bzpopmax(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    pop(ctx, args, End::Max, serve_max)
}

fn serve_min<'a>(ctx: &'a Ctx, args: Args<'a>, ready: Arg<'a>) -> Result<bool, CmdError> {
    serve_pop(ctx, args, ready, End::Min)
}

fn serve_max<'a>(ctx: &'a Ctx, args: Args<'a>, ready: Arg<'a>) -> Result<bool, CmdError> {
    serve_pop(ctx, args, ready, End::Max)
}

fn serve_pop<'a>(ctx: &'a Ctx, args: Args<'a>, ready: Arg<'a>, end: End) -> Result<bool, CmdError> {
    let (_, keys) = args.from(1).split_last().ok_or(CmdError::WrongArity)?;
    Ok(is_sorted_set(ctx, ready) && serve_waiting(keys, ready, |key| serve_one(ctx, key, end))?)
}

fn pop(ctx: &Ctx, args: Args<'_>, end: End, serve: impl Serve) -> Result<(), CmdError> {
    let (&last, keys) = args.from(1).split_last().ok_or(CmdError::WrongArity)?;
    let timeout = timeout(ctx, last)?;
    for &key in keys {
        if serve_one(ctx, key, end)? {
            return Ok(());
        }
    }
    wait(ctx, TY, keys, timeout, serve);
    Ok(())
}

/// `PM.BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]`
pub(super) fn bzmpop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let request = Request::parse(args.from(2))?;
    let timeout = timeout(ctx, args[1])?;
    if !request.serve_any(ctx)? {
        wait(ctx, TY, request.keys, timeout, serve_request);
    }
    Ok(())
}

fn serve_request<'a>(ctx: &'a Ctx, args: Args<'a>, ready: Arg<'a>) -> Result<bool, CmdError> {
    let request = Request::parse(args.from(2))?;
    Ok(is_sorted_set(ctx, ready)
        && serve_waiting(request.keys, ready, |key| request.serve(ctx, key))?)
}

/// Whether a key that has come to be is a sorted set of ours; waiting goes on if it is not.
fn is_sorted_set(ctx: &Ctx, name: Arg<'_>) -> bool {
    PmKey::open_write(ctx, name, TY).is_ok_and(|key| key.exists())
}
