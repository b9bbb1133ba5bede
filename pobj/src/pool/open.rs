//! Opening a pool: looking at what is there, making what is not, recovering from whatever
//! interrupted its last use.

use super::Pool;
use super::options::PoolOptions;
use super::tx::{Batch, ReserveAccess};
use crate::alloc::room::Room;
use crate::alloc::slab::Slab;
use crate::check;
use crate::disk::new_file;
use crate::disk::replay::InUse;
use crate::disk::{self, Disk, Replayed};
use crate::durability::{self, CommitMode, Durability};
use crate::error::{Error, Result};
use crate::file::{self, Locks};
use crate::file_system;
use crate::found::{self, Found};
use crate::growth::{self, Growth};
use crate::handle::Handle;
use crate::heap::{Heap, map_privately};
use crate::made::Made;
use crate::medium::Medium;
use crate::recovery;
use crate::replicas;
use crate::set;
use pmdk_bindings::Libpmemobj;
use std::fs::File;

impl Pool {
    /// Opens the pool, creating it if it is absent and a size is given; recovers from whatever
    /// interrupted its last use.
    ///
    /// # Errors
    /// Every cause in [`Error`] but `Full`. None of them changes the file.
    pub fn open(options: &PoolOptions) -> Result<Pool> {
        let (mut made, mut locked) = (Made::default(), None);
        let opened = Pool::open_noting(options, &mut made, &mut locked);
        match opened {
            Ok(mut pool) => {
                pool.made = made;
                Ok(pool)
            }
            // What somebody else uses already was made by both.
            Err(error @ Error::Locked(_)) => Err(error),
            Err(error) => {
                made.remove();
                Err(error)
            }
        }
    }

    /// Opens the pool; what comes to be of it is noted in `made`, and nobody else may make it while
    /// `locked` is there.
    fn open_noting(
        options: &PoolOptions,
        made: &mut Made,
        locked: &mut Option<File>,
    ) -> Result<Pool> {
        let (path, layout) = (options.path.as_path(), options.layout);
        let mut found = found::inspect(path, layout)?;
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
        let durability = file_system::choose_durability(path, &found, options.durability)?
            .ok_or_else(|| Error::NotPersistent {
                path: path.into(),
                advice: layout.advice.not_persistent,
            })?;
        let mut locks = Locks::default();
        match &found {
            Found::Pool => locks.before_opening(path)?,
            Found::Poolset(set) => {
                if let Some(first) = set.files()?.first() {
                    locks.before_opening(first)?;
                }
            }
            Found::Nothing | Found::BlankSet(_) | Found::Device => {}
        }
        let by_journal = durability == Durability::Disk;
        if by_journal {
            disk::require_file(path, &found, layout.advice.not_one_file)?;
        }
        if matches!(found, Found::BlankSet(_)) && (options.size.is_none() || options.as_it_is) {
            return Err(Error::SetWithoutPool(path.into()));
        }
        let (mut replayed, mut lost_journal) = (None, None);
        match (&found, options.max_size) {
            (Found::Pool, _) => {
                // What growth changes of the file is in no journal.
                let goes_on = by_journal && !growth::lengthens(path, options.size)?;
                let goes_on = goes_on.then_some(options.limits.journal);
                let journal = disk::journal_of(path);
                match disk::replay::replay(path, layout, &journal, goes_on, options.accepts_copy) {
                    Err(error @ Error::Journal { .. })
                        if options.without_journal && !by_journal =>
                    {
                        lost_journal = Some(error.to_string());
                    }
                    done => replayed = done?,
                }
                check::verify(path)?;
            }
            (Found::Nothing, Some(most)) if !by_journal => {
                let set = set::make(path, most)?;
                *made = Made::set(path, &set::parts_directory(path)?);
                found = Found::BlankSet(set);
            }
            _ => {}
        }
        // Nobody else may make the same pool meanwhile.
        if let Found::BlankSet(set) = &found {
            *locked = set.named().next().map(file::lock_directory).transpose()?;
        }
        let doubtful = match &found {
            Found::Poolset(set) => {
                if set.grows() {
                    growth::unknown_parts(path, set)?;
                }
                let doubtful = replicas::compare(path, layout, set)?;
                check::verify_set(set)?;
                doubtful
            }
            _ => Vec::new(),
        };
        let event = if options.as_it_is {
            None
        } else {
            let event = growth::prepare(path, &mut found, options.size, options.max_size)?;
            found::allocate_blocks(path, &found)?;
            event
        };
        if matches!(found, Found::BlankSet(_)) && matches!(made, Made::Nothing) {
            *made = Made::Parts(path.into());
        }
        let lib = durability::load(durability)?;
        let created = matches!(found, Found::Nothing | Found::BlankSet(_));
        let size = options.size.unwrap_or(0);
        if by_journal {
            let growth = Growth::of(found, options.max_size, event)?;
            let mut pool = Pool::open_privately(
                lib,
                options,
                created.then_some(size),
                replayed,
                growth,
                locks,
                made,
            )?;
            pool.sync()?;
            return Ok(pool);
        }
        let is_lost = lost_journal.is_some();
        if is_lost {
            map_privately(lib, true)?;
        }
        let handle = match &found {
            Found::Nothing => {
                let handle = Handle::create(lib, path, layout.name, size)?;
                *made = Made::file(path);
                locks.before_opening(path)?;
                handle
            }
            Found::BlankSet(_) => Handle::create(lib, path, layout.name, 0)?,
            _ => Handle::open(lib, path, layout.name)?,
        };
        let is_device = matches!(found, Found::Device);
        replicas::complete(&handle, &doubtful)?;
        let files = match &found {
            Found::Poolset(set) => set.files()?,
            _ => vec![path.to_path_buf()],
        };
        if let Some(first) = files.first().filter(|_| !is_device) {
            locks.before_opening(first)?;
            locks.after_opening(first)?;
        }
        let most = if options.as_it_is {
            Some(0)
        } else {
            options.max_size
        };
        let growth = Growth::of(found, most, event)?;
        let len = match growth.reserved() {
            // One mapping of all that is reserved, of which the parts have the beginning.
            Some(reserved) => handle.len().min(reserved),
            None => file::mapped_len(handle.pop.as_ptr() as usize, &files)?,
        };
        let mut pool = Pool::recover(handle, options, len, growth, durability, is_lost)?;
        (pool.created, pool.replayed) = (created, replayed.map(|(replayed, _)| replayed));
        pool.lost_journal = lost_journal;
        pool.locks = locks;
        pool.grow_to(size);
        Ok(pool)
    }

    /// Opens a pool that is to have a journal, or makes it, of `size` bytes.
    fn open_privately(
        lib: &'static Libpmemobj,
        options: &PoolOptions,
        size: Option<u64>,
        replayed: Option<(Replayed, Option<InUse>)>,
        growth: Growth,
        mut locks: Locks,
        made: &mut Made,
    ) -> Result<Pool> {
        let (replayed, in_use) = replayed.unzip();
        let in_use = in_use.flatten();
        let path = options.path.as_path();
        if let Some(size) = size {
            Pool::make_whole(lib, options, size)?;
            *made = Made::file(path);
            locks.before_opening(path)?;
        }
        map_privately(lib, true)?;
        let opened = Handle::open(lib, path, options.layout.name);
        map_privately(lib, false)?;
        let handle = opened?;
        locks.after_opening(path)?;
        let len = file::mapped_len(handle.pop.as_ptr() as usize, &[path.to_path_buf()])?;
        let (durability, is_in_use) = (Durability::Disk, in_use.is_some());
        let mut pool = Pool::recover(handle, options, len, growth, durability, is_in_use)?;
        let (root, limits) = (pool.areas.root, options.limits);
        let (layout, medium) = (options.layout, &mut pool.medium);
        let disk = Disk::open(path, layout, medium, root, &pool.header, limits, in_use)?;
        pool.disk = Some(Box::new(disk));
        pool.locks = locks;
        made.add_journal();
        (pool.created, pool.replayed) = (size.is_some(), replayed);
        Ok(pool)
    }

    /// Makes a new pool under another name, and gives it its own when it is whole.
    fn make_whole(lib: &'static Libpmemobj, options: &PoolOptions, size: u64) -> Result<()> {
        let failed = |error| file::io_error(&options.path, &error);
        let path = new_file::target(&options.path).map_err(failed)?;
        let new = new_file::clear(&path).map_err(failed)?;
        let make = || {
            let handle = Handle::create(lib, &new, options.layout.name, size)?;
            let files = [new.clone()];
            let len = file::mapped_len(handle.pop.as_ptr() as usize, &files)?;
            let growth = Growth::of(Found::Nothing, options.max_size, None)?;
            // Nobody knows of it before it is whole, and synced.
            let durability = Durability::Process;
            drop(Pool::recover(
                handle, options, len, growth, durability, false,
            )?);
            new_file::place(&new, &path).map_err(failed)
        };
        make().inspect_err(|_| drop(std::fs::remove_file(&new)))
    }

    /// Recovers a pool that libpmemobj has opened; `in_use` says whether its journal is needed.
    fn recover(
        handle: Handle,
        options: &PoolOptions,
        len: u64,
        growth: Growth,
        durability: Durability,
        in_use: bool,
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
        let found = recovery::recover(
            &mut medium,
            &mut heap,
            &options.path,
            options.layout,
            options.seed,
            in_use,
        )?;
        let mut pool = Pool {
            slab: Slab::new(len, options.layout.kinds),
            room: Room::new(found.header.seed[0]),
            medium,
            heap,
            ring: found.ring,
            undo: found.undo,
            areas: found.areas,
            batch: Batch::default(),
            group: None,
            in_group: false,
            refused: false,
            commit_mode: CommitMode::default(),
            must_follow: false,
            moving: false,
            stuck: 0,
            lacked: 0,
            reserve_access: ReserveAccess::default(),
            old: Vec::new(),
            growth,
            advice: &options.layout.advice,
            disk: None,
            header: found.header,
            created: false,
            made: Made::default(),
            replayed: None,
            lost_journal: None,
            found_lsn: found.lsn,
            old_format: found.old_format,
            damages: Vec::new(),
            durability,
            huge_pages: None,
            handle,
            locks: Locks::default(),
        };
        pool.damages = pool.find_all(found.log, found.log_len)?;
        Ok(pool)
    }
}
