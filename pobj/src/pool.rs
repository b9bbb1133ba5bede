//! An open pool: opening, creating, recovering, reading.

use crate::Kind;
use crate::alloc::room::Room;
use crate::alloc::slab::Slab;
use crate::alloc::walk::Cursor;
use crate::check;
use crate::disk::{self, Disk, Replayed};
use crate::durability::{self, Durability};
use crate::error::{Error, Result, damaged};
use crate::file::{self, Found};
use crate::file_system;
use crate::growth::{self, Growth};
use crate::handle::Handle;
use crate::heap::{Heap, map_privately};
use crate::huge_pages::HugePages;
use crate::layout::*;
use crate::log::ring::Ring;
use crate::log::undo::Undo;
use crate::medium::{Medium, Traffic};
use crate::ptr::{PPtr, Persistent};
use crate::recovery;
use crate::set;
use crate::space::OldObject;
use crate::tx::{Batch, Favour, Group, Tx};
use pmemobj_sys::Libpmemobj;
use std::path::{Path, PathBuf};

/// How to open a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    path: PathBuf,
    size: Option<u64>,
    max_size: Option<u64>,
    seed: Option<[u64; 2]>,
    durability: Durability,
    limits: disk::Limits,
}

impl PoolOptions {
    /// A pool at `path`: a file, a poolset description made with `pmempool create`, or a device-DAX
    /// device.
    pub fn new(path: impl Into<PathBuf>) -> PoolOptions {
        PoolOptions {
            path: path.into(),
            size: None,
            max_size: None,
            seed: None,
            durability: Durability::default(),
            limits: disk::Limits::default(),
        }
    }

    /// The size in bytes to create the pool with if it is absent, or to grow to if it has less and
    /// can.
    pub fn size(mut self, bytes: u64) -> PoolOptions {
        self.size = Some(bytes);
        self
    }

    /// The size in bytes up to which the pool may grow while it is open. If it is absent it is made
    /// in a directory, so that it can.
    pub fn max_size(mut self, bytes: u64) -> PoolOptions {
        self.max_size = Some(bytes);
        self
    }

    /// What [`PoolOptions::size`] asks for.
    pub(crate) fn wanted(&self) -> Option<u64> {
        self.size
    }

    /// What [`PoolOptions::max_size`] allows.
    pub(crate) fn most(&self) -> Option<u64> {
        self.max_size
    }

    /// What to create the pool with as [`Pool::seed`] if it is absent, in place of random bytes:
    /// for tests that are to be repeated exactly.
    pub fn seed(mut self, seed: [u64; 2]) -> PoolOptions {
        self.seed = Some(seed);
        self
    }

    /// Bytes of the journal of a pool with [`Durability::Disk`]; without it, a new journal has a
    /// quarter of the pool's, and 256 MiB at most.
    pub fn journal(mut self, bytes: u64) -> PoolOptions {
        self.limits.journal = Some(bytes);
        self
    }

    /// Bytes that pages of a pool with [`Durability::Disk`] may take that the kernel cannot take
    /// back by itself, as they were changed; half of the machine's memory without it. A pool may be
    /// larger.
    pub fn memory_limit(mut self, bytes: u64) -> PoolOptions {
        self.limits.memory = Some(bytes);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn chosen_seed(&self) -> Option<[u64; 2]> {
        self.seed
    }

    /// What commits must survive.
    pub fn durability(mut self, durability: Durability) -> PoolOptions {
        self.durability = durability;
        self
    }
}

/// An open pool. One thread uses it; another process that tries to open it is refused.
pub struct Pool {
    pub(crate) medium: Medium,
    pub(crate) heap: Heap,
    pub(crate) slab: Slab,
    pub(crate) room: Room,
    pub(crate) ring: Ring,
    pub(crate) undo: Undo,
    pub(crate) areas: Areas,
    pub(crate) batch: Batch,
    /// The open group: steps that are not committed yet.
    pub(crate) group: Option<Group>,
    /// Commits stay steps of the open group until [`Pool::release`].
    pub(crate) held: bool,
    /// What the held group commits is refused.
    pub(crate) abandoned: bool,
    /// Commits leave their fence for later.
    pub(crate) lazy: bool,
    /// What is allocated is for an object that moves.
    pub(crate) moving: bool,
    /// Objects that found no place to move to.
    pub(crate) stuck: u64,
    /// Who may take the room that is kept back.
    pub(crate) favour: Favour,
    /// Objects of libpmemobj's that were freed, and are still to be given back to it.
    pub(crate) old: Vec<OldObject>,
    pub(crate) growth: Growth,
    /// The journal, with `durability disk`.
    pub(crate) disk: Option<Box<Disk>>,
    header: Header,
    created: bool,
    replayed: Option<Replayed>,
    found_lsn: u64,
    damages: Vec<String>,
    durability: Durability,
    /// Declared before the handle, which takes the mapping away when it is dropped.
    huge_pages: Option<HugePages>,
    handle: Handle,
}

impl Pool {
    /// Opens the pool, creating it if it is absent and a size is given; recovers from whatever
    /// interrupted its last use.
    ///
    /// # Errors
    /// Every cause in [`Error`] but `Full`. None of them changes the file.
    pub fn open(options: &PoolOptions) -> Result<Pool> {
        let path = options.path.as_path();
        let mut found = file::inspect(path)?;
        if found == Found::Nothing {
            let size = options
                .size
                .ok_or_else(|| Error::SizeMissing(path.into()))?;
            if size < file::POOL_MIN {
                return Err(Error::TooSmall {
                    size,
                    min: file::POOL_MIN,
                });
            }
            let parent = file::directory_of(path);
            if !parent.is_dir() {
                return Err(Error::NotFound(parent.into()));
            }
        }
        let durability = file_system::choose_durability(path, &found, options.durability)?;
        let by_journal = durability == Durability::Disk;
        if by_journal {
            disk::require_file(path, &found)?;
        }
        let mut replayed = None;
        match (&found, options.max_size) {
            (Found::Pool, _) => {
                replayed = disk::replay::replay(path, &disk::journal_of(path))?;
                check::verify(path)?;
            }
            (Found::Nothing, Some(most)) if !by_journal => {
                found = Found::BlankSet(set::make(path, most)?);
            }
            _ => {}
        }
        // Nobody else may make the same pool meanwhile.
        let _locked = match &found {
            Found::BlankSet(set) => set.named().next().map(file::lock_directory).transpose()?,
            _ => None,
        };
        let event = growth::prepare(path, &mut found, options)?;
        file::allocate_blocks(path, &found)?;
        let lib = durability::load(durability)?;
        let created = matches!(found, Found::Nothing | Found::BlankSet(_));
        let size = options.size.unwrap_or(0);
        if by_journal {
            let growth = Growth::of(found, options, event)?;
            let mut pool =
                Pool::open_privately(lib, options, created.then_some(size), replayed, growth)?;
            pool.sync()?;
            return Ok(pool);
        }
        let handle = match &found {
            Found::Nothing => Handle::create(lib, path, size)?,
            Found::BlankSet(_) => Handle::create(lib, path, 0)?,
            _ => Handle::open(lib, path)?,
        };
        let files = match &found {
            Found::Poolset(set) => set.files()?,
            _ => vec![path.to_path_buf()],
        };
        let growth = Growth::of(found, options, event)?;
        let len = match growth.reserved() {
            // One mapping of all that is reserved, of which the parts have the beginning.
            Some(reserved) => handle.len().min(reserved),
            None => file::mapped_len(handle.pop.as_ptr() as usize, &files)?,
        };
        let mut pool = Pool::recover(handle, options, len, growth, durability)?;
        (pool.created, pool.replayed) = (created, replayed);
        pool.grow_to(size);
        Ok(pool)
    }

    /// Opens a pool that is to have a journal, or makes it, of `size` bytes.
    fn open_privately(
        lib: &'static Libpmemobj,
        options: &PoolOptions,
        size: Option<u64>,
        replayed: Option<Replayed>,
        growth: Growth,
    ) -> Result<Pool> {
        let path = options.path.as_path();
        if let Some(size) = size {
            Pool::make_whole(lib, options, size)?;
        }
        map_privately(lib, true)?;
        let opened = Handle::open(lib, path);
        map_privately(lib, false)?;
        let handle = opened?;
        let len = file::mapped_len(handle.pop.as_ptr() as usize, &[path.to_path_buf()])?;
        let mut pool = Pool::recover(handle, options, len, growth, Durability::Disk)?;
        let (root, limits) = (pool.areas.root, options.limits);
        let disk = Disk::open(path, &mut pool.medium, root, &pool.header, limits)?;
        pool.disk = Some(Box::new(disk));
        (pool.created, pool.replayed) = (size.is_some(), replayed);
        Ok(pool)
    }

    /// Makes a new pool under another name, and gives it its own when it is whole.
    fn make_whole(lib: &'static Libpmemobj, options: &PoolOptions, size: u64) -> Result<()> {
        let path = options.path.as_path();
        let mut name = std::ffi::OsString::from(path);
        name.push(".new");
        let new = PathBuf::from(name);
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file::io_error(&new, &error));
            }
            _ => {}
        }
        let make = || {
            let handle = Handle::create(lib, &new, size)?;
            let files = [new.clone()];
            let len = file::mapped_len(handle.pop.as_ptr() as usize, &files)?;
            let growth = Growth::of(Found::Nothing, options, None)?;
            // Nobody knows of it before it is whole, and synced.
            let durability = Durability::Process;
            drop(Pool::recover(handle, options, len, growth, durability)?);
            disk::place(&new, path).map_err(|error| file::io_error(path, &error))
        };
        make().inspect_err(|_| drop(std::fs::remove_file(&new)))
    }

    fn recover(
        handle: Handle,
        options: &PoolOptions,
        len: u64,
        growth: Growth,
        durability: Durability,
    ) -> Result<Pool> {
        // SAFETY: the handle is an open pool; its mapping starts at the handle's address and `len`
        // bytes of it were found in the process's map. `Pool` keeps the handle open (and drops it
        // last) while medium and heap live.
        let (mut medium, mut heap) = unsafe {
            (
                Medium::new(
                    handle.lib,
                    handle.pop.cast(),
                    len,
                    growth.reserved().unwrap_or(len),
                )?,
                Heap::new(handle.lib, handle.pop)?,
            )
        };
        if durability == Durability::Disk {
            medium.note_changes();
        }
        let found = recovery::recover(&mut medium, &mut heap, options)?;
        let mut pool = Pool {
            slab: Slab::new(len),
            room: Room::new(found.header.seed[0]),
            medium,
            heap,
            ring: found.ring,
            undo: found.undo,
            areas: found.areas,
            batch: Batch::default(),
            group: None,
            held: false,
            abandoned: false,
            lazy: false,
            moving: false,
            stuck: 0,
            favour: Favour::default(),
            old: Vec::new(),
            growth,
            disk: None,
            header: found.header,
            created: false,
            replayed: None,
            found_lsn: found.lsn,
            damages: Vec::new(),
            durability,
            huge_pages: None,
            handle,
        };
        pool.damages = pool.find_all(found.log, found.log_len)?;
        Ok(pool)
    }

    /// True if [`Pool::open`] has just created the pool.
    pub fn is_new(&self) -> bool {
        self.created
    }

    /// What [`Pool::open`] has taken from the pool's journal, if it was needed.
    pub fn replayed(&self) -> Option<Replayed> {
        self.replayed
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
        let Ok(libpmem) = pmemobj_sys::load_libpmem() else {
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

    /// Word `index` (below [`USER_WORDS`]) of the root object, which belongs to the layer above.
    /// Zero in a new pool.
    pub fn user_word(&self, index: usize) -> PPtr<u64> {
        PPtr::new(self.areas.user_word(index)).expect("the root object is not at offset zero")
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

    /// From here on commits are steps of one group, which [`Pool::release`] makes durable together.
    /// Until then reads see them, and a crash undoes them all.
    pub fn hold(&mut self) {
        self.held = true;
        self.favour.admitted = self.has_reserve();
    }

    /// True between [`Pool::hold`] and [`Pool::release`].
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// True if something was committed since [`Pool::hold`].
    pub fn has_steps(&self) -> bool {
        self.group.is_some()
    }

    /// Ends [`Pool::hold`]: everything committed since is durable, together.
    ///
    /// # Errors
    /// `Damaged` if the pool's own log contradicts itself; never for want of room.
    pub fn release(&mut self) -> Result<()> {
        (self.held, self.abandoned) = (false, false);
        self.favour.end_group();
        self.end_group()?;
        self.sync_unless_lazy()
    }

    /// Whether a commit may leave its fence to the next access of the pool, or to
    /// [`Pool::complete_commit`]: by then the processor has mostly done what a fence waits for. Not
    /// before that is the commit durable.
    pub fn set_lazy(&mut self, lazy: bool) {
        self.lazy = lazy;
    }

    /// True if [`Pool::sync`] has a record of the journal to write.
    #[inline]
    pub fn has_record(&self) -> bool {
        self.medium.has_changed()
    }

    /// True if something that was committed waits for [`Pool::complete_commit`] or [`Pool::sync`].
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.medium.is_pending()
    }

    /// Makes durable what was committed. O(1), and next to nothing if it is already.
    #[inline]
    pub fn complete_commit(&self) {
        self.medium.complete_commit();
    }

    /// True in the parent of a fork child, between [`Pool::begin_snapshot`] and
    /// [`Pool::end_snapshot`].
    pub fn has_snapshot(&self) -> bool {
        self.medium.snapshots.is_parent()
    }

    /// A child was forked: until [`Pool::end_snapshot`] the bytes of this moment are kept for it.
    /// Call in the parent before anything else is written.
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
