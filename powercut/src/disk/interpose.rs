//! Stands in for libc's functions that write and sync files.

use super::{Event, Operation, Recording};
use std::ffi::{c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

struct Watching {
    directory: PathBuf,
    recording: Recording,
    process: u32,
}

static WATCHING: Mutex<Option<Watching>> = Mutex::new(None);

fn watching() -> MutexGuard<'static, Option<Watching>> {
    WATCHING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(super) fn begin(directory: &Path, recording: Recording) {
    let new = Watching {
        directory: directory.to_path_buf(),
        recording,
        process: std::process::id(),
    };
    let before = watching().replace(new);
    assert!(before.is_none(), "one recording at a time");
}

pub(super) fn end() -> Recording {
    let ended = watching().take();
    ended.expect("a recording was begun").recording
}

pub(super) fn tell(what: impl FnOnce(&mut Recording)) {
    if let Some(watching) = &mut *watching()
        && watching.process == std::process::id()
    {
        what(&mut watching.recording);
    }
}

/// The path of an open file, if it is one that is watched.
fn watched(descriptor: c_int) -> Option<PathBuf> {
    let directory = watching().as_ref()?.directory.clone();
    let path = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    (path.parent() == Some(&directory)).then_some(path)
}

/// Notes an operation that begins; its number.
fn begins(operation: Operation) -> Option<usize> {
    let mut number = None;
    tell(|recording| {
        let next = recording.operations.len();
        recording.operations.push(operation);
        recording.events.push(Event::Begins(next));
        number = Some(next);
    });
    number
}

fn returned(number: Option<usize>, succeeded: bool) {
    if let Some(number) = number.filter(|_| succeeded) {
        tell(|recording| recording.events.push(Event::Returned(number)));
    }
}

/// Stands in for libc's function of that name.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    bytes: *const c_void,
    len: usize,
    at: i64,
) -> isize {
    let number = watched(descriptor).and_then(|file| {
        // SAFETY: the flags of an open file; no memory is passed.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
        begins(Operation::Write {
            file,
            at: at as u64,
            // SAFETY: the caller promises so many readable bytes.
            bytes: unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) }.to_vec(),
            durable: flags & libc::O_DSYNC != 0,
        })
    });
    // SAFETY: what the caller promises is what the kernel's call needs.
    let written = unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, bytes, len, at) };
    returned(number, written == len as i64);
    written as isize
}

fn sync(descriptor: c_int, call: i64) -> c_int {
    let number = watched(descriptor).and_then(|file| begins(Operation::Sync { file }));
    // SAFETY: no memory is passed; the kernel checks the descriptor.
    let failed = unsafe { libc::syscall(call, descriptor) } as c_int;
    returned(number, failed == 0);
    failed
}

/// Stands in for libc's function of that name.
#[unsafe(no_mangle)]
pub(super) extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    sync(descriptor, libc::SYS_fdatasync)
}

/// Stands in for libc's function of that name.
#[unsafe(no_mangle)]
pub(super) extern "C" fn fsync(descriptor: c_int) -> c_int {
    sync(descriptor, libc::SYS_fsync)
}

/// Stands in for libc's function of that name: writes nothing out, and so promises nothing.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sync_file_range(
    _descriptor: c_int,
    _at: i64,
    _len: i64,
    _flags: c_uint,
) -> c_int {
    0
}
