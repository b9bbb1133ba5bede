//! Whether the event loop has something else to do than what the module does at the moment.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use redis_module::raw as rm;

use super::api;

/// What the event loop waits with.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// The server's epoll descriptor; -1 if it is not known.
    queue: RawFd,
}

impl Requests {
    /// Those of which nothing is known.
    pub(super) const UNKNOWN: Requests = Requests { queue: -1 };

    /// Those of the server. On its main thread. O(1), but for the first time.
    pub fn of_event_loop() -> Requests {
        static QUEUE: OnceLock<RawFd> = OnceLock::new();
        let queue = *QUEUE.get_or_init(|| {
            let probe = EventFd::listen(0, on_nothing);
            probe
                .and_then(|probe| queue_of(probe.number()))
                .unwrap_or(-1)
        });
        Requests { queue }
    }

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

/// What the event loop calls when a descriptor can be read: its number, nothing, and a mask.
pub(super) type OnReadable = unsafe extern "C" fn(c_int, *mut c_void, c_int);

unsafe extern "C" fn on_nothing(_descriptor: c_int, _data: *mut c_void, _mask: c_int) {}

/// An eventfd to which the server's event loop listens, until it is dropped.
#[derive(Debug)]
pub(super) struct EventFd(OwnedFd);

impl EventFd {
    /// One with this count, which can be read if that is not 0; `None` if the server has no room
    /// for one more descriptor.
    pub(super) fn listen(count: u32, callback: OnReadable) -> Option<EventFd> {
        // SAFETY: no memory is passed; the result is checked.
        let raw = unsafe { libc::eventfd(count, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return None;
        }
        // SAFETY: a fresh descriptor that nobody else has.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: an open descriptor, taken out of the loop before it is closed (Drop); the
        // callback is a function, without data.
        let status = unsafe {
            let add = api(rm::RedisModule_EventLoopAdd);
            let readable = rm::REDISMODULE_EVENTLOOP_READABLE as c_int;
            add(raw, readable, Some(callback), std::ptr::null_mut())
        };
        (status == rm::REDISMODULE_OK as c_int).then_some(EventFd(descriptor))
    }

    /// The descriptor.
    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: the descriptor was added in `listen`, and is closed after this.
        unsafe {
            let readable = rm::REDISMODULE_EVENTLOOP_READABLE as c_int;
            api(rm::RedisModule_EventLoopDel)(self.number(), readable);
        }
    }
}
