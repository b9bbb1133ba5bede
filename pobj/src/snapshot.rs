//! Snapshots for a fork child: the pool as it was at the fork, while the parent writes on.
//!
//! The pool is mapped shared, so a child sees the parent's later stores. While a child lives, the
//! parent therefore copies each 4 KiB page of the pool to the *shadow*, a mapping that both share,
//! before the first store to it, and sets the page's bit. The child copies what it reads, then
//! looks at the bits: where one is set, the shadow has the bytes of the fork, else the copy has
//! them.
//!
//! Invariants
//! * The order in the parent: copy to the shadow, set the bit, store. The order in the child: load
//!   from the pool, load the bit. So a child that loads anything new finds the bit set.
//! * Whatever may change bytes without passing `Medium::store` (libpmemobj, when it reuses freed
//!   memory) is preceded by [`Snapshots::preserve`] of those bytes.
//!
//! Cost: a bit test a store and 0.5 µs a page touched for the first time; memory for the pages
//! changed while a child lives, given back when it is gone. The mappings are reserved address space
//! until then.

use crate::error::{Error, Result};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

const PAGE: u64 = 4096;

/// Which side of a fork this process is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// No child lives.
    Alone,
    /// A child lives and wants the old bytes.
    Parent,
    /// This process is the child.
    Child,
}

/// The shadow of one mapped pool.
pub(crate) struct Snapshots {
    pool: NonNull<u8>,
    /// Bytes that the pool has, or may grow to.
    len: u64,
    /// Bytes that it had at the fork: a child knows of no others.
    seen: u64,
    shadow: NonNull<u8>,
    bits: NonNull<u8>,
    role: Role,
    /// What the child has copied, until [`Snapshots::forget`].
    copies: RefCell<Vec<Box<[u64]>>>,
}

impl Snapshots {
    /// Reserves the shadow of a pool of `len` bytes at most.
    ///
    /// # Safety
    /// `pool` must be a mapping that outlives the result, and of which those bytes are readable
    /// that are asked for: of the first `len`, those that the pool has.
    pub(crate) unsafe fn new(pool: NonNull<u8>, len: u64) -> Result<Snapshots> {
        let shadow = reserve(len)?;
        let bits = reserve(bits_len(len)).inspect_err(|_| release(shadow, len))?;
        Ok(Snapshots {
            pool,
            len,
            seen: 0,
            shadow,
            bits,
            role: Role::Alone,
            copies: RefCell::default(),
        })
    }

    /// Bytes that the pool has, or may grow to.
    pub(crate) fn reserved(&self) -> u64 {
        self.len
    }

    /// A child was forked when the pool had `len` bytes: from here on their old content is kept for
    /// it.
    pub(crate) fn begin(&mut self, len: u64) {
        if self.role == Role::Alone {
            self.role = Role::Parent;
            self.seen = len;
        }
    }

    /// The child is gone: what was kept is given back.
    pub(crate) fn end(&mut self) {
        if self.role != Role::Parent {
            return;
        }
        self.role = Role::Alone;
        for (at, len) in [(self.shadow, self.len), (self.bits, bits_len(self.len))] {
            // SAFETY: a whole mapping of ours; MADV_REMOVE makes its pages read as zeros again.
            let failed =
                unsafe { libc::madvise(at.as_ptr().cast(), len as usize, libc::MADV_REMOVE) };
            if failed != 0 && at == self.bits {
                // SAFETY: as above: our own mapping, all of it.
                unsafe { at.as_ptr().write_bytes(0, len as usize) };
            }
        }
    }

    /// This process is the child: reads give the bytes of the fork.
    pub(crate) fn enter(&mut self) {
        self.role = Role::Child;
    }

    /// True in the parent of a living child.
    pub(crate) fn is_parent(&self) -> bool {
        self.role == Role::Parent
    }

    /// True in the child.
    #[inline]
    pub(crate) fn is_child(&self) -> bool {
        self.role == Role::Child
    }

    /// Drops the copies that reads have made.
    pub(crate) fn forget(&mut self) {
        self.copies.get_mut().clear();
    }

    fn bit(&self, page: u64) -> (&AtomicU64, u64) {
        // SAFETY: `page` is one of the pool's, so the word lies in the bits' mapping, which is
        // aligned and only ever accessed atomically while a child lives.
        let word = unsafe {
            AtomicU64::from_ptr(self.bits.as_ptr().cast::<u64>().add((page / 64) as usize))
        };
        (word, 1 << (page % 64))
    }

    /// Keeps the bytes of `len` at `offset`, inside the pool, for a child before they change.
    #[inline]
    pub(crate) fn preserve(&self, offset: u64, len: u64) {
        if self.role == Role::Parent && len > 0 {
            self.preserve_pages(offset / PAGE, (offset + len - 1) / PAGE);
        }
    }

    #[cold]
    fn preserve_pages(&self, first: u64, last: u64) {
        for page in first..=last.min(self.seen.div_ceil(PAGE).saturating_sub(1)) {
            let (word, bit) = self.bit(page);
            if word.load(Ordering::Relaxed) & bit != 0 {
                continue;
            }
            let at = (page * PAGE) as usize;
            let len = PAGE.min(self.seen - page * PAGE) as usize;
            // SAFETY: one page of the pool and the same page of the shadow, both mapped up to
            // `self.seen` and beyond; this process, the only writer of both, is here.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    self.pool.as_ptr().add(at),
                    self.shadow.as_ptr().add(at),
                    len,
                )
            };
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// The bytes that `len` bytes at `offset`, inside the pool, had at the fork; at an 8-byte
    /// aligned address if `offset` is 8-byte aligned.
    pub(crate) fn view(&self, offset: u64, len: u64) -> &[u8] {
        let lead = (offset % 8) as usize;
        let mut copy = vec![0u64; (lead + len as usize).div_ceil(8)].into_boxed_slice();
        let target: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut copy)[lead..lead + len as usize];
        // SAFETY: the range lies in the pool's mapping (caller: `Medium` has checked it); the
        // parent may store to it meanwhile, from another process: the bits tell, and what was torn
        // is replaced below.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.pool.as_ptr().add(offset as usize),
                target.as_mut_ptr(),
                target.len(),
            );
        }
        fence(Ordering::SeqCst);
        for page in offset / PAGE..=(offset + len.max(1) - 1) / PAGE {
            let (word, bit) = self.bit(page);
            if word.load(Ordering::SeqCst) & bit != 0 {
                let from = offset.max(page * PAGE);
                let to = (offset + len).min((page + 1) * PAGE);
                let part = &mut target[(from - offset) as usize..(to - offset) as usize];
                // SAFETY: the same range of the shadow, complete since the bit is set, and not
                // written again while this child lives.
                unsafe {
                    let shadow = self.shadow.as_ptr().add(from as usize);
                    std::ptr::copy_nonoverlapping(shadow, part.as_mut_ptr(), part.len());
                }
            }
        }
        let start = target.as_ptr();
        self.copies.borrow_mut().push(copy);
        // SAFETY: the bytes belong to a box now owned by `self.copies`, which does not move its
        // contents, and which only `forget` empties: that takes `&mut self`, so the result is dead
        // by then.
        unsafe { std::slice::from_raw_parts(start, len as usize) }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        release(self.shadow, self.len);
        release(self.bits, bits_len(self.len));
    }
}

fn bits_len(len: u64) -> u64 {
    len.div_ceil(PAGE).div_ceil(64) * 8
}

/// Address space that forked children share; memory comes with the first store.
fn reserve(len: u64) -> Result<NonNull<u8>> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh mapping at an address the kernel chooses.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len as usize, protection, flags, -1, 0) };
    match NonNull::new(at.cast::<u8>()) {
        Some(start) if at != libc::MAP_FAILED => Ok(start),
        _ => Err(Error::Io(format!(
            "reserving a snapshot's memory: {}",
            std::io::Error::last_os_error()
        ))),
    }
}

fn release(at: NonNull<u8>, len: u64) {
    // SAFETY: exactly one mapping of ours, of which no reference is left.
    unsafe { libc::munmap(at.as_ptr().cast(), len as usize) };
}
