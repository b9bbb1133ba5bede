//! All connections cut, whatever the server has put into their buffers.

use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::RawFd;

use libc::{c_int, c_void};

/// Shuts all connected stream sockets of the process down, in both directions. What the server has not sent yet never
/// leaves, from no thread; it finds the connections broken, and closes them.
pub fn cut_connections() {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let descriptors = descriptors.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<RawFd>().ok()
    });
    for descriptor in descriptors.filter(|&descriptor| is_connection(descriptor)) {
        // SAFETY: a system call that touches no memory; of another descriptor it fails.
        unsafe { libc::shutdown(descriptor, libc::SHUT_RDWR) };
    }
}

/// Whether a descriptor is a stream socket that does not listen.
pub(super) fn is_connection(descriptor: RawFd) -> bool {
    let option = |name: c_int| -> io::Result<c_int> {
        let mut value: c_int = 0;
        let mut len = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes to the value.
        let failed = unsafe {
            let at = (&raw mut value).cast::<c_void>();
            libc::getsockopt(descriptor, libc::SOL_SOCKET, name, at, &mut len)
        };
        match failed {
            0 => Ok(value),
            _ => Err(io::Error::last_os_error()),
        }
    };
    option(libc::SO_TYPE).is_ok_and(|kind| kind == libc::SOCK_STREAM)
        && option(libc::SO_ACCEPTCONN).is_ok_and(|listens| listens == 0)
}
