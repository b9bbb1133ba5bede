//! Transactions: a batch of changes, and the ways to make it durable.

mod batch;
mod group;

use crate::Kind;
use crate::alloc::classes;
use crate::alloc::page::{PAGE_LEN, PageHeader, bitmap_word, page_len};
use crate::alloc::slab::{Block, Slot};
use crate::error::{Error, Result, damaged};
use crate::heap::Reserved;
use crate::layout::type_num;
use crate::log::record::{Fill, RecordKind, WRITE_MAX};
use crate::log::ring::{Extras, Ring};
use crate::pool::Pool;
use crate::ptr::{PPtr, Persistent};
use group::Savepoint;
use std::ops::Deref;

pub(crate) use batch::Batch;
pub(crate) use group::Group;

/// Fresh bytes up to this many are hashed into the record, which saves a fence; above, a fence
/// before the record is cheaper than the hash.
const HASH_MAX: u64 = 1280;
/// From this length on, fresh bytes bypass the cache.
const STREAM_MIN: usize = HASH_MAX as usize + 1;
/// Size of the smallest pool that has big slab pages.
const BIG_PAGES_MIN: u64 = 64 << 20;

/// A transaction. Dropped without [`Tx::commit`], by an early return or a panic, it leaves
/// everything as it was.
///
/// Changes are collected first: until [`Tx::step`] or [`Tx::commit`], reads through the transaction
/// see the pool as it was, except for freshly filled bytes.
pub struct Tx<'p> {
    pool: &'p mut Pool,
    start: Option<Savepoint>,
    done: bool,
}

impl Deref for Tx<'_> {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        self.pool
    }
}

impl<'p> Tx<'p> {
    pub(crate) fn new(pool: &'p mut Pool) -> Tx<'p> {
        debug_assert!(pool.batch.is_empty(), "a batch ends with its transaction");
        let start = pool.savepoint();
        Tx {
            pool,
            start,
            done: false,
        }
    }

    /// Allocates at least `size` bytes. They hold anything until filled, and belong to nobody until
    /// commit. O(1).
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    #[inline]
    pub fn alloc(&mut self, size: u64, kind: Kind) -> Result<PPtr<u8>> {
        let offset = match classes::class_of(size) {
            Some(class) if self.pool.uses_pages(class) => {
                let (slot, offset) = match self.pool.slab.reserve(class, kind) {
                    Some(found) => found,
                    None => self.pool.reserve_in_new_page(class, kind)?,
                };
                self.pool.batch.allocs.push(slot);
                offset
            }
            _ => self.pool.reserve_large(size, kind)?,
        };
        PPtr::new(offset).ok_or_else(|| damaged("an allocation at", 0))
    }

    /// Writes bytes that no committed state can reach: into an object this transaction allocated,
    /// or into space that an object of ours does not use. Not logged; durable with the commit.
    ///
    /// # Errors
    /// `Damaged` if the range is not inside an allocated object.
    #[inline]
    pub fn fill(&mut self, ptr: PPtr<u8>, bytes: &[u8]) -> Result<()> {
        let (offset, len) = (ptr.offset(), bytes.len() as u64);
        // No bytes may also lie behind an object that ends with its page.
        if len == 0 {
            return Ok(());
        }
        self.pool.check_owned(offset, len)?;
        let batch = &mut self.pool.batch;
        let fills = if bytes.len() >= STREAM_MIN {
            self.pool.medium.stream(offset, bytes)?;
            &mut batch.streamed
        } else {
            self.pool.medium.store(offset, bytes)?;
            &mut batch.fills
        };
        match fills.last_mut() {
            Some(last) if last.offset + last.len == offset => last.len += len,
            _ => fills.push(Fill { offset, len }),
        }
        Ok(())
    }

    /// [`Tx::fill`] of unused space in an object that may be older than this transaction, such as the
    /// room behind a string's end. Inside a group an earlier step may have given that space up, and
    /// undoing the group needs its bytes: there they are logged.
    ///
    /// # Errors
    /// As for [`Tx::fill`].
    #[inline]
    pub fn fill_spare(&mut self, ptr: PPtr<u8>, bytes: &[u8]) -> Result<()> {
        match self.pool.group {
            Some(_) => self.write(ptr, bytes),
            None => self.fill(ptr, bytes),
        }
    }

    /// [`Tx::fill`] with `len` bytes of the pool itself, which must not overlap the target.
    ///
    /// # Errors
    /// `Damaged` if either range is not inside the pool, or the target not inside an object.
    pub fn fill_from(&mut self, target: PPtr<u8>, source: PPtr<u8>, len: u64) -> Result<()> {
        const CHUNK: u64 = 4096;
        let mut buffer = [0u8; CHUNK as usize];
        for at in (0..len).step_by(CHUNK as usize) {
            let part = CHUNK.min(len - at);
            let copy = &mut buffer[..part as usize];
            copy.copy_from_slice(self.bytes(source.at(at), part)?);
            self.fill(target.at(at), copy)?;
        }
        Ok(())
    }

    /// [`Tx::fill`] with `len` zeros.
    ///
    /// # Errors
    /// As for [`Tx::fill`].
    pub fn fill_zeros(&mut self, target: PPtr<u8>, len: u64) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        for at in (0..len).step_by(ZEROS.len()) {
            let part = (ZEROS.len() as u64).min(len - at) as usize;
            self.fill(target.at(at), &ZEROS[..part])?;
        }
        Ok(())
    }

    /// [`Tx::fill`] with a value.
    #[inline]
    pub fn fill_value<T: Persistent>(&mut self, ptr: PPtr<T>, value: &T) -> Result<()> {
        self.fill(ptr.cast(), bytemuck::bytes_of(value))
    }

    /// Sets a field. Logged.
    ///
    /// # Errors
    /// `Damaged` if the field is not inside an allocated object.
    #[inline]
    pub fn set<T: Persistent>(&mut self, ptr: PPtr<T>, value: T) -> Result<()> {
        self.write(ptr.cast(), bytemuck::bytes_of(&value))
    }

    /// Overwrites bytes. Logged. Must not target an object that the same step frees, nor bytes that
    /// it fills.
    ///
    /// # Errors
    /// `Damaged` if the range is not inside an allocated object.
    #[inline]
    pub fn write(&mut self, ptr: PPtr<u8>, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let offset = ptr.offset();
        self.pool.check_owned(offset, bytes.len() as u64)?;
        if bytes.len() <= WRITE_MAX {
            self.pool.batch.writes.push(offset, bytes);
            return Ok(());
        }
        for (index, part) in bytes.chunks(WRITE_MAX).enumerate() {
            self.pool
                .batch
                .writes
                .push(offset + (index * WRITE_MAX) as u64, part);
        }
        Ok(())
    }

    /// Frees an object. Its memory is reused only after the commit.
    ///
    /// # Errors
    /// `Damaged` if no allocated object starts at `ptr`. Of a small object that is freed twice, the commit
    /// or the next step says so.
    pub fn free<T>(&mut self, ptr: PPtr<T>) -> Result<()> {
        let offset = ptr.offset();
        let block = self.pool.slab.block(offset)?;
        let batch = &mut self.pool.batch;
        match block {
            Block::Slot(slot, size) => match batch.allocs.iter().position(|&own| own == slot) {
                Some(at) => {
                    batch.allocs.swap_remove(at);
                    batch.forget_fills(offset, size);
                    self.pool.slab.release(slot);
                }
                None => batch.frees.push(slot),
            },
            Block::Large(size) => match batch
                .large_allocs
                .iter()
                .position(|own| own.offset() == offset)
            {
                Some(at) => {
                    let reserved = batch.large_allocs.swap_remove(at);
                    batch.forget_fills(offset, size);
                    self.pool.heap.cancel(vec![reserved]);
                    self.pool.slab.remove_large(offset);
                }
                None => {
                    let group = self.pool.group.as_ref();
                    let before = group.map_or(&[][..], |group| &group.large_frees);
                    if before.contains(&offset) || batch.large_frees.contains(&offset) {
                        return Err(damaged("an object that is freed twice", offset));
                    }
                    batch.large_frees.push(offset);
                }
            },
        }
        Ok(())
    }

    /// Moves an object out of the way of an evacuation: all its bytes, as far as it is allocated, to where it
    /// has the same room. The old one is freed with the commit; whoever points to it is the caller's to change.
    /// `None` if it may stay. O(size). Nothing of the object may be written in the same step.
    ///
    /// # Errors
    /// `Full` if there is no other room for it; `Damaged` if no allocated object starts there.
    pub fn relocate(&mut self, ptr: PPtr<u8>, kind: Kind) -> Result<Option<PPtr<u8>>> {
        if !self.evacuating(ptr) {
            return Ok(None);
        }
        let size = self.capacity(ptr)?;
        let target = self.alloc(size, kind)?;
        if self.evacuating(target) || !self.evacuating(ptr) {
            // The evacuation has ended for want of room.
            self.free(target)?;
            return Err(Error::Full(size));
        }
        self.fill_from(target, ptr, size)?;
        self.free(ptr)?;
        Ok(Some(target))
    }

    /// Applies what was collected so far, so that reads see it, while the whole transaction stays
    /// one atomic step. One fence each; the first step adds two.
    ///
    /// # Errors
    /// `Full` if the undo log cannot grow.
    pub fn step(&mut self) -> Result<()> {
        self.pool.apply_step()?;
        if self.start.is_none() {
            self.start = Some(Savepoint::default());
        }
        Ok(())
    }

    /// Leaves everything as it was before the transaction.
    #[cold]
    fn take_back(&mut self) {
        self.pool.drop_batch();
        if let Some(start) = self.start {
            self.pool.roll_back(start);
        }
    }

    /// Makes everything durable, as one atomic step. One fence if there was no [`Tx::step`] and
    /// nothing large was allocated or freed; a second one if more than 1,280 bytes were filled.
    ///
    /// # Errors
    /// On failure nothing has happened.
    pub fn commit(mut self) -> Result<()> {
        if self.pool.group.is_some() || self.pool.held {
            self.pool.apply_step()?;
            if !self.pool.held {
                self.pool.end_group()?;
            }
        } else {
            self.pool.commit_batch()?;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Tx<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.done {
            self.take_back();
        }
    }
}

impl Pool {
    #[inline]
    fn check_owned(&self, offset: u64, len: u64) -> Result<()> {
        if self.slab.owns(offset, len) || self.areas.is_user_word(offset, len) {
            return Ok(());
        }
        Err(damaged("a write outside of any object", offset))
    }

    /// Adds a page and reserves a slot in it. The page is allocated at once: an empty page is a
    /// sound state, so it needs no part in the batch.
    #[cold]
    fn reserve_in_new_page(&mut self, class: u8, kind: Kind) -> Result<(Slot, u64)> {
        let len = page_len(class);
        let reserved = match self.heap.reserve_page(len, type_num::PAGE) {
            Err(Error::Full(_)) if self.group.is_none() && self.trim(usize::MAX)? > 0 => {
                self.heap.reserve_page(len, type_num::PAGE)
            }
            other => other,
        };
        let reserved = match reserved {
            // What is being evacuated has free slots, too.
            Err(Error::Full(_)) if self.slab.evacuating_pages() > 0 => {
                self.slab.end_evacuation();
                let found = self.slab.reserve(class, kind);
                return found.ok_or(Error::Full(len));
            }
            other => other?,
        };
        let offset = reserved.offset();
        let header = PageHeader::new(offset, class, kind);
        let bitmap = vec![0u8; 8 * header.words()];
        self.medium.store(offset, bytemuck::bytes_of(&header))?;
        self.medium.store(bitmap_word(offset, 0), &bitmap)?;
        self.medium.flush(offset, bitmap_word(0, header.words()))?;
        // Publishing starts with a drain, which makes the header durable, and the barrier too.
        self.ring.barrier(&mut self.medium)?;
        self.heap.publish(vec![reserved], &[], None)?;
        self.slab.add_page(&self.medium, offset)?;
        self.slab
            .reserve(class, kind)
            .ok_or(Error::Full(u64::from(header.slot_size)))
    }

    /// Big pages are for pools in which one of them is little.
    #[inline]
    fn uses_pages(&self, class: u8) -> bool {
        page_len(class) == PAGE_LEN || self.medium.len() >= BIG_PAGES_MIN
    }

    fn reserve_large(&mut self, size: u64, kind: Kind) -> Result<u64> {
        let type_num = type_num::LARGE + kind as u64;
        let reserved = match self.heap.reserve(size, type_num) {
            Err(Error::Full(_)) if self.group.is_none() && self.trim(usize::MAX)? > 0 => {
                self.heap.reserve(size, type_num)
            }
            other => other,
        }?;
        let offset = reserved.offset();
        self.slab.add_large(offset, size, kind);
        self.batch.large_allocs.push(reserved);
        Ok(offset)
    }

    /// Flushes filled ranges that are not on their way yet.
    fn flush_fills(&mut self) -> Result<()> {
        for fill in &self.batch.fills {
            self.medium.flush(fill.offset, fill.len)?;
        }
        if !self.batch.streamed.is_empty() {
            self.batch.fills.append(&mut self.batch.streamed);
        }
        Ok(())
    }

    /// The one-fence path: one redo record.
    #[inline]
    fn commit_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Batch {
            writes: batch_writes,
            fills,
            streamed,
            allocs,
            frees,
            ..
        } = &mut self.batch;
        if !allocs.is_empty() || !frees.is_empty() {
            self.slab
                .bitmap_writes(&self.medium, allocs, frees, batch_writes)?;
        }
        let count = fills.len() + streamed.len();
        if !Ring::fits(count, batch_writes) {
            self.apply_encoded()?;
            return self.end_group();
        }
        let publishes = !self.batch.large_allocs.is_empty() || !self.batch.large_frees.is_empty();
        let batch = &mut self.batch;
        let filled: u64 = batch.fills.iter().map(|fill| fill.len).sum();
        // A record that waits for libpmemobj's publish needs neither hash nor fence: publishing
        // starts with a drain, after which both the record and the fills are durable.
        let hashes = !publishes && batch.streamed.is_empty() && (1..=HASH_MAX).contains(&filled);
        let fills_hash = match hashes {
            true => Some(self.ring.hash(&self.medium, &batch.fills)?),
            false => None,
        };
        self.flush_fills()?;
        if !self.batch.fills.is_empty() && !publishes && fills_hash.is_none() {
            self.medium.fence();
        }
        let extras = Extras {
            fills: &self.batch.fills,
            fills_hash,
            publishes,
        };
        let writes = &mut self.batch.writes;
        let seq = self
            .ring
            .append(&mut self.medium, RecordKind::Redo, &extras, writes)?;
        if publishes {
            let allocs = std::mem::take(&mut self.batch.large_allocs);
            let offsets: Vec<u64> = allocs.iter().map(Reserved::offset).collect();
            let word = Some((self.areas.published(), seq));
            let frees = std::mem::take(&mut self.batch.large_frees);
            self.preserve_large(&frees);
            if let Err(error) = self.heap.publish(allocs, &frees, word) {
                self.ring.retract(&mut self.medium)?;
                offsets
                    .iter()
                    .for_each(|&offset| self.slab.remove_large(offset));
                return Err(error);
            }
            self.account_published(&offsets);
            for offset in frees {
                self.slab.remove_large(offset);
            }
            self.medium.apply(self.batch.writes.encoded())?;
            self.medium.write_back();
        } else {
            self.medium.put_off(&mut self.batch.writes);
            if !self.lazy {
                self.medium.settle();
                self.medium.write_back();
            }
        }
        for &slot in &self.batch.frees {
            self.slab.release(slot);
        }
        self.batch.clear();
        Ok(())
    }

    /// Keeps large objects that are about to be freed for a fork child: libpmemobj may write its own
    /// metadata where they were.
    fn preserve_large(&mut self, offsets: &[u64]) {
        for &offset in offsets {
            if let Ok(Block::Large(size)) = self.slab.block(offset) {
                self.medium.snapshots.preserve(offset, size);
            }
        }
    }

    /// From now on published objects count with all the bytes libpmemobj gave them.
    fn account_published(&mut self, offsets: &[u64]) {
        for &offset in offsets {
            self.slab
                .resize_large(offset, self.heap.usable_size(offset));
        }
    }

    /// Drops what was collected and not applied.
    fn drop_batch(&mut self) {
        for slot in std::mem::take(&mut self.batch.allocs) {
            self.slab.release(slot);
        }
        let large = std::mem::take(&mut self.batch.large_allocs);
        large
            .iter()
            .for_each(|reserved| self.slab.remove_large(reserved.offset()));
        if !large.is_empty() {
            self.heap.cancel(large);
        }
        self.batch.clear();
    }
}
