//! What the blocking commands of lists and sorted sets share.

use crate::error::CmdError;
use crate::number::LongDouble;
use crate::redis::{Arg, Ctx, Serve};

/// Makes the client wait; it gets a null array after the timeout, as it does at once where blocking is
/// not allowed.
pub fn wait(ctx: &Ctx, keys: &[Arg<'_>], timeout: i64, serve: impl Serve) {
    if ctx.flags().deny_blocking() {
        ctx.reply_null_array();
    } else {
        ctx.block_on_keys(keys, timeout, serve, Ctx::reply_null_array);
    }
}

/// A timeout in seconds, as milliseconds rounded up; 0 is for ever.
pub fn timeout(arg: Arg<'_>) -> Result<i64, CmdError> {
    let seconds = LongDouble::parse(arg.bytes()).ok_or(CmdError::text_only(
        "ERR timeout is not a float or out of range",
    ))?;
    match seconds.ceil_thousandfold() {
        ms @ 0.. => Ok(ms),
        _ => Err(CmdError::text_only("ERR timeout is negative")),
    }
}
