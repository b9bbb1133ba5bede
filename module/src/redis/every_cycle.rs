//! Work to be done at every event-loop cycle, which does not sleep meanwhile.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use redis_module::raw as rm;

use super::{Ctx, api, guard, module_ctx, zero_sized};

/// A handler that the event loop calls at each of its cycles, among the clients' requests, until
/// this is dropped.
///
/// It is a descriptor that can always be read, which is all that makes the loop go on.
#[derive(Debug)]
pub struct EveryCycle(OwnedFd);

/// What the event loop waits with, while a handler of [`EveryCycle`] runs.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// The server's epoll descriptor; -1 if it has none.
    queue: RawFd,
}

/// The descriptor of the handler that the loop calls; -1 for none.
static CALLED: AtomicI32 = AtomicI32::new(-1);
/// The epoll descriptor of the loop that calls it; -1 if it is not known.
static QUEUE: AtomicI32 = AtomicI32::new(-1);

impl Requests {
    /// Whether the event loop has something to do: a request that was not read, a connection that
    /// was not accepted. `None` if the server does not wait by epoll. One system call.
    pub fn wait(self) -> Option<bool> {
        if self.queue < 0 {
            return None;
        }
        let mut queue = libc::pollfd {
            fd: self.queue,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, in a place of its own. It changes nothing of what the loop will
        // be told.
        let ready = unsafe { libc::poll(&mut queue, 1, 0) };
        (ready >= 0).then_some(queue.revents & libc::POLLIN != 0)
    }
}

unsafe extern "C" fn on_cycle<H: Fn(&Ctx, Requests) + Copy + 'static>(
    descriptor: c_int,
    _data: *mut c_void,
    _mask: c_int,
) {
    // Else the loop would always have something to do.
    let is_read = take(descriptor);
    let queue = if is_read {
        QUEUE.load(Ordering::Relaxed)
    } else {
        -1
    };
    if let Some(ctx) = module_ctx() {
        guard((), || zero_sized::<H>()(&ctx, Requests { queue }));
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

/// The epoll descriptor that waits for `descriptor`, by what the kernel tells of this process.
fn queue_of(descriptor: RawFd) -> Option<RawFd> {
    let waited_for = |info: &str| {
        let mut lines = info.lines().filter_map(|line| line.strip_prefix("tfd:"));
        lines.any(|line| line.split_whitespace().next() == Some(descriptor.to_string().as_str()))
    };
    let infos = std::fs::read_dir("/proc/self/fdinfo").ok()?;
    let mut infos = infos.flatten().filter_map(|info| {
        let number = info.file_name().to_str()?.parse().ok()?;
        Some((number, std::fs::read_to_string(info.path()).ok()?))
    });
    infos.find_map(|(number, info)| waited_for(&info).then_some(number))
}

impl EveryCycle {
    /// Calls `handler` from the next cycle on; `None` if the server has no room for one more
    /// descriptor. There is one at a time.
    pub fn call<H: Fn(&Ctx, Requests) + Copy + 'static>(_handler: H) -> Option<EveryCycle> {
        // SAFETY: no memory is passed; the result is checked.
        let raw = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return None;
        }
        // SAFETY: a fresh descriptor that nobody else has.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: an open descriptor, taken out of the loop before it is closed (Drop); the
        // callback is a function, without data.
        let status = unsafe {
            let add = api(rm::RedisModule_EventLoopAdd);
            let callback = Some(on_cycle::<H> as unsafe extern "C" fn(_, _, _));
            let readable = rm::REDISMODULE_EVENTLOOP_READABLE as c_int;
            add(raw, readable, callback, std::ptr::null_mut())
        };
        if status != rm::REDISMODULE_OK as c_int {
            return None;
        }
        QUEUE.store(queue_of(raw).unwrap_or(-1), Ordering::Relaxed);
        CALLED.store(raw, Ordering::Relaxed);
        Some(EveryCycle(descriptor))
    }
}

impl Drop for EveryCycle {
    fn drop(&mut self) {
        CALLED.store(-1, Ordering::Relaxed);
        // SAFETY: the descriptor was added in `call`, and is closed after this.
        unsafe {
            let readable = rm::REDISMODULE_EVENTLOOP_READABLE as c_int;
            api(rm::RedisModule_EventLoopDel)(self.0.as_raw_fd(), readable);
        }
    }
}
