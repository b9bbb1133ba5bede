//! Clients that wait for keys.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw as rm;

use super::around::note_failure;
use super::{Arg, Args, Ctx, api, zero_sized};
use crate::error::CmdError;

/// Tries to serve a client that waits: from the command's arguments and the key that is there now.
/// `Ok(false)` lets it wait on, without a reply; an error ends the wait and is the reply.
pub trait Serve:
    for<'a> Fn(&'a Ctx, Args<'a>, Arg<'a>) -> Result<bool, CmdError> + Copy + 'static
{
}

impl<S> Serve for S where
    S: for<'a> Fn(&'a Ctx, Args<'a>, Arg<'a>) -> Result<bool, CmdError> + Copy + 'static
{
}

impl Ctx {
    /// Makes the client of the running command wait, without a reply, until `serve` has served it,
    /// or for `timeout` milliseconds (0: for ever), after which `on_timeout` replies.
    ///
    /// Redis calls `serve` when one of the keys comes to be, after the command that did it, in the
    /// order in which clients began to wait. A client that disconnects is forgotten, one that
    /// CLIENT UNBLOCK wakes gets its reply from `on_timeout` or from Redis. Not where
    /// [`super::Flags::deny_blocking`].
    pub fn block_on_keys<S: Serve, T: Fn(&Ctx) + Copy + 'static>(
        &self,
        keys: &[Arg<'_>],
        timeout: i64,
        _serve: S,
        _on_timeout: T,
    ) {
        // SAFETY: live context of a command; Redis takes references to the keys, which Arg is a
        // pointer to, and does not change the array; the callbacks are functions, and there is no
        // private data to be freed.
        unsafe {
            api(rm::RedisModule_BlockClientOnKeys)(
                self.raw(),
                Some(try_to_serve::<S>),
                Some(time_out::<T>),
                None,
                timeout,
                keys.as_ptr().cast_mut().cast(),
                keys.len() as c_int,
                std::ptr::null_mut(),
            )
        };
    }
}

unsafe extern "C" fn try_to_serve<S: Serve>(
    raw: *mut rm::RedisModuleCtx,
    argv: *mut *mut rm::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: Redis passes a live context and the strings of the command that blocked, all for the
    // time of the call; the ready key lives as long, and is there for a client blocked on keys.
    let (ctx, args, ready) = unsafe {
        let ready = api(rm::RedisModule_GetBlockedClientReadyKey)(raw);
        (
            Ctx::from_raw(raw),
            Args::from_raw(argv, argc),
            Arg::from_raw(ready),
        )
    };
    let Some(ready) = ready else {
        return rm::REDISMODULE_ERR as c_int;
    };
    let served = catch_unwind(AssertUnwindSafe(|| {
        zero_sized::<S>()(&ctx, args, ready).unwrap_or_else(|error| {
            note_failure(&error);
            ctx.reply_failure(&error);
            true
        })
    }));
    let served = served.unwrap_or_else(|_| {
        ctx.reply_failure(&CmdError::Internal);
        true
    });
    if served {
        rm::REDISMODULE_OK as c_int
    } else {
        rm::REDISMODULE_ERR as c_int
    }
}

unsafe extern "C" fn time_out<T: Fn(&Ctx) + Copy + 'static>(
    raw: *mut rm::RedisModuleCtx,
    _argv: *mut *mut rm::RedisModuleString,
    _argc: c_int,
) -> c_int {
    // SAFETY: Redis passes a live context for the time of the call.
    let ctx = unsafe { Ctx::from_raw(raw) };
    let replied = catch_unwind(AssertUnwindSafe(|| zero_sized::<T>()(&ctx)));
    if replied.is_err() {
        ctx.reply_failure(&CmdError::Internal);
    }
    rm::REDISMODULE_OK as c_int
}
