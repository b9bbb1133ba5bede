//! What the blocking commands of lists and sorted sets share.

use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::redis::{Arg, Ctx, Serve, Waits, tells_after_commands};
use store::number::LongDouble;
use store::value::ValueType;

/// Makes the client wait for a value of this type; it gets a null array after the timeout, as it
/// does at once where blocking is not allowed.
pub(super) fn wait(ctx: &Ctx, ty: ValueType, keys: &[Arg<'_>], timeout: i64, serve: impl Serve) {
    if ctx.flags().deny_blocking() {
        ctx.reply_null_array();
    } else {
        let waits = Waits {
            ty,
            is_plain: ctx.is_plain(),
            // If the server does not tell, it is as well to take the longer way.
            runs_again: Behaviour::ServingWithoutTouchIsUnsafe.here()
                && ctx.touches_nothing() != Some(false),
        };
        ctx.block_on_keys(keys, timeout, waits, serve, Ctx::reply_null_array);
    }
}

/// Serves a client that waits for `keys`, of which one is ready; `serve` tries one.
///
/// Up to Redis 7.0, native commands look at the key that is ready; from 7.2 on, the command is run
/// again, and looks at all its keys in their order.
pub(super) fn serve_waiting<'a>(
    keys: &[Arg<'a>],
    ready: Arg<'a>,
    mut serve: impl FnMut(Arg<'a>) -> Result<bool, CmdError>,
) -> Result<bool, CmdError> {
    if !tells_after_commands() {
        return serve(ready);
    }
    for &key in keys {
        if serve(key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A timeout in seconds, as milliseconds rounded up; 0 is for ever.
///
/// # Errors
/// If it is no number, negative, or too large to be told from now on.
pub(super) fn timeout(ctx: &Ctx, arg: Arg<'_>) -> Result<i64, CmdError> {
    const TOO_LARGE: CmdError = CmdError::text_only("ERR timeout is out of range");
    let seconds = LongDouble::parse(arg.bytes()).ok_or(CmdError::text_only(
        "ERR timeout is not a float or out of range",
    ))?;
    let judged = Behaviour::LargeTimeoutIsOutOfRange.here();
    match seconds.ceil_thousandfold() {
        ms @ 0.. if judged && ms > i64::MAX - ctx.now_ms() => Err(TOO_LARGE),
        ms @ 0.. => Ok(ms),
        _ if judged && !seconds.is_negative() => Err(TOO_LARGE),
        _ => Err(CmdError::text_only("ERR timeout is negative")),
    }
}
