//! Clients that wait for keys.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw as rm;

use super::around::note_failure;
use super::clients::ClientId;
use super::served::{forget_served, note_served};
use super::{Arg, Args, Ctx, Mode, Reply, api, stands_in, tells_after_commands, zero_sized};
use crate::error::CmdError;
use store::value::ValueType;

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

/// How a client is served that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The type of value that it waits for.
    pub ty: ValueType,
    /// Its command has a native name, for which the module stands in.
    pub is_plain: bool,
    /// The command is to be run again by the server, not by [`Serve`].
    pub runs_again: bool,
}

/// What is kept with a client that waits, in one word, which is not 0: its number, that of the
/// type, and the rest of [`Waits`].
#[derive(Clone, Copy)]
struct Kept(usize);

impl Kept {
    fn new(client: ClientId, waits: Waits) -> Kept {
        let bits = usize::from(waits.is_plain) << 1 | usize::from(waits.runs_again);
        Kept((client as usize) << 5 | (waits.ty as usize) << 2 | bits)
    }

    fn client(self) -> ClientId {
        (self.0 >> 5) as ClientId
    }

    /// `None` for no type.
    fn waits(self) -> Option<Waits> {
        let number = self.0 >> 2 & 7;
        let ty = ValueType::ALL.into_iter().find(|&ty| ty as usize == number);
        ty.map(|ty| Waits {
            ty,
            is_plain: self.0 & 2 != 0,
            runs_again: self.0 & 1 != 0,
        })
    }
}

impl Ctx {
    /// Makes the client of the running command wait, without a reply, until `serve` has served it,
    /// or for `timeout` milliseconds (0: for ever), after which `on_timeout` replies.
    ///
    /// Redis calls `serve` when one of the keys comes to be, after the command that did it, in the
    /// order in which clients began to wait. A client that disconnects is forgotten, one that
    /// CLIENT UNBLOCK wakes gets its reply from `on_timeout` or from Redis. Not where
    /// [`super::ctx::Flags::deny_blocking`].
    pub fn block_on_keys<S: Serve, T: Fn(&Ctx) + Copy + 'static>(
        &self,
        keys: &[Arg<'_>],
        timeout: i64,
        waits: Waits,
        _serve: S,
        _on_timeout: T,
    ) {
        let kept = Kept::new(self.client(), waits);
        // SAFETY: live context of a command; Redis takes references to the keys, which Arg is a
        // pointer to, and does not change the array; the callbacks are functions, and the private
        // data is only a number to them.
        unsafe {
            api(rm::RedisModule_BlockClientOnKeys)(
                self.raw(),
                Some(try_to_serve::<S>),
                Some(time_out::<T>),
                Some(let_go),
                timeout,
                keys.as_ptr().cast_mut().cast(),
                keys.len() as c_int,
                std::ptr::without_provenance_mut(kept.0),
            )
        };
    }

    /// Whether the server runs the command of a client again that waits. From 7.2 on, native
    /// commands are run again in any case, and what has changed meanwhile may refuse them; and a
    /// native value is not for [`Serve`].
    fn serves_by_command(&self, waits: Waits, args: Args<'_>, ready: Arg<'_>) -> bool {
        // This comes first: else the key must not be looked at.
        waits.runs_again
            || tells_after_commands() && (self.flags().oom() || !self.may_run(args))
            || waits.is_plain && self.open(ready, Mode::Quiet).native_type() == Some(waits.ty)
    }

    /// Whether a key that has come to be is of the type that a client waits for: a command tells,
    /// see [`Ctx::serves_by_command`].
    fn is_awaited(&self, waits: Waits, ready: Arg<'_>) -> bool {
        match self.call(c"TYPE", &[ready.bytes()]) {
            Some(Reply::Text(name)) => {
                let is_native = name == waits.ty.name().to_bytes();
                name == waits.ty.module_name().to_bytes()
                    || is_native && (waits.is_plain || stands_in())
            }
            // TYPE is renamed.
            _ => true,
        }
    }
}

/// The server has let a client go, or it has gone.
unsafe extern "C" fn let_go(_: *mut rm::RedisModuleCtx, kept: *mut c_void) {
    forget_served(Kept(kept.addr()).client());
}

unsafe extern "C" fn try_to_serve<S: Serve>(
    raw: *mut rm::RedisModuleCtx,
    argv: *mut *mut rm::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: Redis passes a live context and the strings of the command that blocked, all for the
    // time of the call; the ready key lives as long, and is there for a client blocked on keys. The
    // private data is what `block_on_keys` gave.
    let (ctx, args, ready, kept) = unsafe {
        let ready = api(rm::RedisModule_GetBlockedClientReadyKey)(raw);
        let kept = api(rm::RedisModule_GetBlockedClientPrivateData)(raw);
        (
            Ctx::from_raw(raw),
            Args::from_raw(argv, argc),
            Arg::from_raw(ready),
            Kept(kept.addr()),
        )
    };
    let Some(ready) = ready else {
        return rm::REDISMODULE_ERR as c_int;
    };
    let is_served = catch_unwind(AssertUnwindSafe(|| {
        if let Some(waits) = kept.waits()
            && ctx.serves_by_command(waits, args, ready)
        {
            return ctx.is_awaited(waits, ready) && ctx.run_again(args);
        }
        zero_sized::<S>()(&ctx, args, ready).unwrap_or_else(|error| {
            note_failure(&error);
            ctx.reply_failure(&error);
            true
        })
    }));
    let is_served = is_served.unwrap_or_else(|_| {
        ctx.reply_failure(&CmdError::Internal);
        true
    });
    if is_served {
        note_served(kept.client());
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
