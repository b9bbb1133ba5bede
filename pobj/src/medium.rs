//! The mapped pool as bytes: every load from and store to persistent memory goes through here.
//!
//! Invariants
//! * A load checks bounds and alignment and borrows the medium; a store borrows it mutably. The
//!   borrow checker therefore proves that no reference into the pool outlives a store.
//! * A store is durable only after a `flush` of its lines and a `fence` after that.
//! * An aligned 8-byte store is one store instruction, hence never torn by a power cut.
//! * Writes that wait for their record's fence ([`Medium::defer_commit`]) are in place before
//!   anything else is loaded or stored.
//!
//! This file, `medium/private.rs` and `heap.rs` are the only ones of the crate that touch pool
//! memory.

mod private;

use crate::error::{Result, damaged};
use crate::images::changes::Changes;
use crate::layout::LINE;
use crate::lines::{Lines, lines};
use crate::log_record::{Writes, first_write};
use crate::ptr::{PPtr, Persistent};
use crate::snapshot::Snapshots;
use pmdk_bindings::Libpmemobj;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
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

/// What a record leaves to be done after its fence.
#[derive(Default)]
struct Pending {
    /// Its writes.
    writes: Writes,
    /// Lines of writes that are in place, not yet on their way to the medium.
    dirty: Lines,
}

/// The mapping of an open pool for several threads that load from it, while nobody stores.
#[derive(Clone, Copy)]
pub struct Reader<'m> {
    base: NonNull<u8>,
    len: u64,
    life: PhantomData<&'m Medium>,
}

// SAFETY: it only loads. While it lives the medium is borrowed, so that no `&mut` of it stores; and
// the commit that is pending, which `complete_commit` would store, is in place: that was done when
// the reader was made, and only a store defers one.
unsafe impl Send for Reader<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for Reader<'_> {}

impl<'m> Reader<'m> {
    /// The `len` bytes at `ptr`; `None` outside the pool. O(1).
    #[inline]
    pub fn bytes(self, ptr: PPtr<u8>, len: u64) -> Option<&'m [u8]> {
        let end = ptr.offset().checked_add(len)?;
        // SAFETY: inside the mapping (checked), which nobody stores to while the medium is
        // borrowed.
        (end <= self.len).then(|| unsafe {
            let at = self.base.as_ptr().add(ptr.offset() as usize).cast_const();
            std::slice::from_raw_parts(at, len as usize)
        })
    }

    /// A copy of the `T` at `offset`; `None` outside the pool.
    #[inline]
    pub(crate) fn load<T: Persistent>(self, offset: u64) -> Option<T> {
        let end = offset.checked_add(size_of::<T>() as u64)?;
        // SAFETY: inside the mapping (checked), which nobody stores to while this lives; any bit
        // pattern is a `T: Pod`, read at any alignment.
        (end <= self.len).then(|| unsafe {
            let at = self.base.as_ptr().add(offset as usize).cast_const();
            at.cast::<T>().read_unaligned()
        })
    }

    /// Begins to load the line at `offset`, which may be anywhere.
    #[inline]
    pub(crate) fn prefetch(self, offset: u64) {
        prefetch(self.base.as_ptr().wrapping_add(offset as usize));
    }
}

/// Begins to load the line at `at`.
#[inline]
fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint that accesses no memory as the program sees it, so any address
    // will do.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The mapping of one open pool.
pub(crate) struct Medium {
    lib: &'static Libpmemobj,
    base: NonNull<u8>,
    len: u64,
    traffic: Cell<Traffic>,
    /// What a fork child sees.
    pub snapshots: Snapshots,
    pending: RefCell<Pending>,
    /// What has changed, of a pool with a journal: then the mapping is private, and there is
    /// nothing to flush.
    changes: Option<RefCell<Changes>>,
    /// Not every byte is as a load has to give it: `pending` waits for its fence, or this is a fork
    /// child.
    slow_path: Cell<bool>,
}

impl Medium {
    /// Takes the mapping of `len` bytes that begins at the pool handle `pop`, and may grow to
    /// `reserved`.
    ///
    /// # Safety
    /// `pop` must be an open pool whose mapping of at least `len` readable and writable bytes
    /// starts at the handle's address and stays mapped while the medium lives.
    pub(crate) unsafe fn new(
        lib: &'static Libpmemobj,
        pop: NonNull<u8>,
        len: u64,
        reserved: u64,
    ) -> Result<Medium> {
        debug_assert!(len.is_multiple_of(LINE));
        // SAFETY: as the caller promises.
        let snapshots = unsafe { Snapshots::new(pop, len.max(reserved))? };
        Ok(Medium {
            lib,
            base: pop,
            len,
            traffic: Cell::default(),
            snapshots,
            pending: RefCell::default(),
            changes: None,
            slow_path: Cell::new(false),
        })
    }

    /// Bytes mapped.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The mapping has `len` bytes from now on, more than before and no more than were reserved:
    /// libpmemobj has mapped them.
    pub(crate) fn grow(&mut self, len: u64) {
        self.len = len.min(self.snapshots.reserved()).max(self.len);
    }

    /// Bytes of address space that are the pool's.
    pub(crate) fn reserved(&self) -> u64 {
        self.snapshots.reserved()
    }

    /// Address of the first byte.
    pub(crate) fn base_address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// For several threads that only load; `None` in a fork child, whose loads take a way of their
    /// own.
    pub(crate) fn reader(&self) -> Option<Reader<'_>> {
        self.complete_commit();
        (!self.snapshots.is_child()).then_some(Reader {
            base: self.base,
            len: self.len,
            life: PhantomData,
        })
    }

    /// Flushes and fences issued so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    /// Where `len` bytes at `offset` are; `None` if they are not inside the mapping.
    #[inline]
    fn find(&self, offset: u64, len: u64) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        // SAFETY: `offset <= offset + len <= self.len`, so the result stays inside the mapping,
        // which is one allocation.
        (end <= self.len).then(|| unsafe { self.base.as_ptr().add(offset as usize) })
    }

    /// The offset range, checked against the mapping.
    #[inline]
    fn check(&self, offset: u64, len: u64) -> Result<*mut u8> {
        match self.find(offset, len) {
            Some(at) => Ok(at),
            None => Err(damaged("a pointer leaves the pool", offset)),
        }
    }

    /// `len` bytes at `offset`.
    #[inline]
    pub(crate) fn bytes(&self, offset: u64, len: u64) -> Result<&[u8]> {
        let mut at = self.check(offset, len)?.cast_const();
        if self.slow_path.get() {
            at = self.slow_load(offset, len, at);
        }
        // SAFETY: the range lies inside the mapping (checked), or is a fork child's copy of it; any
        // byte is a valid u8, and nobody writes it while the result lives: all stores of this
        // process take `&mut self` but those of `complete_commit`, which the slow path has done
        // before, and libpmemobj writes only its own metadata and reserved objects nobody has a
        // pointer to.
        Ok(unsafe { std::slice::from_raw_parts(at, len as usize) })
    }

    /// Begins to load the line at `offset`.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64) {
        if let Some(at) = self.find(offset, 1) {
            prefetch(at);
        }
    }

    /// A copy of the `T` that lies at `offset`, before a pending commit is completed. `None`
    /// outside the pool.
    #[inline]
    pub(crate) fn peek<T: Persistent>(&self, offset: u64) -> Option<T> {
        let at = self.find(offset, size_of::<T>() as u64)?;
        // SAFETY: inside the mapping (checked); any bit pattern is a `T: Pod`, read at any
        // alignment; the one thread that stores is this one, as a medium is not `Sync`, and it
        // holds no `&mut` into the mapping.
        Some(unsafe { at.cast_const().cast::<T>().read_unaligned() })
    }

    /// The `T` at `offset`.
    #[inline]
    pub(crate) fn get<T: Persistent>(&self, offset: u64) -> Result<&T> {
        const {
            assert!(
                align_of::<T>() <= 8,
                "persistent types are at most 8-byte aligned"
            )
        };
        let len = size_of::<T>() as u64;
        let found = if offset.is_multiple_of(align_of::<T>() as u64) {
            self.find(offset, len)
        } else {
            None
        };
        let Some(at) = found else {
            return Err(damaged(
                "a pointer that is misaligned, or leaves the pool",
                offset,
            ));
        };
        let mut at = at.cast_const();
        if self.slow_path.get() {
            at = self.slow_load(offset, len, at);
        }
        // SAFETY: inside the mapping, or a copy in a fork child, and aligned (checked; the mapping
        // itself is page-aligned, and a copy is as aligned as its offset, up to 8); any bit pattern
        // is a `T: Pod`; not written while borrowed, as for `bytes`.
        Ok(unsafe { &*at.cast::<T>() })
    }

    /// Where to load the checked range from, whose place in the mapping is `at`, after what a load
    /// has to wait for.
    #[cold]
    fn slow_load(&self, offset: u64, len: u64, at: *const u8) -> *const u8 {
        self.complete_commit();
        if self.snapshots.is_child() {
            self.snapshots.view(offset, len).as_ptr()
        } else {
            at
        }
    }

    /// This process is a fork child: reads give the bytes of the fork.
    pub(crate) fn enter_snapshot(&mut self) {
        self.snapshots.enter();
        self.slow_path.set(true);
    }

    /// A copy of the word at `offset`.
    #[inline]
    pub(crate) fn word(&self, offset: u64) -> Result<u64> {
        self.get::<u64>(offset).copied()
    }

    /// Stores `bytes` at `offset` without flushing.
    #[inline]
    pub(crate) fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let at = self.check(offset, bytes.len() as u64)?;
        if self.slow_path.get() {
            self.complete_commit();
        }
        self.place(offset, at, bytes);
        Ok(())
    }

    /// Stores `bytes` at `at`, which is the checked place of `offset`. While it runs there is no
    /// reference into the pool: of its callers `store` has `&mut self`, and `complete_commit` says
    /// why.
    #[inline]
    fn place(&self, offset: u64, at: *mut u8, bytes: &[u8]) {
        self.snapshots.preserve(offset, bytes.len() as u64);
        self.note(offset, bytes.len() as u64);
        if let (Ok(word), true) = (<[u8; 8]>::try_from(bytes), offset.is_multiple_of(8)) {
            // SAFETY: in bounds and 8-byte aligned; there is no reference into the pool; an atomic
            // store keeps the compiler from splitting it.
            unsafe { AtomicU64::from_ptr(at.cast()) }
                .store(u64::from_le_bytes(word), Ordering::Relaxed);
            return;
        }
        // SAFETY: the target is in bounds and, as `bytes` does not borrow the pool, does not
        // overlap the source.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
    }

    /// Stores and flushes `bytes` with non-temporal stores where they pay; `fence` makes it
    /// durable.
    pub(crate) fn stream(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.copy(offset, bytes, pmdk_bindings::PMEMOBJ_F_MEM_NODRAIN)
    }

    /// [`Medium::stream`] around the cache, however few the bytes: for whole lines that nobody
    /// loads soon.
    pub(crate) fn stream_lines(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        debug_assert!(offset.is_multiple_of(LINE) && (bytes.len() as u64).is_multiple_of(LINE));
        let flags = pmdk_bindings::PMEMOBJ_F_MEM_NODRAIN | pmdk_bindings::PMEMOBJ_F_MEM_NONTEMPORAL;
        self.copy(offset, bytes, flags)
    }

    /// Lets libpmemobj store and flush `bytes`; the flags, which include NODRAIN, say how.
    #[inline]
    fn copy(&mut self, offset: u64, bytes: &[u8], flags: u32) -> Result<()> {
        let at = self.check(offset, bytes.len() as u64)?;
        if self.slow_path.get() {
            self.complete_commit();
        }
        if self.is_noted() {
            self.place(offset, at, bytes);
            return Ok(());
        }
        self.snapshots.preserve(offset, bytes.len() as u64);
        self.count_lines(offset, bytes.len() as u64);
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
    pub(crate) fn flush(&self, offset: u64, len: u64) -> Result<()> {
        let at = self.check(offset, len)?;
        if self.is_noted() {
            return Ok(());
        }
        self.count_lines(offset, len);
        // SAFETY: the range lies in the open pool's mapping; flushing changes no byte.
        unsafe {
            self.lib
                .pmemobj_flush(self.base.as_ptr().cast(), at.cast(), len as usize)
        };
        Ok(())
    }

    /// Waits until all flushed lines are durable, with those of the pending commit.
    #[inline]
    pub(crate) fn fence(&mut self) {
        self.flush_dirty();
        self.drain();
    }

    /// Puts off what follows a record that was just appended: its fence, which makes it durable,
    /// and its writes in place, which must not come before that. [`Medium::complete_commit`] does
    /// both. Empties `batch`.
    #[inline]
    pub(crate) fn defer_commit(&mut self, batch: &mut Writes) {
        debug_assert!(
            !self.slow_path.get(),
            "the record was stored, which completes the last"
        );
        std::mem::swap(&mut self.pending.get_mut().writes, batch);
        self.slow_path.set(true);
    }

    /// Completes the pending commit, if there is one. Every load and store begins with this.
    #[inline]
    pub(crate) fn complete_commit(&self) {
        if self.slow_path.get() && !self.snapshots.is_child() {
            self.complete_pending();
        }
    }

    fn complete_pending(&self) {
        self.drain();
        let Pending { writes, dirty } = &mut *self.pending.borrow_mut();
        // No reference into the pool lives: `defer_commit` had the medium for itself, and whoever
        // loads or stores after it comes here first.
        let placed = self.place_all(writes.encoded(), dirty);
        // Each write was checked when it was collected, and no error could be returned from here.
        // Still pending, the commit has every later load and store end here, too: memory that is
        // not what the log says is never read. The log has the record.
        assert!(placed.is_ok(), "a committed write leaves the pool");
        writes.clear();
        self.slow_path.set(false);
    }

    /// Puts encoded writes in place; [`Medium::flush_dirty`] flushes them.
    pub(crate) fn apply(&mut self, encoded: &[u8]) -> Result<()> {
        self.complete_commit();
        self.place_all(encoded, &mut self.pending.borrow_mut().dirty)
    }

    fn place_all(&self, mut encoded: &[u8], dirty: &mut Lines) -> Result<()> {
        while let Some((offset, bytes, rest)) = first_write(encoded) {
            let len = bytes.len() as u64;
            let Some(at) = self.find(offset, len) else {
                break;
            };
            self.place(offset, at, bytes);
            dirty.add(offset, len);
            encoded = rest;
        }
        match encoded.len() {
            ..8 => Ok(()),
            _ => Err(damaged("a log entry leaves its record or the pool", 0)),
        }
    }

    /// [`Medium::flush`] of what was put in place: not sooner than at the next record, as whoever
    /// reads a line on its way to the medium waits for it.
    #[inline(always)]
    pub(crate) fn flush_dirty(&mut self) {
        self.complete_commit();
        if !self.pending.get_mut().dirty.is_empty() {
            self.flush_dirty_lines();
        }
    }

    #[inline(never)]
    fn flush_dirty_lines(&mut self) {
        let dirty = &mut self.pending.get_mut().dirty;
        if self.changes.is_some() {
            dirty.clear();
            return;
        }
        let mut traffic = self.traffic.get();
        for (start, len) in dirty.drain() {
            traffic.lines += len / LINE;
            // SAFETY: the lines of ranges that were checked, in the mapping of the open pool, whose
            // length is a multiple of a line's; flushing changes no byte.
            unsafe {
                let at = self.base.as_ptr().add(start as usize);
                (self.lib).pmemobj_flush(self.base.as_ptr().cast(), at.cast(), len as usize);
            }
        }
        self.traffic.set(traffic);
    }

    #[inline]
    fn drain(&self) {
        if self.is_noted() {
            return;
        }
        let mut traffic = self.traffic.get();
        traffic.fences += 1;
        self.traffic.set(traffic);
        // SAFETY: the pool is open; a drain touches no memory.
        unsafe { self.lib.pmemobj_drain(self.base.as_ptr().cast()) };
    }

    #[inline]
    fn count_lines(&self, offset: u64, len: u64) {
        let mut traffic = self.traffic.get();
        traffic.lines += lines(offset, len);
        self.traffic.set(traffic);
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if !self.snapshots.is_child() {
            self.fence();
        }
    }
}
