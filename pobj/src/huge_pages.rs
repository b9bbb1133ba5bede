//! Huge pages under a pool on tmpfs.
//!
//! A DAX file system maps a pool with pages of 2 MiB. tmpfs has pages of 4 KiB, unless it was
//! mounted otherwise: then an access to a record that no cache has waits for the processor's tables
//! of addresses first. Linux from 6.1 on puts huge pages in the place of those that are there, if
//! it is asked to (`MADV_COLLAPSE`). That takes some 0.2 ms for each, more if memory has to be
//! moved for it, so a thread of its own asks, one page after the other. The bytes stay what they
//! are; who accesses them meanwhile waits for the copy of one page at most.
//!
//! Where it is not to be had (another file system, an older kernel, a server that has disabled huge
//! pages for itself), the thread ends with the first refusal; where memory is short, after some.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;
/// Linux's number of the advice.
const MADV_COLLAPSE: libc::c_int = 25;
/// From one page to the next at least, and how many times as long as the last one took: what they
/// hold up, memory that has to be moved above all, is held up for a fifth of the time at most.
const PAUSE: Duration = Duration::from_millis(1);
const REST: u32 = 4;
/// So many refusals one after the other for want of memory are enough.
const REFUSALS: u32 = 16;

/// The thread that asks; it ends when this is dropped.
pub(crate) struct HugePages {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HugePages {
    /// Begins with a mapping of `len` bytes; `None` if there can be no thread.
    ///
    /// # Safety
    /// The mapping must stay until the result is dropped.
    pub(crate) unsafe fn begin(start: NonNull<u8>, len: u64) -> Option<HugePages> {
        let ends = Arc::new(AtomicBool::new(false));
        let (told, first) = (Arc::clone(&ends), start.as_ptr().addr());
        let end = first + len as usize;
        let work = move || {
            block_signals();
            let _ = collapse(first.next_multiple_of(HUGE), end, &told);
        };
        let thread = thread::Builder::new().name("pobj-huge".into());
        let thread = thread.stack_size(64 << 10).spawn(work).ok()?;
        Some(HugePages {
            ends,
            thread: Some(thread),
        })
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Asks for each whole huge page between two addresses: for how many it has asked.
fn collapse(first: usize, end: usize, ends: &AtomicBool) -> usize {
    let (mut refusals, mut asked_for) = (0, 0);
    for at in (first..end.saturating_sub(HUGE - 1)).step_by(HUGE) {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        asked_for += 1;
        let page = std::ptr::with_exposed_provenance_mut(at);
        let begun = Instant::now();
        // SAFETY: the range lies in a mapping that stays while this thread runs; the advice changes
        // no byte of it.
        let asked = unsafe { libc::madvise(page, HUGE, MADV_COLLAPSE) };
        match asked {
            0 => refusals = 0,
            _ if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => break,
            _ => refusals += 1,
        }
        if refusals == REFUSALS {
            break;
        }
        thread::sleep(PAUSE.max(begun.elapsed() * REST));
    }
    asked_for
}

/// Signals are for the threads of the process that expects them.
fn block_signals() {
    // SAFETY: a set of signals may begin as zeros, and is filled before it is used; only this
    // thread's mask changes.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_what_they_are() {
        let len = 4 * HUGE;
        // SAFETY: a fresh shared mapping at an address the kernel chooses, and all of it.
        let bytes = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let at = libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            std::slice::from_raw_parts_mut(at.cast::<u8>(), len)
        };
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = (n / 4096 * 7) as u8;
        }
        let start = NonNull::from(&mut bytes[0]);
        // SAFETY: the mapping is never taken away.
        let mut pages = unsafe { HugePages::begin(start, len as u64) }.unwrap();
        let thread = pages.thread.take().unwrap();
        thread.join().unwrap();
        let right = |(n, &byte): (usize, &u8)| byte == (n / 4096 * 7) as u8;
        assert!(bytes.iter().enumerate().all(right));
    }

    #[test]
    fn it_ends_when_it_is_told_to_or_refused() {
        // Nothing is mapped at these addresses: each page is refused.
        let ends = AtomicBool::new(true);
        assert_eq!(collapse(HUGE, 1 << 40, &ends), 0);
        ends.store(false, Ordering::Relaxed);
        let asked_for = collapse(HUGE, 1 << 40, &ends);
        assert!((1..=REFUSALS as usize).contains(&asked_for), "{asked_for}");
    }
}
