//! Commands about keys that are named.

use super::is_native;
use super::walk::failed;
use crate::error::CmdError;
use crate::keyspace;
use crate::redis::{Arg, Args, Ctx, Kind, Mode, Propagate, Reply};
use std::ffi::CString;

/// What a handler gives.
pub(super) type Done = Result<(), CmdError>;

/// The native command whose counterpart is running: `EXPIRE` in PM.EXPIRE.
fn native(ctx: &Ctx) -> Result<CString, CmdError> {
    let name = ctx.command_name().to_uppercase();
    let native = name.strip_prefix("PM.").ok_or(CmdError::Internal)?;
    CString::new(native).map_err(|_| CmdError::Internal)
}

/// DEL, UNLINK: all keys but native ones.
pub fn change_all(ctx: &Ctx, args: Args<'_>) -> Done {
    on_all(ctx, args)
}

/// EXISTS, TOUCH: all keys but native ones, each at its turn.
pub fn look_at_all(ctx: &Ctx, args: Args<'_>) -> Done {
    let native = native(ctx)?;
    let mut found = 0;
    for &key in args.from(1) {
        if is_native(ctx, key) {
            continue;
        }
        match ctx.call(&native, &[key.bytes()]) {
            Some(Reply::Integer(n)) => found += n,
            other => return Err(failed(other)),
        }
    }
    ctx.reply_integer(found);
    Ok(())
}

/// Runs the native command on those keys that are not native; replies 0 if none is left.
fn on_all(ctx: &Ctx, args: Args<'_>) -> Done {
    let keys = args.from(1).iter().copied();
    let ours: Vec<Arg<'_>> = keys.filter(|&key| !is_native(ctx, key)).collect();
    match ours.is_empty() {
        true => ctx.reply_integer(0),
        false => ctx.forward(&native(ctx)?, &ours, Propagate::Replicas),
    }
    Ok(())
}

/// `TYPE key`
pub fn type_of(ctx: &Ctx, args: Args<'_>) -> Done {
    // What is not ours is the server's to look at, and to count.
    if ctx.is_plain() && !matches!(ctx.open(args[1], Mode::Quiet).kind(), Kind::Pm(..)) {
        return Err(CmdError::Native);
    }
    ctx.reply_simple(match ctx.open(args[1], Mode::Peek).kind() {
        Kind::Pm(ty, _) => ty.native_name(),
        _ => c"none",
    });
    Ok(())
}

/// PERSIST, and EXPIRE and its like: 0 without the key.
pub fn change_one(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, Propagate::Replicas, || {
        ctx.reply_integer(0);
        Ok(())
    })
}

/// TTL and its like: -2 without the key.
pub fn look_at_one(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, Propagate::Nowhere, || {
        ctx.reply_integer(-2);
        Ok(())
    })
}

/// `RENAME key newkey`, `RENAMENX key newkey`
pub fn rename(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, Propagate::Replicas, || Err(CmdError::NoSuchKey))
}

/// Runs the native command unless its first key is native.
pub(super) fn on_first(
    ctx: &Ctx,
    args: Args<'_>,
    to: Propagate,
    absent: impl FnOnce() -> Done,
) -> Done {
    if is_native(ctx, args[1]) {
        return absent();
    }
    ctx.forward(&native(ctx)?, args.from(1), to);
    Ok(())
}

/// `COPY source destination [DB destination-db] [REPLACE]`
pub fn copy(ctx: &Ctx, args: Args<'_>) -> Done {
    if is_native(ctx, args[1]) {
        ctx.reply_integer(0);
        return Ok(());
    }
    // What an earlier COPY found is not about this one.
    keyspace::no_room_for_copy();
    let why = keyspace::no_room_for_copy;
    ctx.forward_explained(c"COPY", args.from(1), Propagate::Replicas, why)
}
