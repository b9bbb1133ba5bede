//! Growth: how a pool comes to have more room than it was made with.
//!
//! * A pool in a plain file grows when it is opened, with the file: to the size that is asked for,
//!   or to what the file was made longer by. One word of libpmemobj's says how far its heap goes;
//!   it is stored when all blocks of the file are there.
//! * A pool in directories (`set.rs`) grows while it is open, by one more part: the part's file is
//!   made with all its blocks, durably; libpmemobj maps it behind the others and notes its heap's
//!   new length, in one word; its free chunks are taken as an extent.
//!
//! If growth is interrupted before that word is stored, nothing has grown: the next opening removes
//! the part, in which nothing is, or finds a longer file and tries again. If it is interrupted
//! later, libpmemobj completes its tables at the next opening, and the room is taken then.
//!
//! What is new of the mapping was nobody's: no log has anything about it, and no fork child knows
//! of it.

use crate::error::{Error, Result};
use crate::file::{self, HEAP_OFFSET_AT, HEAP_SIZE_AT, io_error};
use crate::found::Found;
use crate::set::{self, Set, UNIT};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bounds of the steps in which a pool grows by itself: an eighth of its size.
const STEP_MIN: u64 = 16 << 20;
const STEP_MAX: u64 = 1 << 30;
const STEP_PART: u64 = 8;

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
    pub(crate) set: Option<Set>,
    /// It lies in files whose sizes are given, or on a device.
    pub(crate) is_in_parts: bool,
    /// The size it may reach.
    pub(crate) limit: u64,
    /// The next part: its number, and which of the directories it goes to.
    pub(crate) next: (usize, usize),
    /// When it could not grow by itself.
    pub(crate) refused: Option<Instant>,
    pub(crate) events: Vec<GrowthEvent>,
}

impl Growth {
    /// How the pool that was found grows, before libpmemobj opens it: up to `most` bytes, if that
    /// is said.
    pub(crate) fn of(
        found: Found,
        most: Option<u64>,
        event: Option<GrowthEvent>,
    ) -> Result<Growth> {
        let is_in_parts = matches!(
            found,
            Found::Poolset(_) | Found::BlankSet(_) | Found::Device
        );
        let set = match found {
            Found::Poolset(set) | Found::BlankSet(set) if set.grows() => Some(set),
            _ => None,
        };
        Ok(Growth {
            limit: match &set {
                Some(set) => set.reserved().min(most.unwrap_or(u64::MAX)),
                None => 0,
            },
            next: set.as_ref().map_or(Ok((0, 0)), Set::next_place)?,
            set,
            is_in_parts,
            refused: None,
            events: event.into_iter().collect(),
        })
    }

    /// Bytes of address space that libpmemobj has reserved from the pool's start on; `None` if the
    /// pool has no more than its files.
    pub(crate) fn reserved(&self) -> Option<u64> {
        self.set.as_ref().map(Set::reserved)
    }
}

/// Makes a closed pool ready to be opened with all the room that it has, or is to have: the length
/// of a plain file, the parts of directories. `wanted` is the size that is asked for, `most` what
/// it may grow to.
///
/// # Errors
/// `Locked` if somebody has the pool open; `NoSpace` if a file was made longer and has holes that
/// cannot be filled.
pub(crate) fn prepare(
    path: &Path,
    found: &mut Found,
    wanted: Option<u64>,
    most: Option<u64>,
) -> Result<Option<GrowthEvent>> {
    match found {
        Found::Pool => return lengthen(path, wanted),
        Found::Poolset(set) if set.grows() => {
            let (_locked, unknown) = unknown_parts(path, set)?;
            for part in &unknown {
                set::remove_part(part)?;
            }
            set::reserve(path, set, most.unwrap_or(0))?;
        }
        Found::BlankSet(set) => set::make_first_parts(path, set, wanted.unwrap_or(0))?,
        _ => {}
    }
    Ok(None)
}

/// Locks a closed set that grows. The lock, and the parts that the pool does not know of yet.
///
/// # Errors
/// `Locked` if somebody has the pool open; `Damaged` if a part is missing in a replica, or is not
/// one of this pool's.
pub(crate) fn unknown_parts(path: &Path, set: &Set) -> Result<(File, Vec<PathBuf>)> {
    let files = set.files()?;
    let first = files.first().ok_or_else(|| Error::NotFound(path.into()))?;
    let file = file::lock(first)?;
    let len = file::pool_len(&file::read_head(first, &file)?);
    let unknown = set.unknown_parts(path, len)?;
    Ok((file, unknown))
}

/// Whether [`prepare`] changes the pool in the plain file at `path`.
pub(crate) fn lengthens(path: &Path, wanted: Option<u64>) -> Result<bool> {
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    let metadata = file.metadata().map_err(|error| io_error(path, &error))?;
    let pool = file::pool_len(&file::read_head(path, &file)?);
    let len = metadata.len().max(wanted.unwrap_or(0));
    Ok(len >= pool.saturating_add(UNIT))
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

/// The step in which a pool of `len` bytes grows by itself.
pub(crate) fn step(len: u64) -> u64 {
    (len / STEP_PART).clamp(STEP_MIN, STEP_MAX)
}

/// Makes parts of `wanted` bytes, or of less if the file system has no more, but of `least` at
/// least; their size.
pub(crate) fn make_parts(paths: &[PathBuf], wanted: u64, least: u64) -> Result<u64> {
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
