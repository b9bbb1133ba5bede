//! Work to be done at every event-loop cycle, which does not sleep meanwhile.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering};

use super::requests::{EventFd, Requests};
use super::{Ctx, guard, module_ctx, zero_sized};

/// A handler that the event loop calls at each of its cycles, among the clients' requests, until
/// this is dropped.
///
/// It is a descriptor that can always be read, which is all that makes the loop go on.
#[derive(Debug)]
pub struct EveryCycle(#[expect(dead_code, reason = "it is listened to")] EventFd);

/// The descriptor of the handler that the loop calls; -1 for none.
static CALLED: AtomicI32 = AtomicI32::new(-1);

unsafe extern "C" fn on_cycle<H: Fn(&Ctx, Requests) + Copy + 'static>(
    descriptor: c_int,
    _data: *mut c_void,
    _mask: c_int,
) {
    // Else the loop would always have something to do.
    let is_read = take(descriptor);
    let requests = if is_read {
        Requests::of_event_loop()
    } else {
        Requests::UNKNOWN
    };
    if let Some(ctx) = module_ctx() {
        guard((), || zero_sized::<H>()(&ctx, requests));
    }
    // The handler may have ended itself, and its number may be another's.
    if is_read && CALLED.load(Ordering::Relaxed) == descriptor {
        give(descriptor);
    }
}

/// Makes the descriptor one that cannot be read; `false` if it could not be.
fn take(descriptor: c_int) -> bool {
    let mut count = 0_u64;
    let place: *mut u64 = &mut count;
    // SAFETY: eight bytes to read into.
    unsafe { libc::read(descriptor, place.cast(), size_of::<u64>()) == 8 }
}

/// Makes the descriptor one that can be read.
fn give(descriptor: c_int) {
    let count = 1_u64;
    let place: *const u64 = &count;
    // SAFETY: eight bytes to be written to an eventfd that is open. Its count was 0, so there is
    // room.
    unsafe { libc::write(descriptor, place.cast(), size_of::<u64>()) };
}

impl EveryCycle {
    /// Calls `handler` from the next cycle on; `None` if the server has no room for one more
    /// descriptor. There is one at a time.
    pub fn call<H: Fn(&Ctx, Requests) + Copy + 'static>(_handler: H) -> Option<EveryCycle> {
        let descriptor = EventFd::listen(1, on_cycle::<H>)?;
        CALLED.store(descriptor.number(), Ordering::Relaxed);
        Some(EveryCycle(descriptor))
    }
}

impl Drop for EveryCycle {
    fn drop(&mut self) {
        CALLED.store(-1, Ordering::Relaxed);
    }
}
