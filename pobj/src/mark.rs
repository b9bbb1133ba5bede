//! Which file a pool is in, and a mark on that file beside its content: both distinguish a copy
//! from the original.
//!
//! A copy that was made while the pool was in use is torn. Its bytes do not show that; but the file
//! is another one (its inode, or when it was made), or, if the copy was written over a file that
//! was there, that file's mark (an extended attribute, which copying leaves behind) tells of a
//! later LSN than the content. Snapshots of a whole file system are consistent, and keep both.

use crate::attribute;
use crate::error::Result;
use crate::file::io_error;
use crate::found::{self, Found};
use crate::identity::Layout;
use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use xxhash_rust::xxh3::xxh3_64;

/// The file of a pool: the first part, of a poolset. `None` for a device.
fn first_file(path: &Path, layout: &Layout) -> Result<Option<PathBuf>> {
    Ok(match found::inspect(path, layout)? {
        Found::Pool => Some(path.to_path_buf()),
        Found::Poolset(set) => set.files()?.into_iter().next(),
        Found::Device | Found::BlankSet(_) | Found::Nothing => None,
    })
}

/// A number that tells the file of the pool at `path` from others; never 0. `None` if it has none
/// (a device).
///
/// # Errors
/// `Io` and its like.
pub fn file_id(path: &Path, layout: &Layout) -> Result<Option<u64>> {
    let Some(file) = first_file(path, layout)? else {
        return Ok(None);
    };
    let metadata = std::fs::metadata(&file).map_err(|error| io_error(&file, &error))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let created = metadata.created().ok();
    let created = created.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let created = created.map_or(0, |time| time.as_nanos() as u64);
    let words = [metadata.ino(), created].map(u64::to_le_bytes).concat();
    Ok(Some(xxh3_64(&words).max(1)))
}

/// What the mark on a pool's file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of the run that has the pool, or had it last, and the one before while that is
    /// not certain.
    pub runs: [u64; 2],
    /// How far the pool's history has come at least ([`crate::Pool::lsn`]).
    pub lsn: u64,
}

/// A pool's file, to be marked.
pub struct MarkedFile {
    file: File,
    path: PathBuf,
    /// The attribute's name.
    attribute: &'static CStr,
}

impl MarkedFile {
    /// The file of the pool at `path`; `None` for a device.
    ///
    /// # Errors
    /// `Io` and its like.
    pub fn open(path: &Path, layout: &Layout) -> Result<Option<MarkedFile>> {
        let Some(path) = first_file(path, layout)? else {
            return Ok(None);
        };
        let open = OpenOptions::new().read(true).write(true).open(&path);
        let file = open.map_err(|error| io_error(&path, &error))?;
        Ok(Some(MarkedFile {
            file,
            path,
            attribute: layout.mark,
        }))
    }

    /// The mark; `None` if there is none, or the file system keeps none.
    pub fn get(&self) -> Option<Mark> {
        let [first, second, lsn] = attribute::get(&self.file, self.attribute)?;
        let runs = [first, second];
        Some(Mark { runs, lsn })
    }

    /// Sets the mark, some time later durably; false if the file system keeps none.
    pub fn set(&self, mark: Mark) -> bool {
        let [first, second] = mark.runs;
        attribute::set(&self.file, self.attribute, [first, second, mark.lsn])
    }

    /// Waits until the mark is durable.
    ///
    /// # Errors
    /// `Io` and its like.
    pub fn sync(&self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(|error| io_error(&self.path, &error))
    }
}
