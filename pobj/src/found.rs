//! What can be known of a pool's file before libpmemobj touches it.
//!
//! libpmemobj answers many different mistakes with the same errno; looking first gives each its own
//! clear message and leaves the file untouched.

use crate::error::{Error, Result};
use crate::file::{
    HEAD_LEN, LAYOUT_AT, LAYOUT_LEN, POOL_MIN, ROOT_OFFSET_AT, SIGNATURE, io_error, open_to_probe,
    pool_len, read_head,
};
use crate::identity::Layout;
use crate::layout::{FORMAT_VERSION, Header, JOURNALED};
use crate::set::{self, Set};
use bytemuck::Zeroable;
use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

/// What stands at a pool's path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A pool of the layout.
    Pool,
    /// The description of a poolset.
    Poolset(Set),
    /// The description of a poolset of directories that has no pool yet.
    BlankSet(Set),
    /// A device-DAX device.
    Device,
}

/// Looks at `path` without changing it.
pub(crate) fn inspect(path: &Path, layout: &Layout) -> Result<Found> {
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
        return inspect_set(path, layout, Set::read(path)?);
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
    check_identity(path, layout, &file, &head)?;
    Ok(Found::Pool)
}

/// Looks at a poolset without changing it.
fn inspect_set(path: &Path, layout: &Layout, set: Set) -> Result<Found> {
    if let Some(part) = set.named().find(|part| !part.exists()) {
        return Err(Error::PartMissing {
            set: path.into(),
            part: part.into(),
        });
    }
    if set.is_blank()? {
        return Ok(Found::BlankSet(set));
    }
    set.require_parts(path)?;
    // A part that cannot be read is left to libpmemobj, which names it.
    if let Some(Ok(part)) = set.files()?.first().map(File::open)
        && let Ok(head) = read_head(path, &part)
        && head.len() == HEAD_LEN
        && head.starts_with(SIGNATURE)
    {
        check_identity(path, layout, &part, &head)?;
    }
    Ok(Found::Poolset(set))
}

/// Refuses a pool of another program, or of a newer one of ours. `file` is the pool or the first
/// part of a poolset, `head` its first [`HEAD_LEN`] bytes.
///
/// Opening it would already change it: libpmemobj counts the openings and runs its recovery.
fn check_identity(path: &Path, layout: &Layout, file: &File, head: &[u8]) -> Result<()> {
    check_layout(path, layout, head)?;
    check_format(path, layout, file)
}

/// Checks the layout name in the first bytes of a pool.
fn check_layout(path: &Path, layout: &Layout, head: &[u8]) -> Result<()> {
    let name = &head[LAYOUT_AT..LAYOUT_AT + LAYOUT_LEN];
    let name = &name[..name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(LAYOUT_LEN)];
    if name != layout.name.to_bytes() {
        return Err(Error::WrongLayout {
            path: path.into(),
            found: String::from_utf8_lossy(name).into_owned(),
            expected: layout.shown_name(),
        });
    }
    Ok(())
}

/// Refuses a pool that a newer program wrote, by the header of its root object, which is one of a
/// pool's first and so lies in a poolset's first part. One that cannot be read is left to the
/// checks behind opening.
fn check_format(path: &Path, layout: &Layout, file: &File) -> Result<()> {
    match root_header(file, layout) {
        Ok(Some((_, header))) => known_format(path, layout, &header),
        _ => Ok(()),
    }
}

/// The header of the root object in the file of a pool, or in the first part of a poolset, with its
/// offset; `None` if there is none of ours.
pub(crate) fn root_header(file: &File, layout: &Layout) -> std::io::Result<Option<(u64, Header)>> {
    let mut offset = 0u64;
    let mut header = Header::zeroed();
    file.read_exact_at(bytemuck::bytes_of_mut(&mut offset), ROOT_OFFSET_AT as u64)?;
    file.read_exact_at(bytemuck::bytes_of_mut(&mut header), offset)?;
    Ok((offset != 0 && header.magic == layout.magic).then_some((offset, header)))
}

/// Refuses a format above the one this program writes.
pub(crate) fn known_format(path: &Path, layout: &Layout, header: &Header) -> Result<()> {
    let version = header.format_version & !JOURNALED;
    if version > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            path: path.into(),
            found: version,
            supported: FORMAT_VERSION,
            advice: layout.advice.newer_format,
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
                what: "pool",
                path,
                size,
                message: "the file has holes, and the file system has no room to fill them".into(),
            },
            other => other,
        })?;
    }
    Ok(())
}
