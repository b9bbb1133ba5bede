//! An open pool: what it consists of, and reading.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | how to open a pool |
//! | `open.rs` | opening, creating, recovering |
//! | `tx/` | transactions: the only way to write |
//! | `space.rs`, `grow.rs`, `evacuation.rs` | its room: what is free, how it comes to have more, how it is gathered |
//! | `sync.rs` | durability by a journal |
//! | `survey.rs` | all objects of one kind |

mod evacuation;
mod grow;
mod open;
mod options;
mod space;
mod survey;
mod sync;
pub(crate) mod tx;

use crate::Kind;
use crate::alloc::room::Room;
use crate::alloc::slab::Slab;
use crate::alloc::slab::walk::Cursor;
use crate::disk::{Disk, Replayed};
use crate::durability::{CommitMode, Durability};
use crate::error::{Result, damaged};
use crate::file::Locks;
use crate::growth::Growth;
use crate::handle::Handle;
use crate::heap::Heap;
use crate::huge_pages::HugePages;
use crate::identity::Advice;
use crate::layout::{Areas, Header};
use crate::log::ring::Ring;
use crate::log::undo::Undo;
use crate::made::Made;
use crate::medium::{Medium, Traffic};
use crate::ptr::{PPtr, Persistent};
use space::OldObject;

use tx::{Batch, Group, ReserveAccess};

pub use options::PoolOptions;
pub use space::Usage;
pub use tx::Tx;

/// An open pool. One thread uses it; another process that tries to open it is refused.
pub struct Pool {
    medium: Medium,
    heap: Heap,
    slab: Slab,
    room: Room,
    ring: Ring,
    undo: Undo,
    areas: Areas,
    batch: Batch,
    /// Steps under the undo log, of a group or of one transaction, whose end is not logged yet.
    group: Option<Group>,
    /// Commits are steps of one group, until [`Pool::end_group`].
    in_group: bool,
    /// What the group commits is refused.
    refused: bool,
    commit_mode: CommitMode,
    /// Commits go on although nothing can be made durable.
    must_follow: bool,
    /// What is allocated is for an object that moves.
    moving: bool,
    /// Objects that found no place to move to.
    stuck: u64,
    /// Bytes of the last object that found no room, until somebody asks.
    lacked: u64,
    /// Who may take the room that is kept back.
    reserve_access: ReserveAccess,
    /// Objects of libpmemobj's that were freed, and are still to be given back to it.
    old: Vec<OldObject>,
    growth: Growth,
    /// What messages advise.
    advice: &'static Advice,
    /// The journal, with `durability disk`.
    disk: Option<Box<Disk>>,
    header: Header,
    created: bool,
    /// The files that came to be with the pool, if it is new.
    made: Made,
    replayed: Option<Replayed>,
    lost_journal: Option<String>,
    found_lsn: u64,
    old_format: Option<u32>,
    damages: Vec<String>,
    durability: Durability,
    /// Declared before the handle, which takes the mapping away when it is dropped.
    huge_pages: Option<HugePages>,
    handle: Handle,
    /// Locks of our own, where libpmemobj's does not last.
    locks: Locks,
}

impl Pool {
    /// True if [`Pool::open`] has just created the pool.
    pub fn is_new(&self) -> bool {
        self.created
    }

    /// Removes the pool's files, its journal included, if [`Pool::open`] has just created it: what
    /// is done with the pool from here on is lost. Whether it was new.
    pub fn withdraw(&mut self) -> bool {
        self.made.remove()
    }

    /// The pool is of use: [`Pool::withdraw`] removes nothing any more.
    pub fn keep(&mut self) {
        self.made = Made::Nothing;
    }

    /// What [`Pool::open`] has taken from the pool's journal, if it was needed.
    pub fn replayed(&self) -> Option<Replayed> {
        self.replayed
    }

    /// Why the pool was opened without the journal that it needs: what came after its last
    /// checkpoint is missing, and a part of it can be older than the rest.
    pub fn lost_journal(&self) -> Option<&str> {
        self.lost_journal.as_deref()
    }

    /// The older format that the pool had until [`Pool::open`] made it one of today's; programs of
    /// that format refuse it from then on.
    pub fn old_format(&self) -> Option<u32> {
        self.old_format
    }

    /// What commits survive: what was asked for, or what [`Durability::Auto`] has come to.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Parts of the pool that could not be used because their bytes contradict themselves.
    pub fn damages(&self) -> &[String] {
        &self.damages
    }

    /// The pool's own random 128 bits, for keyed hashes.
    pub fn seed(&self) -> [u64; 2] {
        self.header.seed
    }

    /// How far the pool's history has come: it grows with every change, across restarts. O(1).
    pub fn lsn(&self) -> u64 {
        self.ring.lsn()
    }

    /// The [`lsn`](Self::lsn) that [`Pool::open`] has found. If it is the one that was read
    /// before, nothing has changed since; the reverse is not certain.
    pub fn found_lsn(&self) -> u64 {
        self.found_lsn
    }

    /// Begins to put huge pages under the pool, in the background, where that is to be had: on
    /// tmpfs, with Linux from 6.1 on. Changes no byte. Once is enough.
    pub fn begin_huge_pages(&mut self) {
        // A private mapping has pages of its own.
        if self.huge_pages.is_some() || self.disk.is_some() {
            return;
        }
        // SAFETY: the handle keeps the mapping while the pool lives, and is dropped after this.
        self.huge_pages = unsafe { HugePages::begin(self.handle.pop.cast(), self.medium.len()) };
    }

    /// Flushes and fences so far, libpmemobj's own not included.
    pub fn traffic(&self) -> Traffic {
        self.medium.traffic()
    }

    /// True if stores reach persistence by flush and fence (or count as if they did).
    pub fn is_pmem(&self) -> bool {
        let Ok(libpmem) = pmdk_bindings::load_libpmem() else {
            return false;
        };
        // SAFETY: asks about the address range of the open pool's mapping; nothing is accessed.
        unsafe {
            libpmem.pmem_is_pmem(self.handle.pop.as_ptr().cast(), self.medium.len() as usize) == 1
        }
    }

    /// The `T` at `ptr`. O(1).
    ///
    /// # Errors
    /// `Damaged` if the pointer leaves the pool or is misaligned.
    #[inline]
    pub fn get<T: Persistent>(&self, ptr: PPtr<T>) -> Result<&T> {
        self.medium.get(ptr.offset())
    }

    /// `len` bytes at `ptr`. O(1).
    ///
    /// # Errors
    /// `Damaged` if they leave the pool.
    #[inline]
    pub fn bytes(&self, ptr: PPtr<u8>, len: u64) -> Result<&[u8]> {
        self.medium.bytes(ptr.offset(), len)
    }

    /// Begins to load the line at `ptr`, which will be asked for soon.
    #[inline]
    pub fn prefetch<T>(&self, ptr: PPtr<T>) {
        self.medium.prefetch(ptr.offset());
    }

    /// A copy of what lies at `ptr`, maybe older than the last commit, without waiting for it: for
    /// guesses at what will be read. `None` outside the pool.
    #[inline]
    pub fn peek<T: Persistent>(&self, ptr: PPtr<T>) -> Option<T> {
        self.medium.peek(ptr.offset())
    }

    /// Usable bytes of the allocated object at `ptr`; at least what was asked for. O(1).
    ///
    /// # Errors
    /// `Damaged` if no allocated object starts there.
    #[inline]
    pub fn capacity<T>(&self, ptr: PPtr<T>) -> Result<u64> {
        match self.slab.size_at(ptr.offset()) {
            Some(size) => Ok(size),
            None => Err(damaged("a pointer to nothing allocated", ptr.offset())),
        }
    }

    /// Word `index` (below [`USER_WORDS`](crate::layout::USER_WORDS)) of the root object, which
    /// belongs to the layer above. Zero in a new pool.
    pub fn user_word(&self, index: usize) -> PPtr<u64> {
        PPtr::new(self.areas.user_word(index)).expect("the root object is not at offset zero")
    }

    /// Where the pool is mapped in this process: address and bytes, those that it may grow to
    /// included.
    pub fn mapping(&self) -> (usize, usize) {
        let reserved = self.medium.reserved() as usize;
        (self.medium.base_address(), reserved)
    }

    /// Sets a user word at once, as no part of a record: [`Pool::lsn`] stays what it is. Durable on
    /// return. For words that no transaction ever sets. One fence.
    ///
    /// # Errors
    /// `Damaged` if there is no such word.
    pub fn set_user_word_now(&mut self, index: usize, value: u64) -> Result<()> {
        let offset = self.areas.user_word(index);
        self.medium.store(offset, &value.to_le_bytes())?;
        self.medium.flush(offset, size_of::<u64>() as u64)?;
        self.medium.fence();
        self.sync()
    }

    /// The first allocated object of `kind` at or after `cursor`, with the cursor behind it. A walk
    /// from the default cursor visits each object that exists throughout exactly once.
    pub fn next_object(&self, kind: Kind, cursor: Cursor) -> Option<(PPtr<u8>, Cursor)> {
        let (offset, next) = self.slab.next_object(kind, cursor)?;
        Some((PPtr::new(offset)?, next))
    }

    /// The address in this process of `ptr`: a handle for [`Pool::pointer_at`], not to be read.
    pub fn address_of<T>(&self, ptr: PPtr<T>) -> usize {
        self.medium.base_address() + ptr.offset() as usize
    }

    /// The pointer that [`Pool::address_of`] turned into `address`; `None` if outside the pool.
    #[inline]
    pub fn pointer_at<T>(&self, address: usize) -> Option<PPtr<T>> {
        let offset = address.checked_sub(self.medium.base_address())? as u64;
        if offset < self.medium.len() {
            PPtr::new(offset)
        } else {
            None
        }
    }

    /// Begins a transaction.
    #[inline]
    pub fn begin(&mut self) -> Tx<'_> {
        Tx::new(self)
    }

    /// Begins a group: commits are its steps from here on, and [`Pool::end_group`] makes them
    /// durable as one. Until then reads see them, and a crash undoes them all. Completes a commit
    /// whose fence is deferred: within a group none is.
    pub fn begin_group(&mut self) {
        self.medium.complete_commit();
        self.in_group = true;
        self.reserve_access.admitted = self.has_reserve();
    }

    /// True between [`Pool::begin_group`] and [`Pool::end_group`], whether or not anything was
    /// committed.
    pub fn in_group(&self) -> bool {
        self.in_group
    }

    /// True if something was committed since [`Pool::begin_group`].
    pub fn has_steps(&self) -> bool {
        self.group.is_some()
    }

    /// Ends the group: everything that was committed in it is durable, as one step; when, as
    /// [`Tx::commit`] says.
    ///
    /// # Errors
    /// `Damaged` if the pool's own log contradicts itself; never for want of room.
    pub fn end_group(&mut self) -> Result<()> {
        (self.in_group, self.refused) = (false, false);
        self.reserve_access.end_group();
        self.log_group_end()?;
        self.sync_unless_deferred();
        Ok(())
    }

    /// From when on commits are durable, beginning with the next: [`CommitMode::Immediate`] in a
    /// pool that was just opened.
    pub fn set_commit_mode(&mut self, mode: CommitMode) {
        self.commit_mode = mode;
    }

    /// Whether commits go on, in memory, although nothing can be made durable ([`Pool::failure`]),
    /// instead of failing: for those that follow what has happened already. They are durable with
    /// the next record that is written.
    pub fn follow_always(&mut self, must_follow: bool) {
        self.must_follow = must_follow;
    }

    /// True if [`Pool::sync`] has a record of the journal to write.
    #[inline]
    pub fn has_record(&self) -> bool {
        self.medium.has_changed()
    }

    /// True if something that was committed waits for [`Pool::sync`].
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.medium.is_pending()
    }

    /// True in the parent of a fork child, between [`Pool::begin_snapshot`] and
    /// [`Pool::end_snapshot`].
    pub fn has_snapshot(&self) -> bool {
        self.medium.snapshots.is_parent()
    }

    /// A child was forked: until [`Pool::end_snapshot`] the pool as it is now is kept for it. Call
    /// in the parent before anything else is written.
    pub fn begin_snapshot(&mut self) {
        let len = self.medium.len();
        self.medium.snapshots.begin(len);
    }

    /// The child is gone.
    pub fn end_snapshot(&mut self) {
        self.medium.snapshots.end();
    }

    /// Call in the child: from here on, reads give the pool as it was at the fork, exactly. Each
    /// read makes a copy, which lives until [`Pool::forget_copies`]. Nothing may be written in the
    /// child.
    pub fn enter_snapshot(&mut self) {
        self.medium.enter_snapshot();
    }

    /// Drops the copies that a child's reads have made.
    pub fn forget_copies(&mut self) {
        self.medium.snapshots.forget();
    }

    /// True in a child that has called [`Pool::enter_snapshot`].
    pub fn is_snapshot(&self) -> bool {
        self.medium.snapshots.is_child()
    }
}
