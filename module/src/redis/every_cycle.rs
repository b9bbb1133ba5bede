//! Work to be done at every event-loop cycle, which does not sleep meanwhile.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use redis_module::raw as rm;

use super::{Ctx, api, guard, module_ctx, zero_sized};

/// A handler that the event loop calls at each of its cycles, among the clients' requests, until this is dropped.
///
/// It is a descriptor that can always be read, which is all that makes the loop go on.
#[derive(Debug)]
pub struct EveryCycle(OwnedFd);

unsafe extern "C" fn on_cycle<H: Fn(&Ctx) + Copy + 'static>(
    _descriptor: c_int,
    _data: *mut c_void,
    _mask: c_int,
) {
    if let Some(ctx) = module_ctx() {
        guard((), || zero_sized::<H>()(&ctx));
    }
}

impl EveryCycle {
    /// Calls `handler` from the next cycle on; `None` if the server has no room for one more descriptor.
    pub fn call<H: Fn(&Ctx) + Copy + 'static>(_handler: H) -> Option<EveryCycle> {
        // SAFETY: no memory is passed; the result is checked.
        let raw = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return None;
        }
        // SAFETY: a fresh descriptor that nobody else has.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: an open descriptor, taken out of the loop before it is closed (Drop); the callback is a
        // function, without data.
        let status = unsafe {
            let add = api(rm::RedisModule_EventLoopAdd);
            let callback = Some(on_cycle::<H> as unsafe extern "C" fn(_, _, _));
            let readable = rm::REDISMODULE_EVENTLOOP_READABLE as c_int;
            add(raw, readable, callback, std::ptr::null_mut())
        };
        (status == rm::REDISMODULE_OK as c_int).then_some(EveryCycle(descriptor))
    }
}

impl Drop for EveryCycle {
    fn drop(&mut self) {
        // SAFETY: the descriptor was added in `call`, and is closed after this.
        unsafe {
            let readable = rm::REDISMODULE_EVENTLOOP_READABLE as c_int;
            api(rm::RedisModule_EventLoopDel)(self.0.as_raw_fd(), readable);
        }
    }
}
