//! A call when the running command has ended, before its reply is sent.

use std::ffi::{c_int, c_void};

use redis_module::raw as rm;

use super::{guard, log, zero_sized};

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

/// Calls `handler` once when the running command has ended, with all that it ran (of EXEC and
/// scripts), and before its reply is sent. `false` if the server cannot: it came with Redis 7.2.
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
