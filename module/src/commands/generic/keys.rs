//! Commands about keys that are named.

use super::is_native;
use crate::error::CmdError;
use crate::keyspace;
use crate::redis::{Arg, Args, Ctx, Kind, Mode, Propagate};
use std::ffi::CStr;

type Done = Result<(), CmdError>;

/// Runs a native command of several keys on those that are not native; replies 0 if none is left.
fn on_all(ctx: &Ctx, args: Args<'_>, command: &CStr, to: Propagate) -> Done {
    let keys = args.from(1).iter().copied();
    let ours: Vec<Arg<'_>> = keys.filter(|&key| !is_native(ctx, key)).collect();
    match ours.is_empty() {
        true => ctx.reply_integer(0),
        false => ctx.forward(command, &ours, to),
    }
    Ok(())
}

/// `DEL key [key ...]`
pub fn del(ctx: &Ctx, args: Args<'_>) -> Done {
    on_all(ctx, args, c"DEL", Propagate::Replicas)
}

/// `UNLINK key [key ...]`
pub fn unlink(ctx: &Ctx, args: Args<'_>) -> Done {
    on_all(ctx, args, c"UNLINK", Propagate::Replicas)
}

/// `EXISTS key [key ...]`
pub fn exists(ctx: &Ctx, args: Args<'_>) -> Done {
    on_all(ctx, args, c"EXISTS", Propagate::Nowhere)
}

/// `TOUCH key [key ...]`
pub fn touch(ctx: &Ctx, args: Args<'_>) -> Done {
    on_all(ctx, args, c"TOUCH", Propagate::Nowhere)
}

/// `TYPE key`
pub fn type_of(ctx: &Ctx, args: Args<'_>) -> Done {
    ctx.reply_simple(match ctx.open(args[1], Mode::Peek).kind() {
        Kind::Pm(ty, _) => ty.native_name(),
        _ => c"none",
    });
    Ok(())
}

/// Runs a native command unless its first key is native.
fn on_first(ctx: &Ctx, args: Args<'_>, command: &CStr, to: Propagate, absent: Absent) -> Done {
    if !is_native(ctx, args[1]) {
        ctx.forward(command, args.from(1), to);
        return Ok(());
    }
    match absent {
        Absent::Integer(reply) => ctx.reply_integer(reply),
        Absent::Error => return Err(CmdError::NoSuchKey),
    }
    Ok(())
}

/// What a command replies if its key is absent.
#[derive(Clone, Copy)]
enum Absent {
    Integer(i64),
    Error,
}

const ZERO: Absent = Absent::Integer(0);
const NO_KEY: Absent = Absent::Integer(-2);

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub fn expire(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"EXPIRE", Propagate::Replicas, ZERO)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub fn pexpire(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"PEXPIRE", Propagate::Replicas, ZERO)
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
pub fn expireat(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"EXPIREAT", Propagate::Replicas, ZERO)
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
pub fn pexpireat(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"PEXPIREAT", Propagate::Replicas, ZERO)
}

/// `PERSIST key`
pub fn persist(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"PERSIST", Propagate::Replicas, ZERO)
}

/// `TTL key`
pub fn ttl(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"TTL", Propagate::Nowhere, NO_KEY)
}

/// `PTTL key`
pub fn pttl(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"PTTL", Propagate::Nowhere, NO_KEY)
}

/// `EXPIRETIME key`
pub fn expiretime(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"EXPIRETIME", Propagate::Nowhere, NO_KEY)
}

/// `PEXPIRETIME key`
pub fn pexpiretime(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"PEXPIRETIME", Propagate::Nowhere, NO_KEY)
}

/// `RENAME key newkey`
pub fn rename(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"RENAME", Propagate::Replicas, Absent::Error)
}

/// `RENAMENX key newkey`
pub fn renamenx(ctx: &Ctx, args: Args<'_>) -> Done {
    on_first(ctx, args, c"RENAMENX", Propagate::Replicas, Absent::Error)
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
