//! A look at each command before it runs, and timers.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::time::Duration;

use redis_module::raw as rm;

use super::{Arg, Ctx, api, guard, log, zero_sized};

/// A command that is about to run, of any client: its name and arguments.
pub struct FilterArgs<'a> {
    raw: *mut rm::RedisModuleCommandFilterCtx,
    life: PhantomData<&'a ()>,
}

impl<'a> FilterArgs<'a> {
    pub(super) fn raw(&self) -> *mut rm::RedisModuleCommandFilterCtx {
        self.raw
    }

    /// How many there are, the command's name included.
    #[allow(
        clippy::len_without_is_empty,
        reason = "the command's name is always there"
    )]
    pub fn len(&self) -> usize {
        // SAFETY: live for the callback's time.
        let len = unsafe { api(rm::RedisModule_CommandFilterArgsCount)(self.raw) };
        usize::try_from(len).unwrap_or(0)
    }

    /// The argument at `i`, where 0 is the command's name.
    pub fn get(&self, i: usize) -> Option<Arg<'a>> {
        let i = c_int::try_from(i).ok()?;
        // SAFETY: live for the callback's time, as is the argument; NULL beyond the last one.
        unsafe { Arg::from_raw(api(rm::RedisModule_CommandFilterArgGet)(self.raw, i)) }
    }
}

unsafe extern "C" fn on_filter<H: Fn(&FilterArgs<'_>) + Copy + 'static>(
    raw: *mut rm::RedisModuleCommandFilterCtx,
) {
    let args = FilterArgs {
        raw,
        life: PhantomData,
    };
    guard((), || zero_sized::<H>()(&args));
}

impl Ctx {
    /// Shows every command to `filter` before it runs, even before its name is looked up. This costs
    /// all commands, native ones too, a few nanoseconds.
    pub fn filter_commands<H: Fn(&FilterArgs<'_>) + Copy + 'static>(&self, _filter: H) {
        // SAFETY: live context; the callback is a function.
        unsafe { api(rm::RedisModule_RegisterCommandFilter)(self.raw(), Some(on_filter::<H>), 0) };
    }
}

unsafe extern "C" fn on_command_end<H: Fn() + Copy + 'static>(
    _ctx: *mut rm::RedisModuleCtx,
    _data: *mut c_void,
) {
    guard((), || zero_sized::<H>()());
}

/// Whether [`after_command`] works on this server.
pub fn tells_after_commands() -> bool {
    // SAFETY: a copy of a pointer written before the module ran; NULL before Redis 7.2.
    unsafe { rm::RedisModule_AddPostNotificationJob }.is_some()
}

/// Calls `handler` once when the running command has ended, with all that it ran (of EXEC and scripts),
/// and before its reply is sent. `false` if the server cannot: it came with Redis 7.2.
pub fn after_command<H: Fn() + Copy + 'static>(_handler: H) -> bool {
    // SAFETY: a copy of a pointer written before the module ran; NULL before Redis 7.2.
    let Some(add) = (unsafe { rm::RedisModule_AddPostNotificationJob }) else {
        return false;
    };
    // SAFETY: the module's own context lives for good; the callback is a function, without data.
    let status = unsafe {
        let callback = Some(on_command_end::<H> as unsafe extern "C" fn(_, _));
        add(log::module_context(), callback, std::ptr::null_mut(), None)
    };
    status == rm::REDISMODULE_OK as c_int
}

unsafe extern "C" fn on_fork<H: Fn() + Copy + 'static>() {
    guard((), || zero_sized::<H>()());
}

/// Calls `handler` from now on before the process forks, on the thread that does. `false` if there is no
/// memory to remember it.
pub fn before_fork<H: Fn() + Copy + 'static>(_handler: H) -> bool {
    // SAFETY: the callback is a function without arguments, of a library that stays loaded.
    unsafe { libc::pthread_atfork(Some(on_fork::<H>), None, None) == 0 }
}

/// A timer that has not fired yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer(rm::RedisModuleTimerID);

unsafe extern "C" fn on_timer<H: Fn(&Ctx, usize) + Copy + 'static>(
    ctx: *mut rm::RedisModuleCtx,
    data: *mut c_void,
) {
    // SAFETY: Redis passes a live context.
    let ctx = unsafe { Ctx::from_raw(ctx) };
    guard((), || zero_sized::<H>()(&ctx, data.addr()));
}

impl Ctx {
    /// Calls `handler` with `data` once, from the event loop, after `delay`.
    pub fn start_timer<H>(&self, delay: Duration, data: usize, _handler: H) -> Timer
    where
        H: Fn(&Ctx, usize) + Copy + 'static,
    {
        let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 1000);
        let data = std::ptr::without_provenance_mut(data);
        // SAFETY: live context; the callback is a function, and the data only a number to it.
        let create = unsafe { api(rm::RedisModule_CreateTimer) };
        // SAFETY: as above.
        Timer(unsafe { create(self.raw(), delay, Some(on_timer::<H>), data) })
    }

    /// Stops a timer; `false` if it has fired already.
    pub fn stop_timer(&self, timer: Timer) -> bool {
        let mut data = std::ptr::null_mut();
        // SAFETY: live context; an id that is no timer's is an error that Redis reports.
        let status = unsafe { api(rm::RedisModule_StopTimer)(self.raw(), timer.0, &mut data) };
        status == rm::REDISMODULE_OK as c_int
    }
}
