//! Transactions: a batch of changes, and the ways to make it durable.

mod allocate;
mod batch;
mod group;
mod made;

use crate::Kind;
use crate::alloc::classes;
use crate::durability::CommitMode;
use crate::error::{Error, Result, damaged};
use crate::log::ring::{Extras, Ring};
use crate::log_record::{Fill, RecordKind, WRITE_MAX};
use crate::pool::Pool;
use crate::ptr::{Fresh, PPtr, Persistent};
use group::Savepoint;
use made::Allocated;
use std::ops::Deref;

pub(crate) use allocate::ReserveAccess;
pub(crate) use batch::Batch;
pub(crate) use group::Group;

/// Fresh bytes up to this many are hashed into the record, which saves a fence; above, a fence
/// before the record is cheaper than the hash.
const HASH_MAX: u64 = 1280;
/// From this length on, fresh bytes bypass the cache.
const STREAM_MIN: usize = HASH_MAX as usize + 1;

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

    /// Says that this transaction removes things, and needs room on the way only: it may take what
    /// the pool keeps back; half of that if it also [moves](Tx::moves).
    #[inline]
    pub fn removes(&mut self) {
        self.pool.reserve_access.removes = true;
    }

    /// Says that this transaction puts elsewhere what it removes, and takes hardly more room
    /// afterwards than before: it may take half of what the pool keeps back, and no more if it also
    /// [removes](Tx::removes).
    pub fn moves(&mut self) {
        self.pool.reserve_access.moves = true;
    }

    /// Allocates at least `size` bytes. They hold anything until filled, and belong to nobody until
    /// commit. O(1), O(log n) above 32,640 bytes.
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    #[inline]
    pub fn alloc(&mut self, size: u64, kind: Kind) -> Result<Fresh> {
        let offset = match classes::class_of(size) {
            Some(class) => {
                let (slot, offset) = match self.pool.slab.reserve(class, kind) {
                    Some(found) => found,
                    None => self.pool.reserve_in_new_page(class, kind)?,
                };
                self.pool.batch.allocs.push(slot);
                offset
            }
            None => self.pool.reserve_run(size, kind)?,
        };
        Fresh::new(offset, self.pool.batch.tx).ok_or_else(|| damaged("an allocation at", 0))
    }

    /// [`Tx::alloc`] for an object that moves, which has no claim on room that others need: `None`
    /// if there is none.
    pub(crate) fn alloc_to_move(&mut self, size: u64, kind: Kind) -> Result<Option<Fresh>> {
        self.pool.moving = true;
        let found = self.alloc(size, kind);
        self.pool.moving = false;
        match found {
            Err(Error::Full(_)) => {
                self.pool.stuck += 1;
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Allocates an object and [fills](Tx::fill) it with a value.
    ///
    /// # Errors
    /// As for [`Tx::alloc`].
    #[inline]
    pub fn alloc_value<T: Persistent>(&mut self, value: &T, kind: Kind) -> Result<PPtr<T>> {
        let fresh = self.alloc(size_of::<T>() as u64, kind)?.cast();
        self.fill_value(fresh, value)?;
        Ok(fresh.ptr())
    }

    /// Writes bytes into memory that this transaction has allocated, and to which nothing points
    /// yet. Not logged; durable with the commit.
    ///
    /// # Errors
    /// `Damaged` if the range is not inside an allocated object.
    #[inline]
    pub fn fill(&mut self, target: Fresh, bytes: &[u8]) -> Result<()> {
        self.assert_fresh(target);
        self.fill_unused(target.ptr(), bytes)
    }

    #[inline]
    fn assert_fresh(&self, target: Fresh) {
        debug_assert_eq!(
            target.made_by(),
            self.pool.batch.tx,
            "memory is fresh only in the transaction that allocates it"
        );
    }

    /// [`Tx::fill`] of space in an object that may be older, and that nobody has used yet: what
    /// lies there is in no committed state, and no earlier step of the open group has given it up
    /// (see [`Tx::fill_spare`]).
    ///
    /// # Errors
    /// As for [`Tx::fill`].
    #[inline]
    pub fn fill_unused(&mut self, ptr: PPtr<u8>, bytes: &[u8]) -> Result<()> {
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
        note_fill(fills, offset, len);
        Ok(())
    }

    /// [`Tx::fill`] with several parts, one behind the other.
    ///
    /// # Errors
    /// As for [`Tx::fill`].
    #[inline]
    pub fn fill_parts<const N: usize>(&mut self, target: Fresh, parts: [&[u8]; N]) -> Result<()> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut at = target;
        // No bytes, too: they may lie behind an object that ends with its page.
        if len == 0 || len >= STREAM_MIN as u64 {
            for part in parts {
                self.fill(at, part)?;
                at = at.at(part.len() as u64);
            }
            return Ok(());
        }
        self.assert_fresh(target);
        self.pool.check_owned(target.offset(), len)?;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            self.pool.medium.store(at.offset(), part)?;
            at = at.at(part.len() as u64);
        }
        note_fill(&mut self.pool.batch.fills, target.offset(), len);
        Ok(())
    }

    /// [`Tx::fill`] of unused space in an object that may be older than this transaction, such as
    /// the room behind a string's end. Inside a group an earlier step may have given that space up,
    /// and undoing the group needs its bytes: there they are logged.
    ///
    /// # Errors
    /// As for [`Tx::fill`].
    #[inline]
    pub fn fill_spare(&mut self, ptr: PPtr<u8>, bytes: &[u8]) -> Result<()> {
        match self.pool.group {
            Some(_) => self.write(ptr, bytes),
            None => self.fill_unused(ptr, bytes),
        }
    }

    /// [`Tx::fill`] with `len` bytes of the pool itself, which must not overlap the target.
    ///
    /// # Errors
    /// `Damaged` if either range is not inside the pool, or the target not inside an object.
    pub fn fill_from(&mut self, target: Fresh, source: PPtr<u8>, len: u64) -> Result<()> {
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
    pub fn fill_zeros(&mut self, target: Fresh, len: u64) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        for at in (0..len).step_by(ZEROS.len()) {
            let part = (ZEROS.len() as u64).min(len - at) as usize;
            self.fill(target.at(at), &ZEROS[..part])?;
        }
        Ok(())
    }

    /// [`Tx::fill`] with a value.
    #[inline]
    pub fn fill_value<T: Persistent>(&mut self, target: Fresh<T>, value: &T) -> Result<()> {
        self.fill(target.cast(), bytemuck::bytes_of(value))
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
    /// `Damaged` if no allocated object starts at `ptr`. Of a small object that is freed twice, the
    /// commit or the next step says so.
    pub fn free<T>(&mut self, ptr: PPtr<T>) -> Result<()> {
        let offset = ptr.offset();
        let Some((slot, size)) = self.pool.slab.slot(offset) else {
            return self.pool.free_alone(offset);
        };
        let batch = &mut self.pool.batch;
        match batch.allocs.place(slot.number()) {
            Some(at) => {
                batch.allocs.remove(at);
                batch.forget_fills(offset, size);
                self.pool.slab.release(slot);
            }
            None => batch.frees.push(slot),
        }
        Ok(())
    }

    /// [`Tx::free`] of an object that is older than this step, as the caller knows. If this step
    /// has allocated it, the pointer led to memory that was free before.
    ///
    /// # Errors
    /// As for [`Tx::free`], and `Damaged` then.
    #[inline]
    pub fn free_older<T>(&mut self, ptr: PPtr<T>) -> Result<()> {
        let offset = ptr.offset();
        let batch = &mut self.pool.batch;
        let slot = self.pool.slab.slot(offset);
        let is_fresh = match slot {
            Some((slot, _)) => batch.allocs.place(slot.number()).is_some(),
            None => batch.runs.place(offset).is_some(),
        };
        if is_fresh {
            return Err(damaged("a pointer to memory that was free", offset));
        }
        match slot {
            Some((slot, _)) => {
                batch.frees.push(slot);
                Ok(())
            }
            None => self.pool.free_alone(offset),
        }
    }

    /// Applies what was collected so far, so that reads see it, while the whole transaction stays
    /// one atomic step. One fence each; the first step adds two.
    ///
    /// # Errors
    /// `Full` if the undo log cannot grow.
    pub fn step(&mut self) -> Result<()> {
        let start = *self.start.get_or_insert_default();
        self.pool.apply_step(start)
    }

    /// Leaves everything as it was before the transaction.
    #[cold]
    fn take_back(&mut self) {
        self.pool.drop_batch();
        // A group that began with this transaction is taken back whole.
        self.pool.roll_back(self.start.unwrap_or_default());
    }

    /// Makes everything durable, as one atomic step. One fence if there was no [`Tx::step`]; a
    /// second one if more than 1,280 bytes were filled, or a slab page was made.
    ///
    /// The change can be read on return, but is durable only later in three cases: with
    /// [`CommitMode::Deferred`], as that says; in a group, with [`Pool::end_group`]; and with a
    /// journal that could not be written, of which [`Pool::failure`] and [`Pool::sync`] tell.
    ///
    /// # Errors
    /// On failure nothing has happened.
    pub fn commit(mut self) -> Result<()> {
        if self.pool.commits_alone() {
            self.pool.commit_batch()?;
            self.done = true;
            return Ok(());
        }
        self.commit_with_others()
    }

    /// [`Tx::commit`] within a group, or of a pool with a journal.
    #[inline(never)]
    fn commit_with_others(mut self) -> Result<()> {
        if !self.pool.must_follow {
            self.pool.require_durable()?;
        }
        if self.pool.group.is_some() || self.pool.in_group {
            self.pool.apply_step(self.start.unwrap_or_default())?;
            if self.pool.in_group {
                self.pool.end_transaction()
            } else {
                self.pool.log_group_end()?
            }
        } else {
            self.pool.commit_batch_apart()?;
        }
        self.done = true;
        if !self.pool.in_group {
            self.pool.sync_unless_deferred();
        }
        Ok(())
    }
}

/// Adds a range to those that are filled; neighbours are one.
#[inline]
fn note_fill(fills: &mut Vec<Fill>, offset: u64, len: u64) {
    match fills.last_mut() {
        Some(last) if last.offset + last.len == offset => last.len += len,
        Some(last) if last.offset == offset + len => {
            (last.offset, last.len) = (offset, last.len + len);
        }
        _ => fills.push(Fill { offset, len }),
    }
}

impl Drop for Tx<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.done {
            self.take_back();
        }
        self.pool.reserve_access.end_transaction();
        self.pool.batch.tx.end();
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

    /// True if a transaction's commit is one record, and all there is to do.
    #[inline]
    fn commits_alone(&self) -> bool {
        self.group.is_none() && !self.in_group && self.disk.is_none()
    }

    /// Flushes filled ranges that are not on their way yet.
    #[inline(always)]
    fn flush_fills(&mut self) -> Result<()> {
        for fill in &self.batch.fills {
            self.medium.flush(fill.offset, fill.len)?;
        }
        let Batch {
            fills, streamed, ..
        } = &mut self.batch;
        if fills.is_empty() {
            std::mem::swap(fills, streamed);
        } else if !streamed.is_empty() {
            fills.append(streamed);
        }
        Ok(())
    }

    /// Flushes what is filled; the hash by which the record vouches for it. Without one it is
    /// durable.
    #[inline(never)]
    fn vouch_for_fills(&mut self) -> Result<Option<u64>> {
        let hashes = self.batch.streamed.is_empty()
            && (1..=HASH_MAX).contains(&self.batch.filled())
            && !self.medium.is_noted();
        let hash = if hashes {
            Some(self.ring.hash(&self.medium, &self.batch.fills)?)
        } else {
            None
        };
        self.flush_fills()?;
        if hash.is_none() {
            self.medium.fence();
        }
        Ok(hash)
    }

    /// [`Pool::commit_batch`] that is not inlined, for the rarer way.
    fn commit_batch_apart(&mut self) -> Result<()> {
        self.commit_batch()
    }

    /// The one-fence path: one redo record.
    #[inline(always)]
    fn commit_batch(&mut self) -> Result<()> {
        self.batch.settle_fills();
        if self.batch.is_empty() {
            return Ok(());
        }
        self.encode_allocations()?;
        let fills = self.batch.fills.len() + self.batch.streamed.len();
        if !Ring::fits(fills, &self.batch.writes) {
            self.apply_encoded(Savepoint::default())?;
            return self.log_group_end();
        }
        let fills_hash = match fills {
            0 => None,
            _ => self.vouch_for_fills()?,
        };
        let extras = Extras {
            fills: &self.batch.fills,
            fills_hash,
        };
        let writes = &mut self.batch.writes;
        self.ring
            .append(&mut self.medium, RecordKind::Redo, &extras, writes)?;
        if self.medium.is_noted() {
            self.medium.place_commit(&mut self.batch.writes);
        } else {
            self.medium.defer_commit(&mut self.batch.writes);
            if self.commit_mode == CommitMode::Immediate {
                self.medium.complete_commit();
                self.medium.flush_dirty();
            }
        }
        for &slot in &self.batch.frees {
            self.slab.release(slot);
        }
        if self.batch.has_runs() {
            self.release_runs();
        }
        self.batch.clear();
        Ok(())
    }

    /// Adds the words that tell of what the batch allocates and frees.
    #[inline]
    fn encode_allocations(&mut self) -> Result<()> {
        if self.batch.has_slots() {
            self.encode_slots()?;
        }
        if self.batch.has_runs() {
            self.encode_runs()
        } else {
            Ok(())
        }
    }

    #[inline(never)]
    fn encode_slots(&mut self) -> Result<()> {
        let Batch {
            writes,
            allocs,
            frees,
            ..
        } = &mut self.batch;
        self.slab.bitmap_writes(&self.medium, allocs, frees, writes)
    }

    /// Drops what was collected and not applied.
    fn drop_batch(&mut self) {
        for slot in self.batch.allocs.take() {
            self.slab.release(slot);
        }
        self.drop_runs();
        self.batch.clear();
    }
}
