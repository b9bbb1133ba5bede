//! Files that are written durably, and what is remembered of a write that failed.

use crate::error::{Error, Result};
use crate::file::{io_error, sync_directory};
use crate::images::BLOCK;
use crate::images::buffer::Buffer;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes that are written at a time where there are many.
const PART: u64 = 1 << 20;

/// A write or a sync that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What the system said of what.
    pub what: String,
    /// True if trying again could hide that something is lost: what a file holds after a write or a
    /// sync that failed is not known, except for want of room.
    pub is_final: bool,
}

impl Failure {
    /// Of `error`, which came of doing `what`.
    pub(crate) fn of(what: &str, path: &Path, error: &io::Error) -> Failure {
        let full = matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
        Failure {
            what: format!("{what} {}: {error}", path.display()),
            is_final: !full,
        }
    }

    /// Of a sync that failed, whatever the error: the kernel tells of it once, and counts as
    /// written what was not.
    pub(crate) fn of_sync(path: &Path, error: &io::Error) -> Failure {
        Failure {
            is_final: true,
            ..Failure::of("syncing", path, error)
        }
    }
}

/// Opens a file of which each write is durable when it returns, around the page cache if the file
/// system can.
pub(super) fn open_durable(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let direct = options
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(path);
    match direct {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            options.custom_flags(libc::O_DSYNC).open(path)
        }
        other => other,
    }
}

/// Creates a file of `len` bytes for a journal, all of them zeros that are written: a file system
/// then has nothing to note of its own when they are written again. They are reserved before, where
/// the file system can: what does not fit is refused at once.
///
/// The first `head` bytes come last: while anything of a former journal is left behind them, these
/// tell that it was one, should the file system not have cut it off.
///
/// # Errors
/// `NoSpace`; `Io` and its like. No file is there that was not there before, and none takes space.
pub(super) fn create_zeroed(path: &Path, head: u64, len: u64) -> Result<()> {
    // A link that somebody has made stays, too.
    let was_there = path.symlink_metadata().is_ok();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path).map_err(|error| io_error(path, &error))?;
    let fill = || -> io::Result<()> {
        reserve(&file, len)?;
        let mut zeros = Buffer::default();
        zeros.push(&vec![0; PART.min(len) as usize]);
        for (from, to) in [(head, len), (0, head)] {
            for at in (from..to).step_by(PART as usize) {
                let part = PART.min(to - at) as usize;
                file.write_all_at(&zeros.bytes()[..part], at)?;
            }
            file.sync_all()?;
        }
        sync_directory(path)
    };
    fill().map_err(|error| {
        let _ = file.set_len(0);
        if !was_there {
            let _ = std::fs::remove_file(path);
        }
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Error::NoSpace {
                what: "journal",
                path: path.into(),
                size: len,
                message: error.to_string(),
            },
            _ => io_error(path, &error),
        }
    })
}

/// Has the file system reserve the first `len` bytes of a file, if it can do that.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(len).unwrap_or(libc::off_t::MAX);
    loop {
        // SAFETY: an open file; no memory is passed. The C library's own function would write to
        // each block where the file system cannot reserve.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => return Ok(()),
            _ => return Err(error),
        }
    }
}

/// Writes a range of a file that is on its way to the disk to the end, so that a later sync has
/// little to wait for.
pub(super) fn write_out(file: &File, at: u64, len: u64) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: an open file; no memory is passed.
    let failed =
        unsafe { libc::sync_file_range(file.as_raw_fd(), at as i64, len as i64, flags) } != 0;
    if failed {
        let error = io::Error::last_os_error();
        // A file system without such a thing: the sync does all.
        let unknown = [libc::ENOSYS, libc::EINVAL, libc::EOPNOTSUPP, libc::ESPIPE];
        if !error
            .raw_os_error()
            .is_some_and(|errno| unknown.contains(&errno))
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Reads `buffer` full from the ring of `capacity` bytes that begins at `base`, from the position
/// `lsn` on.
pub(super) fn read_ring(
    file: &File,
    base: u64,
    capacity: u64,
    lsn: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    let at = lsn % capacity;
    let first = (capacity - at).min(buffer.len() as u64) as usize;
    let (head, tail) = buffer.split_at_mut(first);
    file.read_exact_at(head, base + at)?;
    file.read_exact_at(tail, base)
}

/// Writes whole blocks, at most as many as it has, into such a ring.
pub(super) fn write_ring(
    file: &File,
    base: u64,
    capacity: u64,
    lsn: u64,
    bytes: &[u8],
) -> io::Result<()> {
    debug_assert!((bytes.len() as u64).is_multiple_of(BLOCK) && lsn.is_multiple_of(BLOCK));
    let at = lsn % capacity;
    let first = (capacity - at).min(bytes.len() as u64) as usize;
    let (head, tail) = bytes.split_at(first);
    file.write_all_at(head, base + at)?;
    file.write_all_at(tail, base)
}
