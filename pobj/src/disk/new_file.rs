//! Where a new pool is made, before it gets its name: beside its place, in a hidden file that says
//! which process makes it, `.NAME.new-PID`. Nobody calls a file of their own so; one whose process
//! is gone is removed when the same pool is made again.

use crate::file::{self, directory_of, sync_directory};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Symbolic links that lead to each other, at most: as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// The file that a new pool at `path` is to be: where the links lead that are there already.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        match fs::symlink_metadata(&target) {
            Ok(found) if found.is_symlink() => {
                target = directory_of(&target).join(fs::read_link(&target)?);
            }
            _ => return Ok(target),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// Where this process makes the pool that is to be at `path`. What others have left that were to
/// make it, and this one, is removed.
pub(crate) fn clear(path: &Path) -> io::Result<PathBuf> {
    let prefix = prefix(path);
    for entry in fs::read_dir(directory_of(path))? {
        let entry = entry?;
        let is_left = maker(&prefix, &entry.file_name()).is_some_and(is_gone);
        // Processes of other containers are not seen, but their locks are.
        if is_left && entry.file_type()?.is_file() && file::lock(&entry.path()).is_ok() {
            fs::remove_file(entry.path())?;
        }
    }
    let mut name = prefix;
    name.push(std::process::id().to_string());
    Ok(directory_of(path).join(name))
}

/// Gives a pool's file that was just made, and closed, its name, durably.
pub(crate) fn place(new: &Path, path: &Path) -> io::Result<()> {
    File::open(new)?.sync_all()?;
    fs::rename(new, path)?;
    sync_directory(path)
}

/// How the names of such files begin.
fn prefix(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new-");
    name
}

/// The process that makes, or has made, the file of this name, if it is such a file.
fn maker(prefix: &OsStr, name: &OsStr) -> Option<u32> {
    let rest = name.as_encoded_bytes();
    let rest = rest.strip_prefix(prefix.as_encoded_bytes())?;
    str::from_utf8(rest).ok()?.parse().ok()
}

/// Whether a process makes no pool: it is gone, or this one.
fn is_gone(process: u32) -> bool {
    process == std::process::id() || !Path::new(&format!("/proc/{process}")).exists()
}
