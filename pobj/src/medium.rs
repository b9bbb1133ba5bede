//! The mapped pool as bytes: every load from and store to persistent memory goes through here.
//!
//! Invariants
//! * A load checks bounds and alignment and borrows the medium; a store borrows it mutably. The
//!   borrow checker therefore proves that no reference into the pool outlives a store.
//! * A store is durable only after a `flush` of its lines and a `fence` after that.
//! * An aligned 8-byte store is one store instruction, hence never torn by a power cut.
//!
//! This file and `heap.rs` are the only ones of the crate that touch pool memory.

use crate::error::{Result, damaged};
use crate::layout::LINE;
use crate::ptr::Persistent;
use crate::snapshot::Snapshots;
use pmemobj_sys::Libpmemobj;
use std::mem::{align_of, size_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often the medium was flushed and fenced by us (not by libpmemobj) since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Cache lines flushed.
    pub lines: u64,
    /// Fences (drains).
    pub fences: u64,
}

/// The mapping of one open pool.
pub(crate) struct Medium {
    lib: &'static Libpmemobj,
    base: NonNull<u8>,
    len: u64,
    traffic: Traffic,
    /// What a fork child sees.
    pub snapshots: Snapshots,
}

impl Medium {
    /// Takes the mapping of `len` bytes that begins at the pool handle `pop`.
    ///
    /// # Safety
    /// `pop` must be an open pool whose mapping of at least `len` readable and writable bytes starts
    /// at the handle's address and stays mapped while the medium lives.
    pub unsafe fn new(lib: &'static Libpmemobj, pop: NonNull<u8>, len: u64) -> Result<Medium> {
        // SAFETY: as the caller promises.
        let snapshots = unsafe { Snapshots::new(pop, len)? };
        Ok(Medium {
            lib,
            base: pop,
            len,
            traffic: Traffic::default(),
            snapshots,
        })
    }

    /// Bytes mapped.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Address of the first byte.
    pub fn base_address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// Flushes and fences issued so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The offset range, checked against the mapping.
    #[inline]
    fn check(&self, offset: u64, len: u64) -> Result<*mut u8> {
        match offset.checked_add(len) {
            // SAFETY: `offset <= offset + len <= self.len`, so the result stays inside the mapping,
            // which is one allocation.
            Some(end) if end <= self.len => Ok(unsafe { self.base.as_ptr().add(offset as usize) }),
            _ => Err(damaged("a pointer leaves the pool", offset)),
        }
    }

    /// `len` bytes at `offset`.
    #[inline]
    pub fn bytes(&self, offset: u64, len: u64) -> Result<&[u8]> {
        let at = self.check(offset, len)?;
        if self.snapshots.is_child() {
            return Ok(self.snapshots.view(offset, len));
        }
        // SAFETY: the range lies inside the mapping (checked), any byte is a valid u8, and nobody
        // writes it while the result lives: all stores of this process take `&mut self`, and
        // libpmemobj writes only its own metadata and reserved objects nobody has a pointer to.
        Ok(unsafe { std::slice::from_raw_parts(at, len as usize) })
    }

    /// The `T` at `offset`.
    #[inline]
    pub fn get<T: Persistent>(&self, offset: u64) -> Result<&T> {
        const {
            assert!(
                align_of::<T>() <= 8,
                "persistent types are at most 8-byte aligned"
            )
        };
        if !offset.is_multiple_of(align_of::<T>() as u64) {
            return Err(damaged("a misaligned pointer", offset));
        }
        let len = size_of::<T>() as u64;
        let mut at = self.check(offset, len)?.cast_const();
        if self.snapshots.is_child() {
            at = self.snapshots.view(offset, len).as_ptr();
        }
        // SAFETY: inside the mapping, or a copy in a fork child, and aligned (checked; the mapping itself is
        // page-aligned, and a copy is as aligned as its offset, up to 8); any
        // bit pattern is a `T: Pod`; not written while borrowed, as for `bytes`.
        Ok(unsafe { &*at.cast::<T>() })
    }

    /// A copy of the word at `offset`.
    #[inline]
    pub fn word(&self, offset: u64) -> Result<u64> {
        self.get::<u64>(offset).copied()
    }

    /// Stores `bytes` at `offset` without flushing.
    #[inline]
    pub fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let at = self.check(offset, bytes.len() as u64)?;
        self.snapshots.preserve(offset, bytes.len() as u64);
        if let (Ok(word), true) = (<[u8; 8]>::try_from(bytes), offset.is_multiple_of(8)) {
            // SAFETY: in bounds and 8-byte aligned; `&mut self` excludes every reference into the
            // pool; an atomic store keeps the compiler from splitting it.
            unsafe { AtomicU64::from_ptr(at.cast()) }
                .store(u64::from_ne_bytes(word), Ordering::Relaxed);
            return Ok(());
        }
        // SAFETY: the target is in bounds and, as `bytes` cannot borrow the pool while `&mut self`
        // lives, does not overlap the source.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
        Ok(())
    }

    /// Stores and flushes `bytes` with non-temporal stores where they pay; `fence` makes it durable.
    pub fn stream(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.copy(offset, bytes, pmemobj_sys::PMEMOBJ_F_MEM_NODRAIN)
    }

    /// [`Medium::stream`] around the cache, however few the bytes: for whole lines that nobody loads soon.
    pub fn stream_lines(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        debug_assert!(offset.is_multiple_of(LINE) && (bytes.len() as u64).is_multiple_of(LINE));
        let flags = pmemobj_sys::PMEMOBJ_F_MEM_NODRAIN | pmemobj_sys::PMEMOBJ_F_MEM_NONTEMPORAL;
        self.copy(offset, bytes, flags)
    }

    /// Lets libpmemobj store and flush `bytes`; the flags, which include NODRAIN, say how.
    #[inline]
    fn copy(&mut self, offset: u64, bytes: &[u8], flags: u32) -> Result<()> {
        let at = self.check(offset, bytes.len() as u64)?;
        self.snapshots.preserve(offset, bytes.len() as u64);
        self.traffic.lines += lines(offset, bytes.len() as u64);
        // SAFETY: as in `store`; the pool is open, and libpmemobj only copies and flushes.
        unsafe {
            self.lib.pmemobj_memcpy(
                self.base.as_ptr().cast(),
                at.cast(),
                bytes.as_ptr().cast(),
                bytes.len(),
                flags,
            );
        }
        Ok(())
    }

    /// Starts writing back the lines of `len` bytes at `offset`.
    #[inline]
    pub fn flush(&mut self, offset: u64, len: u64) -> Result<()> {
        let at = self.check(offset, len)?;
        self.traffic.lines += lines(offset, len);
        // SAFETY: the range lies in the open pool's mapping; flushing changes no byte.
        unsafe {
            self.lib
                .pmemobj_flush(self.base.as_ptr().cast(), at.cast(), len as usize)
        };
        Ok(())
    }

    /// Waits until all flushed lines are durable.
    #[inline]
    pub fn fence(&mut self) {
        self.traffic.fences += 1;
        // SAFETY: the pool is open; a drain touches no memory.
        unsafe { self.lib.pmemobj_drain(self.base.as_ptr().cast()) };
    }
}

/// Number of cache lines that `len` bytes at `offset` touch.
fn lines(offset: u64, len: u64) -> u64 {
    if len == 0 {
        0
    } else {
        (offset + len - 1) / LINE - offset / LINE + 1
    }
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_touched() {
        assert_eq!(
            [lines(0, 0), lines(0, 1), lines(63, 1), lines(63, 2)],
            [0, 1, 1, 2]
        );
        assert_eq!([lines(64, 64), lines(65, 64), lines(60, 200)], [1, 2, 5]);
    }
}
