//! LPUSH, RPUSH, LPUSHX, RPUSHX.

use super::pushed;
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Class, Ctx};
use std::ffi::CStr;
use store::structures::list::{self, Side};
use store::value::ValueType;

/// `PM.LPUSH key element [element ...]`
pub(super) fn lpush(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    push(ctx, args, Side::Left, c"PM.LPUSH", false)
}

/// `PM.RPUSH key element [element ...]`
pub(super) fn rpush(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    push(ctx, args, Side::Right, c"PM.RPUSH", false)
}

/// `PM.LPUSHX key element [element ...]`
pub(super) fn lpushx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    push(ctx, args, Side::Left, c"PM.LPUSHX", true)
}

/// `PM.RPUSHX key element [element ...]`
pub(super) fn rpushx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    push(ctx, args, Side::Right, c"PM.RPUSHX", true)
}

/// Pushes and replies with the length; `command` is what is replicated. With `only_existing`, a key
/// that is not there stays so.
fn push(
    ctx: &Ctx,
    args: Args<'_>,
    side: Side,
    command: &CStr,
    only_existing: bool,
) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], ValueType::List)?;
    if only_existing && !key.exists() {
        ctx.reply_integer(0);
        return Ok(());
    }
    let values = args.from(2).iter().map(|arg| arg.bytes());
    let len = key.edit(|tx, root| list::push(tx, root, side, values))?;
    announce_and_replicate(
        ctx,
        &key,
        (Class::LIST, pushed(side)),
        (command, args.from(1)),
    );
    ctx.reply_integer(len as i64);
    Ok(())
}
