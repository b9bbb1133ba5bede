//! Files of pools: where libpmemobj notes what, locks, names, mappings.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Least size of a pool in bytes (`PMEMOBJ_MIN_POOL`).
pub(crate) const POOL_MIN: u64 = 8 << 20;
pub(crate) const SIGNATURE: &[u8] = b"PMEMOBJ\0";
/// libpmemobj's pool header is one page, and the layout name (1,024 bytes) follows.
pub(crate) const LAYOUT_AT: usize = 4096;
pub(crate) const LAYOUT_LEN: usize = 1024;
/// Where libpmemobj notes where its heap starts. It reaches to the pool's end.
pub(crate) const HEAP_OFFSET_AT: usize = LAYOUT_AT + LAYOUT_LEN + 16;
/// Where libpmemobj notes the root object's offset; zero in a pool that has none yet.
pub(crate) const ROOT_OFFSET_AT: usize = LAYOUT_AT + 2048;
/// Where it notes how long its heap is.
pub(crate) const HEAP_SIZE_AT: usize = LAYOUT_AT + 2048 + 32;
pub(crate) const HEAD_LEN: usize = HEAP_SIZE_AT + 8;

pub(crate) fn io_error(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound(path.into()),
        std::io::ErrorKind::PermissionDenied => Error::Permission(path.into(), error.to_string()),
        _ => Error::Io(format!("{}: {error}", path.display())),
    }
}

/// Opens a file of a closed pool, which stays locked, as libpmemobj locks it, until what is
/// returned is dropped.
///
/// # Errors
/// `Locked` if somebody has the pool open.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = open_to_probe(path)?;
    lock_open(&file, path)?;
    Ok(file)
}

/// Locks on a file of a pool for as long as it is used, where libpmemobj's own does not last.
///
/// libpmemobj closes its descriptor, so its lock lasts as long as the mapping keeps what was
/// opened. On overlayfs a mapping keeps another file, that of a lower layer, and nothing stays
/// locked there. Whoever opens a pool there has it all to itself by a lock of another kind, which
/// libpmemobj's does not meet, taken before anything is read or changed; and the lock of
/// libpmemobj's kind, which it gets in its place afterwards, keeps out who only looks at closed
/// pools. What a fork child inherits of the locks ends with the child, as it does with the mapping.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Option<File>,
    after: Option<File>,
}

impl Locks {
    /// The pool at `path` is about to be opened; or was just made, and nobody else may have it.
    ///
    /// # Errors
    /// `Locked` if somebody has it open; those of opening the file.
    pub(crate) fn before_opening(&mut self, path: &Path) -> Result<()> {
        if self.held.is_some() {
            return Ok(());
        }
        let file = open_to_probe(path)?;
        if !is_layered(&file) {
            // There, flock can be a lock of this kind as well (NFS), and libpmemobj's lasts.
            return Ok(());
        }
        // SAFETY: all zeros are a value of this plain struct: the whole file, and no process, as
        // locks of open files have it.
        let mut whole = unsafe { std::mem::zeroed::<libc::flock>() };
        whole.l_type = libc::F_WRLCK as libc::c_short;
        // SAFETY: locks an open file for as long as it stays open; the struct lives for the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const whole) } == 0 {
            self.held = Some(file);
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Err(Error::Locked(path.into())),
            // A kernel without such locks: the one afterwards has to do.
            _ => Ok(()),
        }
    }

    /// libpmemobj has opened the pool at `path`.
    ///
    /// # Errors
    /// Those of opening the file.
    pub(crate) fn after_opening(&mut self, path: &Path) -> Result<()> {
        self.after = lock_if_free(path)?;
        Ok(())
    }
}

/// Whether a file is on overlayfs.
fn is_layered(file: &File) -> bool {
    const OVERLAYFS_MAGIC: libc::c_long = 0x794c_7630;
    // SAFETY: all zeros are a value of this plain struct, which the call fills, of an open file.
    unsafe {
        let mut told = std::mem::zeroed::<libc::statfs>();
        libc::fstatfs(file.as_raw_fd(), &mut told) == 0 && told.f_type == OVERLAYFS_MAGIC
    }
}

/// A lock on a file of a pool that libpmemobj has just opened, until what is returned is dropped;
/// `None` if libpmemobj's own lock holds.
fn lock_if_free(path: &Path) -> Result<Option<File>> {
    match lock(path) {
        Ok(file) => Ok(Some(file)),
        Err(Error::Locked(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Locks a directory, until what is returned is dropped.
pub(crate) fn lock_directory(path: &Path) -> Result<File> {
    let directory = File::open(path).map_err(|error| io_error(path, &error))?;
    lock_open(&directory, path)?;
    Ok(directory)
}

fn lock_open(file: &File, path: &Path) -> Result<()> {
    // SAFETY: locks an open file for as long as it stays open. What is read of a pool in use would
    // contradict itself.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::EWOULDBLOCK) => Error::Locked(path.into()),
        _ => io_error(path, &error),
    })
}

/// The first bytes of a pool, up to what libpmemobj notes about its heap; fewer of a shorter file.
pub(crate) fn read_head(path: &Path, file: &File) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD_LEN as u64)
        .read_to_end(&mut head)
        .map_err(|error| io_error(path, &error))?;
    Ok(head)
}

/// The pool's length in bytes, by its first bytes; more than any file's if they are not all there.
pub(crate) fn pool_len(head: &[u8]) -> u64 {
    let word = |at: usize| {
        let bytes = head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u64::MAX, u64::from_le_bytes)
    };
    word(HEAP_OFFSET_AT).saturating_add(word(HEAP_SIZE_AT))
}

/// The directory that a file is in, or is to be made in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes durable that the file at `path` is there, or is not.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

pub(crate) fn open_to_probe(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(path);
    file.map_err(|error| io_error(path, &error))
}

/// The name under which the kernel knows a file: absolute, without symbolic links.
///
/// The C library's `realpath`, and so `std::fs::canonicalize`, gives memory that its caller frees.
/// In a server that loads modules with a symbol scope of their own, the two of them would not use
/// the same allocator.
pub(crate) fn kernels_name(file: &Path) -> std::io::Result<PathBuf> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_PATH).open(file)?;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Bytes mapped for the pool whose handle is at `base`: the run of adjacent mappings of the pool's
/// own files that starts there.
pub(crate) fn mapped_len(base: usize, files: &[PathBuf]) -> Result<u64> {
    let files: Vec<PathBuf> = files
        .iter()
        .map(|file| kernels_name(file).unwrap_or_else(|_| file.clone()))
        .collect();
    let maps = std::fs::read_to_string("/proc/self/maps")
        .map_err(|error| Error::Io(format!("/proc/self/maps: {error}")))?;
    let mut end = base as u64;
    for line in maps.lines() {
        let Some((range, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((from, to)) = range.split_once('-') else {
            continue;
        };
        let hex = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        let ours = rest
            .find('/')
            .is_some_and(|at| files.iter().any(|file| file == Path::new(&rest[at..])));
        if ours && hex(from) <= end && hex(to) > end {
            end = hex(to);
        }
    }
    match end - base as u64 {
        0 => Err(Error::Io(
            "the pool's mapping is not in /proc/self/maps".into(),
        )),
        len => Ok(len),
    }
}
