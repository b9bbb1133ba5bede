//! Stands in for libpmem's functions, counts their calls, and tells an [`Observer`] of them.
//!
//! A library that is preloaded, or an executable that exports its symbols (`-rdynamic`), comes
//! before libpmem where the dynamic loader looks for the functions that libpmemobj imports. The
//! functions here store plainly and flush nothing: a simulated pool lies on tmpfs.
//!
//! What a preloaded library does at its start is in `preload`.

use std::ffi::{c_int, c_uint, c_void};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use memmap2::{MmapOptions, MmapRaw};

use crate::LINE_BYTES;

/// Who is told of the calls. Calls come one at a time, only from the process that set the observer.
pub trait Observer: Send {
    /// The lines of `len` bytes at `address` are flushed, with what they hold now.
    fn flush(&mut self, address: usize, len: usize);
    /// Everything flushed before becomes durable.
    fn fence(&mut self);
    /// The process sends so many bytes to its peer at this TCP port.
    fn sent(&mut self, _port: u16, _bytes: usize) {}
    /// How far the record has grown, in units of the observer's choice.
    fn position(&self) -> u64;
}

struct Observing {
    observer: Box<dyn Observer>,
    process: u32,
}

static OBSERVING: Mutex<Option<Observing>> = Mutex::new(None);

fn observing() -> MutexGuard<'static, Option<Observing>> {
    OBSERVING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Tells `observer` of the calls in this process (not in children of it) from now on, and gives
/// back the one before.
pub(crate) fn observe(observer: Option<Box<dyn Observer>>) -> Option<Box<dyn Observer>> {
    let new = observer.map(|observer| Observing {
        observer,
        process: process::id(),
    });
    std::mem::replace(&mut *observing(), new).map(|before| before.observer)
}

/// The position of the observer, 0 without one.
pub fn position() -> u64 {
    observing()
        .as_ref()
        .map_or(0, |observing| observing.observer.position())
}

/// Has the observer told, if there is one and it watches this very process.
pub(crate) fn tell(what: impl FnOnce(&mut dyn Observer)) {
    match observing().as_mut() {
        Some(observing) if observing.process == process::id() => what(&mut *observing.observer),
        _ => {}
    }
}

/// How often libpmem was called.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    flushes: AtomicU64,
    lines: AtomicU64,
    fences: AtomicU64,
}

/// The counters' values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ranges flushed.
    pub flushes: u64,
    /// Lines flushed.
    pub lines: u64,
    /// Fences.
    pub fences: u64,
}

impl Counters {
    /// What has been counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            flushes: self.flushes.load(Ordering::Relaxed),
            lines: self.lines.load(Ordering::Relaxed),
            fences: self.fences.load(Ordering::Relaxed),
        }
    }

    /// The counters in the file `path`, which is created if need be; they stay mapped.
    pub fn map(path: &Path) -> io::Result<&'static Counters> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let len = size_of::<Counters>();
        if file.metadata()?.len() < len as u64 {
            file.set_len(len as u64)?;
        }
        let map: MmapRaw = MmapOptions::new().len(len).map_raw(&file)?;
        let counters = map.as_mut_ptr().cast::<Counters>();
        std::mem::forget(map);
        // SAFETY: the mapping has the size of the counters, is page-aligned, and is never unmapped,
        // as its owner is forgotten; any bytes are valid counters, and they are atomic.
        Ok(unsafe { &*counters })
    }
}

static OWN_COUNTERS: Counters = Counters {
    flushes: AtomicU64::new(0),
    lines: AtomicU64::new(0),
    fences: AtomicU64::new(0),
};
static COUNTERS: AtomicPtr<Counters> = AtomicPtr::new(ptr::null_mut());

/// Has the counters of this process be these from now on.
pub(crate) fn count_in(counters: &'static Counters) {
    COUNTERS.store(ptr::from_ref(counters).cast_mut(), Ordering::Relaxed);
}

/// The counters of this process.
pub fn counters() -> &'static Counters {
    // SAFETY: only `count_in` sets the pointer, from a reference that is valid for ever.
    unsafe { COUNTERS.load(Ordering::Relaxed).as_ref() }.unwrap_or(&OWN_COUNTERS)
}

static UNMAPPINGS: AtomicU64 = AtomicU64::new(0);

/// How often this process has unmapped memory: what was known of its mappings may be outdated.
pub(crate) fn unmappings() -> u64 {
    UNMAPPINGS.load(Ordering::Relaxed)
}

fn flush(address: *const c_void, len: usize) {
    if len == 0 {
        return;
    }
    let (start, end) = (address as usize, address as usize + len);
    let lines = end.div_ceil(LINE_BYTES) - start / LINE_BYTES;
    counters().flushes.fetch_add(1, Ordering::Relaxed);
    counters().lines.fetch_add(lines as u64, Ordering::Relaxed);
    tell(|observer| observer.flush(start, len));
}

fn fence() {
    std::sync::atomic::fence(Ordering::SeqCst);
    counters().fences.fetch_add(1, Ordering::Relaxed);
    tell(|observer| observer.fence());
}

const PMEM_F_MEM_NODRAIN: c_uint = 1 << 0;
const PMEM_F_MEM_NOFLUSH: c_uint = 1 << 5;

/// What follows a copy or a fill with `flags` of libpmem.
fn flush_by_flags(address: *mut c_void, len: usize, flags: c_uint) {
    if flags & PMEM_F_MEM_NOFLUSH == 0 {
        flush(address, len);
        if flags & PMEM_F_MEM_NODRAIN == 0 {
            fence();
        }
    }
}

/// Stands in for libpmem's function of that name.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_flush(address: *const c_void, len: usize) {
    flush(address, len);
}

/// Stands in for libpmem's function of that name.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_deep_flush(address: *const c_void, len: usize) {
    flush(address, len);
}

/// Stands in for libpmem's function of that name.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_drain() {
    fence();
}

/// Stands in for libpmem's function of that name.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_deep_drain(_address: *const c_void, _len: usize) -> c_int {
    fence();
    0
}

/// Stands in for libpmem's function of that name.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_persist(address: *const c_void, len: usize) {
    flush(address, len);
    fence();
}

/// Stands in for libpmem's function of that name.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_deep_persist(address: *const c_void, len: usize) -> c_int {
    flush(address, len);
    fence();
    0
}

/// Stands in for libpmem's function of that name; writes whole lines back, not whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_msync(address: *const c_void, len: usize) -> c_int {
    flush(address, len);
    fence();
    0
}

/// Stands in for libc's function: the kernel is asked too, as not all synced memory is a pool.
///
/// # Safety
/// As for libc's: none, the kernel checks the range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msync(address: *mut c_void, len: usize, flags: c_int) -> c_int {
    flush(address, len);
    fence();
    // SAFETY: the call only writes mapped bytes back; the kernel checks the range.
    unsafe { libc::syscall(libc::SYS_msync, address, len, flags) as c_int }
}

/// Stands in for libc's function, to know when addresses change their meaning.
///
/// # Safety
/// As for libc's: nothing may use the range any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn munmap(address: *mut c_void, len: usize) -> c_int {
    UNMAPPINGS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: what the caller promises is what the kernel's call needs.
    unsafe { libc::syscall(libc::SYS_munmap, address, len) as c_int }
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memmove`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the caller promises that both ranges are valid; they may overlap.
    unsafe { ptr::copy(from.cast::<u8>(), to.cast::<u8>(), len) };
    flush_by_flags(to, len, flags);
    to
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memcpy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the caller promises more than a move needs.
    unsafe { pmem_memmove(to, from, len, flags) }
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset(
    to: *mut c_void,
    value: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the caller promises that the range is valid.
    unsafe { ptr::write_bytes(to.cast::<u8>(), value as u8, len) };
    flush_by_flags(to, len, flags);
    to
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memmove`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_persist(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller promises what the call needs.
    unsafe { pmem_memmove(to, from, len, 0) }
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memcpy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_persist(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller promises what the call needs.
    unsafe { pmem_memmove(to, from, len, 0) }
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_persist(
    to: *mut c_void,
    value: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller promises what the call needs.
    unsafe { pmem_memset(to, value, len, 0) }
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memmove`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_nodrain(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller promises what the call needs.
    unsafe { pmem_memmove(to, from, len, PMEM_F_MEM_NODRAIN) }
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memcpy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_nodrain(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller promises what the call needs.
    unsafe { pmem_memmove(to, from, len, PMEM_F_MEM_NODRAIN) }
}

/// Stands in for libpmem's function of that name.
///
/// # Safety
/// As for libc's `memset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_nodrain(
    to: *mut c_void,
    value: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller promises what the call needs.
    unsafe { pmem_memset(to, value, len, PMEM_F_MEM_NODRAIN) }
}
