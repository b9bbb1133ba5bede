//! What the file system that a pool is on gives: persistent memory, an ordinary disk, or the
//! machine's memory alone.

use crate::durability::{self, Durability};
use crate::error::Result;
use crate::file::{directory_of, io_error, open_to_probe};
use crate::found::Found;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The durability that is in force for a path when `wanted` was asked for: never `Auto`.
///
/// # Errors
/// `NotPersistent` if `Pmem` was, of bytes that are not persistent memory.
pub(crate) fn choose_durability(
    path: &Path,
    found: &Found,
    wanted: Durability,
) -> Result<Option<Durability>> {
    Ok(match wanted {
        Durability::Disk | Durability::Process => Some(wanted),
        Durability::Auto | Durability::Pmem if durability::is_forced() => Some(Durability::Pmem),
        Durability::Auto if is_persistent(path, found)? => Some(Durability::Pmem),
        Durability::Auto => Some(Durability::Disk),
        Durability::Pmem => is_persistent(path, found)?.then_some(Durability::Pmem),
    })
}

/// True if the bytes at a path are persistent memory. A file that does not exist yet is judged by
/// its directory.
fn is_persistent(path: &Path, found: &Found) -> Result<bool> {
    Ok(match found {
        Found::Device => true,
        Found::Pool => maps_synchronously(&open_to_probe(path)?),
        Found::Nothing => directory_is_persistent(directory_of(path))?,
        Found::Poolset(set) | Found::BlankSet(set) => {
            let mut all = true;
            for part in set.named() {
                let kind = std::fs::metadata(part).map(|metadata| metadata.file_type());
                all &= match kind {
                    Ok(kind) if kind.is_char_device() => true,
                    Ok(kind) if kind.is_dir() => directory_is_persistent(part)?,
                    Ok(_) => maps_synchronously(&open_to_probe(part)?),
                    Err(error) => return Err(io_error(part, &error)),
                };
            }
            all
        }
    })
}

fn directory_is_persistent(directory: &Path) -> Result<bool> {
    match open_unnamed(directory) {
        Ok(file) => Ok(maps_synchronously(&file)),
        // A file system without unnamed files; those with DAX (ext4, xfs) have them.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL | libc::ENOSYS)
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(io_error(directory, &error)),
    }
}

/// Opens a file of one page, without a name, in a directory.
fn open_unnamed(directory: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_TMPFILE);
    let file = options.open(directory)?;
    file.set_len(4096)?;
    Ok(file)
}

/// True if what is at a path, or in its directory if nothing is, is in the machine's memory alone:
/// on tmpfs or ramfs. Then nothing survives the machine, whatever the durability.
pub fn is_volatile(path: &Path) -> bool {
    const RAMFS_MAGIC: libc::c_long = 0x8584_58f6;
    let file = File::open(path).or_else(|_| File::open(directory_of(path)));
    let Ok(file) = file else {
        return false;
    };
    // SAFETY: all zeros are a value of this plain struct, which the call fills, of an open file.
    let (failed, told) = unsafe {
        let mut told = std::mem::zeroed::<libc::statfs>();
        (libc::fstatfs(file.as_raw_fd(), &mut told) != 0, told)
    };
    !failed && matches!(told.f_type, libc::TMPFS_MAGIC | RAMFS_MAGIC)
}

/// True if the kernel maps `file` with MAP_SYNC, which it does for DAX files only: stores are then
/// durable after flush and fence, without msync. This is libpmem's own test.
fn maps_synchronously(file: &File) -> bool {
    let (len, offset) = (4096, 0);
    // SAFETY: a fresh mapping of one page at an address the kernel chooses; nothing else is
    // touched.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC,
            file.as_raw_fd(),
            offset,
        )
    };
    if at == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: exactly the mapping made above, which nobody else knows.
    unsafe { libc::munmap(at, len) };
    true
}
