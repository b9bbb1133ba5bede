//! Clients that wait until the module has an answer for them.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

use redis_module::raw as rm;

use super::{Ctx, api, guard};
use crate::error::CmdError;

/// What a client waits for.
pub trait Answer: Sized + 'static {
    /// Replies with it.
    ///
    /// # Errors
    /// What the client is told instead.
    fn reply(self, ctx: &Ctx) -> Result<(), CmdError>;

    /// The client that waits under this number ([`Waiting::number`]) has gone.
    fn gone(number: usize);
}

/// A client that waits for an answer, while others are served. It must get one, or be let go; if it
/// is dropped, it waits for ever.
#[derive(Debug)]
pub struct Waiting<T: Answer> {
    client: *mut rm::RedisModuleBlockedClient,
    answer: PhantomData<T>,
}

impl<T: Answer> Waiting<T> {
    /// A number that no other client has that waits now.
    pub fn number(&self) -> usize {
        self.client.addr()
    }

    /// Replies to the client, before the event loop sleeps next. If it has gone, nothing happens.
    pub fn answer(self, answer: T) {
        let answer = Box::into_raw(Box::new(Some(answer)));
        // SAFETY: a client that was blocked and not unblocked since, as both ways to do so take the
        // only handle. The server has the answer from here on, and frees it by `free`.
        unsafe { api(rm::RedisModule_UnblockClient)(self.client, answer.cast()) };
    }

    /// Gives up a client that has gone.
    pub fn let_go(self) {
        // SAFETY: as above.
        unsafe { api(rm::RedisModule_AbortBlock)(self.client) };
    }
}

impl Ctx {
    /// Makes the client of the running command wait, without a reply. Not where
    /// [`super::ctx::Flags::deny_blocking`].
    pub fn wait<T: Answer>(&self) -> Waiting<T> {
        // SAFETY: live context of a command that may block; the callbacks are functions, and the
        // one for `T`'s private data is given only such.
        let client = unsafe {
            let client = api(rm::RedisModule_BlockClient)(
                self.raw(),
                Some(reply::<T>),
                None,
                Some(free::<T>),
                0,
            );
            api(rm::RedisModule_SetDisconnectCallback)(client, Some(gone::<T>));
            client
        };
        Waiting {
            client,
            answer: PhantomData,
        }
    }
}

unsafe extern "C" fn reply<T: Answer>(
    raw: *mut rm::RedisModuleCtx,
    _argv: *mut *mut rm::RedisModuleString,
    _argc: c_int,
) -> c_int {
    // SAFETY: the server passes a live context, and what `Waiting::answer` gave it, which nobody
    // else uses.
    let (ctx, answer) = unsafe {
        let answer: *mut Option<T> = api(rm::RedisModule_GetBlockedClientPrivateData)(raw).cast();
        (Ctx::from_raw(raw), answer.as_mut().and_then(Option::take))
    };
    let told = guard(Err(CmdError::Internal), || match answer {
        Some(answer) => answer.reply(&ctx),
        None => Err(CmdError::Internal),
    });
    if let Err(error) = told {
        ctx.reply_failure(&error);
    }
    rm::REDISMODULE_OK as c_int
}

unsafe extern "C" fn free<T: Answer>(_: *mut rm::RedisModuleCtx, answer: *mut c_void) {
    // SAFETY: the server passes what `Waiting::answer` gave it, once.
    let answer = unsafe { Box::from_raw(answer.cast::<Option<T>>()) };
    guard((), || drop(answer));
}

unsafe extern "C" fn gone<T: Answer>(
    _: *mut rm::RedisModuleCtx,
    client: *mut rm::RedisModuleBlockedClient,
) {
    guard((), || T::gone(client.addr()));
}
