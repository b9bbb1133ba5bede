//! An open pool: opening, creating, recovering, reading.

use crate::Kind;
use crate::alloc::evacuation::Scatter;
use crate::alloc::page::PAGE_LEN;
use crate::alloc::slab::{Block, Cursor, Slab};
use crate::check;
use crate::durability::{self, Durability};
use crate::error::{Error, Result, damaged};
use crate::file::{self, Found};
use crate::handle::Handle;
use crate::heap::{Heap, Reserved};
use crate::layout::*;
use crate::log::record::{Fill, writes};
use crate::log::ring::{Replay, Ring};
use crate::log::undo::{self, Undo};
use crate::medium::{Medium, Traffic};
use crate::ptr::{PPtr, Persistent};
use crate::tx::{Batch, Group, Tx};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How to open a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    path: PathBuf,
    size: Option<u64>,
    seed: Option<[u64; 2]>,
    durability: Durability,
}

impl PoolOptions {
    /// A pool at `path`: a file, a poolset description made with `pmempool create`, or a device-DAX
    /// device.
    pub fn new(path: impl Into<PathBuf>) -> PoolOptions {
        PoolOptions {
            path: path.into(),
            size: None,
            seed: None,
            durability: Durability::default(),
        }
    }

    /// The size in bytes to create the pool with if it is absent.
    pub fn size(mut self, bytes: u64) -> PoolOptions {
        self.size = Some(bytes);
        self
    }

    /// What to create the pool with as [`Pool::seed`] if it is absent, in place of random bytes: for tests
    /// that are to be repeated exactly.
    pub fn seed(mut self, seed: [u64; 2]) -> PoolOptions {
        self.seed = Some(seed);
        self
    }

    /// What commits must survive.
    pub fn durability(mut self, durability: Durability) -> PoolOptions {
        self.durability = durability;
        self
    }
}

/// How full a pool is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The whole pool, libpmemobj's own metadata included.
    pub size: u64,
    /// In objects: slots and large objects, rounding included.
    pub used: u64,
    /// Slab pages, each 64 KiB, that hold the slots.
    pub pages: u64,
    /// Bytes of slots that are not allocated.
    pub scattered: u64,
}

/// An open pool. One thread uses it; another process that tries to open it is refused.
pub struct Pool {
    pub(crate) medium: Medium,
    pub(crate) heap: Heap,
    pub(crate) slab: Slab,
    pub(crate) ring: Ring,
    pub(crate) undo: Undo,
    pub(crate) areas: Areas,
    pub(crate) batch: Batch,
    /// The open group: steps that are not committed yet.
    pub(crate) group: Option<Group>,
    /// Commits stay steps of the open group until [`Pool::release`].
    pub(crate) held: bool,
    /// Commits leave their fence for later.
    pub(crate) lazy: bool,
    spare: Spare,
    header: Header,
    created: bool,
    found_position: u64,
    damaged_pages: Vec<String>,
    handle: Handle,
}

/// Space kept free for what must not fail for want of it: a reservation of libpmemobj's, which is in
/// DRAM only.
struct Spare {
    kept: Option<Reserved>,
    /// Bytes in use when there was last no room for it.
    missed_at: u64,
}

impl Spare {
    /// One segment of the undo log, or slab pages; where that would be much, or is not there, pages only. Whole
    /// chunks of libpmemobj's: what is less it takes from chunks that it keeps for that size.
    const LEN: u64 = undo::SEGMENT_LEN;
    const SMALL_LEN: u64 = (512 << 10) - 16;
    const SMALL_POOL: u64 = 64 << 20;

    fn none() -> Spare {
        Spare {
            kept: None,
            missed_at: u64::MAX,
        }
    }
}

impl Pool {
    /// Opens the pool, creating it if it is absent and a size is given; recovers from whatever
    /// interrupted its last use.
    ///
    /// # Errors
    /// Every cause in [`Error`] but `Full`. None of them changes the file.
    pub fn open(options: &PoolOptions) -> Result<Pool> {
        let path = options.path.as_path();
        let found = file::inspect(path)?;
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
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
                return Err(Error::NotFound(parent.into()));
            }
        }
        file::require_pmem(path, &found, options.durability)?;
        if found == Found::Pool {
            check::verify(path)?;
        }
        let lib = durability::load(options.durability)?;
        let created = found == Found::Nothing;
        let handle = match created {
            true => Handle::create(lib, path, options.size.unwrap_or(0))?,
            false => Handle::open(lib, path)?,
        };
        let files = match found {
            Found::Poolset(parts) => parts,
            _ => vec![path.to_path_buf()],
        };
        let len = file::mapped_len(handle.pop.as_ptr() as usize, &files)?;
        Pool::recover(handle, options, len, created)
    }

    fn recover(handle: Handle, options: &PoolOptions, len: u64, created: bool) -> Result<Pool> {
        // SAFETY: the handle is an open pool; its mapping starts at the handle's address and `len`
        // bytes of it were found in the process's map. `Pool` keeps the handle open (and drops it
        // last) while medium and heap live.
        let (mut medium, mut heap) = unsafe {
            (
                Medium::new(handle.lib, handle.pop.cast(), len)?,
                Heap::new(handle.lib, handle.pop)?,
            )
        };
        let root = heap.root(ROOT_SIZE)?;
        medium.bytes(root, ROOT_SIZE)?;
        let mut header: Header = *medium.get(root)?;
        if header.is_blank() {
            if heap.holds_data()? {
                return Err(Error::Damaged(
                    "the root header is blank, but there is data".into(),
                ));
            }
            let seed = options.seed.map_or_else(random_seed, Ok)?;
            header = initialize(&mut medium, &mut heap, root, seed)?;
        }
        check_header(&header, &options.path)?;
        let log = medium.word(root + LOG_AT)?;
        medium.bytes(log, PAGE_LEN)?;
        let areas = Areas::of(root, log);
        let seed = header.seed[0];

        let published = medium.word(areas.published())?;
        let found = Ring::recover(&medium, &areas, seed, published)?;
        let mut undo = Undo::open(&medium, &areas, seed)?;
        for replay in &found.replay {
            redo(&mut medium, replay)?;
        }
        let mut ring = found.ring;
        let found_position = ring.position();
        if let Some(group) = found.open_group {
            undo.recover(&medium, group)?;
            undo.roll_back(&mut medium, 0)?;
        }
        ring.seal(&mut medium)?;

        let mut slab = Slab::new(len);
        let mut damaged_pages = Vec::new();
        let (mut has_log, mut segments) = (false, HashSet::new());
        heap.walk(|type_num, offset, size| {
            match type_num {
                type_num::PAGE => match slab.add_page(&medium, offset) {
                    Err(Error::Damaged(what)) => damaged_pages.push(what),
                    other => other?,
                },
                type_num::UNDO => {
                    segments.insert(offset);
                }
                type_num::LOG => has_log |= offset == log,
                large => match large
                    .checked_sub(type_num::LARGE)
                    .and_then(|kind| Kind::from_byte(kind as u8))
                {
                    Some(kind) => slab.add_large(offset, size, kind),
                    None => damaged_pages.push(format!(
                        "an object of unknown type {large} at offset {offset:#x}"
                    )),
                },
            }
            Ok(())
        })?;
        if !has_log {
            return Err(damaged("there is no log object", log));
        }
        if let Some(other) = undo.further_segments().find(|at| !segments.contains(at)) {
            return Err(damaged("no segment of the undo log", other));
        }
        undo.clear(&mut heap)?;
        Ok(Pool {
            medium,
            heap,
            slab,
            ring,
            undo,
            areas,
            batch: Batch::default(),
            group: None,
            held: false,
            lazy: false,
            spare: Spare::none(),
            header,
            created,
            found_position,
            damaged_pages,
            handle,
        })
    }

    /// True if [`Pool::open`] has just created the pool.
    pub fn is_new(&self) -> bool {
        self.created
    }

    /// Parts of the pool that could not be used because their bytes contradict themselves.
    pub fn damages(&self) -> &[String] {
        &self.damaged_pages
    }

    /// The pool's own random 128 bits, for keyed hashes.
    pub fn seed(&self) -> [u64; 2] {
        self.header.seed
    }

    /// How far the pool's history has come: it grows with every change, across restarts. O(1).
    pub fn position(&self) -> u64 {
        self.ring.position()
    }

    /// The [`position`](Self::position) that [`Pool::open`] has found. If it is the one that was read
    /// before, nothing has changed since; the reverse is not certain.
    pub fn found_position(&self) -> u64 {
        self.found_position
    }

    /// How full the pool is.
    pub fn usage(&self) -> Usage {
        Usage {
            size: self.medium.len(),
            used: self.slab.used(),
            pages: self.slab.page_count() as u64,
            scattered: self.slab.scattered(),
        }
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

    /// A copy of what lies at `ptr`, maybe older than the last commit, without waiting for it: for guesses at
    /// what will be read. `None` outside the pool.
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
        Ok(match self.slab.block(ptr.offset())? {
            Block::Slot(_, size) | Block::Large(size) => size,
        })
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
    }

    /// True between [`Pool::hold`] and [`Pool::release`].
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Ends [`Pool::hold`]: everything committed since is durable, together.
    ///
    /// # Errors
    /// If libpmemobj cannot publish the group, the group is undone.
    pub fn release(&mut self) -> Result<()> {
        self.held = false;
        self.end_group()
    }

    /// Whether a commit may leave its fence to the next access of the pool, or to [`Pool::settle`]: by then the
    /// processor has mostly done what a fence waits for. Not before that is the commit durable.
    pub fn set_lazy(&mut self, lazy: bool) {
        self.lazy = lazy;
    }

    /// Makes durable what was committed. O(1), and next to nothing if it is already.
    #[inline]
    pub fn settle(&self) {
        self.medium.settle();
    }

    /// Lets the next allocations have the space that is kept free. For what must not fail: retry it after
    /// this, and call [`Pool::keep_spare`] in the end.
    pub fn lend_spare(&mut self) {
        if let Some(kept) = self.spare.kept.take() {
            self.heap.cancel(vec![kept]);
        }
        self.spare.missed_at = u64::MAX;
    }

    /// Keeps some space free, from the first call on, and again after it was lent, if there is enough. O(1),
    /// and next to nothing if nothing has changed.
    pub fn keep_spare(&mut self) {
        let used = self.slab.used();
        if self.spare.kept.is_some() || used >= self.spare.missed_at {
            return;
        }
        let lens = match self.medium.len() < Spare::SMALL_POOL {
            true => &[Spare::SMALL_LEN][..],
            false => &[Spare::LEN, Spare::SMALL_LEN],
        };
        let mut found = lens
            .iter()
            .map(|&len| self.heap.reserve(len, type_num::UNDO));
        self.spare.kept = found.find_map(Result::ok);
        self.spare.missed_at = match self.spare.kept {
            Some(_) => u64::MAX,
            None => used,
        };
    }

    /// True if space is kept free.
    pub fn has_spare(&self) -> bool {
        self.spare.kept.is_some()
    }

    /// How scattered the free room is. O(pages).
    pub fn scatter(&self) -> Scatter {
        self.slab.scatter()
    }

    /// Begins to empty sparse pages: allocations avoid them from now on, and [`Tx::relocate`] moves what lies
    /// there. How many there are. If an allocation finds no other room, the evacuation ends by itself. O(pages).
    pub fn begin_evacuation(&mut self) -> usize {
        self.slab.begin_evacuation()
    }

    /// Has the page on which an object lies be emptied, too, however full it is. O(pages).
    pub fn evacuate<T>(&mut self, object: PPtr<T>) {
        self.slab.evacuate(object.offset());
    }

    /// Ends [`Pool::begin_evacuation`]: pages that were not emptied are used as before. O(pages).
    pub fn end_evacuation(&mut self) {
        self.slab.end_evacuation();
    }

    /// Pages that are to be emptied; 0 if there is no evacuation. O(1).
    pub fn evacuating_pages(&self) -> usize {
        self.slab.evacuating_pages()
    }

    /// Whether the object that starts at `ptr` lies where an evacuation empties the pool. O(1).
    #[inline]
    pub fn evacuating<T>(&self, ptr: PPtr<T>) -> bool {
        self.slab.evacuates(ptr.offset())
    }

    /// Slab pages without an allocated slot, which [`Pool::trim`] can give back. O(1).
    pub fn empty_pages(&self) -> usize {
        self.slab.empty_pages()
    }

    /// True in the parent of a fork child, between [`Pool::begin_snapshot`] and [`Pool::end_snapshot`].
    pub fn has_snapshot(&self) -> bool {
        self.medium.snapshots.is_parent()
    }

    /// A child was forked: until [`Pool::end_snapshot`] the bytes of this moment are kept for it. Call in
    /// the parent before anything else is written.
    pub fn begin_snapshot(&mut self) {
        self.medium.snapshots.begin();
    }

    /// The child is gone.
    pub fn end_snapshot(&mut self) {
        self.medium.snapshots.end();
    }

    /// Call in the child: from here on, reads give the pool as it was at the fork, exactly. Each read makes a
    /// copy, which lives until [`Pool::forget_copies`]. Nothing may be written in the child.
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

    /// Gives the memory of empty slab pages back to libpmemobj, at most `limit` of them; returns
    /// how many. Not inside a group.
    pub fn trim(&mut self, limit: usize) -> Result<usize> {
        /// Pages freed by one publish.
        const CHUNK: usize = 16;
        if self.group.is_some() || self.slab.empty_pages() == 0 {
            return Ok(0);
        }
        self.ring.barrier(&mut self.medium)?;
        let pages = self.slab.take_empty_pages(limit);
        for chunk in pages.chunks(CHUNK) {
            for &(page, len) in chunk {
                self.medium.snapshots.preserve(page, len);
            }
            let offsets: Vec<u64> = chunk.iter().map(|page| page.0).collect();
            self.heap.publish(Vec::new(), &offsets, None)?;
        }
        let given = pages.len();
        Ok(given)
    }
}

/// Applies a record again; ranges that a later record filled afresh stay as they are.
fn redo(medium: &mut Medium, replay: &Replay) -> Result<()> {
    let overlaps = |fill: &Fill, offset: u64, len: u64| {
        fill.offset < offset + len && offset < fill.offset.saturating_add(fill.len)
    };
    for write in writes(&replay.writes) {
        let (offset, bytes) = write?;
        let len = bytes.len() as u64;
        if !replay
            .superseded
            .iter()
            .any(|fill| overlaps(fill, offset, len))
        {
            medium.store(offset, bytes)?;
            medium.flush(offset, len)?;
        }
    }
    Ok(())
}

/// Gives a new pool its log and, last, its header. Cut short, it is done again at the next open.
fn initialize(medium: &mut Medium, heap: &mut Heap, root: u64, seed: [u64; 2]) -> Result<Header> {
    if medium.word(root + LOG_AT)? == 0 {
        let log = heap.reserve_page(PAGE_LEN, type_num::LOG)?;
        let offset = log.offset();
        medium.stream(offset, &vec![0; PAGE_LEN as usize])?;
        medium.fence();
        heap.publish(vec![log], &[], Some((root + LOG_AT, offset)))?;
    }
    let header = Header::new(seed);
    let (magic, rest) = bytemuck::bytes_of(&header).split_at(size_of::<u64>());
    // The header lies on two lines, of which a power cut may keep the second alone.
    for (at, bytes) in [(size_of::<u64>() as u64, rest), (0, magic)] {
        medium.store(root + at, bytes)?;
        medium.flush(root + at, bytes.len() as u64)?;
        medium.fence();
    }
    Ok(header)
}

fn check_header(header: &Header, path: &Path) -> Result<()> {
    if header.magic != MAGIC {
        return Err(Error::Damaged(format!(
            "{} has no pmedis root object",
            path.display()
        )));
    }
    file::known_format(path, header)?;
    if header.checksum != header.expected_checksum() || header.format_version == 0 {
        return Err(Error::Damaged(format!(
            "{}: the root header's checksum is wrong",
            path.display()
        )));
    }
    Ok(())
}
