//! What can be known of a pool's file before libpmemobj touches it.
//!
//! libpmemobj answers many different mistakes with the same errno; looking first gives each its own
//! clear message and leaves the file untouched.

use crate::error::{Error, Result};
use crate::layout::{FORMAT_VERSION, Header, JOURNALED, LAYOUT, MAGIC};
use crate::set::{self, Set};
use bytemuck::Zeroable;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Least size of a pool in bytes (`PMEMOBJ_MIN_POOL`).
pub(crate) const POOL_MIN: u64 = 8 << 20;
const SIGNATURE: &[u8] = b"PMEMOBJ\0";
/// libpmemobj's pool header is one page, and the layout name (1,024 bytes) follows.
const LAYOUT_AT: usize = 4096;
const LAYOUT_LEN: usize = 1024;
/// Where libpmemobj notes where its heap starts. It reaches to the pool's end.
pub(crate) const HEAP_OFFSET_AT: usize = LAYOUT_AT + LAYOUT_LEN + 16;
/// Where libpmemobj notes the root object's offset; zero in a pool that has none yet.
const ROOT_OFFSET_AT: usize = LAYOUT_AT + 2048;
/// Where it notes how long its heap is.
pub(crate) const HEAP_SIZE_AT: usize = LAYOUT_AT + 2048 + 32;
const HEAD_LEN: usize = HEAP_SIZE_AT + 8;

/// What stands at a pool's path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A pool of our layout.
    Pool,
    /// The description of a poolset.
    Poolset(Set),
    /// The description of a poolset of directories that has no pool yet.
    BlankSet(Set),
    /// A device-DAX device.
    Device,
}

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

/// Looks at `path` without changing it.
pub(crate) fn inspect(path: &Path) -> Result<Found> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(io_error(path, &error)),
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Error::NotAFile(path.into(), "a directory"));
    }
    if kind.is_char_device() {
        return Ok(Found::Device);
    }
    if !kind.is_file() {
        return Err(Error::NotAFile(path.into(), "a special file"));
    }
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    let head = read_head(path, &file)?;
    if head.is_empty() {
        return Err(Error::NotAPool(path.into(), "the file is empty".into()));
    }
    if head.starts_with(set::SIGNATURE.as_bytes()) {
        return inspect_set(path, Set::read(path)?);
    }
    if !head.starts_with(SIGNATURE) {
        return Err(Error::NotAPool(
            path.into(),
            "it has no libpmemobj header".into(),
        ));
    }
    if metadata.len() < POOL_MIN || metadata.len() < pool_len(&head) {
        return Err(Error::Damaged(format!(
            "{} is cut off after {} bytes",
            path.display(),
            metadata.len()
        )));
    }
    check_identity(path, &file, &head)?;
    Ok(Found::Pool)
}

/// Looks at a poolset without changing it.
fn inspect_set(path: &Path, set: Set) -> Result<Found> {
    if let Some(part) = set.named().find(|part| !part.exists()) {
        return Err(Error::PartMissing {
            set: path.into(),
            part: part.into(),
        });
    }
    if set.is_blank(path)? {
        return Ok(Found::BlankSet(set));
    }
    // A part that cannot be read is left to libpmemobj, which names it.
    if let Some(Ok(part)) = set.files()?.first().map(File::open)
        && let Ok(head) = read_head(path, &part)
        && head.len() == HEAD_LEN
        && head.starts_with(SIGNATURE)
    {
        check_identity(path, &part, &head)?;
    }
    Ok(Found::Poolset(set))
}

/// The first bytes of a pool, up to what libpmemobj notes about its heap; fewer of a shorter file.
pub(crate) fn read_head(path: &Path, file: &File) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD_LEN as u64)
        .read_to_end(&mut head)
        .map_err(|error| io_error(path, &error))?;
    Ok(head)
}

/// Refuses a pool of another program, or of a newer one of ours. `file` is the pool or the first
/// part of a poolset, `head` its first [`HEAD_LEN`] bytes.
///
/// Opening it would already change it: libpmemobj counts the openings and runs its recovery.
fn check_identity(path: &Path, file: &File, head: &[u8]) -> Result<()> {
    check_layout(path, head)?;
    check_format(path, file)
}

/// The pool's length in bytes, by its first bytes; more than any file's if they are not all there.
pub(crate) fn pool_len(head: &[u8]) -> u64 {
    let word = |at: usize| {
        let bytes = head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u64::MAX, u64::from_le_bytes)
    };
    word(HEAP_OFFSET_AT).saturating_add(word(HEAP_SIZE_AT))
}

/// Checks the layout name in the first bytes of a pool.
fn check_layout(path: &Path, head: &[u8]) -> Result<()> {
    let name = &head[LAYOUT_AT..LAYOUT_AT + LAYOUT_LEN];
    let name = &name[..name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(LAYOUT_LEN)];
    if name != LAYOUT.as_bytes() {
        return Err(Error::WrongLayout {
            path: path.into(),
            found: String::from_utf8_lossy(name).into_owned(),
            expected: LAYOUT.into(),
        });
    }
    Ok(())
}

/// Refuses a pool that a newer program wrote, by the header of its root object, which is one of a
/// pool's first and so lies in a poolset's first part. One that cannot be read is left to the
/// checks behind opening.
fn check_format(path: &Path, file: &File) -> Result<()> {
    match root_header(file) {
        Ok(Some((_, header))) => known_format(path, &header),
        _ => Ok(()),
    }
}

/// The header of the root object in the file of a pool, or in the first part of a poolset, with its
/// offset; `None` if there is none of ours.
pub(crate) fn root_header(file: &File) -> std::io::Result<Option<(u64, Header)>> {
    let mut offset = 0u64;
    let mut header = Header::zeroed();
    file.read_exact_at(bytemuck::bytes_of_mut(&mut offset), ROOT_OFFSET_AT as u64)?;
    file.read_exact_at(bytemuck::bytes_of_mut(&mut header), offset)?;
    Ok((offset != 0 && header.magic == MAGIC).then_some((offset, header)))
}

/// Refuses a format above the one this program writes.
pub(crate) fn known_format(path: &Path, header: &Header) -> Result<()> {
    let version = header.format_version & !JOURNALED;
    if version > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            path: path.into(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    Ok(())
}

/// Has the file system give all blocks of the pool's files, which a copy may have left out: a page
/// without a block on a full file system would end the process where it is touched.
///
/// Only files with holes change, and only in that. O(holes).
pub(crate) fn allocate_blocks(path: &Path, found: &Found) -> Result<()> {
    /// The unit of `st_blocks`.
    const BLOCK: u64 = 512;
    let files = match found {
        Found::Pool => std::slice::from_ref(&path.to_path_buf()).to_vec(),
        Found::Poolset(set) => set.files()?,
        Found::Nothing | Found::BlankSet(_) | Found::Device => Vec::new(),
    };
    for path in files {
        let metadata = std::fs::metadata(&path).map_err(|error| io_error(&path, &error))?;
        let size = metadata.len();
        if !metadata.is_file() || metadata.blocks().saturating_mul(BLOCK) >= size {
            continue;
        }
        let file = open_to_probe(&path)?;
        set::allocate(&file, &path, size).map_err(|error| match error {
            Error::NoSpace { path, size, .. } => Error::NoSpace {
                path,
                size,
                message: "the file has holes, and the file system has no room to fill them".into(),
            },
            other => other,
        })?;
    }
    Ok(())
}

/// The directory that a file is in, or is to be made in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
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
