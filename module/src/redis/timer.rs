//! Calls from the event loop after some time.

use std::ffi::c_void;
use std::time::Duration;

use redis_module::raw as rm;

use super::{Ctx, api, guard, zero_sized};

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
    pub fn start_timer<H>(&self, delay: Duration, data: usize, _handler: H)
    where
        H: Fn(&Ctx, usize) + Copy + 'static,
    {
        let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 1000);
        let data = std::ptr::without_provenance_mut(data);
        // SAFETY: live context; the callback is a function, and the data only a number to it.
        let create = unsafe { api(rm::RedisModule_CreateTimer) };
        // SAFETY: as above.
        unsafe { create(self.raw(), delay, Some(on_timer::<H>), data) };
    }
}
