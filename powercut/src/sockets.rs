//! Stands in for libc's `write` and `writev`, to know what a recorded program tells its peers, and
//! when: a reply that tells of a change must not leave before the change is durable.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::interpose::tell;

static IS_WATCHING: AtomicBool = AtomicBool::new(false);

/// Tells the observer of what is sent from now on.
pub(crate) fn watch() {
    IS_WATCHING.store(true, Ordering::Relaxed);
}

/// The port of the peer that the descriptor is connected to; `None` if it is no TCP socket.
fn peer(descriptor: c_int) -> Option<u16> {
    let mut address = MaybeUninit::<libc::sockaddr_in>::zeroed();
    let mut len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the kernel writes no more than `len` bytes to `address`, and all bytes are valid in
    // it.
    let address = unsafe {
        let known = libc::getpeername(descriptor, address.as_mut_ptr().cast(), &mut len) == 0;
        known.then(|| address.assume_init())?
    };
    (c_int::from(address.sin_family) == libc::AF_INET).then(|| u16::from_be(address.sin_port))
}

/// Sends, and tells of it: no fence of another thread comes between.
fn send(descriptor: c_int, send: impl Fn() -> isize) -> isize {
    let port = if IS_WATCHING.load(Ordering::Relaxed) {
        peer(descriptor)
    } else {
        None
    };
    let Some(port) = port else { return send() };
    let mut sent = None;
    tell(|observer| {
        let bytes = send();
        if bytes > 0 {
            observer.sent(port, bytes as usize);
        }
        sent = Some(bytes);
    });
    sent.unwrap_or_else(send)
}

/// Stands in for libc's function.
///
/// # Safety
/// As for libc's: the bytes are readable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(
    descriptor: c_int,
    bytes: *const c_void,
    len: usize,
) -> isize {
    // SAFETY: the kernel checks the range; the caller promises that it is what was meant.
    send(descriptor, || unsafe {
        libc::syscall(libc::SYS_write, descriptor, bytes, len) as isize
    })
}

/// Stands in for libc's function.
///
/// # Safety
/// As for libc's: the ranges and their bytes are readable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(
    descriptor: c_int,
    ranges: *const libc::iovec,
    count: c_int,
) -> isize {
    // SAFETY: the kernel checks the ranges; the caller promises that they are what was meant.
    send(descriptor, || unsafe {
        libc::syscall(libc::SYS_writev, descriptor, ranges, count) as isize
    })
}
