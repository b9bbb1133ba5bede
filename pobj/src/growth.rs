//! Growth: how a pool comes to have more room than it was made with.
//!
//! * A pool in a plain file grows when it is opened, with the file: to the size that is asked for,
//!   or to what the file was made longer by. One word of libpmemobj's says how far its heap goes;
//!   it is stored when all blocks of the file are there.
//! * A pool in directories (`set.rs`) grows while it is open, by one more part: the part's file is
//!   made with all its blocks, durably; libpmemobj maps it behind the others and notes its heap's
//!   new length, in one word; its free chunks are taken as an extent.
//!
//! Cut short before that word is stored, nothing has grown: the next opening removes the part, or
//! finds a longer file and tries again. After it libpmemobj completes its tables at the next
//! opening, and the room is taken then.
//!
//! What is new of the mapping was nobody's: no log has anything about it, and no fork child knows
//! of it.

use crate::alloc::run::GRANULE;
use crate::error::{Error, Result};
use crate::file::{self, Found, HEAP_OFFSET_AT, HEAP_SIZE_AT, io_error};
use crate::pool::{Pool, PoolOptions};
use crate::set::{self, Set, UNIT};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bounds of the steps in which a pool grows by itself: an eighth of its size.
const STEP_MIN: u64 = 16 << 20;
const STEP_MAX: u64 = 1 << 30;
const STEP_PART: u64 = 8;
/// How long it does not try again by itself after it could not grow.
const REST: Duration = Duration::from_secs(10);
/// libpmemobj's zones and chunks, and the table of an extent, take this of a new part at most, and
/// one part in [`META_PART`].
const META: u64 = 2 << 20;
const META_PART: u64 = 256;

/// What has become of a pool's size, for the layer above to tell.
#[derive(Clone, Debug)]
pub enum GrowthEvent {
    /// The pool has grown.
    Grown {
        /// Bytes before.
        from: u64,
        /// Bytes since.
        to: u64,
    },
    /// It was to grow, and could not. Everything is as before.
    Refused(Error),
}

/// How an open pool grows.
pub(crate) struct Growth {
    /// The set of directories in which it lies; `None` if it keeps its size while it is open.
    set: Option<Set>,
    /// The size it may reach.
    limit: u64,
    /// The next part: its number, and whose turn it is of the directories.
    next: (usize, usize),
    /// When it could not grow by itself.
    refused: Option<Instant>,
    events: Vec<GrowthEvent>,
}

impl Growth {
    /// How the pool that was found grows, before libpmemobj opens it.
    pub fn of(found: Found, options: &PoolOptions, event: Option<GrowthEvent>) -> Result<Growth> {
        let set = match found {
            Found::Poolset(set) | Found::BlankSet(set) if set.grows() => Some(set),
            _ => None,
        };
        Ok(Growth {
            limit: match &set {
                Some(set) => set.reserved().min(options.most().unwrap_or(u64::MAX)),
                None => 0,
            },
            next: set.as_ref().map_or(Ok((0, 0)), Set::next_place)?,
            set,
            refused: None,
            events: event.into_iter().collect(),
        })
    }

    /// Bytes of address space that libpmemobj has reserved from the pool's start on; `None` if the
    /// pool has no more than its files.
    pub fn reserved(&self) -> Option<u64> {
        self.set.as_ref().map(Set::reserved)
    }
}

/// Makes a closed pool ready to be opened with all the room that it has, or is to have: the length
/// of a plain file, the parts of directories.
///
/// # Errors
/// `Locked` if somebody has the pool open; `NoSpace` if a file was made longer and has holes that
/// cannot be filled.
pub(crate) fn prepare(
    path: &Path,
    found: &mut Found,
    options: &PoolOptions,
) -> Result<Option<GrowthEvent>> {
    match found {
        Found::Pool => return lengthen(path, options.wanted()),
        Found::Poolset(set) if set.grows() => {
            let Some(first) = set.files()?.into_iter().next() else {
                return Ok(None);
            };
            let file = file::lock(&first)?;
            let len = file::pool_len(&file::read_head(&first, &file)?);
            set.drop_unknown_parts(path, len)?;
            set::reserve(path, set, options.most().unwrap_or(0))?;
        }
        Found::BlankSet(set) => set::make_first_parts(set, options.wanted().unwrap_or(0))?,
        _ => {}
    }
    Ok(None)
}

/// Makes a pool in a plain file as long as its file, and both of them `size` bytes if that is more
/// and the file system has them.
fn lengthen(path: &Path, size: Option<u64>) -> Result<Option<GrowthEvent>> {
    let file = file::lock(path)?;
    let metadata = file.metadata().map_err(|error| io_error(path, &error))?;
    let (found, pool) = (
        metadata.len(),
        file::pool_len(&file::read_head(path, &file)?),
    );
    let is_more = |len: u64| len >= pool.saturating_add(UNIT);
    let (mut len, mut refused) = (found, None);
    if let Some(size) = size.filter(|&size| is_more(size) && size > found) {
        match set::allocate(&file, path, size) {
            Ok(()) => len = size,
            Err(error) => {
                file.set_len(found)
                    .map_err(|error| io_error(path, &error))?;
                refused = Some(GrowthEvent::Refused(error));
            }
        }
    }
    if !is_more(len) {
        return Ok(refused);
    }
    if len == found {
        set::allocate(&file, path, len)?;
    }
    let len = len & !4095;
    let stored = store_length(&file, len);
    stored.map_err(|error| io_error(path, &error))?;
    Ok(refused.or(Some(GrowthEvent::Grown {
        from: pool,
        to: len,
    })))
}

/// Has libpmemobj's heap go to the end of `len` bytes, all of which are there.
fn store_length(file: &File, len: u64) -> std::io::Result<()> {
    let mut start = [0; 8];
    file.read_exact_at(&mut start, HEAP_OFFSET_AT as u64)?;
    file.sync_all()?;
    let heap = len - u64::from_le_bytes(start);
    file.write_all_at(&heap.to_le_bytes(), HEAP_SIZE_AT as u64)?;
    file.sync_all()
}

impl Pool {
    /// The size that the pool can reach while it is open, in bytes; its present one if it does not
    /// grow.
    pub fn size_max(&self) -> u64 {
        let len = self.medium.len();
        match self.growth.set {
            Some(_) => self.growth.limit.max(len),
            None => len,
        }
    }

    /// What has become of the pool's size since this was asked last.
    pub fn take_growth_events(&mut self) -> Vec<GrowthEvent> {
        std::mem::take(&mut self.growth.events)
    }

    /// Makes the pool larger by `bytes`, rounded up to 2 MiB; by a step of its own choice, or as
    /// much of it as there is, without a number. Its new size. All blocks are there when this
    /// returns.
    ///
    /// # Errors
    /// `State` if the pool does not grow, or not as far; `NoSpace` if the file system has no room.
    /// Nothing has changed then.
    pub fn grow(&mut self, bytes: Option<u64>) -> Result<u64> {
        let from = self.medium.len();
        let (wanted, least) = match bytes {
            Some(bytes) => (bytes, bytes),
            None => (step(from), UNIT),
        };
        self.extend(wanted, least)?;
        self.growth.refused = None;
        let to = self.medium.len();
        self.growth.events.push(GrowthEvent::Grown { from, to });
        Ok(to)
    }

    /// Grows to `size` bytes, if the pool has less and can.
    pub(crate) fn grow_to(&mut self, size: u64) {
        let missing = size.saturating_sub(self.medium.len());
        if self.growth.set.is_some()
            && missing >= UNIT
            && let Err(error) = self.grow(Some(missing))
        {
            self.growth.events.push(GrowthEvent::Refused(error));
        }
    }

    /// Grows so that a run of `granules` fits, if the pool can; whether it has grown.
    #[cold]
    pub(crate) fn grow_for(&mut self, granules: u64) -> bool {
        let from = self.medium.len();
        let rests = |at: Instant| at.elapsed() < REST;
        if self.growth.set.is_none()
            || self.growth.limit < from + UNIT
            || self.growth.refused.is_some_and(rests)
        {
            return false;
        }
        let bytes = granules.saturating_mul(GRANULE);
        let least = bytes.saturating_add(META + bytes / META_PART);
        let event = match self.extend(step(from).max(least), least) {
            Ok(()) => GrowthEvent::Grown {
                from,
                to: self.medium.len(),
            },
            // One object that is too large says nothing of the others.
            Err(Error::State(_)) => return false,
            Err(error) => {
                self.growth.refused = Some(Instant::now());
                GrowthEvent::Refused(error)
            }
        };
        let has_grown = matches!(event, GrowthEvent::Grown { .. });
        self.growth.events.push(event);
        has_grown
    }

    /// Grows by `wanted` bytes, or less if there is no more, but by `least` at least.
    fn extend(&mut self, wanted: u64, least: u64) -> Result<()> {
        let (len, limit) = (self.medium.len(), self.growth.limit);
        let Some(set) = &self.growth.set else {
            return Err(Error::State(
                "the pool keeps its size while a server has it open: it lies in a plain file, which grows at a \
                 start, with a larger 'size'"
                    .into(),
            ));
        };
        let units = |bytes: u64| bytes.div_ceil(UNIT).saturating_mul(UNIT).max(UNIT);
        let (least, most) = (units(least), limit.saturating_sub(len) / UNIT * UNIT);
        if most < least {
            return Err(Error::State(format!(
                "the pool has {len} bytes and cannot become larger than {limit}"
            )));
        }
        let paths = set.parts_at(self.growth.next.0, self.growth.next.1);
        let size = make_parts(&paths, units(wanted).min(most), least)?;
        self.medium.complete_commit();
        if let Err(error) = self.heap.extend(size) {
            // What libpmemobj thinks its next part is called is not certain any more.
            self.growth.set = None;
            for path in &paths {
                set::remove_part(path)?;
            }
            return Err(error);
        }
        self.growth.next.0 += 1;
        self.growth.next.1 += 1;
        let word = |at: usize| self.medium.word(at as u64);
        let len = word(HEAP_OFFSET_AT)?.saturating_add(word(HEAP_SIZE_AT)?);
        self.medium.grow(len);
        self.slab.grow(len);
        self.take_extents()
    }
}

/// The step in which a pool of `len` bytes grows by itself.
fn step(len: u64) -> u64 {
    (len / STEP_PART).clamp(STEP_MIN, STEP_MAX)
}

/// Makes parts of `wanted` bytes, or of less if the file system has no more, but of `least` at
/// least; their size.
fn make_parts(paths: &[PathBuf], wanted: u64, least: u64) -> Result<u64> {
    let mut size = wanted;
    loop {
        match set::make_parts(paths, size) {
            Err(Error::NoSpace { .. }) if size > least => {
                size = (size / 2).next_multiple_of(UNIT).max(least);
            }
            made => return made.map(|()| size),
        }
    }
}
