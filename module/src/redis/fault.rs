//! A page of the pool that the file system no longer provides.
//!
//! If a pool's file is cut off while a server has it open, or a medium fails, a load or a store in
//! the mapping is answered with SIGBUS, and the server ends with a report that names everything but
//! the cause. The handler here writes the cause into the server's log before that, and leaves the
//! rest to the server's own handler.

use std::cell::UnsafeCell;
use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the handler needs, made beforehand: it must not ask for memory.
struct Prepared {
    /// The line, with its end.
    line: Vec<u8>,
    /// The log's file; empty for the standard output.
    log: CString,
}

static PREPARED: OnceLock<Prepared> = OnceLock::new();
/// The pool's mapping.
static FROM: AtomicUsize = AtomicUsize::new(0);
static LEN: AtomicUsize = AtomicUsize::new(0);

/// The server's own handling of the signal.
struct Former(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written once, before the handler is there, and only read after that.
unsafe impl Sync for Former {}

static FORMER: Former = Former(UnsafeCell::new(MaybeUninit::zeroed()));

/// Tells in the log, from now on, of a fault in the `len` bytes at the address `from`, which are
/// the mapping of the pool at `pool`, before the server ends of it. `log_file` is the server's log;
/// empty for the standard output. Once; later calls only tell of another mapping.
pub fn tell_of_faults(from: usize, len: usize, pool: &Path, log_file: &[u8]) {
    FROM.store(from, Ordering::Relaxed);
    LEN.store(len, Ordering::Relaxed);
    let line = format!(
        "# <pmedis> the file system does not give a page of the pool {}: the file was cut off, or its medium fails. The \
         server ends\n",
        pool.display()
    );
    let log = std::ffi::OsStr::from_bytes(log_file);
    let prepared = Prepared {
        line: line.into_bytes(),
        log: CString::new(log.as_bytes()).unwrap_or_default(),
    };
    if PREPARED.set(prepared).is_err() {
        return;
    }
    // SAFETY: a zeroed sigaction is a valid one; the handler has the signature that SA_SIGINFO asks
    // for; the former one is written before the new one can read it, as no fault comes in between.
    unsafe {
        let former = FORMER.0.get().cast::<libc::sigaction>();
        if libc::sigaction(libc::SIGBUS, ptr::null(), former) != 0 {
            return;
        }
        let mut own: libc::sigaction = std::mem::zeroed();
        own.sa_sigaction = on_fault as *const () as usize;
        own.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigaction(libc::SIGBUS, &own, ptr::null_mut());
    }
}

unsafe extern "C" fn on_fault(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes what it knows of the signal; all calls here are allowed in a
    // handler, and what was prepared does not change.
    unsafe {
        let at = (*info).si_addr() as usize;
        let from = FROM.load(Ordering::Relaxed);
        if at.wrapping_sub(from) < LEN.load(Ordering::Relaxed)
            && let Some(prepared) = PREPARED.get()
        {
            let to = if prepared.log.is_empty() {
                libc::STDOUT_FILENO
            } else {
                libc::open(
                    prepared.log.as_ptr(),
                    libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT,
                    0o644,
                )
            };
            let line = &prepared.line;
            libc::write(to, line.as_ptr().cast(), line.len());
        }
        // The instruction runs again, and the fault comes to the server's own handler.
        libc::sigaction(libc::SIGBUS, FORMER.0.get().cast(), ptr::null_mut());
    }
}
